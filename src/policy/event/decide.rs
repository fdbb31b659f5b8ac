//! Events as `POST /api/v1/decide` takes them.

use std::borrow::Cow;

use super::MAX_EVENT_BYTES;
use super::arrival::Arrival;
use super::error::InvalidEvent;
use super::event::Event;
use super::json::Json;
use super::text::upper;
use super::time;
use crate::policy::MAX_VALUE_BYTES;
use crate::policy::nearest::nearest;

type Result<T> = std::result::Result<T, InvalidEvent>;

const EVENT: &[&str] =
    &["observedAt", "clientIp", "country", "asn", "tls", "request", "payload", "response", "clearance", "returnPath"];
const REQUEST: &[&str] = &["method", "scheme", "host", "path", "query", "headers", "cookies", "bytes"];
const RESPONSE: &[&str] = &["status", "bytes", "durationMs", "decision"];
const TLS: &[&str] = &["version", "ja3", "ja4"];

const TEXT: &str = "text";
const SIZE: &str = "a whole number from 0 on";

impl<'a> Event<'a> {
    /// Reads an event. Every member may be left out or null.
    ///
    /// Members that are not known are refused: a sender whose `clientIP` is misspelt would be protected by nothing, and
    /// nobody would notice. What a sender wants to add of its own belongs into `payload`, where any JSON may stand.
    /// What a client chooses (values of any length, headers of any number, broken paths) never makes an event invalid,
    /// because the sender would let the request pass then: it is cut, and marked by `request_malformed`.
    ///
    /// # Errors
    /// [`InvalidEvent`] names the member that the sender has to mend.
    pub fn of_decide(json: &'a Json<'a>, arrival: Arrival<'a>) -> Result<Self> {
        let root = At { json, path: "", names: EVENT }.checked()?;
        let mut event = Self::new(arrival);
        // A client of the sender chooses how large it is.
        event.malformed |= json.bytes() > MAX_EVENT_BYTES;
        if let Some(at) = root.text("observedAt")? {
            let rule = "a time such as 2026-11-29T07:00:00.000Z";
            event.observed_at_ms = time::rfc3339(at).ok_or_else(|| root.wrong("observedAt", rule))?;
        }
        if let Some(address) = root.text("clientIp")?
            && !event.set_client_ip(address)
        {
            return Err(root.wrong("clientIp", "an IP address without port and zone"));
        }
        event.country = root.text("country")?.and_then(|country| event.text(upper(Cow::Borrowed(country))));
        event.asn = root.size("asn")?;
        if let Some(tls) = root.object("tls", TLS)? {
            event.tls_version = tls.text("version")?.and_then(|text| event.text(Cow::Borrowed(text)));
            event.tls_ja3 = tls.text("ja3")?.and_then(|text| event.text(Cow::Borrowed(text)));
            event.tls_ja4 = tls.text("ja4")?.and_then(|text| event.text(Cow::Borrowed(text)));
        }
        if let Some(request) = root.object("request", REQUEST)? {
            event.read_request(&request)?;
        }
        event.payload = root.given("payload");
        event.has_long_text |= event.payload.is_some_and(|payload| payload.has_longer_text(MAX_VALUE_BYTES));
        if let Some(response) = root.object("response", RESPONSE)? {
            event.has_response = true;
            if let Some(status) = response.size("status")? {
                event.set_status(Some(status));
            }
            event.response_bytes = response.size("bytes")?;
            event.duration_ms = response.size("durationMs")?;
            event.has_decision = response.text("decision")?.is_some_and(|decision| !decision.is_empty());
        }
        event.clearance = root.text("clearance")?;
        event.return_path = root.text("returnPath")?;
        Ok(event)
    }

    fn read_request(&mut self, request: &At<'a>) -> Result<()> {
        if let Some(method) = request.text("method")? {
            self.set_method(Cow::Borrowed(method));
        }
        if let Some(scheme) = request.text("scheme")? {
            self.set_scheme(Cow::Borrowed(scheme));
        }
        if let Some(path) = request.text("path")? {
            self.set_target(Cow::Borrowed(path));
        }
        if let Some(query) = request.text("query")?
            && !query.is_empty()
        {
            self.set_query(Cow::Borrowed(query.strip_prefix('?').unwrap_or(query)));
        }
        let rule = "an object of texts, or of arrays of texts";
        for (name, value) in request.entries("headers", rule)? {
            self.add_header(Cow::Borrowed(name), Cow::Borrowed(value));
        }
        // The sender's own word wins, then the host of a whole URL, as RFC 9112, section 3.2.2, wants it.
        let header = || self.headers.get("host").filter(|_| self.host.is_none()).cloned();
        if let Some(host) = request.text("host")?.map(Cow::Borrowed).or_else(header).filter(|host| !host.is_empty()) {
            self.set_host(host);
        }
        if request.given("cookies").is_some() {
            let cookies = request.entries("cookies", rule)?;
            self.set_cookies(cookies.into_iter().map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value))));
        }
        self.request_bytes = request.size("bytes")?;
        Ok(())
    }
}

/// An object of the event, and where it stands.
struct At<'a> {
    json: &'a Json<'a>,
    path: &'static str,
    names: &'static [&'static str],
}

impl<'a> At<'a> {
    /// The object, if it has only members of these names, each once.
    fn checked(self) -> Result<Self> {
        let Json::Object(members) = self.json else {
            let path = if self.path.is_empty() { "the event" } else { self.path };
            return Err(InvalidEvent::member(path, "an object"));
        };
        let mut seen = 0u32;
        for (name, _) in members {
            let Some(index) = self.names.iter().position(|known| known == name) else {
                let hint = nearest(name, self.names.iter().copied());
                let rule = match hint.first() {
                    Some(similar) => format!("left out: it is not known, and {similar} is"),
                    None => format!("left out: it is not known (known are {})", self.names.join(", ")),
                };
                return Err(self.wrong(name, rule));
            };
            let bit = 1u32.checked_shl(u32::try_from(index).unwrap_or(u32::MAX)).unwrap_or_default();
            if seen & bit != 0 {
                return Err(self.wrong(name, "given once"));
            }
            seen |= bit;
        }
        Ok(self)
    }

    /// A member that is neither absent nor null.
    fn given(&self, name: &str) -> Option<&'a Json<'a>> {
        self.json.get(name).filter(|json| **json != Json::Null)
    }

    fn wrong(&self, name: &str, rule: impl Into<Cow<'static, str>>) -> InvalidEvent {
        const MAX_CHARS: usize = 64;
        let name: String = name.chars().filter(|c| !c.is_control()).take(MAX_CHARS).collect();
        let dot = if self.path.is_empty() { "" } else { "." };
        InvalidEvent::member(format!("{}{dot}{name}", self.path), rule)
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>> {
        match self.given(name) {
            None => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(name, TEXT)),
        }
    }

    fn size(&self, name: &str) -> Result<Option<i64>> {
        match self.given(name) {
            None => Ok(None),
            Some(Json::Int(size)) if *size >= 0 => Ok(Some(*size)),
            Some(_) => Err(self.wrong(name, SIZE)),
        }
    }

    fn object(&self, name: &'static str, names: &'static [&'static str]) -> Result<Option<Self>> {
        self.given(name).map(|json| Self { json, path: name, names }.checked()).transpose()
    }

    /// Names and texts of an object whose members are texts or arrays of texts; null is passed over.
    fn entries(&self, name: &str, rule: &'static str) -> Result<Vec<(&'a str, &'a str)>> {
        let members = match self.given(name) {
            None => return Ok(Vec::new()),
            Some(Json::Object(members)) => members,
            Some(_) => return Err(self.wrong(name, rule)),
        };
        let mut read = Vec::with_capacity(members.len());
        for (own, value) in members {
            let one = std::slice::from_ref(value);
            for item in if let Json::List(items) = value { items } else { one } {
                match item {
                    Json::Text(text) => read.push((&**own, &**text)),
                    Json::Null => {}
                    _ => return Err(self.wrong(&format!("{name}.{own}"), TEXT)),
                }
            }
        }
        Ok(read)
    }
}
