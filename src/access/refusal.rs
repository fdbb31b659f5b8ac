//! Why limits refuse a request with a valid credential.

use std::time::Duration;

use super::LimitId;

/// Why limits refuse a request. Nothing was taken from any limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A limit is exceeded for now.
    #[error("The {}'s limit of {} a minute is exceeded for now.", .limit.scope.as_str(), .limit.dimension.as_str())]
    Rate {
        /// The first limit that refused.
        limit: LimitId,
        /// After how long the same request may be admitted.
        wait: Duration,
    },
    /// The request is larger than the burst of a limit.
    #[error(
        "{amount} {} in one request are more than the {}'s limit lets pass at once, which is {most}: send fewer.",
        .limit.dimension.as_str(), .limit.scope.as_str()
    )]
    Never {
        /// The first limit that refused.
        limit: LimitId,
        /// How much the request takes.
        amount: u64,
        /// How much may pass at once.
        most: u64,
    },
}
