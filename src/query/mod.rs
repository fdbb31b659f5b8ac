//! SQL over the streams that one query session may read, and over nothing else.
//!
//! A query goes through these files:
//! 1. [`request`]: text and time range, as a value.
//! 2. `tokens`, `dialect`: bound what parsing costs.
//! 3. `statement`, `clauses`, `exact_literals`: one read-only statement of bounded depth, every clause of which is
//!    honoured.
//! 4. `spellings`, `numbered_subqueries`, `using`: other spellings, names for subqueries, and the columns of `USING`
//!    and `NATURAL` joins.
//! 5. `tables`, `functions`, `json`: the tables and functions that exist.  `objects`, `columns`: the files of a table,
//!    and their columns.  `reads`: how much that is, and may be.  `object_reader`, `named_objects`: reading them, and
//!    naming one that cannot be read.  `kept`: columns that were read before.
//! 6. `expression_size`, `grouping_sets`, `intervals`: bound the size of a plan, and refuse what would be answered
//!    wrongly.
//! 7. `subqueries`, `correlation`, `mark_joins`: subqueries with three truth values, wherever they stand.
//! 8. `checked_arithmetic`, `exact`, `numbers`, `not_a_number`, `instants`, `rounding`, `sliding`, `frame_queue`,
//!    `frame_bounds`, `filters`, `null_safe_joins`, `projection_aliases`, `constants`, `offsets`, `same_names`,
//!    `wrong_orders`, `rules`: corrections of the library.
//! 9. `texts`: repeated texts are evaluated once per batch. `interrupt`, `memory`: end joins that compute for long
//!    without a pause, and bound the memory of a tenant.
//! 10. [`engine`]: plans and runs queries on threads of their own.  `beside`: other work there.
//! 11. [`rows`], `encode`: the answer, streamed as JSON, NDJSON or CSV.  `explain`: that of `EXPLAIN`.
//! 12. `failure`, `wording`, `type_names`: what a client may learn of an error, and in which words.
//!
//! # Why not in a process of its own
//!
//! A child process with limits on memory and time would end a query that overruns them, whatever the defect, and with
//! it `expression_size`, `interrupt` and the budget of `dialect` could shrink: about 450 lines. It would not mend one
//! wrong answer, which is what all other files are for. It would cost a process for each query, or a pool of workers
//! whose memory is fixed in advance: a process of this binary that only prints its version took 8 to 31 ms and 24 MB
//! (November 2026, profile `quick`, two busy cores), before it has an engine, a schema or a connection to the store.
//! Each worker would have a footer cache of its own, and every row would be copied once more between processes. So
//! queries stay here.
//!
//! Each file that corrects DataFusion or its parser names the issue, and the release with which it can be removed.

mod beside;
mod checked_arithmetic;
mod clauses;
mod columns;
mod constants;
mod correlation;
mod dialect;
mod encode;
pub mod engine;
mod exact;
mod exact_literals;
mod explain;
mod expression_size;
mod failure;
mod filters;
mod frame_bounds;
mod frame_queue;
mod functions;
mod grouping_sets;
mod instants;
mod interrupt;
mod intervals;
mod json;
mod kept;
mod mark_joins;
mod memory;
mod named_objects;
mod not_a_number;
mod null_safe_joins;
mod numbered_subqueries;
mod numbers;
mod object_reader;
mod objects;
mod offsets;
mod projection_aliases;
mod reads;
pub mod request;
mod rounding;
pub mod rows;
mod rules;
mod same_names;
mod sliding;
mod spellings;
mod statement;
mod subqueries;
mod tables;
#[cfg(test)]
mod tests;
mod texts;
mod tokens;
mod type_names;
mod using;
mod wording;
mod wrong_orders;

pub use beside::{Beside, ListedStream, TakenMemory};
pub use engine::{Engine, QuerySettings};
pub use object_reader::CachingReader;
pub use request::{Access, QueryRequest, Scope};
pub use rows::Format;
