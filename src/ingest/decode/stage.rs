//! An event that may yet be refused: its values wait beside the table until all of them fit.

use std::ops::Range;

use super::column::Cell;
use super::names::NameId;

/// The values of the event that is read, in their order.
#[derive(Debug, Default)]
pub(super) struct Stage {
    values: Vec<(NameId, Value)>,
    text: String,
}

#[derive(Debug)]
enum Value {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(Range<usize>),
}

impl Stage {
    pub(super) fn keep_null(&mut self, id: NameId) {
        self.values.push((id, Value::Null));
    }

    pub(super) fn keep(&mut self, id: NameId, cell: Cell<'_>) {
        let value = match cell {
            Cell::Boolean(value) => Value::Boolean(value),
            Cell::Integer(value) => Value::Integer(value),
            Cell::Float(value) => Value::Float(value),
            Cell::Text(value) => {
                let start = self.text.len();
                self.text.push_str(value);
                Value::Text(start..self.text.len())
            }
        };
        self.values.push((id, value));
    }

    pub(super) fn clear(&mut self) {
        self.values.clear();
        self.text.clear();
    }

    /// The names of the values, those that are `null` too.
    pub(super) fn ids(&self) -> impl Iterator<Item = NameId> {
        self.values.iter().map(|(id, _)| *id)
    }

    /// The values that are not `null`.
    pub(super) fn cells(&self) -> impl Iterator<Item = (NameId, Cell<'_>)> {
        self.values.iter().filter_map(|(id, value)| {
            let cell = match value {
                Value::Null => return None,
                Value::Boolean(value) => Cell::Boolean(*value),
                Value::Integer(value) => Cell::Integer(*value),
                Value::Float(value) => Cell::Float(*value),
                Value::Text(range) => Cell::Text(&self.text[range.clone()]),
            };
            Some((*id, cell))
        })
    }
}
