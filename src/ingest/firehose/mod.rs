//! Kinesis Data Firehose: the bodies of HTTP endpoint delivery, version 1.0.
//!
//! 1. [`mod@attributes`]: the common attributes of a delivery, which become fields of every event.
//! 2. [`delivery`]: the records of a delivery, unpacked.
//! 3. `cloudwatch`: the envelope in which CloudWatch Logs sends events.
//! 4. [`deliveries`]: which deliveries were stored a moment ago, so that a repeated one is not stored again.

pub mod attributes;
mod cloudwatch;
pub mod deliveries;
pub mod delivery;

pub use attributes::attributes;
pub use deliveries::{Deliveries, DeliveryId};
pub use delivery::{Delivery, first_request_id};
