//! The table that a request becomes, while it is read.

use std::collections::HashMap;

use serde::de;

use super::column::{Cell, Column};
use super::literal::{Literals, is_whole};
use super::names::{NameId, Names};
use super::place::Place;
use super::places::unzip;
use super::refusal::{Fault, Refusal, quoted};
use super::{Batch, Decoded, MAX_CELLS, MAX_EVENTS};
use crate::stream::schema::MAX_FIELDS;

#[derive(Debug)]
pub(super) struct Table<'t> {
    pub(super) names: Names,
    columns: Vec<Column>,
    by_path: HashMap<Box<str>, usize>,
    /// How many columns hold values.
    fields: usize,
    /// Events begun so far; the current one has this number, from 1.
    events: usize,
    literals: Literals<'t>,
    /// How many numbers were met, to find them again as they were written.
    numbers: usize,
    place: Place,
    record: usize,
    refusal: Option<Refusal>,
    /// The text of an array, used again and again.
    pub(super) scratch: Vec<u8>,
}

impl<'t> Table<'t> {
    pub(super) fn new() -> Self {
        Self {
            names: Names::new(),
            columns: Vec::new(),
            by_path: HashMap::new(),
            fields: 0,
            events: 0,
            literals: Literals::new(""),
            numbers: 0,
            place: Place::default(),
            record: 0,
            refusal: None,
            scratch: Vec::new(),
        }
    }

    /// What follows is read from `text`, the text of this record; 0 when the request does not consist of records.
    pub(super) fn begin_text(&mut self, text: &'t str, record: usize) {
        self.literals = Literals::new(text);
        self.numbers = 0;
        self.record = record;
    }

    /// The next event stands at `place` of the text.
    pub(super) fn go_to(&mut self, place: Place) {
        self.place = place.in_record(self.record);
    }

    /// Where the event that is read stands.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    pub(super) fn begin_event(&mut self) -> Result<(), Refusal> {
        if self.events >= MAX_EVENTS {
            return Err(Refusal::too_many_events());
        }
        self.events += 1;
        self.names.rewind();
        self.check_cells()
    }

    pub(super) fn meet(&mut self, parent: NameId, key: &str) -> Result<NameId, Refusal> {
        self.names.meet(parent, key, self.events)
    }

    pub(super) fn path(&self, id: NameId) -> String {
        quoted(self.names.path(id))
    }

    /// `null` is remembered only to notice a second value of the same field.
    pub(super) fn set_null(&mut self, id: NameId) -> Result<(), Refusal> {
        self.column(id).map(drop)
    }

    pub(super) fn set(&mut self, id: NameId, cell: Cell<'_>) -> Result<(), Refusal> {
        let row = self.events.saturating_sub(1);
        let at = self.column(id)?;
        if self.columns[at].is_empty() {
            if self.fields >= MAX_FIELDS {
                let name = self.path(id);
                let message = format!("a request has at most {MAX_FIELDS} fields, and {name} would be one too many");
                return Err(Refusal::new(Fault::TooManyFields, message));
            }
            self.fields += 1;
            self.check_cells()?;
        }
        self.columns[at].set(row, self.place, cell)
    }

    /// The column that `id` leads to, marked as used by this event. Names that flatten alike share one.
    fn column(&mut self, id: NameId) -> Result<usize, Refusal> {
        let at = match self.names.column(id) {
            Some(at) => at,
            None => {
                let path = self.names.path(id);
                let at = match self.by_path.get(path) {
                    Some(&at) => at,
                    None => {
                        self.columns.push(Column::new(path));
                        self.by_path.insert(path.into(), self.columns.len() - 1);
                        self.columns.len() - 1
                    }
                };
                self.names.lead_to(id, at);
                at
            }
        };
        let column = &mut self.columns[at];
        if column.event == self.events {
            return Err(Refusal::duplicate(self.names.path(id)));
        }
        column.event = self.events;
        Ok(at)
    }

    /// A few bytes a row and a few fields must not become gigabytes of nulls.
    fn check_cells(&self) -> Result<(), Refusal> {
        if self.events.saturating_mul(self.fields) <= MAX_CELLS {
            return Ok(());
        }
        Err(Refusal::too_large(format!(
            "a request has at most {MAX_CELLS} values, events times fields: send it in parts"
        )))
    }

    /// A number was met; the answer is its place among all, for [`Table::literal`].
    pub(super) fn count_number(&mut self) -> usize {
        self.numbers += 1;
        self.numbers - 1
    }

    /// The number at `place` as it was written.
    pub(super) fn literal(&mut self, place: usize) -> &'t str {
        self.literals.nth(place)
    }

    /// What `serde_json` calls a float: a float indeed, `-0`, or a whole number beyond 64 bits.
    pub(super) fn set_float(&mut self, id: NameId, place: usize) -> Result<(), Refusal> {
        let literal = self.literal(place);
        if literal == "-0" {
            return self.set(id, Cell::Integer(0));
        }
        if is_whole(literal) {
            return Err(self.outside(id));
        }
        match literal.parse::<f64>() {
            Ok(value) if value.is_finite() => self.set(id, Cell::Float(value)),
            _ => {
                let message = format!("the field {} holds a number too large for a float", self.path(id));
                Err(Refusal::new(Fault::NumberRange, message))
            }
        }
    }

    pub(super) fn outside(&self, id: NameId) -> Refusal {
        let message = format!("the field {} holds an integer outside the range of 64 bits, signed", self.path(id));
        Refusal::new(Fault::NumberRange, message)
    }

    /// Keeps the refusal aside: serde's errors carry only text.
    pub(super) fn refuse<E: de::Error>(&mut self, refusal: Refusal) -> E {
        self.refusal = Some(refusal);
        E::custom("refused")
    }

    /// Why reading ended with `error`: our own refusal, or text that is not JSON.
    pub(super) fn reason(&mut self, error: &serde_json::Error) -> Refusal {
        self.refusal.take().unwrap_or_else(|| Refusal::not_json(error))
    }

    pub(super) fn finish(self) -> Decoded {
        let rows = self.events;
        let (fields, columns, places) = unzip(self.columns.into_iter().filter_map(|column| column.finish(rows)));
        Decoded { batch: Batch { fields, rows, columns }, places }
    }
}
