//! Where each field of a batch came to hold what it holds: the answer to "which event was it?" when the batch does not fit
//! its stream.

use super::place::Place;
use super::refusal::Refusal;
use crate::error::Error;
use crate::stream::{Conflict, Field, FieldType};

/// Where each field of a batch came to hold what it holds.
#[derive(Debug, Clone, Default)]
pub struct Places(pub(super) Vec<(Box<str>, Met)>);

/// The types that a field had, each with the place of the value that made it so. Three at the most.
pub(super) type Met = Vec<(Place, FieldType)>;

impl Places {
    /// Says where the batch does not fit its stream; any other error stays as it is.
    #[must_use]
    pub fn explain(&self, error: Error) -> Error {
        let source = std::error::Error::source(&error);
        let Some(conflict) = source.and_then(|source| source.downcast_ref::<Conflict>()) else { return error };
        let met = self.0.iter().find(|(name, _)| **name == *conflict.name()).map(|(_, met)| met.as_slice());
        let first = met.unwrap_or_default().iter().find(|(_, found)| conflict.concerns(*found));
        let Some(&(place, found)) = first else { return error };
        Refusal::stream(&conflict.with(found)).at(place)
    }
}

/// The fields of a batch and where they came from, of what each column says.
pub(super) fn unzip<C>(columns: impl Iterator<Item = (Field, C, Met)>) -> (Vec<Field>, Vec<C>, Places) {
    let (mut fields, mut values, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for (field, column, met) in columns {
        places.push((field.name.clone(), met));
        fields.push(field);
        values.push(column);
    }
    (fields, values, Places(places))
}
