//! Traffic policies: what a tenant calls its traffic, who acts in it, and what is done about it and when. Pure: no
//! HTTP, no store, no clock. Time comes with the event; the same set and the same events give the same decisions.
//!
//! | module | what lives there |
//! |---|---|
//! | `field`, `value` | the fields of an event, and what they hold for one event |
//! | `fault` | what is wrong with a set, and where |
//! | `language` | expressions: parsed, checked and compiled, then evaluated for every event |
//! | [`set`] | all policies of a tenant, as one document |
//! | [`event`] | requests and answers, from each of their forms, with every value in one spelling |
//! | [`entity`] | who acts, as a pseudonym |
//! | [`window`] | how often entities did something lately |
//! | [`engine`] | what a set says about an event |
//! | [`trial`], [`tally`] | what a set would have done with events of the past |
//! | `nearest` | names that come nearest to one that does not exist |

pub mod engine;
pub mod entity;
pub mod event;
mod fault;
mod field;
mod language;
mod nearest;
pub mod set;
pub mod tally;
pub mod trial;
mod value;
pub mod window;

#[cfg(test)]
mod tests;

pub use fault::{Fault, Place};
pub use field::{Field, Fields, Kind, Slot, TooManyFields, UnknownField};
pub use language::{
    ActionBits, ActionSlot, Actions, MAX_BYTES, MAX_COST, MAX_DEPTH, MAX_NODES, MAX_VALUE_BYTES, Patterns, Program,
    Scope, SeenField, Step, compile, stages,
};
pub use value::{Value, Values};
