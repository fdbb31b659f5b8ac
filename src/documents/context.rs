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
    /// without control characters. A name that may hold a credential, ours or another's, is not recorded.
    #[must_use]
    pub fn with_agent(self, agent: &str) -> Self {
        let mut agent: String = agent.chars().filter(|c| !c.is_control()).collect();
        // All of it: the part that would be recorded may be the beginning of a credential.
        let is_recorded = !agent.trim().is_empty() && !may_hold_credential(&agent);
        agent.truncate(agent.floor_char_boundary(Self::MAX_AGENT));
        Self { agent: Some(agent).filter(|_| is_recorded), ..self }
    }

    /// The part that documents record.
    pub fn attribution(&self) -> Attribution {
        Attribution { modified_by: Some(self.actor.clone()), request_id: self.request_id }
    }
}

/// Whether a text has something in it that looks like a credential: one of ours, a JSON Web Token, or what follows the
/// name of a scheme as in `Authorization`.
fn may_hold_credential(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let is_in_base64url = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_token = |word: &str| word.find("eyJ").is_some_and(|at| word[at..].matches('.').count() >= 2);
    ["kl_", "bearer ", "bearer:", "basic "].iter().any(|mark| lower.contains(mark))
        || text.split(|c: char| !is_in_base64url(c)).any(is_token)
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
        let token = format!("eyJhbGciOiJFZERTQSJ9.{}.c2lnbmF0dXJl", "eyJzdWIiOiIxIn0".repeat(20));
        let quoted = format!("cli/1 (token=\"{token}\")");
        let late = format!("{} {token}", "cli ".repeat(40));
        for unknown in [
            "",
            " \n",
            "kl_qry_0123456789",
            "my kl_svc_token",
            "KL_QRY_0123456789",
            "k\u{1}l_qry_0123456789",
            "Bearer 0123456789",
            "curl/8.5 bearer 0123456789",
            "Authorization: Basic dXNlcjpwYXNz",
            &token,
            &quoted,
            &late,
        ] {
            assert_eq!(agent(unknown), None, "{unknown:?}");
        }
        for known in ["Mozilla/5.0 (X11; Linux x86_64) Chrome/142.0.0.0", "forebear/1.2", "eyJ/1.0.0 (x.y)", "a.b.c"] {
            assert_eq!(agent(known).as_deref(), Some(known));
        }
    }
}
