//! Keys as values: names, settings and secrets. Pure: no clock, no store, no HTTP.
//!
//! 1. [`id`]: tenants, keys, nodes, names and labels, each parsed once at the edge.
//! 2. [`kind`]: the type and the state of a key.
//! 3. [`stream`]: stream names, and the patterns that say which of them a key may touch.
//! 4. [`digest`]: the digest of a secret.
//! 5. [`credential`]: reading a presented API key, by cheap checks first.
//! 6. [`secret`]: generating an API key.  [`own`]: importing a secret.
//! 7. [`network`], [`limits`]: the networks and rate limits of a key.
//! 8. [`settings`]: the settings of a key.  [`record`]: a key as the keystore knows it.  [`rotation`]: its older secrets.
//! 9. [`pattern`]: names of keys with `*`.
//! 10. [`tenant`]: tenants, and the lifetimes of their keys.
//! 11. [`actor`]: who makes a change, and in which request.

pub(crate) mod actor;
pub(crate) mod credential;
pub(crate) mod digest;
pub(crate) mod id;
pub(crate) mod kind;
pub(crate) mod limits;
pub(crate) mod network;
pub(crate) mod own;
pub(crate) mod pattern;
pub(crate) mod record;
#[cfg(feature = "server")]
pub(crate) mod request_ids;
pub(crate) mod rotation;
pub(crate) mod secret;
pub(crate) mod settings;
pub(crate) mod stream;
pub(crate) mod tenant;

pub use actor::{Actor, Attribution, RequestId};
pub use credential::{Credential, MalformedCredential};
pub use digest::Digest;
pub(crate) use id::NameHash;
pub use id::{InvalidId, KeyId, KeyName, Label, NodeId, TenantId};
pub use kind::{KeyState, KeyType};
pub use limits::{KeyLimits, Limits, Rate};
pub use network::Networks;
pub use pattern::NamePattern;
pub use record::{ApiKey, KeyPatch, Metadata, NewKey, Standing};
pub use rotation::{OlderSecret, OlderSecrets, TooManySecrets};
pub use secret::{Hint, PlainSecret};
pub use settings::{KeySettings, SettingsPatch, TrustLevel};
pub use stream::{StreamName, StreamPattern, Streams};
pub use tenant::{DefaultAboveMax, Lifetimes, Tenant, WrongEnd};
