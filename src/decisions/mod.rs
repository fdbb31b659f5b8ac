//! Decisions about requests, as they run: by the policy set in force, from memory, and on record.
//!
//! 1. [`settings`]: what an operator sets.  [`secret`]: the root secret of pseudonyms.
//! 2. [`Decider`]: decisions, from memory.  [`answer`]: what is answered.  [`challenges`]: what clients have to solve.
//!    [`columns`]: ingested events, which are judged too.
//! 3. [`shared`]: windows that all nodes count together.
//! 4. [`row`]: a decision on record.  [`recorder`]: rows on their way into the stream `keyloft_decisions`.

pub mod answer;
pub mod challenges;
pub mod columns;
pub mod decider;
pub mod recorder;
pub mod row;
pub mod secret;
pub mod settings;
pub mod shared;

pub use columns::Columns;
pub use decider::{Decider, NotReady};
pub use recorder::Recorder;
pub use row::DecisionRow;
pub use secret::RootSecret;
pub use settings::PolicySettings;
pub use shared::{Counted, Counts};
