//! Keeps the rows that `OFFSET` skips the first ones.
//!
//! DataFusion 55 changes the order in which rows reach an `OFFSET`:
//! - It leaves out the sort below one without `LIMIT` when what sorts is not among the columns: `SELECT sum(k) FROM
//!   (SELECT k FROM a ORDER BY id OFFSET 2)` skipped any two rows (apache/datafusion#23534, open). So rows are skipped
//!   below the projections that take these columns away, where the order can be seen.
//! - It moves a sort above one below it: `SELECT id FROM (SELECT id FROM a ORDER BY id OFFSET 1) ORDER BY id DESC`
//!   skipped the last row, and `SELECT id FROM (SELECT id FROM a LIMIT 4 OFFSET 3) ORDER BY id` gave one row
//!   (apache/datafusion#25378, open; #24958 ends the latter). So a node that sorts do not pass stands above each.
//!
//! No release ends both: remove this file when `an_offset_skips_the_first_rows_of_its_own_order` passes without it.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::limit::GlobalLimitExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, replace_children_if_necessary};

use super::constants::WithoutConstantsExec;

/// The rule. It must stand in front of those that leave out and move sorts.
#[derive(Debug)]
pub(super) struct SkipSorted;

impl PhysicalOptimizerRule for SkipSorted {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let skips = |plan: &Arc<dyn ExecutionPlan>| Ok(skips(plan));
        if !plan.exists(skips)? {
            return Ok(plan);
        }
        let plan =
            plan.transform_up(|plan| Ok(sorted(&plan)?.map_or_else(|| Transformed::no(plan), Transformed::yes)))?;
        Ok(shielded(plan.data, true)?.data)
    }

    fn name(&self) -> &'static str {
        "skip_sorted"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn skips(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.downcast_ref::<GlobalLimitExec>().is_some_and(|limit| limit.skip() > 0)
}

/// The projections between an `OFFSET` and its sort, on top of both; `None` for any other plan.
fn sorted(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(limit) = plan.downcast_ref::<GlobalLimitExec>() else { return Ok(None) };
    let mut projections = Vec::new();
    let mut below = limit.input();
    while let Some(projection) = below.downcast_ref::<ProjectionExec>() {
        projections.push(below);
        below = projection.input();
    }
    // A sort that knows the number of its rows is not left out.
    if projections.is_empty() || limit.fetch().is_some() || !below.is::<SortExec>() {
        return Ok(None);
    }
    let mut moved: Arc<dyn ExecutionPlan> = Arc::new(GlobalLimitExec::new(below.clone(), limit.skip(), None));
    for projection in projections.into_iter().rev() {
        moved = replace_children_if_necessary(projection.clone(), vec![moved])?;
    }
    Ok(Some(moved))
}

/// The plan with a node above each `OFFSET`, except one on top, whose order is that of the answer.
fn shielded(plan: Arc<dyn ExecutionPlan>, on_top: bool) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let below_top = on_top && plan.is::<ProjectionExec>();
    let shields = !on_top && skips(&plan);
    let plan = plan.map_children(|child| shielded(child, below_top))?;
    if !shields {
        return Ok(plan);
    }
    Ok(Transformed::new(Arc::new(WithoutConstantsExec::new(plan.data)), true, TreeNodeRecursion::Continue))
}
