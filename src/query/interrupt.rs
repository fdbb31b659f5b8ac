//! Ends joins that compute for long without a pause.
//!
//! Dropping a task ends it where it next yields, and the other tasks of its thread wait until then. A join of
//! DataFusion 55 may compare billions of pairs before it yields (apache/datafusion#19358, open; no release ends it). So
//! every join yields after a number of batches. Before each use, its filter checks whether the client still waits for
//! the answer, and hands the other tasks of its thread to another thread. The change that was proposed there,
//! apache/datafusion#19360, makes joins yield between batches; a nested loop compares one batch with a whole side, so
//! [`Watched`] would stay.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::unnest::UnnestExec;
use parking_lot::Mutex;

/// For how long a join may compare before other tasks of its thread go first.
const MAX_HOLD: Duration = Duration::from_millis(10);

/// Whether the client of one query still waits for its answer. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// The client waits no longer.
    pub(super) fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// # Errors
    /// Once [`Interrupt::raise`] was called. No client sees the message.
    pub(super) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) { exec_err!("the query was stopped") } else { Ok(()) }
    }
}

/// Makes the joins of a plan stop at an [`Interrupt`].
#[derive(Debug)]
pub(super) struct InterruptJoins(pub(super) Interrupt);

impl PhysicalOptimizerRule for InterruptJoins {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            let plan = if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
                self.nested_loop(join)?.unwrap_or(plan)
            } else if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
                self.hash(join)?.unwrap_or(plan)
            } else if plan.is::<CrossJoinExec>() || plan.is::<UnnestExec>() {
                plan
            } else {
                return Ok(Transformed::no(plan));
            };
            Ok(Transformed::yes(Arc::new(CooperativeExec::new(plan)) as Arc<dyn ExecutionPlan>))
        })
        .map(|done| done.data)
    }

    fn name(&self) -> &'static str {
        "interrupt_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

impl InterruptJoins {
    fn nested_loop(&self, join: &NestedLoopJoinExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(filter) = join.filter() else { return Ok(None) };
        let join = NestedLoopJoinExec::try_new(
            join.left().clone(),
            join.right().clone(),
            Some(self.watch(filter)),
            join.join_type(),
            join.projection().as_ref().map(|projection| projection.to_vec()),
        )?;
        Ok(Some(Arc::new(join)))
    }

    fn hash(&self, join: &HashJoinExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(filter) = join.filter() else { return Ok(None) };
        Ok(Some(Arc::new(join.builder().with_filter(Some(self.watch(filter))).build()?)))
    }

    fn watch(&self, filter: &JoinFilter) -> JoinFilter {
        let watched = Watched::new(filter.expression().clone(), self.0.clone());
        JoinFilter::new(Arc::new(watched), filter.column_indices().to_vec(), filter.schema().clone())
    }
}

/// An expression that fails once its query was interrupted, and yields now and then.
#[derive(Debug)]
struct Watched {
    inner: Arc<dyn PhysicalExpr>,
    interrupt: Interrupt,
    yielded: Mutex<Instant>,
}

impl Watched {
    fn new(inner: Arc<dyn PhysicalExpr>, interrupt: Interrupt) -> Self {
        Self { inner, interrupt, yielded: Mutex::new(Instant::now()) }
    }

    /// Whether this task should yield. When many threads share the expression, one of them yields at a time.
    fn should_yield(&self) -> bool {
        let Some(mut last) = self.yielded.try_lock() else { return false };
        let now = Instant::now();
        let is_time = now.duration_since(*last) >= MAX_HOLD;
        if is_time {
            *last = now;
        }
        is_time
    }
}

impl PartialEq for Watched {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for Watched {}

impl Hash for Watched {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inner)
    }
}

impl PhysicalExpr for Watched {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.inner.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.inner.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.interrupt.check()?;
        if self.should_yield() {
            // Another thread takes the other tasks over.
            tokio::task::block_in_place(|| self.inner.evaluate(batch))
        } else {
            self.inner.evaluate(batch)
        }
    }

    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.inner.return_field(schema)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let inner = children.pop().unwrap_or_else(|| self.inner.clone());
        Ok(Arc::new(Self::new(inner, self.interrupt.clone())))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}
