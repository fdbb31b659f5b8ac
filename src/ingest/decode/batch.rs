//! The events of a request as columns, and the place that gave each field its type. A refusal names that place when the
//! batch does not fit its stream.

use arrow::array::{Array, ArrayRef};

use super::refusal::{EventRefusal, Place};
use crate::error::Error;
use crate::stream::{Conflict, Field, FieldType};

/// The events of one request as columns, all of the same length.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The fields, in the order in which they first came; none only ever `null`.
    pub fields: Vec<Field>,
    /// How many events.
    pub rows: usize,
    /// One column for each field, of the Arrow type of that field.
    pub columns: Vec<ArrayRef>,
}

impl Batch {
    /// About how much memory it takes, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.columns.iter().map(|column| column.get_array_memory_size()).sum()
    }
}

/// The events of a request, and where they came from.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The events.
    pub batch: Batch,
    /// The places that gave the fields their types.
    pub places: Places,
}

/// For each field of a batch, the place that gave it its type.
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
        if let Conflict::Former { .. } = conflict {
            return error;
        }
        let first = met.unwrap_or_default().iter().find(|(_, found)| conflict.concerns(*found));
        let Some(&(place, found)) = first else { return error };
        EventRefusal::stream(&conflict.with(found)).at(place)
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
