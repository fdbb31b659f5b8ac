//! Keeps rows from being taken for sorted where they are not.
//!
//! DataFusion 55 leaves out a sort, or a part of it, by what it wrongly knows of rows:
//! - That an aggregate gives each group once is known of the places of the columns that it groups by, and a projection
//!   that puts other columns there does not change it. `SELECT rank() OVER (PARTITION BY n ORDER BY s) FROM (SELECT k,
//!   count(*) AS n, max(s) AS s FROM a GROUP BY k)` took `n` for unique, so that rows sorted by `n` were not sorted by
//!   `s`, and partitions were mixed. No report upstream is known (apache/datafusion#14111 brought it), and no release
//!   that ends it.
//! - A column that is constant in each branch of a UNION ALL, with another value in each, is left out of a sort. What
//!   one branch has found for `ORDER BY g, id LIMIT 3` then skipped rows of another, whose `g` comes first (remove this
//!   with the release that has apache/datafusion#23528).
//! - The rows of an inner join are taken for sorted by what its right side is sorted by, and then by what its left side
//!   is sorted by. But rows of the left side come once for each of the right side, and several of these can be equal
//!   (remove this with the release that has apache/datafusion#25053).
//!
//! So a node of whose order nothing is known stands above each, where something above it needs an order.
//!
//! And DataFusion 55 takes a sort by more columns to where a `LIMIT` has one by fewer, but goes on to merge sorted
//! partitions by these: `SELECT n, s FROM (SELECT n, s FROM a ORDER BY n LIMIT 6) ORDER BY n, s` did not order by `s`.
//! So partitions are merged by all that they are sorted by. No report upstream is known, and no release that ends it:
//! remove [`MergeByAll`] when `partitions_are_merged_by_all_that_they_are_sorted_by` passes without it.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinType, Result};
use datafusion::physical_expr::equivalence::AcrossPartitions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use super::constants::WithoutConstantsExec;

/// The rule for what is wrongly known. It must stand in front of those that leave out sorts.
#[derive(Debug)]
pub(super) struct ForgetOrders;

impl PhysicalOptimizerRule for ForgetOrders {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(forgotten(plan, false)?.data)
    }

    fn name(&self) -> &'static str {
        "forget_orders"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The rule for merges. It must stand behind the one that adds and moves sorts.
#[derive(Debug)]
pub(super) struct MergeByAll;

impl PhysicalOptimizerRule for MergeByAll {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| Ok(merged_by_all(&plan).map_or_else(|| Transformed::no(plan), Transformed::yes)))
            .map(|done| done.data)
    }

    fn name(&self) -> &'static str {
        "merge_by_all"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The merge by what its input is sorted by beyond what it merges by already.
fn merged_by_all(plan: &Arc<dyn ExecutionPlan>) -> Option<Arc<dyn ExecutionPlan>> {
    let merge = plan.downcast_ref::<SortPreservingMergeExec>()?;
    let mut order = merge.expr().clone();
    order.extend(merge.input().output_ordering()?.iter().cloned());
    if order.len() == merge.expr().len() {
        return None;
    }
    Some(Arc::new(SortPreservingMergeExec::new(order, merge.input().clone()).with_fetch(merge.fetch())))
}

/// The plan with a node above each that is wrongly known, if something above it needs an order.
fn forgotten(plan: Arc<dyn ExecutionPlan>, ordered: bool) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let forgets = ordered && (gives_groups(&plan) || differs_by_branch(&plan) || joins_sorted(&plan)?);
    let ordered = ordered || needs_order(&plan);
    let plan = plan.map_children(|child| forgotten(child, ordered))?;
    if !forgets {
        return Ok(plan);
    }
    let node = WithoutConstantsExec::order(plan.data);
    Ok(Transformed::new(Arc::new(node), true, TreeNodeRecursion::Continue))
}

fn needs_order(plan: &Arc<dyn ExecutionPlan>) -> bool {
    // An aggregate may need none because it believes that it has it.
    let ordered_aggregate = |plan: &AggregateExec| plan.aggr_expr().iter().any(|found| !found.order_bys().is_empty());
    plan.is::<SortExec>()
        || plan.required_input_ordering().iter().any(Option::is_some)
        || plan.downcast_ref::<AggregateExec>().is_some_and(ordered_aggregate)
}

fn gives_groups(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.downcast_ref::<AggregateExec>().is_some_and(|aggregate| {
        let lower = matches!(aggregate.mode(), AggregateMode::Partial | AggregateMode::PartialReduce);
        !lower && !aggregate.group_expr().is_empty()
    })
}

fn differs_by_branch(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let differs = |constants: &AcrossPartitions| matches!(constants, AcrossPartitions::Heterogeneous);
    plan.is::<UnionExec>()
        && plan.equivalence_properties().constants().iter().any(|constant| differs(&constant.across_partitions))
}

/// Whether this is an inner join, and sorts are needed below it.
fn joins_sorted(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let Some(join) = plan.downcast_ref::<HashJoinExec>() else { return Ok(false) };
    let sorts = |plan: &Arc<dyn ExecutionPlan>| plan.exists(|plan| Ok(needs_order(plan)));
    Ok(*join.join_type() == JoinType::Inner && (sorts(join.left())? || sorts(join.right())?))
}
