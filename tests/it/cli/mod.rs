//! The command line, as operators type it.

mod audit;
mod audit_records;
mod bulk;
mod commands;
mod import;
mod membership;
mod service;
mod stream;
mod stream_objects;
