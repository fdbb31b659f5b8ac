//! Keeps filters from being moved to another column of the same name.
//!
//! DataFusion 55.2 moves filters towards the tables by the names of columns, and finds the first of two that have one
//! name: `SELECT sum(k) FROM (SELECT x.k FROM x JOIN y ON x.k = y.k ORDER BY x.id, y.id LIMIT 3)` leaves out objects of
//! the wrong table by what it knows of the other (apache/datafusion#25296, #25244, #25262, #25263, #25264; remove this
//! file with the release that has #25259). So the rules that move filters are wrapped, and leave a plan alone in which
//! a filter could pass such columns. That costs time, and no answer.
//!
//! A plan is also left alone when `ORDER BY … LIMIT` sorts by a part of another key: of `ORDER BY id + w, id`, the
//! filter that skips objects keeps the place of `w` in the sorted rows, which is another column or none in an object.
//! Builds with debug assertions panicked. No report upstream is known (it is
//! `DynamicFilterPhysicalExpr::remap_children`), and no release that ends it: remove [`sorts_by_part`] when
//! `rows_are_sorted_by_a_column_and_by_what_is_computed_from_it` passes without it.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::sorts::sort::SortExec;

/// A rule of DataFusion that moves filters.
#[derive(Debug)]
pub(super) struct MoveByName(Arc<dyn PhysicalOptimizerRule + Send + Sync>);

impl MoveByName {
    /// Wraps the rule if it is one that moves filters.
    pub(super) fn wrap(
        rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>,
    ) -> Arc<dyn PhysicalOptimizerRule + Send + Sync> {
        if rule.name().starts_with("FilterPushdown") { Arc::new(Self(rule)) } else { rule }
    }
}

impl PhysicalOptimizerRule for MoveByName {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if passes_same_names(&plan, false) { Ok(plan) } else { self.0.optimize(plan, config) }
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

/// Whether a filter that a node makes could pass, below it, columns of which two have one name, or is made of a sort
/// by a part of another key.
fn passes_same_names(plan: &Arc<dyn ExecutionPlan>, filtered: bool) -> bool {
    if filtered && has_same_names(plan) || sorts_by_part(plan) {
        return true;
    }
    let filtered = filtered || makes_filters(plan);
    plan.children().into_iter().any(|child| passes_same_names(child, filtered))
}

fn has_same_names(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let schema = plan.schema();
    let mut names = HashSet::new();
    !schema.fields().iter().all(|field| names.insert(field.name()))
}

/// Whether this sorts by an expression that is a part of another that it sorts by.
fn sorts_by_part(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let Some(sort) = plan.downcast_ref::<SortExec>().filter(|sort| sort.fetch().is_some()) else { return false };
    let keys: Vec<_> = sort.expr().iter().map(|key| &key.expr).collect();
    keys.iter().any(|key| key.children().into_iter().any(|part| contains_any(part, &keys)))
}

fn contains_any(expr: &Arc<dyn PhysicalExpr>, keys: &[&Arc<dyn PhysicalExpr>]) -> bool {
    keys.contains(&expr) || expr.children().into_iter().any(|part| contains_any(part, keys))
}

fn makes_filters(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<SortExec>()
        || plan.is::<FilterExec>()
        || plan.is::<HashJoinExec>()
        || plan.is::<NestedLoopJoinExec>()
        || plan.is::<SortMergeJoinExec>()
}
