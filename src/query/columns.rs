//! From the columns of an object to those of its stream: missing ones are `null`, whole numbers become floats, and
//! nothing is ever narrowed.
//!
//! The adapter of DataFusion 55 finds each column by walking through the fields of the stream, so that `SELECT *` took
//! the square of the width for each object: 18 s for 600 small objects of a stream with 993 fields. Ours finds it by
//! its name. No report upstream is known, and no release that ends it.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef, SchemaRef};
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_datafusion_err};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column, Literal};
use datafusion::physical_expr_adapter::{PhysicalExprAdapter, PhysicalExprAdapterFactory};

use super::objects::external;
use crate::error::{Error, ErrorKind};

/// Fits expressions over a stream to its objects. All objects of a scan share one.
#[derive(Debug)]
pub(super) struct StreamColumns(Arc<HashMap<String, StreamColumn>>);

#[derive(Debug)]
struct StreamColumn {
    field: FieldRef,
    /// What it is where an object lacks it.
    null: Arc<dyn PhysicalExpr>,
}

impl StreamColumns {
    /// Those of a stream with these fields.
    ///
    /// # Errors
    /// When there is no `null` of the type of a field.
    pub(super) fn new(stream: &SchemaRef) -> Result<Self> {
        let columns = stream.fields().iter().map(|field| {
            let value = ScalarValue::Null.cast_to(field.data_type())?;
            let null = Literal::new_with_metadata(value, Some(FieldMetadata::from(field.as_ref())));
            Ok((field.name().clone(), StreamColumn { field: field.clone(), null: Arc::new(null) }))
        });
        Ok(Self(Arc::new(columns.collect::<Result<_>>()?)))
    }
}

impl PhysicalExprAdapterFactory for StreamColumns {
    fn create(&self, _: SchemaRef, object: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        for field in object.fields() {
            let wanted = self.0.get(field.name()).map(|wanted| wanted.field.data_type());
            match (wanted, field.data_type()) {
                (Some(wanted), found) if wanted == found => {}
                (Some(DataType::Float64), DataType::Int64) | (None, _) => {}
                // A listing is followed by a look at the schema: only what was changed or put there by hand gets here.
                (Some(wanted), found) => {
                    return Err(unfit(format!("its column `{}` is {found} and not {wanted}", field.name())));
                }
            }
        }
        let places = object.fields().iter().enumerate().map(|(place, field)| (field.name().clone(), place)).collect();
        Ok(Arc::new(ObjectColumns { stream: self.0.clone(), object, places }))
    }
}

/// Fits expressions to one object.
#[derive(Debug)]
struct ObjectColumns {
    stream: Arc<HashMap<String, StreamColumn>>,
    object: SchemaRef,
    places: HashMap<String, usize>,
}

impl PhysicalExprAdapter for ObjectColumns {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        expr.transform(|expr| match expr.downcast_ref::<Column>().map(|column| self.column(column)) {
            None => Ok(Transformed::no(expr)),
            Some(found) => found.map(Transformed::yes),
        })
        .map(|done| done.data)
    }
}

impl ObjectColumns {
    /// What a column of the stream is in this object.
    fn column(&self, column: &Column) -> Result<Arc<dyn PhysicalExpr>> {
        let name = column.name();
        let Some(wanted) = self.stream.get(name) else {
            return Err(exec_datafusion_err!("the column `{name}` is none of its stream"));
        };
        let Some(&place) = self.places.get(name) else {
            return match wanted.field.is_nullable() {
                true => Ok(wanted.null.clone()),
                false => Err(unfit(format!("it lacks the column `{name}`"))),
            };
        };
        let column = Arc::new(Column::new(name, place));
        if wanted.field.as_ref() == self.object.field(place) {
            return Ok(column);
        }
        Ok(Arc::new(CastExpr::new_with_target_field(column, wanted.field.clone(), None)))
    }
}

/// Why an object cannot be read as part of its stream.
fn unfit(why: String) -> DataFusionError {
    external(Error::new(ErrorKind::Corrupt, why))
}

/// Another node has widened the type of a field since the query was planned: plan it again.
#[derive(Debug, thiserror::Error)]
#[error("a stream was widened while the query was planned")]
pub(super) struct Widened;

impl Widened {
    /// Whether `error` is this one.
    pub(super) fn is(error: &DataFusionError) -> bool {
        matches!(error.find_root(), DataFusionError::External(cause) if cause.is::<Self>())
    }

    /// # Errors
    /// [`Widened`] when a column of `planned` has another type in `now`.
    pub(super) fn check(planned: &SchemaRef, now: &SchemaRef) -> Result<()> {
        // Fields may have gone, with the events of a stream that was deleted.
        let type_now: HashMap<_, _> = now.fields().iter().map(|field| (field.name(), field.data_type())).collect();
        let is_same = |planned: &FieldRef| type_now.get(planned.name()).is_none_or(|now| *now == planned.data_type());
        if planned.fields().iter().all(is_same) { Ok(()) } else { Err(DataFusionError::External(Box::new(Self))) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use datafusion::arrow::datatypes::{Field, Schema};

    use super::*;

    /// How long it takes to fit the last columns of a stream of this width to an object that has the very last one.
    fn time(width: usize) -> Duration {
        let fields: Vec<_> = (0..width).map(|n| Field::new(format!("field_{n:05}"), DataType::Int64, true)).collect();
        let object = Arc::new(Schema::new(vec![fields[width - 1].clone()]));
        let column = |at: usize| Arc::new(Column::new(fields[at].name(), at)) as Arc<dyn PhysicalExpr>;
        let last: Vec<_> = (width - 50..width).map(column).collect();
        let stream = Arc::new(Schema::new(fields.clone()));
        let adapter = StreamColumns::new(&stream).unwrap().create(stream, object).unwrap();
        let once = || {
            let start = Instant::now();
            for column in &last {
                adapter.rewrite(column.clone()).unwrap();
            }
            start.elapsed()
        };
        // So short that a busy machine interrupts few of them.
        (0..50).map(|_| once()).min().unwrap()
    }

    #[test]
    fn a_column_of_a_wide_stream_is_found_as_fast_as_one_of_a_narrow_stream() {
        let (narrow, wide) = (time(100), time(8000));
        assert!(wide < narrow * 10, "eighty times as wide: {narrow:?} became {wide:?}");
    }
}
