//! SQL over `/api/v1/query`, and the sessions it opens.

mod heavy;
mod operator_ends;
mod operators;
mod requests;
mod session_places;
mod sessions;
mod sql;
mod too_large;
mod unreadable;
