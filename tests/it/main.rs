//! Behaviour over real HTTP, one file per behaviour. One binary, because linking is what costs.
#![allow(clippy::unwrap_used)]

mod support;

mod canary;
mod credentials;
mod file_changes;
mod files;
mod key_changes;
mod keys;
mod readme;
mod routes;
mod smoke;
mod tenants;
mod tidy;
mod tour;
mod verify;
