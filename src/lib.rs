//! Keyloft: an API-key keystore that lives in a bucket. Keys are JSON objects in an object store, every node keeps them
//! all in memory, and an `X-API-KEY` middleware authenticates requests against that memory. There is no database.
//!
//! # Two ways to use it
//!
//! - The `keyloft` binary: a server with built-in ingest and SQL, and the command line of its operators.
//! - This crate: a [`Keystore`] to embed, and [`access::authenticate`] for requests.
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | none | | the keystore over a directory or your own `object_store` |
//! | `s3` | yes | `s3://` stores |
//! | `server` | yes | `http` (actix middleware and the server), `config`, limits, ingest, the command line |
//! | `query` | yes | SQL with DataFusion, the largest part of a build; turns on `server` |
//! | `paused-time` | | nothing to use: for the tests of this package |
//!
//! `cargo add keyloft --no-default-features` is the small one. The default is the whole server, because the same
//! package builds the binary.
//!
//! # What is part of the contract
//!
//! The public items of this page, [`access`], [`key`], [`keystore`], [`store`] and, with the feature `server`, `config`
//! and `http` follow semantic versioning; `docs/embedding.md` lists them. Items that this documentation hides may
//! change in any release.
//!
//! # Code map
//!
//! Data flows one way: `http → access → keystore → cache`, and writes go `http → keystore → documents → store → cache`.
//! The modules in reading order:
//!
//! | module | what lives there |
//! |---|---|
//! | `error`, `clock` | the public error; time as an argument |
//! | [`key`] | keys as values: ids, secrets, digests, credentials, patterns. Pure |
//! | `serde_text` | JSON bodies and YAML files: errors that name the field (feature `server`) |
//! | `layout` | every object name, both ways |
//! | [`store`] | the bucket: conditional writes, durable local files |
//! | `documents` | versioned JSON documents, and the one way to change them; who asks for a change |
//! | `cache` | all keys in memory, behind one lock |
//! | `sync` | keeping memory equal to the bucket, and nodes to each other |
//! | [`keystore`] | issue, list, update, revoke; tenants. **The front door** |
//! | `shared_redis` | the Redis in which nodes count together (feature `server`) |
//! | [`access`] | what a credential may do: **the one decision**, permits, query sessions, limits, the admin token |
//! | `policy` | traffic policies: what is done about which requests, and when. Pure (feature `server`) |
//! | `challenge` | work that a client does once, and what it shows afterwards. Pure (feature `server`) |
//! | `decisions` | decisions by policies as they run: from memory, and on record (feature `server`) |
//! | `policy_book` | the policy sets of tenants: their versions in the bucket (feature `server`) |
//! | `mitigations` | whom policies hold, on all nodes (feature `server`) |
//! | `operators` | people and machines that administer: roles, memberships, tokens (feature `server`) |
//! | `jwt` | the tokens of identity providers (feature `server`) |
//! | `signin` | finding out at an identity provider who somebody is (feature `server`) |
//! | `stream` | streams and their fields (feature `server`) |
//! | `ingest` | JSON to durable Parquet, in groups (feature `server`) |
//! | `compaction` | small objects of events become few large ones (feature `server`) |
//! | `query` | SQL over what one session may read (feature `query`) |
//! | `backtest` | policies, tried on stored traffic (feature `query`) |
//! | `usage` | what each key was used for, counted and written down (feature `server`) |
//! | `telemetry` | logs and metrics (feature `server`) |
//! | `config` | options, one struct per concern (feature `server`) |
//! | `http` | every route on one page, middleware, answers (feature `server`) |
//! | `cli` | the boot sequence, and the commands of operators (feature `server`) |
//!
//! # Invariants
//!
//! - **A secret exists in clear text only between [`key::PlainSecret::generate`] and the answer that shows it.**
//!   Everything stored or cached is a [`key::Digest`].
//! - **The tenant comes from the key**, never from a client's header.
//! - **A permit is the only way to a handler**, and [`access::authenticate`] the only way to a permit: no await, no
//!   store, one short read lock. **`access::decide` holds every rule**, for all callers.
//! - **Nothing is acknowledged before it is durable**, document and change log both, and nothing is in memory before it
//!   is in the bucket. One exception, towards safety: a revocation is in memory first.
//! - **The document decides**; the change log only says where to look, and a snapshot is a copy for a fast start,
//!   compared with the documents afterwards.
//! - **No lock is held across `.await`.** There is one static, in `cache::global`, and only `keyloft serve` touches it.
//! - Imports point downwards only; `tests/it/tidy` checks it.

pub mod access;
#[cfg(feature = "server")]
mod audit;
#[cfg(feature = "query")]
mod backtest;
#[cfg_attr(not(feature = "server"), allow(dead_code))] // The server uses more of it than the keystore.
mod cache;
#[cfg(feature = "server")]
mod challenge;
#[cfg(feature = "server")]
mod cli;
mod clock;
#[cfg(feature = "server")]
mod compaction;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
mod decisions;
#[cfg_attr(not(feature = "server"), allow(dead_code))]
mod documents;
mod error;
#[cfg(test)]
#[path = "../tests/it/support/faults.rs"]
#[allow(dead_code, unreachable_pub)] // Shared with the tests of the whole server.
mod faults;
#[cfg(test)]
#[path = "../tests/it/support/faulty.rs"]
#[allow(dead_code, unreachable_pub)]
mod faulty;
#[cfg(feature = "server")]
pub mod http;
#[cfg(feature = "server")]
mod ingest;
mod jitter;
#[cfg(feature = "server")]
mod jwt;
pub mod key;
pub mod keystore;
#[cfg_attr(not(feature = "server"), allow(dead_code))]
mod layout;
#[cfg(feature = "server")]
mod mitigations;
#[cfg(feature = "server")]
mod operators;
#[cfg(feature = "server")]
#[doc(hidden)] // not part of the contract until it is whole
pub mod policy;
#[cfg(feature = "server")]
mod policy_book;
#[cfg(feature = "query")]
mod query;
#[cfg(feature = "server")]
mod serde_text;
#[cfg(feature = "server")]
mod shared_redis;
#[cfg(feature = "server")]
mod signin;
pub mod store;
#[cfg(feature = "server")]
mod stream;
#[cfg_attr(not(feature = "server"), allow(dead_code))]
mod sync;
#[cfg(feature = "server")]
mod telemetry;
#[cfg(feature = "server")]
mod usage;

pub use cache::KeyCache;
#[cfg(feature = "server")]
#[doc(hidden)]
pub use cli::main;
pub use clock::{Clock, ManualClock, SystemClock};
pub use documents::RequestContext;
pub use error::{Error, ErrorKind, Result};
pub use keystore::Keystore;
pub use store::Bucket;

/// What the tests and benchmarks of this package use besides the contract. It may change in any release.
#[doc(hidden)]
pub mod testing {
    pub use crate::cache::CacheChange;
    pub use crate::clock::StoreClock;
    pub use crate::documents::{Document, KeyDocument};
    pub use crate::store::types::{Stored, Written};
    pub use crate::sync::history::keep;
    pub use crate::sync::log::{LogEntry, trim};
    pub use crate::sync::{AuditAction, ChangedObject, Replica};

    /// Secrets that are imported.
    pub mod own {
        pub use crate::key::own::judge;
    }

    /// Names of objects.
    pub mod layout {
        pub use crate::layout::{ObjectName, keys, log, nodes, probes, snapshots};
    }

    #[cfg(feature = "server")]
    pub use server::*;

    #[cfg(feature = "server")]
    mod server {
        pub use crate::access::decide::{Decision, Facts, FoundKey, TenantState, View, decide};
        pub use crate::access::limits::Cost;
        pub use crate::access::limits::gcra::{Gcra, Price};
        pub use crate::audit::verify;
        pub use crate::decisions::shared::{Ask, Counted, SharedWindows, What};
        pub use crate::http::connection::HANG_UP_GRACE;
        pub use crate::http::unread::{MAX_LINGER, MAX_UNREAD_BYTES};
        pub use crate::ingest::SystemWriter;
        pub use crate::shared_redis::SharedRedis;
        pub use crate::stream::{Field, FieldType, StreamCatalog, StreamSchema};
        pub use crate::usage::{Meter, Use};

        /// Changes of members on behalf of people, and signing in without a provider.
        pub mod operators {
            pub use crate::key::SignerId;
            pub use crate::operators::sign_in::{Entry, Origin};
            pub use crate::operators::{
                Accounts, Caller, Grantee, Identity, Mapping, MembersRequest, MembershipId, Memberships, OperatorId,
                Role, Scope,
            };
        }

        /// Signing in at an identity provider.
        pub mod signin {
            pub use crate::signin::{
                Attempt, Callback, ClientSecret, GitHubSettings, GoogleSettings, Kind, OidcSettings, Provider,
                ProviderName, ProviderSettings, Providers, PublicUrl, Settings, SignInError,
            };
        }
    }
}
