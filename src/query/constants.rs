//! Keeps what is constant below an outer join or a grouping set from being taken for constant above it.
//!
//! DataFusion 55 carries the constants of both inputs through a LEFT, RIGHT or FULL join, although the rows without a
//! match hold nulls there (`EquivalenceGroup::join`), and those of its input through `ROLLUP`, `CUBE` and `GROUPING
//! SETS`, although the totals hold nulls there. `l LEFT JOIN r ON l.k = r.k AND r.v = 'x' ORDER BY r.v` was then not
//! sorted, `LIMIT` chose other rows, windows numbered wrongly, and groups were given before all their rows had come. No
//! report upstream is known of these shapes (their neighbours are apache/datafusion#25052, #9612 and #24421), and no
//! release that ends them: remove this file when the tests whose names begin with `a_constant` pass without it.
//!
//! The first physical rule puts a node without any such knowledge above every such node. Projections stay above that
//! one: moved below it, they lose what other rules rest on, and meet a projection that wants to move up again, without
//! end.
//!
//! Even a constant that is one can spoil a plan. DataFusion 55 leaves out a sort by a constant column of a join, then
//! merges a projection into the join, which forgets that the column is constant, and at last finds its own plan
//! invalid. No report upstream is known. Its rule `ProjectionPushdown` also fails on a CASE over both sides of a join
//! below a filter, for some statistics, as apache/datafusion#22901 (closed) did on mark joins. No release ends either.
//! A query for which a physical rule fails is planned once more with [`ForgetConstants::Everywhere`]: above every join,
//! filter and projection nothing is known, neither constants nor statistics, and no projection is moved. That costs
//! sorts, and no answer. Remove it when the tests `a_constant_column_of_a_join_can_order_a_window` and
//! `a_filter_above_a_join_of_objects_that_lack_columns_is_planned` pass without it.

use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Constraints, Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::filter_pushdown::{FilterDescription, FilterPushdownPhase};
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};

/// The rule. It must be the first one.
#[derive(Debug)]
pub(super) enum ForgetConstants {
    /// Above outer joins and grouping sets, where they are none.
    WhereWrong,
    /// Above every join, filter and projection, for a query that is otherwise not planned.
    Everywhere,
}

impl PhysicalOptimizerRule for ForgetConstants {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            let everywhere = matches!(self, Self::Everywhere) && makes_constants(&plan);
            if everywhere || is_outer_join(&plan) || makes_totals(&plan) {
                return Ok(Transformed::yes(Arc::new(WithoutConstantsExec::new(plan)) as Arc<dyn ExecutionPlan>));
            }
            Ok(Transformed::no(plan))
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

fn is_outer_join(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let hash = plan.downcast_ref::<HashJoinExec>().map(|join| *join.join_type());
    let nested = || plan.downcast_ref::<NestedLoopJoinExec>().map(|join| *join.join_type());
    let merged = || plan.downcast_ref::<SortMergeJoinExec>().map(SortMergeJoinExec::join_type);
    hash.or_else(nested).or_else(merged).is_some_and(|join_type| join_type.is_outer())
}

/// Whether this makes the groups of `ROLLUP`, `CUBE` or `GROUPING SETS`: the lower one of an aggregate in two phases.
fn makes_totals(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.downcast_ref::<AggregateExec>().is_some_and(|aggregate| aggregate.group_expr().has_grouping_set())
}

/// Whether columns may be constant above a node that are not so below it, or projections be merged into it.
fn makes_constants(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<FilterExec>()
        || plan.is::<ProjectionExec>()
        || plan.is::<HashJoinExec>()
        || plan.is::<NestedLoopJoinExec>()
        || plan.is::<SortMergeJoinExec>()
}

/// The rows of another node, of whose columns nothing is known, and below which no sort is moved.
#[derive(Debug)]
pub(super) struct WithoutConstantsExec {
    rows: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    /// Whether nothing is known of their order only.
    order_only: bool,
}

impl WithoutConstantsExec {
    pub(super) fn new(rows: Arc<dyn ExecutionPlan>) -> Self {
        Self::which(rows, false)
    }

    /// The rows of another node, of whose order nothing is known.
    pub(super) fn order(rows: Arc<dyn ExecutionPlan>) -> Self {
        Self::which(rows, true)
    }

    fn which(rows: Arc<dyn ExecutionPlan>, order_only: bool) -> Self {
        let known = if order_only {
            let mut known = rows.equivalence_properties().clone().with_constraints(Constraints::default());
            known.clear_orderings();
            known.clear_per_partition_constants();
            known
        } else {
            EquivalenceProperties::new(rows.schema())
        };
        let properties = PlanProperties::clone(rows.properties()).with_eq_properties(known);
        Self { rows, properties: Arc::new(properties), order_only }
    }
}

impl DisplayAs for WithoutConstantsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name())
    }
}

impl ExecutionPlan for WithoutConstantsExec {
    fn name(&self) -> &'static str {
        if self.order_only { "WithoutOrderExec" } else { "WithoutConstantsExec" }
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.rows]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = children.pop().unwrap_or_else(|| self.rows.clone());
        Ok(Arc::new(Self::which(rows, self.order_only)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.rows.execute(partition, context)
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![if self.order_only { ChildStats::At(partition) } else { ChildStats::Skip }]
    }

    fn statistics_from_inputs(&self, of_rows: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        Ok(of_rows.first().map_or_else(|| Arc::new(Statistics::new_unknown(&self.schema())), Arc::clone))
    }

    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        if self.order_only {
            FilterDescription::from_children(filters, &self.children())
        } else {
            Ok(FilterDescription::all_unsupported(&filters, &self.children()))
        }
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }
}
