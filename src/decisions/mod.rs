//! Decisions about requests, as they run: by the policy set in force, from memory, and on record.
//!
//! 1. [`settings`]: what an operator sets.  [`secret`]: the root secret of pseudonyms.
//! 2. [`Decider`]: decisions, from memory.  [`answer`]: what is answered.  [`challenges`]: what clients have to solve.
//!    [`columns`]: ingested events, which are judged too.
//! 3. [`shared`]: windows that all nodes count together.
//! 4. [`row`]: a decision on record.  [`traffic`]: a request on record.
//!    [`recorded`], [`recorder`]: rows on their way into their streams.
//!    `stored`: events out of streams again, so that policies can be tried on them.  `turns`: who may do so now.

pub mod answer;
pub mod challenges;
pub mod columns;
pub mod decider;
pub mod recorded;
pub mod recorder;
pub mod row;
pub mod secret;
pub mod settings;
pub mod shared;
#[cfg(feature = "query")]
pub mod stored;
#[cfg_attr(not(feature = "query"), allow(dead_code))] // Only a backtest reads rows again.
pub mod traffic;
#[cfg(feature = "query")]
pub mod turns;

pub use columns::Columns;
pub use decider::{Decider, NotReady};
pub use recorder::Recorder;
pub use row::DecisionRow;
pub use secret::RootSecret;
pub use settings::PolicySettings;
pub use shared::{Counted, Counts};
