//! Who asks for a change.

use std::net::IpAddr;

use chrono::{DateTime, Utc};

use crate::key::{Actor, Attribution, Label, RequestId};

/// Who makes a change, in which role, from where, in which request and when. Every change of the keystore takes one.
/// The document and the change log record the actor and the request id, the change log the role and the address too;
/// instants in documents are those of the write.
///
/// ```
/// use keyloft::key::{Actor, Label};
/// use keyloft::{Clock, RequestContext, SystemClock};
///
/// let billing = Actor::Named(Label::parse("billing")?);
/// let context = RequestContext::new(billing, SystemClock.now());
/// assert_eq!(context.actor.as_str(), "billing");
/// # Ok::<(), keyloft::key::InvalidId>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RequestContext {
    /// Who asks.
    pub actor: Actor,
    /// In which role; `None` for those who may do everything.
    pub role: Option<Label>,
    /// The id of the request; `None` without one.
    pub request_id: Option<RequestId>,
    /// The address that the request came from; `None` without a request, or when a trusted proxy does not tell it.
    pub client: Option<IpAddr>,
    /// When it was asked.
    pub at: DateTime<Utc>,
}

impl RequestContext {
    /// A context without a request, as for a program that embeds Keyloft.
    pub fn new(actor: Actor, at: DateTime<Utc>) -> Self {
        Self { actor, role: None, request_id: None, client: None, at }
    }

    /// The same for a request with this id.
    #[must_use]
    pub fn with_request_id(self, request_id: RequestId) -> Self {
        Self { request_id: Some(request_id), ..self }
    }

    /// The same for a request from this address.
    #[must_use]
    pub fn with_client(self, client: IpAddr) -> Self {
        Self { client: Some(client), ..self }
    }

    /// The part that documents record.
    pub fn attribution(&self) -> Attribution {
        Attribution { modified_by: Some(self.actor.clone()), request_id: self.request_id }
    }
}

#[cfg(test)]
impl RequestContext {
    /// The context of the admin token, for tests that do not check who made a change.
    pub(crate) fn admin() -> Self {
        Self::new(Actor::AdminToken, DateTime::UNIX_EPOCH)
    }
}
