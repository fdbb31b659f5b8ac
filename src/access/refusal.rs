//! Why limits do not admit a request whose credential is good.

use std::time::Duration;

use super::LimitId;

/// Why limits do not admit a request. Nothing was taken from any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A limit is used up for now.
    #[error("The {}'s limit of {} a minute is used up for now.", .limit.scope.as_str(), .limit.dimension.as_str())]
    Rate {
        /// The first limit that refused.
        limit: LimitId,
        /// After how long the same request may pass.
        wait: Duration,
    },
    /// It is more than a limit ever lets pass at once.
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
