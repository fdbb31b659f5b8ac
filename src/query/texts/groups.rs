//! Groups by numbers in the place of texts.
//!
//! The first step of a `GROUP BY`, which runs on each thread by itself, is done by DataFusion over columns of numbers,
//! and the numbers of the groups that it found become texts again. Where the texts do not repeat, or once there are
//! many, it goes on over the texts themselves.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::RecordBatchStream;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy};
use datafusion::physical_plan::execution_plan::{ReplaceChildrenOptions, replace_children_if_necessary};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputOrderMode, PlanProperties, SendableRecordBatchStream,
};
use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use parking_lot::Mutex;

use super::codes::Codes;
use super::distinct::Telling;

/// How many texts have numbers at a time. A further one begins the numbers, and the groups, anew.
const MAX_CODES: usize = 64 * 1024;

/// The first step of a `GROUP BY` of texts.
pub(super) struct GroupTexts {
    /// As DataFusion planned it.
    aggregate: Arc<AggregateExec>,
    /// Which of what it groups by are texts.
    texts: Vec<usize>,
}

impl GroupTexts {
    /// `None` where the step is another one, or does not group by texts.
    pub(super) fn instead_of(aggregate: &AggregateExec) -> Result<Option<Self>> {
        let groups = aggregate.group_expr();
        let is_plain = *aggregate.mode() == AggregateMode::Partial
            && groups.is_single()
            && *aggregate.input_order_mode() == InputOrderMode::Linear
            && aggregate.limit_options().is_none()
            && aggregate.aggr_expr().iter().all(|function| function.order_bys().is_empty());
        if !is_plain {
            return Ok(None);
        }
        let schema = aggregate.input().schema();
        let mut texts = Vec::new();
        for (place, (group, _)) in groups.expr().iter().enumerate() {
            if group.data_type(&schema)? == DataType::Utf8View {
                texts.push(place);
            }
        }
        Ok((!texts.is_empty()).then(|| Self { aggregate: Arc::new(aggregate.clone()), texts }))
    }

    /// The same step over other rows: with numbers for texts, or as it was.
    fn over(&self, rows: Arc<dyn ExecutionPlan>, are_coded: bool) -> Result<AggregateExec> {
        let aggregate = &self.aggregate;
        let first = aggregate.input().schema().fields().len();
        let groups = aggregate.group_expr().expr().iter().enumerate().map(|(place, (group, name))| {
            let code = self.texts.iter().position(|text| *text == place).filter(|_| are_coded);
            let code = code.map(|code| Arc::new(Column::new(&code_name(place), first + code)) as Arc<dyn PhysicalExpr>);
            (code.unwrap_or_else(|| group.clone()), name.clone())
        });
        let groups = PhysicalGroupBy::new_single(groups.collect());
        let (functions, filters) = (aggregate.aggr_expr().to_vec(), aggregate.filter_expr().to_vec());
        let schema = rows.schema();
        AggregateExec::try_new(AggregateMode::Partial, groups, functions, filters, rows, schema)
    }

    fn start(&self, partition: usize, context: &Arc<TaskContext>) -> Result<Arc<Mutex<Rows>>> {
        let schema = self.aggregate.input().schema();
        let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
        fields.extend(self.texts.iter().map(|text| Arc::new(Field::new(code_name(*text), DataType::UInt32, false))));
        let groups = self.aggregate.group_expr().expr();
        Ok(Arc::new(Mutex::new(Rows {
            rows: self.aggregate.input().execute(partition, context.clone())?,
            texts: self.texts.iter().map(|text| groups[*text].0.clone()).collect(),
            coded: Arc::new(Schema::new(fields)),
            codes: Vec::new(),
            reservation: MemoryConsumer::new("numbers of texts").register(context.memory_pool()),
            telling: Telling::default(),
            held: None,
            next: Next::Codes,
        })))
    }
}

/// The column with the numbers of the texts at a place of what is grouped by.
fn code_name(place: usize) -> String {
    format!("code {place}")
}

impl fmt::Debug for GroupTexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupTexts({:?})", self.aggregate)
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
            Some(aggregate) => Ok(Arc::new(Self { aggregate: Arc::new(aggregate.clone()), texts: self.texts.clone() })),
            None => internal_err!("a GROUP BY became {}", aggregate.name()),
        }
    }

    #[allow(deprecated)]
    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        use datafusion::physical_plan::execution_plan::ChildrenPropertiesMode;
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let steps = Steps { group: self.clone(), rows: self.start(partition, &context)?, context };
        let groups = stream::try_unfold(steps, |steps| async {
            steps.next().map(|groups| groups.map(|groups| (groups, steps)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.aggregate.schema(), groups.try_flatten())))
    }
}

impl Clone for GroupTexts {
    fn clone(&self) -> Self {
        Self { aggregate: self.aggregate.clone(), texts: self.texts.clone() }
    }
}

/// Steps over as many rows as have few texts, and one over the rest.
struct Steps {
    group: GroupTexts,
    rows: Arc<Mutex<Rows>>,
    context: Arc<TaskContext>,
}

impl Steps {
    fn next(&self) -> Result<Option<SendableRecordBatchStream>> {
        let are_coded = match self.rows.lock().begin()? {
            Next::End => return Ok(None),
            next => next == Next::Codes,
        };
        let schema = match are_coded {
            true => self.rows.lock().coded.clone(),
            false => self.group.aggregate.input().schema(),
        };
        let part = Arc::new(Part { rows: self.rows.clone(), schema: schema.clone() });
        let rows = StreamingTableExec::try_new(schema, vec![part], None, [], false, None)?;
        let found = self.group.over(Arc::new(rows), are_coded)?.execute(0, self.context.clone())?;
        if !are_coded {
            return Ok(Some(found));
        }
        let (rows, texts, schema) = (self.rows.clone(), self.group.texts.clone(), self.group.aggregate.schema());
        let found = found.map(move |groups| {
            let groups = groups?;
            let mut columns = groups.columns().to_vec();
            for (codes, place) in rows.lock().codes.iter().zip(&texts) {
                columns[*place] = codes.texts(&columns[*place])?;
            }
            Ok(RecordBatch::try_new(schema.clone(), columns)?)
        });
        Ok(Some(Box::pin(RecordBatchStreamAdapter::new(self.group.aggregate.schema(), found))))
    }
}

/// What becomes of the rows to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// They get numbers for their texts.
    Codes,
    /// They are taken as they are.
    Texts,
    /// There are none.
    End,
}

/// The rows of a partition, and the numbers of their texts.
struct Rows {
    rows: SendableRecordBatchStream,
    texts: Vec<Arc<dyn PhysicalExpr>>,
    coded: SchemaRef,
    codes: Vec<Codes>,
    reservation: MemoryReservation,
    telling: Telling,
    /// A batch that was read already, and is part of the next step.
    held: Option<RecordBatch>,
    next: Next,
}

impl Rows {
    /// Begins a step.
    fn begin(&mut self) -> Result<Next> {
        self.codes = self.texts.iter().map(|_| Codes::default()).collect();
        self.reservation.try_resize(0)?;
        Ok(self.next)
    }

    /// The next rows of a step. It ends when `next` changes, or at the bound of [`MAX_CODES`].
    fn poll(&mut self, context: &mut Context<'_>, are_coded: bool) -> Poll<Option<Result<RecordBatch>>> {
        if are_coded && (self.next != Next::Codes || self.codes.iter().any(|codes| codes.len() >= MAX_CODES)) {
            return Poll::Ready(None);
        }
        if let Some(batch) = self.held.take() {
            return Poll::Ready(Some(Ok(batch)));
        }
        let batch = match self.rows.poll_next_unpin(context) {
            Poll::Ready(Some(Ok(batch))) => batch,
            Poll::Ready(None) => {
                self.next = Next::End;
                return Poll::Ready(None);
            }
            other => return other,
        };
        if !are_coded {
            return Poll::Ready(Some(Ok(batch)));
        }
        match self.coded(&batch) {
            Ok(None) => {
                (self.next, self.held) = (Next::Texts, Some(batch));
                Poll::Ready(None)
            }
            Ok(Some(coded)) => Poll::Ready(Some(Ok(coded))),
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }

    /// The batch with the numbers of its texts; `None` when they do not repeat.
    fn coded(&mut self, batch: &RecordBatch) -> Result<Option<RecordBatch>> {
        let mut columns = batch.columns().to_vec();
        for (expression, codes) in self.texts.iter().zip(&mut self.codes) {
            let texts = expression.evaluate(batch)?.into_array(batch.num_rows())?;
            let Some(texts) = texts.as_string_view_opt() else {
                return internal_err!("a column of texts is of type {}", texts.data_type());
            };
            let Some(distinct) = self.telling.apart(texts) else { return Ok(None) };
            let numbers: Vec<u32> = distinct.rows.iter().map(|row| codes.of(texts, *row as usize)).collect();
            let numbers = distinct.places.iter().map(|place| numbers[*place as usize]);
            columns.push(Arc::new(UInt32Array::from_iter_values(numbers)));
        }
        self.reservation.try_resize(self.codes.iter().map(Codes::size).sum())?;
        Ok(Some(RecordBatch::try_new(self.coded.clone(), columns)?))
    }
}

/// The rows of one step.
struct Part {
    rows: Arc<Mutex<Rows>>,
    schema: SchemaRef,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Part")
    }
}

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let are_coded = self.rows.lock().next == Next::Codes;
        Box::pin(PartStream { rows: self.rows.clone(), schema: self.schema.clone(), are_coded })
    }
}

struct PartStream {
    rows: Arc<Mutex<Rows>>,
    schema: SchemaRef,
    are_coded: bool,
}

impl Stream for PartStream {
    type Item = Result<RecordBatch>;

    fn poll_next(self: std::pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.rows.lock().poll(context, self.are_coded)
    }
}

impl RecordBatchStream for PartStream {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}
