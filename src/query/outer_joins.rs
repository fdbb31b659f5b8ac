//! Keeps what is constant below an outer join from being taken for constant above it.
//!
//! DataFusion 55 carries the constants of both inputs through a LEFT, RIGHT or FULL join, although the rows without a match
//! hold nulls there (`EquivalenceGroup::join`). `l LEFT JOIN r ON l.k = r.k AND r.v = 'x' ORDER BY r.v` was then not
//! sorted, `LIMIT` chose other rows, and windows numbered wrongly. There is no report upstream of this shape (its
//! neighbours are apache/datafusion#25052 and #9612), and no release that ends it: remove this file when the test
//! `a_constant_of_the_nullable_side_of_an_outer_join_is_no_constant_above_it` passes without it.
//!
//! The first physical rule puts a node without any such knowledge above every outer join. Projections stay above that node:
//! moved below it, they lose what other rules rest on, and meet a projection that wants to move up again, without end.

use std::fmt;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

/// The rule. It must be the first one.
#[derive(Debug)]
pub(super) struct ForgetConstants;

impl PhysicalOptimizerRule for ForgetConstants {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            let join_type = if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
                *join.join_type()
            } else if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
                *join.join_type()
            } else if let Some(join) = plan.downcast_ref::<SortMergeJoinExec>() {
                join.join_type()
            } else {
                return Ok(Transformed::no(plan));
            };
            if join_type.is_outer() {
                Ok(Transformed::yes(Arc::new(OuterJoinExec::new(plan)) as Arc<dyn ExecutionPlan>))
            } else {
                Ok(Transformed::no(plan))
            }
        })
        .map(|done| done.data)
    }

    fn name(&self) -> &'static str {
        "forget_constants"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The rows of an outer join, of whose columns nothing is known.
#[derive(Debug)]
struct OuterJoinExec {
    join: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl OuterJoinExec {
    fn new(join: Arc<dyn ExecutionPlan>) -> Self {
        let nothing = EquivalenceProperties::new(join.schema());
        let properties = PlanProperties::clone(join.properties()).with_eq_properties(nothing);
        Self { join, properties: Arc::new(properties) }
    }
}

impl DisplayAs for OuterJoinExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OuterJoinExec")
    }
}

impl ExecutionPlan for OuterJoinExec {
    fn name(&self) -> &'static str {
        "OuterJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.join]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let join = children.pop().unwrap_or_else(|| self.join.clone());
        Ok(Arc::new(Self::new(join)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.join.execute(partition, context)
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }
}
