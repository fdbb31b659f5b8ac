//! From the columns of an object to those of its stream: missing ones are `null`, whole numbers become floats, and
//! nothing is ever narrowed.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::{DataFusionError, Result};
use datafusion::physical_expr_adapter::{
    DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory,
};

use super::objects::external;
use crate::error::{Error, ErrorKind};

/// Fits expressions over a stream to one object, as the library does by itself, but for types that would lose values.
#[derive(Debug)]
pub(super) struct StreamColumns;

impl PhysicalExprAdapterFactory for StreamColumns {
    fn create(&self, stream: SchemaRef, object: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        for field in object.fields() {
            let wanted = stream.field_with_name(field.name()).map(|wanted| wanted.data_type());
            match (wanted, field.data_type()) {
                (Ok(wanted), found) if wanted == found => {}
                (Ok(DataType::Float64), DataType::Int64) | (Err(_), _) => {}
                // A listing is followed by a look at the schema: only a schema that was changed by hand gets here.
                _ => return Err(narrower(field.name())),
            }
        }
        DefaultPhysicalExprAdapterFactory.create(stream, object)
    }
}

fn narrower(field: &str) -> DataFusionError {
    let message = format!("the field `{field}` of a stored object is of another type than in its stream: ask again");
    external(Error::new(ErrorKind::Unavailable, message))
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
        // Fields keep their places, and new ones come last.
        let same =
            planned.fields().iter().zip(now.fields()).all(|(planned, now)| planned.data_type() == now.data_type());
        if same { Ok(()) } else { Err(DataFusionError::External(Box::new(Self))) }
    }
}
