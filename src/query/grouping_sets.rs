//! Refuses constants in `ROLLUP`, `CUBE` and `GROUPING SETS`.
//!
//! They are null in the totals, but DataFusion 55 shows their value there: it takes them out of the groups. There is no
//! report upstream, and no release that ends it; remove this file when the test of `ROLLUP (1.0 IS NULL)` can answer
//! instead.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{Expr, LogicalPlan};

/// Checks a plan with all its subqueries.
///
/// # Errors
/// A plan error when a grouping set holds a constant.
pub(super) fn check(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|plan| {
        if let LogicalPlan::Aggregate(aggregate) = plan {
            for group in &aggregate.group_expr {
                if let Expr::GroupingSet(set) = group
                    && set.distinct_expr().iter().any(|expr| !expr.any_column_refs() && !expr.contains_outer())
                {
                    return plan_err!("a constant cannot stand in ROLLUP, CUBE or GROUPING SETS: leave it out");
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map(drop)
}
