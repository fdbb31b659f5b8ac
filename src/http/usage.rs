//! From an answered request to the counters of its key.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::http::StatusCode;

use super::app::App;
use super::authorize::Authorized;
use crate::access::Denial;
use crate::key::ApiKey;
use crate::usage::Use;

/// The key that a request was made with, once one was recognised: an extension of the request. There is one type for all
/// actions, so that none is missed.
#[derive(Debug)]
pub(super) enum Presented {
    /// The key allows what the request is about to do.
    Authorized(Authorized),
    /// It does not.
    Denied {
        /// The key.
        key: Arc<ApiKey>,
        /// Where the request comes from.
        address: Option<IpAddr>,
        /// Why not.
        denial: Denial,
    },
}

/// What was accepted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Accepted {
    /// How many events.
    pub events: u64,
    /// The body they came in, in bytes as it was sent.
    pub bytes: u64,
}

impl Presented {
    fn key(&self) -> &ApiKey {
        match self {
            Self::Authorized(authorized) => authorized.key(),
            Self::Denied { key, .. } => key,
        }
    }

    /// The key, if it is good for the request, be it from another network.
    pub(super) fn good_key(&self) -> Option<&ApiKey> {
        match self {
            Self::Denied { denial, .. } if !matches!(denial, Denial::NetworkNotAllowed(_)) => None,
            _ => Some(self.key()),
        }
    }

    /// Counts the request by its answer. `refused` is why not, when the answer is a problem.
    pub(super) fn count(&self, app: &App, status: StatusCode, refused: Option<&'static str>) {
        let used = match self {
            Self::Authorized(authorized) => {
                let Accepted { events, bytes } = authorized.accepted();
                // A request that a limit or a scope turns away has not used the key.
                let turned_away =
                    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS);
                let permit = authorized.permit();
                let (at, address, older) = (permit.at(), authorized.address(), permit.older());
                Use { at, address, admitted: !turned_away, older, refused, events, bytes }
            }
            Self::Denied { address, .. } => Use {
                at: app.keystore.now(),
                address: *address,
                admitted: false,
                older: None,
                refused,
                events: 0,
                bytes: 0,
            },
        };
        app.usage.count(self.key(), &used);
    }
}
