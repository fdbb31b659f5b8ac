//! An aggregate of floats over a frame that moves, of which rows leave in the order in which they came.
//!
//! The rows of the frame are a queue of two stacks. Each row of the older stack has the state of the aggregate over
//! itself and all rows after it in that stack; one accumulator holds the newer stack. The result is these two together.
//! When the older stack is empty, the newer one is turned over. So each row is added twice, however long the frame.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::datatypes::{FieldRef, Float64Type, Schema};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{Accumulator, AggregateUDF};
use datafusion::physical_expr::PhysicalExpr;

/// How many states are put into one array.
const CHUNK: usize = 1024;

/// The rows of a frame. Those in which an argument is null are left out: the functions do not count them.
pub(super) struct FrameQueue {
    call: Call,
    /// The states of the older stack, in arrays of at most [`CHUNK`] rows. The oldest row is the last one of the last
    /// arrays.
    older: Vec<Vec<ArrayRef>>,
    /// How many rows are left in the last arrays.
    left: usize,
    /// The arguments in the rows of the newer stack.
    newer: Vec<Vec<f64>>,
    /// The rows of the newer stack.
    newest: Box<dyn Accumulator>,
}

impl FrameQueue {
    /// An empty frame for one call of a function that skips rows in which an argument is null, and whose arguments are
    /// floats of 64 bits.
    ///
    /// # Errors
    /// When the function has no accumulator for the call.
    pub(super) fn new(function: Arc<AggregateUDF>, args: &AccumulatorArgs<'_>) -> Result<Self> {
        let call = Call {
            function,
            return_field: args.return_field.clone(),
            schema: args.schema.clone(),
            name: args.name.to_owned(),
            arguments: args.exprs.to_vec(),
            fields: args.expr_fields.to_vec(),
        };
        let newest = call.accumulator()?;
        Ok(Self { newer: vec![Vec::new(); call.fields.len()], call, older: Vec::new(), left: 0, newest })
    }

    /// How many rows are in the newer stack.
    fn newer_rows(&self) -> usize {
        self.newer.first().map_or(0, Vec::len)
    }

    /// Takes the oldest rows out.
    fn leave(&mut self, mut rows: usize) -> Result<()> {
        while rows > 0 && self.left > 0 {
            let gone = rows.min(self.left);
            rows -= gone;
            self.left -= gone;
            if self.left == 0 {
                self.older.pop();
                self.left = self.older.last().and_then(|states| states.first()).map_or(0, |states| states.len());
            }
        }
        if rows > 0 { self.turn(rows) } else { Ok(()) }
    }

    /// Turns the newer stack over, which leaves out its oldest rows. The older one is empty.
    fn turn(&mut self, gone: usize) -> Result<()> {
        let rows = self.newer_rows();
        let arguments: Vec<_> =
            self.newer.iter_mut().map(|values| Float64Array::from(std::mem::take(values))).collect();
        self.newest = self.call.accumulator()?;
        let mut together = self.call.accumulator()?;
        let mut chunk: Vec<Vec<ScalarValue>> = Vec::new();
        for row in (gone..rows).rev() {
            let row: Vec<_> = arguments.iter().map(|values| Arc::new(values.slice(row, 1)) as ArrayRef).collect();
            together.update_batch(&row)?;
            let state = together.state()?;
            chunk.resize_with(state.len(), Vec::new);
            chunk.iter_mut().zip(state).for_each(|(column, value)| column.push(value));
            if chunk.first().is_some_and(|column| column.len() == CHUNK) {
                self.push(std::mem::take(&mut chunk))?;
            }
        }
        if chunk.is_empty() { Ok(()) } else { self.push(chunk) }
    }

    fn push(&mut self, chunk: Vec<Vec<ScalarValue>>) -> Result<()> {
        self.left = chunk.first().map_or(0, Vec::len);
        self.older.push(chunk.into_iter().map(ScalarValue::iter_to_array).collect::<Result<_>>()?);
        Ok(())
    }
}

/// The rows in which no argument is null.
fn counted(values: &[ArrayRef]) -> impl Iterator<Item = usize> {
    let rows = values.first().map_or(0, |values| values.len());
    (0..rows).filter(|row| values.iter().all(|values| values.is_valid(*row)))
}

impl Accumulator for FrameQueue {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for row in counted(values) {
            for (newer, values) in self.newer.iter_mut().zip(values) {
                newer.push(values.as_primitive::<Float64Type>().value(row));
            }
        }
        self.newest.update_batch(values)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.leave(counted(values).count())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let Some(states) = self.older.last() else { return self.newest.evaluate() };
        let mut whole = self.call.accumulator()?;
        let oldest: Vec<_> = states.iter().map(|states| states.slice(self.left - 1, 1)).collect();
        whole.merge_batch(&oldest)?;
        if self.newer_rows() > 0 {
            let newest = self.newest.state()?;
            whole.merge_batch(&newest.iter().map(ScalarValue::to_array).collect::<Result<Vec<_>>>()?)?;
        }
        whole.evaluate()
    }

    fn size(&self) -> usize {
        let older = self.older.iter().flatten().map(|states| states.get_array_memory_size()).sum::<usize>();
        let newer = self.newer.iter().map(|values| values.capacity() * size_of::<f64>()).sum::<usize>();
        size_of_val(self) + older + newer
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        internal_err!("a frame that moves is computed in one phase")
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        internal_err!("a frame that moves is computed in one phase")
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }
}

impl fmt::Debug for FrameQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrameQueue({})", self.call.name)
    }
}

/// What makes accumulators of one call of a function.
struct Call {
    function: Arc<AggregateUDF>,
    return_field: FieldRef,
    schema: Schema,
    name: String,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    fields: Vec<FieldRef>,
}

impl Call {
    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        self.function.accumulator(AccumulatorArgs {
            return_field: self.return_field.clone(),
            schema: &self.schema,
            ignore_nulls: false,
            order_bys: &[],
            is_reversed: false,
            name: &self.name,
            is_distinct: false,
            exprs: &self.arguments,
            expr_fields: &self.fields,
        })
    }
}
