//! An event that may yet be refused: its values wait beside the table until all of them fit.

use std::ops::Range;

use super::column::Cell;
use super::framing;
use super::names::NameId;
use super::refusal::Refusal;
use super::table::Table;
use crate::stream::schema::MAX_FIELDS;
use crate::stream::{Conflict, StreamSchema};

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

    fn clear(&mut self) {
        self.values.clear();
        self.text.clear();
    }

    /// The values that are not `null`.
    fn cells(&self) -> impl Iterator<Item = (NameId, Cell<'_>)> {
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

impl<'t> Table<'t> {
    /// Reads the event that is `text`, which begins with `byte`, if the columns and `stream` can hold all of it. Nothing of
    /// it stays otherwise.
    pub(super) fn try_event(&mut self, text: &'t str, byte: u8, stream: &StreamSchema) -> Result<(), Refusal> {
        let mark = self.mark();
        self.begin_text(text);
        self.is_staged = true;
        let read = framing::object(self, text, byte).map_err(|(refusal, _)| refusal);
        let mut stage = std::mem::take(&mut self.stage);
        let settled = read.and_then(|_| self.settle(&stage, stream));
        self.is_staged = false;
        if settled.is_err() {
            self.roll_back(&mark);
        }
        stage.clear();
        self.stage = stage;
        settled
    }

    /// Puts the values into their columns, all or none.
    fn settle(&mut self, stage: &Stage, stream: &StreamSchema) -> Result<(), Refusal> {
        for (id, _) in &stage.values {
            self.column(*id)?; // Names that flatten alike are one field.
        }
        let mut cells: Vec<_> = stage.cells().filter_map(|(id, cell)| Some((self.led_to(id)?, cell))).collect();
        cells.extend(self.missing_common()?);
        let mut new_fields = self.new_fields;
        for &(at, cell) in &cells {
            let column = self.column_at(at);
            column.check(cell)?;
            let (path, found) = (column.path(), cell.field_type());
            match stream.field_type(path) {
                Some(expected) if expected.union(found).is_none() => {
                    return Err(Refusal::stream(&Conflict::between(path, expected, found)));
                }
                None if column.is_empty() => {
                    new_fields += 1;
                    if stream.fields().len() + new_fields > MAX_FIELDS {
                        return Err(Refusal::stream(&Conflict::TooManyFields { name: path.into() }));
                    }
                }
                _ => {}
            }
        }
        for (at, cell) in cells {
            self.put(at, cell)?;
        }
        self.new_fields = new_fields;
        Ok(())
    }
}
