//! Sets as documents, and what is wrong with them.

mod compile;
mod documents;
mod faults;
