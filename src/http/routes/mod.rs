//! The handlers, one file per resource. Data plane: [`ingest`], [`firehose`], [`query`], [`streams`], [`whoami`]. Admin plane:
//! [`tenants`], [`stream_settings`], [`keys`], [`rotation`], [`bulk`], [`apply`], [`verify`], [`sessions`], [`unreadable`], [`nodes`],
//! [`changes`], [`sync`]. Neither: [`health`], [`metrics`].

pub mod apply;
pub mod bulk;
pub mod changes;
pub mod firehose;
pub mod health;
pub mod ingest;
pub mod keys;
pub mod metrics;
pub mod nodes;
#[cfg(feature = "query")]
pub mod query;
pub mod receipt;
pub mod rotation;
pub mod sessions;
pub mod stream_settings;
pub mod streams;
pub mod sync;
pub mod tenants;
pub mod unreadable;
pub mod verify;
pub mod views;
pub mod whoami;
