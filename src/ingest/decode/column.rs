//! One column as it grows. A row that has no value costs nothing until a later row has one.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBuilder, Float64Builder, Int64Array, Int64Builder, StringBuilder};

use super::batch::Met;
use super::refusal::{EventRefusal, Fault, Place, quoted};
use crate::stream::{Field, FieldType};

const CAPACITY: usize = 16;

#[derive(Debug)]
pub(super) struct Column {
    path: Box<str>,
    /// The last event that had it, counted from 1, refused ones included.
    pub(super) event: usize,
    cells: Cells,
    met: Met,
}

#[derive(Debug)]
enum Cells {
    /// Only `null` so far, which fits every type and is none.
    Empty,
    Boolean(BooleanBuilder),
    Integer {
        values: Int64Builder,
        /// Whether a float can hold each of them.
        exact: bool,
    },
    Float(Float64Builder),
    Text(StringBuilder),
}

/// A value for a cell.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cell<'v> {
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(&'v str),
}

impl Cell<'_> {
    pub(super) fn field_type(self) -> FieldType {
        match self {
            Self::Boolean(_) => FieldType::Boolean,
            Self::Integer(value) if fits_float(value) => FieldType::Integer,
            Self::Integer(_) => FieldType::BigInteger,
            Self::Float(_) => FieldType::Float,
            Self::Text(_) => FieldType::Text,
        }
    }
}

macro_rules! pad {
    ($values:expr, $rows:expr) => {{
        let missing = $rows.saturating_sub(arrow::array::ArrayBuilder::len($values));
        if missing > 0 {
            $values.append_nulls(missing);
        }
    }};
}

impl Column {
    pub(super) fn new(path: &str) -> Self {
        Self { path: path.into(), event: 0, cells: Cells::Empty, met: Vec::new() }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Whether no value has come yet.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self.cells, Cells::Empty)
    }

    /// Sets the value of `row` (from 0), which stands at `place`; rows without one since the last are null.
    pub(super) fn set(&mut self, row: usize, place: Place, cell: Cell<'_>) -> Result<(), EventRefusal> {
        if let (Cells::Integer { values, exact: true }, Cell::Float(_)) = (&mut self.cells, cell) {
            self.cells = Cells::Float(widened(&values.finish()));
            self.met.push((place, FieldType::Float));
        }
        if self.is_empty() {
            self.cells = Cells::of(cell);
            self.met.push((place, cell.field_type()));
        }
        match (&mut self.cells, cell) {
            (Cells::Boolean(values), Cell::Boolean(value)) => {
                pad!(values, row);
                values.append_value(value);
            }
            (Cells::Integer { values, exact }, Cell::Integer(value)) => {
                pad!(values, row);
                values.append_value(value);
                if *exact && !fits_float(value) {
                    *exact = false;
                    self.met.push((place, FieldType::BigInteger));
                }
            }
            (Cells::Float(values), Cell::Float(value)) => {
                pad!(values, row);
                values.append_value(value);
            }
            (Cells::Float(values), Cell::Integer(value)) if fits_float(value) => {
                pad!(values, row);
                values.append_value(value as f64);
            }
            (Cells::Text(values), Cell::Text(value)) => {
                pad!(values, row);
                values.append_value(value);
            }
            _ => return Err(self.conflict(cell)),
        }
        Ok(())
    }

    /// Whether [`Column::set`] takes this value.
    ///
    /// # Errors
    /// Why it does not.
    pub(super) fn check(&self, cell: Cell<'_>) -> Result<(), EventRefusal> {
        match (&self.cells, cell) {
            (Cells::Empty, _)
            | (Cells::Boolean(_), Cell::Boolean(_))
            | (Cells::Integer { .. }, Cell::Integer(_))
            | (Cells::Integer { exact: true, .. } | Cells::Float(_), Cell::Float(_))
            | (Cells::Text(_), Cell::Text(_)) => Ok(()),
            (Cells::Float(_), Cell::Integer(value)) if fits_float(value) => Ok(()),
            _ => Err(self.conflict(cell)),
        }
    }

    /// Why this value does not fit those before it.
    fn conflict(&self, cell: Cell<'_>) -> EventRefusal {
        let (name, held, found) = (quoted(&self.path), self.cells.as_str(), cell.field_type().as_str());
        let is_number = |cells: &Cells| matches!(cells, Cells::Integer { .. } | Cells::Float(_));
        let message = match cell {
            Cell::Integer(_) | Cell::Float(_) if is_number(&self.cells) => format!(
                "the field {name} has fractions in this request, and a whole number that a float cannot hold exactly"
            ),
            _ => format!("the field {name} is {held} and {found} in one request"),
        };
        EventRefusal::new(Fault::TypeConflict, message)
    }

    /// The field, its `rows` values, and where they came from; `None` when there was none but `null`.
    pub(super) fn finish(self, rows: usize) -> Option<(Field, ArrayRef, Met)> {
        let (field_type, values): (_, ArrayRef) = match self.cells {
            Cells::Empty => return None,
            Cells::Boolean(mut values) => {
                pad!(&mut values, rows);
                (FieldType::Boolean, Arc::new(values.finish()))
            }
            Cells::Integer { mut values, exact } => {
                pad!(&mut values, rows);
                (if exact { FieldType::Integer } else { FieldType::BigInteger }, Arc::new(values.finish()))
            }
            Cells::Float(mut values) => {
                pad!(&mut values, rows);
                (FieldType::Float, Arc::new(values.finish()))
            }
            Cells::Text(mut values) => {
                pad!(&mut values, rows);
                (FieldType::Text, Arc::new(values.finish()))
            }
        };
        Some((Field { name: self.path, field_type }, values, self.met))
    }
}

impl Cells {
    fn of(cell: Cell<'_>) -> Self {
        match cell {
            Cell::Boolean(_) => Self::Boolean(BooleanBuilder::with_capacity(CAPACITY)),
            Cell::Integer(value) => {
                Self::Integer { values: Int64Builder::with_capacity(CAPACITY), exact: fits_float(value) }
            }
            Cell::Float(_) => Self::Float(Float64Builder::with_capacity(CAPACITY)),
            Cell::Text(_) => Self::Text(StringBuilder::with_capacity(CAPACITY, CAPACITY * 16)),
        }
    }

    fn as_str(&self) -> &'static str {
        match self {
            Self::Empty => "null",
            Self::Boolean(_) => FieldType::Boolean.as_str(),
            Self::Integer { .. } => FieldType::Integer.as_str(),
            Self::Float(_) => FieldType::Float.as_str(),
            Self::Text(_) => FieldType::Text.as_str(),
        }
    }
}

fn widened(integers: &Int64Array) -> Float64Builder {
    let mut floats = Float64Builder::with_capacity(integers.len());
    integers.iter().for_each(|value| floats.append_option(value.map(|value| value as f64)));
    floats
}

/// Whether a float holds `value` exactly. Compared in 128 bits, because a cast back to 64 saturates.
fn fits_float(value: i64) -> bool {
    (value as f64) as i128 == i128::from(value)
}
