//! Groups by numbers of texts.
//!
//! The first step of a `GROUP BY` runs on each thread by itself. Where it groups by texts alone, the number of a row's
//! texts is that of its group, and nothing is hashed for a row. Where texts do not repeat, DataFusion's own step goes
//! on; and once there are many groups, or memory is short, they go to the last step, and the first begins anew.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::cast::{as_boolean_array, as_string_view_array};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::execution_plan::{
    ChildrenPropertiesMode, ReplaceChildrenOptions, replace_children_if_necessary,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputOrderMode, PlanProperties, SendableRecordBatchStream,
};
use futures::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};
use parking_lot::Mutex;

use super::codes::Tuples;
use super::distinct::Seeds;

/// How many groups a step holds at a time.
const MAX_GROUPS: usize = 64 * 1024;
/// How much memory they may take before they are handed on, whatever queries may use.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// The first step of a `GROUP BY` of texts.
#[derive(Debug, Clone)]
pub(super) struct GroupTexts {
    /// As DataFusion planned it.
    aggregate: Arc<AggregateExec>,
}

impl GroupTexts {
    /// `None` where the step is another one, or does not group by texts alone.
    pub(super) fn instead_of(aggregate: &AggregateExec) -> Result<Option<Self>> {
        let groups = aggregate.group_expr();
        let is_plain = *aggregate.mode() == AggregateMode::Partial
            && groups.is_single()
            && !groups.is_empty()
            && *aggregate.input_order_mode() == InputOrderMode::Linear
            && aggregate.limit_options().is_none()
            && aggregate
                .aggr_expr()
                .iter()
                .all(|function| function.order_bys().is_empty() && function.groups_accumulator_supported());
        if !is_plain {
            return Ok(None);
        }
        let schema = aggregate.input().schema();
        for (group, _) in groups.expr() {
            if group.data_type(&schema)? != DataType::Utf8View {
                return Ok(None);
            }
        }
        Ok(Some(Self { aggregate: Arc::new(aggregate.clone()) }))
    }

    fn start(&self, partition: usize, context: &Arc<TaskContext>) -> Result<Step> {
        let aggregate = &self.aggregate;
        let functions = aggregate.aggr_expr().iter().zip(aggregate.filter_expr()).map(|(function, filter)| {
            Ok(Function {
                function: function.clone(),
                arguments: function.expressions(),
                filter: filter.clone(),
                state: function.create_groups_accumulator()?,
            })
        });
        Ok(Step {
            rows: aggregate.input().execute(partition, context.clone())?,
            aggregate: aggregate.clone(),
            context: context.clone(),
            groups: aggregate.group_expr().input_exprs(),
            tuples: Tuples::of(aggregate.group_expr().expr().len()),
            functions: functions.collect::<Result<_>>()?,
            reservation: MemoryConsumer::new("groups of texts").register(context.memory_pool()),
            seeds: Seeds::default(),
        })
    }
}

impl DisplayAs for GroupTexts {
    fn fmt_as(&self, form: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name())?;
        self.aggregate.fmt_as(form, f)
    }
}

impl ExecutionPlan for GroupTexts {
    fn name(&self) -> &'static str {
        "GroupTexts"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.aggregate.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.aggregate.children()
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.aggregate.apply_expressions(visit)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let aggregate = replace_children_if_necessary(self.aggregate.clone(), children)?;
        match aggregate.downcast_ref::<AggregateExec>() {
            Some(aggregate) => Ok(Arc::new(Self { aggregate: Arc::new(aggregate.clone()) })),
            None => internal_err!("a GROUP BY became {}", aggregate.name()),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let step = Some(self.start(partition, &context)?);
        let found = stream::try_unfold(step, |step| async {
            let Some(step) = step else { return Ok(None) };
            step.run().await.map(Some)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.aggregate.schema(), found.try_flatten())))
    }
}

/// A function over the rows of each group.
struct Function {
    function: Arc<AggregateFunctionExpr>,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    filter: Option<Arc<dyn PhysicalExpr>>,
    state: Box<dyn GroupsAccumulator>,
}

impl Function {
    fn add(&mut self, batch: &RecordBatch, groups: &[usize], count: usize) -> Result<()> {
        let array = |expression: &Arc<dyn PhysicalExpr>| expression.evaluate(batch)?.into_array(batch.num_rows());
        let arguments = self.arguments.iter().map(array).collect::<Result<Vec<_>>>()?;
        let filter = self.filter.as_ref().map(array).transpose()?;
        let filter = filter.as_ref().map(|filter| as_boolean_array(filter)).transpose()?;
        self.state.update_batch(&arguments, groups, filter, count)
    }
}

/// The step of one thread.
struct Step {
    rows: SendableRecordBatchStream,
    aggregate: Arc<AggregateExec>,
    context: Arc<TaskContext>,
    groups: Vec<Arc<dyn PhysicalExpr>>,
    tuples: Tuples,
    functions: Vec<Function>,
    reservation: MemoryReservation,
    seeds: Seeds,
}

impl Step {
    /// Groups rows until they end, there is no room for more groups, or texts do not repeat. Returns the groups, and
    /// the step that comes after it.
    async fn run(mut self) -> Result<(BoxStream<'static, Result<RecordBatch>>, Option<Self>)> {
        while let Some(batch) = self.rows.next().await {
            let batch = batch?;
            if !self.add(&batch)? {
                let groups = self.finish()?;
                let rows = stream::iter([Ok(batch)]).chain(self.rows);
                return Ok((groups.chain(by_texts(&self.aggregate, rows, self.context)?).boxed(), None));
            }
            if self.is_full() {
                return Ok((self.finish()?, Some(self)));
            }
        }
        Ok((self.finish()?, None))
    }

    /// Whether the rows of a batch could be added, because their texts repeat.
    fn add(&mut self, batch: &RecordBatch) -> Result<bool> {
        let columns = self.groups.iter().map(|group| group.evaluate(batch)?.into_array(batch.num_rows()));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let texts = columns.iter().map(|column| as_string_view_array(column)).collect::<Result<Vec<_>>>()?;
        let Some(groups) = self.tuples.numbers(&texts, &self.seeds) else { return Ok(false) };
        for function in &mut self.functions {
            function.add(batch, &groups, self.tuples.len())?;
        }
        Ok(true)
    }

    /// Whether there are many groups, or no memory for them is left.
    fn is_full(&mut self) -> bool {
        let of_functions: usize = self.functions.iter().map(|function| function.state.size()).sum();
        let bytes = self.tuples.size() + of_functions;
        self.tuples.len() >= MAX_GROUPS || bytes >= MAX_BYTES || self.reservation.try_resize(bytes).is_err()
    }

    /// The groups so far. There are none afterwards.
    fn finish(&mut self) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let tuples = std::mem::replace(&mut self.tuples, Tuples::of(self.groups.len()));
        if tuples.len() == 0 {
            return Ok(stream::empty().boxed());
        }
        let mut columns = tuples.columns()?;
        for function in &mut self.functions {
            columns.extend(function.state.state(EmitTo::All)?);
            function.state = function.function.create_groups_accumulator()?;
        }
        self.reservation.free();
        let groups = RecordBatch::try_new(self.aggregate.schema(), columns)?;
        let most = self.context.session_config().batch_size();
        let parts = (0..groups.num_rows()).step_by(most);
        let parts = parts.map(move |from| Ok(groups.slice(from, most.min(groups.num_rows() - from))));
        Ok(stream::iter(parts).boxed())
    }
}

/// The step over rows whose texts do not repeat, as DataFusion does it.
fn by_texts(
    aggregate: &Arc<AggregateExec>,
    rows: impl Stream<Item = Result<RecordBatch>> + Send + 'static,
    context: Arc<TaskContext>,
) -> Result<SendableRecordBatchStream> {
    let schema = aggregate.input().schema();
    let rows = Box::pin(RecordBatchStreamAdapter::new(schema.clone(), rows));
    let rest = Rest { schema: schema.clone(), rows: Mutex::new(Some(rows)) };
    let rows = StreamingTableExec::try_new(schema, vec![Arc::new(rest)], None, [], false, None)?;
    replace_children_if_necessary(aggregate.clone(), vec![Arc::new(rows)])?.execute(0, context)
}

/// Rows that were begun to be read.
struct Rest {
    schema: SchemaRef,
    rows: Mutex<Option<SendableRecordBatchStream>>,
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rest")
    }
}

impl PartitionStream for Rest {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = self.rows.lock().take();
        let again = || stream::once(async { internal_err!("rows can be read once") });
        rows.unwrap_or_else(|| Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), again())))
    }
}
