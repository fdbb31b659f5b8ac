//! An event: one request, its answer, or both, with every value in one spelling.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use super::address;
use super::arrival::{Arrival, Door};
use super::headers::Headers;
use super::host;
use super::json::Json;
use super::path;
use super::text::{cut, has_control, lower, upper};
use crate::policy::{Field, MAX_VALUE_BYTES, Value};

/// What an event tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// A request that has no answer yet.
    Request,
    /// The answer to a request that was an event before.
    Response,
    /// A request and its answer in one: a line of an access log.
    Both,
}

impl Phase {
    /// Whether a window counts the event: one that reads the response counts answers, any other counts requests, so
    /// that nothing is counted twice.
    pub const fn counts(self, reads_response: bool) -> bool {
        match self {
            Self::Request => !reads_response,
            Self::Response => reads_response,
            Self::Both => true,
        }
    }
}

/// An event. Made by [`Event::of_decide`], [`Event::of_names`] or a [`super::LogFormat`]; every value is normalised
/// then and never again. Its `Debug` shows no value.
pub struct Event<'a> {
    pub(super) arrival: Arrival<'a>,
    pub(super) observed_at_ms: i64,
    pub(super) client_ip: Option<IpAddr>,
    pub(super) country: Option<Cow<'a, str>>,
    pub(super) asn: Option<i64>,
    pub(super) tls_version: Option<Cow<'a, str>>,
    pub(super) tls_ja3: Option<Cow<'a, str>>,
    pub(super) tls_ja4: Option<Cow<'a, str>>,
    pub(super) method: Option<Cow<'a, str>>,
    pub(super) scheme: Option<Cow<'a, str>>,
    pub(super) host: Option<Cow<'a, str>>,
    pub(super) path: Option<Cow<'a, str>>,
    pub(super) path_raw: Option<Cow<'a, str>>,
    pub(super) query: Option<Cow<'a, str>>,
    pub(super) user_agent: Option<Cow<'a, str>>,
    pub(super) referer: Option<Cow<'a, str>>,
    pub(super) content_type: Option<Cow<'a, str>>,
    pub(super) request_bytes: Option<i64>,
    pub(super) headers: Headers<'a>,
    pub(super) cookies: Option<Vec<(Cow<'a, str>, Cow<'a, str>)>>,
    pub(super) payload: Option<&'a Json<'a>>,
    pub(super) mapped_payload: Vec<(Box<str>, Value<'a>)>,
    /// Whether a text is longer than the value of a field. Only a set that reads it makes that a fault of the request.
    pub(super) has_long_text: bool,
    pub(super) has_response: bool,
    pub(super) status: Option<i64>,
    pub(super) response_bytes: Option<i64>,
    pub(super) duration_ms: Option<i64>,
    pub(super) has_decision: bool,
    pub(super) clearance: Option<&'a str>,
    pub(super) return_path: Option<&'a str>,
    pub(super) malformed: bool,
    /// Of an event of the past, values of fields as they were kept.
    pub(super) kept: Vec<(&'a Field, Value<'a>)>,
}

impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("observed_at_ms", &self.observed_at_ms)
            .field("door", &self.arrival.door)
            .field("malformed", &self.malformed)
            .finish_non_exhaustive()
    }
}

impl<'a> Event<'a> {
    /// An event of which nothing is known but how it came.
    pub fn new(arrival: Arrival<'a>) -> Self {
        Self {
            observed_at_ms: arrival.received_at_ms,
            arrival,
            client_ip: None,
            country: None,
            asn: None,
            tls_version: None,
            tls_ja3: None,
            tls_ja4: None,
            method: None,
            scheme: None,
            host: None,
            path: None,
            path_raw: None,
            query: None,
            user_agent: None,
            referer: None,
            content_type: None,
            request_bytes: None,
            headers: Headers::default(),
            cookies: None,
            payload: None,
            mapped_payload: Vec::new(),
            has_long_text: false,
            has_response: false,
            status: None,
            response_bytes: None,
            duration_ms: None,
            has_decision: false,
            clearance: None,
            return_path: None,
            malformed: false,
            kept: Vec::new(),
        }
    }

    /// When it happened, in milliseconds since 1970.
    pub fn observed_at_ms(&self) -> i64 {
        self.observed_at_ms
    }

    /// What it tells of.
    pub fn phase(&self) -> Phase {
        match (self.has_response, self.arrival.door) {
            (false, _) => Phase::Request,
            (true, Door::Ingest) => Phase::Both,
            (true, Door::Decide | Door::Gateway) => Phase::Response,
        }
    }

    /// Whether the answer was our own decision. Windows do not count such an event: a block must not renew itself.
    pub fn has_own_decision(&self) -> bool {
        self.has_decision
    }

    /// What the client shows for a challenge that it solved.
    pub fn clearance(&self) -> Option<&'a str> {
        self.clearance
    }

    /// Where a client is to return to when it solved a challenge. As the sender says it: not judged here.
    pub fn return_path(&self) -> Option<&'a str> {
        self.return_path
    }

    /// What decisions record of the request: its method, host and path, none of which is a secret.
    pub fn request(&self) -> (Option<&str>, Option<&str>, Option<&str>) {
        (self.method.as_deref(), self.host.as_deref(), self.path.as_deref())
    }

    /// The status of the answer.
    pub fn response_status(&self) -> Option<i64> {
        self.status
    }

    /// Notes that the text of the event had to be mended to be read.
    #[must_use]
    pub fn mended(mut self, mended: bool) -> Self {
        self.malformed |= mended;
        self
    }

    /// Whether the request may be made again by going to its path.
    pub fn is_replayable(&self) -> bool {
        matches!(self.method.as_deref(), Some("GET" | "HEAD"))
    }

    /// How it came.
    pub fn arrival(&self) -> &Arrival<'a> {
        &self.arrival
    }

    pub(super) fn set_client_ip(&mut self, text: &str) -> bool {
        self.client_ip = address::parse(text);
        self.client_ip.is_some()
    }

    pub(super) fn set_method(&mut self, text: Cow<'a, str>) {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        self.malformed |= text.is_empty() || !text.bytes().all(is_token);
        self.method = Some(cut(upper(text), &mut self.malformed));
    }

    pub(super) fn set_scheme(&mut self, text: Cow<'a, str>) {
        self.scheme = Some(cut(lower(text), &mut self.malformed));
    }

    pub(super) fn set_host(&mut self, text: Cow<'a, str>) {
        self.host = Some(cut(host::normalized(text, &mut self.malformed), &mut self.malformed));
    }

    /// What a request asks for: a path with or without a query, or a whole URL, which names scheme and host too.
    pub(super) fn set_target(&mut self, text: Cow<'a, str>) {
        let rest = match text.split_once("://") {
            Some((scheme, rest)) if ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) => {
                let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                let (authority, target) = rest.split_at(end);
                self.set_scheme(Cow::Owned(scheme.to_owned()));
                self.set_host(Cow::Owned(authority.rsplit('@').next().unwrap_or_default().to_owned()));
                Cow::Owned(if target.starts_with('/') { target.to_owned() } else { format!("/{target}") })
            }
            _ => text,
        };
        self.set_path(rest);
    }

    /// A path. What stands behind a `?` is the query.
    pub(super) fn set_path(&mut self, text: Cow<'a, str>) {
        let (path, query) = match text.find('?') {
            None => (text, None),
            Some(at) => match text {
                Cow::Borrowed(text) => (
                    Cow::Borrowed(text.get(..at).unwrap_or_default()),
                    text.get(at.saturating_add(1)..).map(Cow::Borrowed),
                ),
                Cow::Owned(text) => (
                    Cow::Owned(text.get(..at).unwrap_or_default().to_owned()),
                    text.get(at.saturating_add(1)..).map(|query| Cow::Owned(query.to_owned())),
                ),
            },
        };
        if let Some(query) = query {
            self.set_query(query);
        }
        let normal = path::normalized(path.clone(), &mut self.malformed);
        self.path = Some(cut(normal, &mut self.malformed));
        self.path_raw = Some(cut(path, &mut self.malformed));
    }

    pub(super) fn set_query(&mut self, text: Cow<'a, str>) {
        let (_, more) = super::query::pairs(&text);
        self.malformed |= more;
        self.note_length(&text);
        self.query = Some(text);
    }

    pub(super) fn set_cookies(&mut self, cookies: impl IntoIterator<Item = (Cow<'a, str>, Cow<'a, str>)>) {
        let mut given = cookies.into_iter();
        let read: Vec<_> = given.by_ref().take(super::MAX_PAIRS).collect();
        self.malformed |= given.next().is_some();
        read.iter().for_each(|(_, value)| self.note_length(value));
        self.cookies = Some(read);
    }

    pub(super) fn add_header(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) {
        self.malformed |= has_control(&value) || name.is_empty();
        let length = self.headers.add(name, value, &mut self.malformed);
        self.has_long_text |= length > MAX_VALUE_BYTES;
    }

    pub(super) fn set_status(&mut self, status: Option<i64>) {
        self.has_response = true;
        self.status = status.filter(|status| (100..=599).contains(status));
        self.malformed |= status != self.status;
    }

    /// Any other text.
    pub(super) fn text(&mut self, text: Cow<'a, str>) -> Option<Cow<'a, str>> {
        self.malformed |= has_control(&text);
        self.note_length(&text);
        Some(text)
    }

    pub(super) fn note_length(&mut self, text: &str) {
        self.has_long_text |= text.len() > MAX_VALUE_BYTES;
    }
}
