//! What operators see: logs and metrics. Neither ever carries a secret, its digest, or anything a client chose freely.
//!
//! 1. [`metrics`]: a struct of counters, no statics.  `decisions`: those of traffic policies.
//!    `register`: how both name them.  `format`: how scrapers read them.
//! 2. [`log`]: text or JSON on standard error.  `line`: the line of a request.  `writer`: how lines get there without
//!    blocking a request.

mod decisions;
mod format;
mod line;
pub mod log;
pub mod metrics;
mod register;
mod writer;
