//! The handlers, one file per resource. Data plane: [`ingest`], [`firehose`], [`query`], [`streams`], [`whoami`]. Admin
//! plane: [`tenants`], [`streams`], [`keys`], [`rotation`], [`bulk`], [`apply`], [`verify`], [`sessions`],
//! [`platform`]. Neither: [`health`].

pub mod apply;
pub mod bulk;
pub mod firehose;
pub mod health;
pub mod ingest;
pub mod keys;
pub mod platform;
#[cfg(feature = "query")]
pub mod query;
pub mod receipt;
pub mod rotation;
pub mod sessions;
pub mod streams;
pub mod tenants;
pub mod verify;
pub mod views;
pub mod whoami;
