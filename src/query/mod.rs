//! SQL over the streams that one query session may read, and over nothing else.
//!
//! 1. [`request`]: what was asked, as a value: text and time range.
//! 2. `statement`: the guard. One read-only statement of bounded depth, told from the syntax tree that is then planned.
//! 3. `clauses`: refuses what the planner would drop without a word.
//! 4. `tokens`: what is refused before it is parsed.
//! 5. `dialect`: the parser's dialect, with a budget of steps.
//! 6. `functions`: which functions exist, and why others do not.
//! 7. `growth`: refuses plans in which a short text stands for a huge expression.
//! 8. `shadow`: keeps an optimiser rule from dropping what is not superfluous.
//! 9. `overflow`: an integer that is too large is an error.
//! 10. `tables`: the permitted streams as tables, and the files behind them.
//! 11. `interrupt`: lets go of joins that compute for long without a pause.
//! 12. [`engine`]: plans and runs queries on threads of their own.
//! 13. [`rows`]: the answer, streamed as JSON, NDJSON or CSV.
//! 14. `encode`: batches as bytes.
//! 15. `failure`: what a client may learn of an error.

mod clauses;
mod dialect;
mod encode;
pub mod engine;
mod failure;
mod functions;
mod growth;
mod interrupt;
mod overflow;
pub mod request;
pub mod rows;
mod shadow;
mod statement;
mod tables;
#[cfg(test)]
mod tests;
mod tokens;

pub use engine::{Engine, QuerySettings};
pub use request::{Access, QueryRequest, Scope, TimeRange};
pub use rows::{Format, Rows, Stopper};
