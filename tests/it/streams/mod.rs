//! The life of streams: how they are deleted, and how long their events are kept.

mod deletion;
mod erasure;
mod history;
mod list;
mod retention;
