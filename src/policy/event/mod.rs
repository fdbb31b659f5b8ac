//! Events: requests and answers as sources, shippers and logs report them, with every value in one spelling.
//!
//! 1. [`arrival`]: what key and server say about an event.  [`event`]: the event.  [`values`]: its values by field.
//! 2. [`json`]: JSON that is read without copying.  [`mend`]: JSON that others write.
//! 3. [`decide`]: events as `decide` takes them.  [`names`]: events under names of others.  [`log`]: lines of logs.
//! 4. [`address`], [`host`], [`path`], [`query`], [`headers`], [`text`], [`time`]: one spelling for each.
//! 5. [`given`]: which names give the value of a field.  [`kept`]: what is kept of an event.
//! 6. [`error`]: why an event cannot be judged.

mod address;
mod arrival;
mod decide;
mod error;
#[allow(clippy::module_inception)] // The event itself.
mod event;
mod given;
mod headers;
mod host;
mod json;
mod kept;
mod log;
mod mend;
mod names;
mod path;
mod query;
mod text;
mod time;
mod values;

#[cfg(test)]
mod tests;

pub use address::{IPV6_NETWORK_BITS, unwrapped};
pub use arrival::{Arrival, Door};
pub use error::InvalidEvent;
pub use event::{Event, Phase};
pub use given::comes_with_every_event;
pub use headers::MAX_HEADERS;
pub use json::{Json, MAX_DEPTH, Text};
pub use kept::{HEADERS as KEPT_HEADERS, KeptField, PLAIN as KEPT_FIELDS, is_plain, kept_as};
pub use log::LogFormat;
pub use names::Names;
pub(in crate::policy) use path::stands_in_paths;
pub use query::{CLEARANCE_COOKIES, MAX_PAIRS};

/// An event with more bytes of JSON is marked as malformed: its sender's client chooses how large it is.
pub const MAX_EVENT_BYTES: usize = 64 << 10;
