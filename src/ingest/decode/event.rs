//! Reading one event with `serde_json`, straight into the columns.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::array::ArrayText;
use super::column::Cell;
use super::names::NameId;
use super::refusal::{EventRefusal, Fault, MAX_DEPTH, Place};
use super::table::EventTable;

/// An array of events.
pub(super) struct Events<'a, 't>(pub(super) &'a mut EventTable<'t>);

impl<'de> DeserializeSeed<'de> for Events<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Events<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut events: A) -> Result<(), A::Error> {
        let mut event = 1;
        self.0.go_to(Place::event(event));
        while events.next_element_seed(Event(&mut *self.0))?.is_some() {
            event += 1;
            self.0.go_to(Place::event(event));
        }
        Ok(())
    }
}

/// One event: an object.
pub(super) struct Event<'a, 't>(pub(super) &'a mut EventTable<'t>);

impl<'de> DeserializeSeed<'de> for Event<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// A value that is no object is refused; the message names no value.
macro_rules! no_event {
    ($($visit:ident($($argument:ty)?),)*) => {$(
        fn $visit<E: Error>(self $(, _: $argument)?) -> Result<(), E> {
            Err(self.0.refuse(EventRefusal::not_an_object()))
        }
    )*};
}

impl<'de> Visitor<'de> for Event<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    no_event!(visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64), visit_str(&str), visit_unit(),);

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(self.0.refuse(EventRefusal::not_an_object()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.0.begin_event().map_err(|refusal| self.0.refuse(refusal))?;
        object(self.0, NameId::EVENT, 1, map)?;
        self.0.end_event().map_err(|refusal| self.0.refuse(refusal))
    }
}

/// The fields of an object at `depth`, the event itself being 1.
fn object<'de, A: MapAccess<'de>>(
    table: &mut EventTable<'_>,
    name: NameId,
    depth: usize,
    mut map: A,
) -> Result<(), A::Error> {
    while let Some(name) = map.next_key_seed(Key { table, parent: name })? {
        map.next_value_seed(Value { table, name, depth }).inspect_err(|error| table.note_range(name, error))?;
    }
    Ok(())
}

struct Key<'a, 't> {
    table: &'a mut EventTable<'t>,
    parent: NameId,
}

impl<'de> DeserializeSeed<'de> for Key<'_, '_> {
    type Value = NameId;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<NameId, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_, '_> {
    type Value = NameId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<NameId, E> {
        self.table.meet(self.parent, key).map_err(|refusal| self.table.refuse(refusal))
    }
}

struct Value<'a, 't> {
    table: &'a mut EventTable<'t>,
    name: NameId,
    /// Of the object around it.
    depth: usize,
}

impl Value<'_, '_> {
    fn set<E: Error>(self, cell: Cell<'_>) -> Result<(), E> {
        self.table.set(self.name, cell).map_err(|refusal| self.table.refuse(refusal))
    }

    fn deeper<E: Error>(&mut self) -> Result<usize, E> {
        if self.depth < MAX_DEPTH { Ok(self.depth + 1) } else { Err(self.table.refuse(EventRefusal::too_deep())) }
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.set(Cell::Boolean(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.table.count_number();
        self.set(Cell::Integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.table.count_number();
        match i64::try_from(value) {
            Ok(value) => self.set(Cell::Integer(value)),
            Err(_) => {
                let refusal = self.table.outside(self.name);
                Err(self.table.refuse(refusal))
            }
        }
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        let place = self.table.count_number();
        self.table.set_float(self.name, place).map_err(|refusal| self.table.refuse(refusal))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.set(Cell::Text(value))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.table.set_null(self.name).map_err(|refusal| self.table.refuse(refusal))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, map: A) -> Result<(), A::Error> {
        let depth = self.deeper()?;
        object(self.table, self.name, depth, map)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, elements: A) -> Result<(), A::Error> {
        let depth = self.deeper()?;
        let mut text = std::mem::take(&mut self.table.scratch);
        text.clear();
        ArrayText { table: self.table, text: &mut text, depth }.visit_seq(elements)?;
        let set = match std::str::from_utf8(&text) {
            Ok(text) => self.table.set(self.name, Cell::Text(text)),
            Err(_) => Err(EventRefusal::new(Fault::NotUtf8, "an array is not UTF-8")),
        };
        self.table.scratch = text;
        set.map_err(|refusal| self.table.refuse(refusal))
    }
}
