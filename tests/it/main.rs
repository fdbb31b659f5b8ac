//! Behaviour over real HTTP, one file per behaviour. One binary, because linking is what costs.
#![allow(clippy::unwrap_used)]

mod support;

mod cli;
mod ingest;
mod ingest_whole;
mod limits;
mod query;
mod session_places;
mod sessions;
mod shutdown;
mod smoke;
mod starting;
