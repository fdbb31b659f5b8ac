//! The handlers, one file per resource. Data plane: [`ingest`], [`firehose`], [`query`], [`streams`], [`decide`],
//! [`whoami`]. Admin plane: [`auth`], [`operators`], [`tenants`], [`memberships`], [`machines`], [`stream_list`],
//! [`streams`], [`stream_objects`], [`keys`], [`rotation`], [`bulk`], [`apply`], [`verify`], [`policyset`],
//! [`mitigations`], [`results`], [`sessions`], [`audit`], [`platform`]. Neither: [`health`], [`challenge`].  [`place`]:
//! what belongs to a tenant or to the platform.  [`receipt`]: which nodes have applied a change.

pub mod apply;
pub mod audit;
pub mod auth;
pub mod bulk;
pub mod challenge;
pub mod decide;
pub mod firehose;
pub mod health;
pub mod ingest;
mod judge;
pub mod keys;
pub mod machines;
pub mod memberships;
pub mod mitigations;
pub mod operators;
pub mod place;
pub mod platform;
pub mod policyset;
#[cfg(feature = "query")]
pub mod query;
pub mod receipt;
#[cfg(feature = "query")]
pub mod results;
pub mod rotation;
pub mod sessions;
pub mod stream_list;
pub mod stream_objects;
pub mod streams;
pub mod tenants;
pub mod verify;
pub mod views;
pub mod whoami;
