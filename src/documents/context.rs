//! Who asks for a change.

use std::net::IpAddr;

use chrono::{DateTime, Utc};

use crate::key::{Actor, Attribution, Label, RequestId};

/// Who makes a change, in which role, from where, in which request and when. Every change of the keystore takes one.
/// The document and the change log record the actor and the request id, the change log the rest too; instants in
/// documents are those of the write.
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
    /// The pattern of the route of the request; `None` without a request.
    pub route: Option<String>,
    /// The program that sent the request, as it names itself; `None` when it does not.
    pub agent: Option<String>,
    /// When it was asked.
    pub at: DateTime<Utc>,
}

impl RequestContext {
    /// The longest [`RequestContext::agent`], in bytes.
    pub const MAX_AGENT: usize = 120;

    /// A context without a request, as for a program that embeds Keyloft.
    pub fn new(actor: Actor, at: DateTime<Utc>) -> Self {
        Self { actor, role: None, request_id: None, client: None, route: None, agent: None, at }
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

    /// The same for a request from a program that names itself so: at most [`RequestContext::MAX_AGENT`] bytes of it,
    /// without control characters. A name that may hold one of our credentials is not recorded.
    #[must_use]
    pub fn with_agent(self, agent: &str) -> Self {
        let mut agent: String = agent.chars().filter(|c| !c.is_control()).take(Self::MAX_AGENT).collect();
        agent.truncate(agent.floor_char_boundary(Self::MAX_AGENT));
        let agent = Some(agent).filter(|agent| !agent.trim().is_empty() && !agent.contains("kl_"));
        Self { agent, ..self }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_program_is_bounded_and_holds_no_control_character_and_no_credential() {
        let agent = |text: &str| RequestContext::admin().with_agent(text).agent;
        assert_eq!(agent("curl/8.5 \u{1b}[31m(x)\r\n").as_deref(), Some("curl/8.5 [31m(x)"));
        assert_eq!(agent(&"ä".repeat(200)).unwrap(), "ä".repeat(60));
        for unknown in ["", " \n", "kl_qry_0123456789", "my kl_svc_token"] {
            assert_eq!(agent(unknown), None, "{unknown:?}");
        }
    }
}
