//! The public error of the keystore. Its kind tells the caller what to do; it does not depend on HTTP.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// A specialised result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure, with a message that an operator can act on. Never contains a secret.
pub struct Error {
    kind: ErrorKind,
    message: String,
    retry_after: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What the caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request itself is wrong: change it before trying again.
    Invalid,
    /// The request is larger than a stated bound: send less.
    TooLarge,
    /// The work needs more memory than is left for it: ask for less at once, or try again when less is running.
    Exhausted,
    /// The query would open or read more than one query may: ask for less of it.
    QueryTooLarge,
    /// There is no such key, tenant or session.
    NotFound,
    /// A live key of the tenant has this name already: choose another, or revoke that one.
    DuplicateKeyName,
    /// Another live key has this secret: import another one, or let Keyloft generate it.
    DuplicateApiKey,
    /// The tenant has as many streams as it may have: remove some, or send to one that exists.
    TooManyStreams,
    /// As many older secrets of the key as may still work: wait, or rotate with a shorter overlap.
    TooManySecrets,
    /// The tenant exists already.
    DuplicateTenant,
    /// The tenant was deleted; its id is not given again.
    TenantDeleted,
    /// The default tenant cannot be deleted.
    TenantProtected,
    /// The tenant would be left without an owner: make somebody else one first.
    LastOwner,
    /// The role of the caller does not go so far: ask somebody with a higher one.
    RoleNotAllowed,
    /// Other parts of the policy set refer to it: change those first.
    PolicyInUse,
    /// The key is revoked, which is final: issue another.
    KeyRevoked,
    /// The object was changed since the caller read it: read it again.
    PreconditionFailed,
    /// The store cannot be reached or did not answer: try again later.
    Unavailable,
    /// The store lacks what a change needs, such as conditional writes: an operator must choose another store, or run a
    /// single writer.
    StoreNotSafe,
    /// The clock of this node differs from that of the store by more than 20 s, so it takes no events: an operator must
    /// set it. Other nodes may take them.
    ClockWrong,
    /// The store cannot be reached. This node refuses the key from now on, and retries the revocation until it is
    /// durable or the process ends.
    RevokedHere,
    /// One of many changes that was not started, because earlier ones failed or time ran out: send it again.
    NotBegun,
    /// A stored document cannot be read: repair or remove it by hand.
    Corrupt,
    /// A defect of Keyloft.
    Internal,
}

impl Error {
    /// An error of `kind` with a message for people.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None, source: None }
    }

    /// Shorthand for [`ErrorKind::Invalid`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// Keeps the cause for logs; its text is never shown to clients.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Sets after how long a retry may succeed.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// After how long a retry may succeed, if it is known.
    pub fn wait(&self) -> Option<Duration> {
        self.retry_after
    }

    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message without its cause.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)?;
        let mut cause = StdError::source(self);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
