//! Every reason not to admit a request of a good key.

use std::time::Duration;

use super::Policy;

/// Why a request is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The key may not be used from where the request comes from, or nobody can say where that is.
    #[error("The key may not be used from this address.")]
    Network,
    /// A limit is used up for now.
    #[error("The {}'s limit of {} a minute is used up for now.", .policy.holder.as_str(), .policy.kind.as_str())]
    Rate {
        /// The first limit that refused.
        policy: Policy,
        /// After how long the same request may pass.
        wait: Duration,
    },
    /// It is more than a limit ever lets pass at once.
    #[error(
        "{amount} {} in one request are more than the {}'s limit lets pass at once, which is {most}: send fewer.",
        .policy.kind.as_str(), .policy.holder.as_str()
    )]
    Never {
        /// The first limit that refused.
        policy: Policy,
        /// How much the request takes.
        amount: u64,
        /// How much may pass at once.
        most: u64,
    },
}
