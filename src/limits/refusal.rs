//! Every reason not to admit a request of a good key.

use std::fmt;
use std::time::Duration;

use super::{Holder, Policy};

/// Why a request is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The key may not be used from where the request comes from, or nobody can say where that is.
    #[error("The key may not be used from this address.")]
    Network,
    /// A limit is used up for now.
    #[error("{} limit of {} a minute is used up for now.", Whose(.policy), .policy.kind.as_str())]
    Rate {
        /// The first limit that refused.
        policy: Policy,
        /// After how long the same request may pass.
        wait: Duration,
    },
    /// It is more than a limit ever lets pass at once.
    #[error(
        "{amount} {} in one request are more than {} limit ever lets pass at once, which is {most}: send less in each.",
        .policy.kind.as_str(), Whose(.policy).lower()
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

struct Whose<'a>(&'a Policy);

impl Whose<'_> {
    fn lower(&self) -> &'static str {
        match self.0.holder {
            Holder::Key => "the key's",
            Holder::Tenant => "the tenant's",
        }
    }
}

impl fmt::Display for Whose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.holder {
            Holder::Key => "The key's",
            Holder::Tenant => "The tenant's",
        })
    }
}
