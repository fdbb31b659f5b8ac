//! Decisions: what a policy set says about an event.
//!
//! 1. `decide`: the decision about one event.  [`step`]: what is known about it meanwhile.
//! 2. `explain`: why it is so.
//! 3. [`decision`]: what was decided, and why.  [`outside`]: what it depends on beside set, event and windows.

mod decide;
mod decision;
mod explain;
mod outside;
mod step;

#[cfg(test)]
mod tests;

pub use decide::decide;
pub use decision::{Counted, Decision, Hold, Match, Outcome, Reason, Verdict};
pub use explain::{ExplainedAction, ExplainedExpression, ExplainedPolicy, ExplainedWindow, Explanation, explain};
pub use outside::{Clearance, Holds, NoHolds, Outside};
pub use step::{MAX_AGE_MS, MAX_AHEAD_MS};
