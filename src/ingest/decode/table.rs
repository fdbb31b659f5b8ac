//! The table that a request becomes, while it is read.

use std::collections::HashMap;

use serde::de;

use super::column::{Cell, Column};
use super::literal::{Literals, is_whole};
use super::names::{NameId, Names, duplicate};
use super::refusal::{Refusal, quoted};
use super::{Batch, MAX_CELLS, MAX_EVENTS};
use crate::stream::schema::MAX_FIELDS;

#[derive(Debug)]
pub(super) struct Table<'t> {
    names: Names,
    columns: Vec<Column>,
    by_path: HashMap<Box<str>, usize>,
    /// How many columns hold values.
    fields: usize,
    /// Events begun so far; the current one has this number, from 1.
    events: usize,
    literals: Literals<'t>,
    /// How many numbers were met, to find them again as they were written.
    numbers: usize,
    refusal: Option<Refusal>,
    /// The text of an array, used again and again.
    pub(super) scratch: Vec<u8>,
}

impl<'t> Table<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            names: Names::new(),
            columns: Vec::new(),
            by_path: HashMap::new(),
            fields: 0,
            events: 0,
            literals: Literals::new(text),
            numbers: 0,
            refusal: None,
            scratch: Vec::new(),
        }
    }

    pub(super) fn begin_event(&mut self) -> Result<(), Refusal> {
        if self.events >= MAX_EVENTS {
            return Err(Refusal::too_large(format!("a request has at most {MAX_EVENTS} events: send it in parts")));
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
                return Err(Refusal::invalid(format!(
                    "a request has at most {MAX_FIELDS} fields, and {name} would be one too many"
                )));
            }
            self.fields += 1;
            self.check_cells()?;
        }
        self.columns[at].set(row, cell)
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
            return Err(duplicate(self.names.path(id)));
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
                let name = self.path(id);
                Err(Refusal::invalid(format!("the field {name} holds a number too large for a float")))
            }
        }
    }

    pub(super) fn outside(&self, id: NameId) -> Refusal {
        let name = self.path(id);
        Refusal::invalid(format!("the field {name} holds an integer outside the range of 64 bits, signed"))
    }

    /// Keeps the refusal aside: serde's errors carry only text.
    pub(super) fn refuse<E: de::Error>(&mut self, refusal: Refusal) -> E {
        self.refusal = Some(refusal);
        E::custom("refused")
    }

    pub(super) fn take_refusal(&mut self) -> Option<Refusal> {
        self.refusal.take()
    }

    pub(super) fn finish(self) -> Batch {
        let rows = self.events;
        let (fields, columns) = self.columns.into_iter().filter_map(|column| column.finish(rows)).unzip();
        Batch { fields, rows, columns }
    }
}
