//! Keeps filters from being moved to another column of the same name.
//!
//! DataFusion 55.2 moves filters towards the tables by the names of columns, and finds the first of two that have one
//! name: `SELECT sum(k) FROM (SELECT x.k FROM x JOIN y ON x.k = y.k ORDER BY x.id, y.id LIMIT 3)` leaves out objects of
//! the wrong table by what it knows of the other (apache/datafusion#25296, #25244, #25262, #25263, #25264; remove this
//! file with the release that has #25259). So the rules that move filters are wrapped, and leave a plan alone in which
//! a filter could pass such columns. That costs time, and no answer.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
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

/// Whether a filter that a node makes could pass, below it, columns of which two have one name.
fn passes_same_names(plan: &Arc<dyn ExecutionPlan>, filtered: bool) -> bool {
    if filtered && has_same_names(plan) {
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

fn makes_filters(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<SortExec>()
        || plan.is::<FilterExec>()
        || plan.is::<HashJoinExec>()
        || plan.is::<NestedLoopJoinExec>()
        || plan.is::<SortMergeJoinExec>()
}
