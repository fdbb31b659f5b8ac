//! An expression whose names are resolved and whose types fit.

use std::net::IpAddr;

use super::actions::ActionSlot;
use super::networks::Networks;
use super::pattern::Pattern;
use super::span::Span;
use super::tree::{Comparison, Sign};
use crate::policy::field::{Field, Kind, Slot};

/// What a part of an expression is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Int,
    /// A number of milliseconds, which is an int and a duration.
    Millis,
    Duration,
    Bool,
    Ip,
    /// A part of the payload: text, an int or a bool, as what stands beside it asks.
    Any,
}

impl Type {
    /// The type of a field.
    pub(super) fn of(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::Text,
            Kind::Int => Self::Int,
            Kind::Milliseconds => Self::Millis,
            Kind::Bool => Self::Bool,
            Kind::Ip => Self::Ip,
            Kind::Any => Self::Any,
        }
    }

    /// It for people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Int => "a number",
            Self::Millis => "a number of milliseconds",
            Self::Duration => "a duration",
            Self::Bool => "true or false",
            Self::Ip => "an address",
            Self::Any => "a part of the payload",
        }
    }

    /// Whether it can be read as text.
    pub(super) fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::Ip | Self::Any)
    }

    /// Whether it can be read as a number.
    pub(super) fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Millis | Self::Duration | Self::Any)
    }

    /// Whether it can be read as a bool.
    pub(super) fn is_bool(self) -> bool {
        matches!(self, Self::Bool | Self::Any)
    }
}

/// A part of an expression, its place and its type.
#[derive(Debug, Clone)]
pub(super) struct Typed {
    pub(super) what: What,
    pub(super) of: Type,
    pub(super) span: Span,
}

/// What it does.
#[derive(Debug, Clone)]
pub(super) enum What {
    Text(Box<str>),
    /// A number; durations are milliseconds.
    Int(i64),
    Bool(bool),
    Field(Slot, Field),
    Has(Slot),
    Action(ActionSlot),
    Not(Box<Typed>),
    Negate(Box<Typed>),
    All(Vec<Typed>),
    Any(Vec<Typed>),
    /// Texts one behind the other.
    Concat(Vec<Typed>),
    Sum(Vec<(Sign, Typed)>),
    Remainder(Box<[Typed; 2]>),
    Compare(As, Comparison, Box<[Typed; 2]>),
    InTexts(Box<Typed>, Vec<Box<str>>),
    InNumbers(Box<Typed>, Vec<i64>),
    InAddresses(Box<Typed>, Vec<IpAddr>),
    InNetworks(Box<Typed>, Networks),
    Choice(Box<[Typed; 3]>),
    Find(Part, Box<[Typed; 2]>),
    Matches(Box<Typed>, Pattern),
    Lower(Box<Typed>),
    Size(Box<Typed>),
}

/// As what two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum As {
    Text,
    Number,
    Bool,
    Address,
}

/// Where one text stands in the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    Start,
    End,
    Anywhere,
}
