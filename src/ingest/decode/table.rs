//! The table that a request becomes, while it is read.

use std::collections::HashMap;
use std::fmt;

use serde::de;

use super::batch::{Batch, Decoded, unzip};
use super::column::{Cell, Column};
use super::common::{CommonFields, MAX_COMMON_BYTES};
use super::literal::{Literals, is_whole};
use super::names::{NameId, Names};
use super::refusal::{EventRefusal, Fault, MAX_EVENTS, OUT_OF_RANGE, Place, quoted};
use super::stage::Stage;
use crate::ingest::budget::Reservation;
use crate::stream::schema::MAX_FIELDS;

/// How many cells one request may have, events times fields: 64 MB of numbers.
pub(super) const MAX_CELLS: usize = 8_000_000;
/// What a value takes, `null` too.
const CELL_BYTES: usize = size_of::<i64>();
/// A table of this size counts as part of its text. Larger ones are reserved by this much at a time.
const MEMORY_STEP_BYTES: usize = 64 * 1024;

/// How much of a table there was before an event.
#[derive(Debug)]
pub(super) struct Mark {
    events: usize,
    columns: usize,
    names: usize,
}

#[derive(Debug)]
pub(super) struct EventTable<'t> {
    names: Names,
    columns: Vec<Column>,
    by_path: HashMap<Box<str>, usize>,
    /// How many columns hold values.
    fields: usize,
    /// Of these, how many the stream did not have; counted only while events are staged.
    pub(super) new_fields: usize,
    /// Events in the table; the current one has this number, from 1.
    events: usize,
    /// Events begun so far, refused ones included.
    begun: usize,
    literals: Literals<'t>,
    /// How many numbers were met, to find them again as they were written.
    numbers: usize,
    place: Place,
    record: usize,
    refusal: Option<EventRefusal>,
    /// Whether values wait in `stage` until the event is whole.
    pub(super) is_staged: bool,
    pub(super) stage: Stage,
    /// The names that were given a column since the event began; kept only while events are staged.
    led: Vec<NameId>,
    /// The fields of every event, and how many bytes they fill so far.
    common: Vec<(NameId, &'t str)>,
    common_bytes: usize,
    /// The text of an array, used again and again.
    pub(super) scratch: Vec<u8>,
    memory: &'t mut Reservation,
    /// What was reserved before there was a table.
    other_bytes: usize,
}

impl<'t> EventTable<'t> {
    /// An empty table, whose events will have these fields too, and which takes from `memory` what it is going to fill.
    pub(super) fn new(common: &'t CommonFields, memory: &'t mut Reservation) -> Result<Self, EventRefusal> {
        let mut names = Names::new();
        let common = common.iter().map(|(name, text)| Ok((names.find_or_add(NameId::EVENT, name)?, text)));
        Ok(Self {
            common: common.collect::<Result<_, _>>()?,
            common_bytes: 0,
            names,
            columns: Vec::new(),
            by_path: HashMap::new(),
            fields: 0,
            new_fields: 0,
            events: 0,
            begun: 0,
            literals: Literals::new(""),
            numbers: 0,
            place: Place::default(),
            record: 0,
            refusal: None,
            is_staged: false,
            stage: Stage::default(),
            led: Vec::new(),
            scratch: Vec::new(),
            other_bytes: memory.bytes(),
            memory,
        })
    }

    /// What follows is in this record; 0 when the request does not consist of records.
    pub(super) fn begin_record(&mut self, record: usize) {
        self.record = record;
    }

    /// What follows is read from `text`.
    pub(super) fn begin_text(&mut self, text: &'t str) {
        self.literals = Literals::new(text);
        self.numbers = 0;
    }

    /// The next event stands at `place` of the text.
    pub(super) fn go_to(&mut self, place: Place) {
        self.place = place.in_record(self.record);
    }

    /// Where the event that is read stands.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    pub(super) fn begin_event(&mut self) -> Result<(), EventRefusal> {
        if self.events >= MAX_EVENTS {
            return Err(EventRefusal::too_many_events());
        }
        self.events += 1;
        self.begun += 1;
        self.names.rewind();
        self.check_cells()
    }

    /// All fields of the event are read: it gets those common fields that it does not have itself.
    pub(super) fn end_event(&mut self) -> Result<(), EventRefusal> {
        if self.is_staged {
            return Ok(());
        }
        for (at, cell) in self.missing_common()? {
            self.put(at, cell)?;
        }
        Ok(())
    }

    /// The common fields that the current event does not have, each with its column, which is marked as used.
    pub(super) fn missing_common(&mut self) -> Result<Vec<(usize, Cell<'t>)>, EventRefusal> {
        let mut missing = Vec::with_capacity(self.common.len());
        for index in 0..self.common.len() {
            let (id, text) = self.common[index];
            if let Ok(at) = self.column(id) {
                self.common_bytes += text.len();
                missing.push((at, Cell::Text(text)));
            }
        }
        if self.common_bytes > MAX_COMMON_BYTES {
            return Err(EventRefusal::too_large(format!(
                "the common fields of a request fill at most {MAX_COMMON_BYTES} bytes, over all events: send it in parts"
            )));
        }
        Ok(missing)
    }

    pub(super) fn meet(&mut self, parent: NameId, key: &str) -> Result<NameId, EventRefusal> {
        self.names.meet(parent, key, self.begun)
    }

    pub(super) fn path(&self, id: NameId) -> String {
        quoted(self.names.path(id))
    }

    /// `null` is remembered only to notice a second value of the same field.
    pub(super) fn set_null(&mut self, id: NameId) -> Result<(), EventRefusal> {
        if self.is_staged {
            self.stage.keep_null(id);
            return Ok(());
        }
        self.column(id).map(drop)
    }

    pub(super) fn set(&mut self, id: NameId, cell: Cell<'_>) -> Result<(), EventRefusal> {
        if self.is_staged {
            self.stage.keep(id, cell);
            return Ok(());
        }
        let at = self.column(id)?;
        self.put(at, cell)
    }

    /// Puts a value of the current event into the column at `at`.
    pub(super) fn put(&mut self, at: usize, cell: Cell<'_>) -> Result<(), EventRefusal> {
        if self.columns[at].is_empty() {
            if self.fields >= MAX_FIELDS {
                let name = quoted(self.columns[at].path());
                let message = format!("a request has at most {MAX_FIELDS} fields, and {name} would be one too many");
                return Err(EventRefusal::new(Fault::TooManyFields, message));
            }
            self.fields += 1;
            self.check_cells()?;
        }
        self.columns[at].set(self.events.saturating_sub(1), self.place, cell)
    }

    /// The column at `at`.
    pub(super) fn column_at(&self, at: usize) -> &Column {
        &self.columns[at]
    }

    /// The column that a name leads to, if it was given one.
    pub(super) fn led_to(&self, id: NameId) -> Option<usize> {
        self.names.column(id)
    }

    /// The column that `id` leads to, marked as used by this event. Names that flatten alike share one.
    pub(super) fn column(&mut self, id: NameId) -> Result<usize, EventRefusal> {
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
                if self.is_staged {
                    self.led.push(id);
                }
                at
            }
        };
        let column = &mut self.columns[at];
        if column.event == self.begun {
            return Err(EventRefusal::duplicate(self.names.path(id)));
        }
        column.event = self.begun;
        Ok(at)
    }

    /// How many events there are.
    pub(super) fn events(&self) -> usize {
        self.events
    }

    /// What there is before an event, for [`EventTable::roll_back`].
    pub(super) fn mark(&mut self) -> Mark {
        self.led.clear();
        Mark { events: self.events, columns: self.columns.len(), names: self.names.count() }
    }

    /// Forgets the event that began after `mark`, none of whose values is in a column.
    pub(super) fn roll_back(&mut self, mark: &Mark) {
        self.events = mark.events;
        for column in self.columns.drain(mark.columns..) {
            self.by_path.remove(column.path());
        }
        for id in self.led.drain(..) {
            self.names.lead_nowhere(id);
        }
        self.names.forget_after(mark.names);
    }

    /// A few bytes a row and a few fields must not become gigabytes of nulls.
    fn check_cells(&mut self) -> Result<(), EventRefusal> {
        let cells = self.events.saturating_mul(self.fields);
        if cells > MAX_CELLS {
            return Err(EventRefusal::too_large(format!(
                "a request has at most {MAX_CELLS} values, events times fields: send it in parts"
            )));
        }
        let bytes = cells * CELL_BYTES;
        if bytes > MEMORY_STEP_BYTES && self.other_bytes + bytes > self.memory.bytes() {
            let wanted = self.other_bytes + bytes + MEMORY_STEP_BYTES;
            self.memory.extend_to(wanted).map_err(|error| EventRefusal::whole(&error))?;
        }
        Ok(())
    }

    /// A number was met; the answer is its place among all, for [`EventTable::literal`].
    pub(super) fn count_number(&mut self) -> usize {
        self.numbers += 1;
        self.numbers - 1
    }

    /// The number at `place` as it was written.
    pub(super) fn literal(&mut self, place: usize) -> &'t str {
        self.literals.nth(place)
    }

    /// What `serde_json` calls a float: a float indeed, `-0`, or a whole number beyond 64 bits.
    pub(super) fn set_float(&mut self, id: NameId, place: usize) -> Result<(), EventRefusal> {
        let literal = self.literal(place);
        if literal == "-0" {
            return self.set(id, Cell::Integer(0));
        }
        if is_whole(literal) {
            return Err(self.outside(id));
        }
        match literal.parse::<f64>() {
            Ok(value) if value.is_finite() => self.set(id, Cell::Float(value)),
            _ => Err(self.too_large(id)),
        }
    }

    /// Keeps the refusal of a number that no float holds: for `serde_json` that is an error like those of broken text.
    pub(super) fn note_range(&mut self, id: NameId, error: &impl fmt::Display) {
        if self.refusal.is_none() && error.to_string().starts_with(OUT_OF_RANGE) {
            self.refusal = Some(self.too_large(id));
        }
    }

    fn too_large(&self, id: NameId) -> EventRefusal {
        let message = format!("the field {} holds a number too large for a float", self.path(id));
        EventRefusal::new(Fault::NumberRange, message)
    }

    pub(super) fn outside(&self, id: NameId) -> EventRefusal {
        let message = format!("the field {} holds an integer outside the range of 64 bits, signed", self.path(id));
        EventRefusal::new(Fault::NumberRange, message)
    }

    /// Keeps the refusal aside: serde's errors carry only text.
    pub(super) fn refuse<E: de::Error>(&mut self, refusal: EventRefusal) -> E {
        self.refusal = Some(refusal);
        E::custom("refused")
    }

    /// Why reading ended with `error`: our own refusal, or text that is not JSON.
    pub(super) fn reason(&mut self, error: &serde_json::Error) -> EventRefusal {
        self.refusal.take().unwrap_or_else(|| EventRefusal::not_json(error))
    }

    pub(super) fn finish(self) -> Decoded {
        let rows = self.events;
        let (fields, columns, places) = unzip(self.columns.into_iter().filter_map(|column| column.finish(rows)));
        Decoded { batch: Batch { fields, rows, columns }, places }
    }
}
