//! What the fields of one event hold.

use std::borrow::Cow;
use std::net::IpAddr;

use super::field::{Field, Fields, Slot};

/// What a field holds for one event. Every way to read it is total: what is absent, or of another kind, is empty as
/// text, false as a bool and null as a number or an address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Value<'a> {
    /// Nothing.
    #[default]
    Absent,
    /// Text, normalised as its field is.
    Text(Cow<'a, str>),
    /// A whole number.
    Int(i64),
    /// True or false.
    Bool(bool),
    /// An address; IPv4-mapped ones are IPv4 already.
    Ip(IpAddr),
}

impl Value<'_> {
    /// Whether there is one. Empty text is one.
    pub fn is_present(&self) -> bool {
        *self != Self::Absent
    }

    /// It as text: numbers in decimal, addresses as RFC 5952 writes them.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Absent => Cow::Borrowed(""),
            Self::Text(text) => Cow::Borrowed(text),
            Self::Int(number) => Cow::Owned(number.to_string()),
            Self::Bool(truth) => Cow::Borrowed(if *truth { "true" } else { "false" }),
            Self::Ip(address) => Cow::Owned(address.to_string()),
        }
    }

    /// It as a number; text never is one.
    #[inline]
    pub fn int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// It as a bool; neither text nor a number is one.
    #[inline]
    pub fn bool(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// It as an address. Text is one when it is written as one (IPv4-mapped IPv6 is IPv4).
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Text(text) => text.parse::<IpAddr>().ok().map(|address| address.to_canonical()),
            _ => None,
        }
    }
}

/// The values of one event, by slot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Values<'a>(Box<[Value<'a>]>);

impl<'a> From<Vec<Value<'a>>> for Values<'a> {
    /// Values in the order of their slots; slots beyond the last are absent.
    fn from(values: Vec<Value<'a>>) -> Self {
        Self(values.into())
    }
}

impl<'a> Values<'a> {
    /// Takes the value of each field of a set out of an event.
    pub fn read(fields: &Fields, value: impl FnMut(&Field) -> Value<'a>) -> Self {
        Self(fields.iter().map(value).collect())
    }

    /// The value in a slot; absent when the slot is of another set.
    #[inline]
    pub fn get(&self, slot: Slot) -> &Value<'a> {
        const ABSENT: &Value<'static> = &Value::Absent;
        self.0.get(slot.index()).unwrap_or(ABSENT)
    }
}
