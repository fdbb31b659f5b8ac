//! A policy set, tried on stored traffic by the engine that decides about requests.
//!
//! 1. [`draft`]: what is tried, and on which streams.
//! 2. [`parts`]: what is read at a time, and from when its events are.  [`order`]: events in the order in which they
//!    happened.
//! 3. [`run`]: from the start to the report.
//! 4. [`samples`]: some of many decisions.  [`report`]: what is answered.

mod draft;
mod order;
mod parts;
mod report;
mod run;
mod samples;

pub use draft::{Draft, lacks};
pub use report::{Progress, Report};
pub use run::Backtest;
