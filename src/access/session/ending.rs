//! Why a query session ends.

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEnd {
    /// Its guard was dropped: the answer is complete, or its client has gone.
    Closed,
    /// Its time was up.
    Deadline,
    /// Its key was revoked, disabled or removed, or has expired; or the secret that opened it no longer works.
    KeyWithdrawn,
    /// Its operator may no longer query the tenant, or the credential that opened it no longer works.
    OperatorWithdrawn,
    /// A stream that it reads is no longer covered.
    StreamWithdrawn,
    /// Its tenant was suspended for queries.
    TenantSuspended,
    /// Its tenant was deleted.
    TenantDeleted,
    /// An admin ended it.
    Admin,
}
