//! Arrays are kept as their JSON text: without blanks, with every number as it was written.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::refusal::{EventRefusal, MAX_DEPTH};
use super::table::EventTable;

/// Writes what it reads to `text`.
pub(super) struct ArrayText<'a, 't> {
    pub(super) table: &'a mut EventTable<'t>,
    pub(super) text: &'a mut Vec<u8>,
    /// Of the value that is read, when it is an array or object.
    pub(super) depth: usize,
}

impl<'t> ArrayText<'_, 't> {
    fn inner(&mut self) -> ArrayText<'_, 't> {
        ArrayText { table: self.table, text: self.text, depth: self.depth + 1 }
    }

    fn check_depth<E: Error>(&mut self) -> Result<(), E> {
        if self.depth <= MAX_DEPTH { Ok(()) } else { Err(self.table.refuse(EventRefusal::too_deep())) }
    }

    fn number<E: Error>(self) -> Result<(), E> {
        let place = self.table.count_number();
        let literal = self.table.literal(place);
        self.text.extend_from_slice(literal.as_bytes());
        Ok(())
    }
}

fn write_string<E: Error>(text: &mut Vec<u8>, value: &str) -> Result<(), E> {
    serde_json::to_writer(text, value).map_err(E::custom)
}

impl<'de> DeserializeSeed<'de> for ArrayText<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ArrayText<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an element of an array")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.text.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.number()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.number()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.number()
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        write_string(self.text, value)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.text.extend_from_slice(b"null");
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        self.check_depth()?;
        self.text.push(b'[');
        let start = self.text.len();
        loop {
            let end = self.text.len();
            if end > start {
                self.text.push(b',');
            }
            if elements.next_element_seed(self.inner())?.is_none() {
                self.text.truncate(end);
                break;
            }
        }
        self.text.push(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        self.check_depth()?;
        self.text.push(b'{');
        let mut keys: HashSet<Cow<'de, str>> = HashSet::new();
        while let Some(key) = map.next_key_seed(Key)? {
            if !keys.is_empty() {
                self.text.push(b',');
            }
            if keys.contains(&key) {
                return Err(self.table.refuse(EventRefusal::duplicate(&key)));
            }
            write_string(self.text, &key)?;
            self.text.push(b':');
            keys.insert(key);
            map.next_value_seed(self.inner())?;
        }
        self.text.push(b'}');
        Ok(())
    }
}

/// A key, borrowed from the body when it holds no escape.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: Error>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}
