//! Keeps the equations of a join apart from its `IS NOT DISTINCT FROM`.
//!
//! DataFusion 55 makes a hash join of `ON x.k IS NOT DISTINCT FROM y.k`, in which null equals null for all equations.
//! It then adds others to them, from `WHERE` and from other inner joins: `FROM x JOIN y ON x.k IS NOT DISTINCT FROM y.k
//! WHERE x.s = y.s` gave rows whose `s` is null, and a third table could take away those whose `k` is null. No report
//! upstream is known (apache/datafusion#17319 brought it), and no release that ends it: remove this file when
//! `equations_and_is_not_distinct_from_of_a_join_keep_their_meaning` passes without it.
//!
//! So two rules are wrapped. One leaves the further conditions of such a join where they are, and one leaves the
//! order of joins as it is written when such a join is among them.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{NullEquality, Result};
use datafusion::logical_expr::{Join, JoinType, LogicalPlan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// A rule of DataFusion that is only given plans it keeps the meaning of.
#[derive(Debug)]
pub(super) struct KeepNullSafe {
    rule: Arc<dyn OptimizerRule + Send + Sync>,
    spoils: fn(&LogicalPlan) -> bool,
}

impl KeepNullSafe {
    /// The rule that finds the equations of a join.
    pub(super) fn in_equations(rule: Arc<dyn OptimizerRule + Send + Sync>) -> Self {
        Self {
            rule,
            spoils: |plan| matches!(plan, LogicalPlan::Join(join) if is_null_safe(join) && join.filter.is_some()),
        }
    }

    /// The rule that puts inner joins in another order.
    pub(super) fn in_order(rule: Arc<dyn OptimizerRule + Send + Sync>) -> Self {
        Self { rule, spoils: has_null_safe }
    }
}

impl OptimizerRule for KeepNullSafe {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if (self.spoils)(&plan) { Ok(Transformed::no(plan)) } else { self.rule.rewrite(plan, config) }
    }
}

fn is_null_safe(join: &Join) -> bool {
    join.null_equality == NullEquality::NullEqualsNull
}

/// Whether an inner join in which null equals null is in a plan.
fn has_null_safe(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let _ = plan.apply_with_subqueries(|plan| {
        found |= matches!(plan, LogicalPlan::Join(join) if is_null_safe(join) && join.join_type == JoinType::Inner);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found
}
