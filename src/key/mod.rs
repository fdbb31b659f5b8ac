//! Keys as values: names, settings and secrets. Pure: no clock, no store, no HTTP.
//!
//! 1. [`id`]: the ids of tenants, keys, nodes and machines.  [`name`]: names of keys, patterns of them, and labels.
//! 2. [`kind`]: the type and the state of a key.
//! 3. [`stream`]: stream names, and the patterns that say which of them a key may touch.
//! 4. [`digest`]: the digest of a secret.
//! 5. [`credential`]: reading a presented API key, by cheap checks first.
//! 6. [`secret`]: generating an API key, and the older secrets of a key.  [`own`]: importing a secret.
//! 7. [`network`], [`limits`]: the networks and rate limits of a key.
//! 8. [`settings`]: the settings of a key.  [`record`]: a key as the keystore knows it.  [`rotation`]: giving it a new
//!    secret.
//! 9. [`tenant`]: tenants, and the lifetimes of their keys.  [`retention`]: how long events are kept.
//! 10. [`actor`]: who makes a change, and in which request.  [`operator`]: the ids of people who administer.

pub(crate) mod actor;
pub(crate) mod credential;
pub(crate) mod digest;
pub(crate) mod id;
pub(crate) mod kind;
pub(crate) mod limits;
pub(crate) mod name;
pub(crate) mod network;
pub(crate) mod operator;
pub(crate) mod own;
pub(crate) mod record;
#[cfg(feature = "server")]
pub(crate) mod request_ids;
pub(crate) mod retention;
pub(crate) mod rotation;
pub(crate) mod secret;
pub(crate) mod settings;
pub(crate) mod stream;
pub(crate) mod tenant;

pub use actor::{Actor, Attribution, RequestId};
pub use credential::{Credential, MalformedCredential};
pub use digest::Digest;
pub(crate) use id::MachineId;
pub use id::{InvalidId, KeyId, NodeId, TenantId};
pub use kind::{KeyState, KeyType};
pub use limits::{KeyLimits, Limits, Rate};
pub(crate) use name::NameHash;
pub use name::{KeyName, Label, NamePattern};
pub use network::Networks;
#[doc(hidden)]
pub use operator::{OperatorId, SignerId};
pub use record::{ApiKey, KeyPatch, NewKey, Standing};
pub use retention::RetentionDays;
pub use rotation::TooManySecrets;
#[cfg(feature = "server")]
pub(crate) use secret::RandomText;
pub use secret::{Hint, OlderSecret, OlderSecrets, PlainSecret};
pub use settings::{KeySettings, Metadata, SettingsPatch, TrustLevel};
pub use stream::{StreamName, StreamPattern, Streams};
pub use tenant::{DefaultAboveMax, Lifetimes, Tenant, WrongEnd};
