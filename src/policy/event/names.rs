//! Events under the names of others: the Elastic Common Schema, logs of nginx, and names that a tenant maps.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::arrival::Arrival;
use super::event::Event;
use super::json::Json;
use super::text::upper;
use super::time;
use crate::policy::{Field, Value};

/// What a value of a sender means to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The value of a field, before it is normalised.
    Field(Field),
    /// A path with its query, or a whole URL.
    Target,
    /// `GET /path HTTP/1.1`.
    RequestLine,
    /// How long the answer took, in nanoseconds.
    Nanoseconds,
    /// How long the answer took, in seconds with a fraction.
    Seconds,
    /// The decision that the answer carried, which is ours.
    Decision,
}

impl Meaning {
    /// Whether it names a path. What comes first in a table is as the client sent it; what was decoded already
    /// (`uri` of nginx) must not be decoded again.
    fn is_path(&self) -> bool {
        matches!(self, Self::Target | Self::RequestLine | Self::Field(Field::RequestPath))
    }
}

/// Which names of a sender mean what. Of several names with the same meaning the first one that an event has counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    meanings: Vec<Meaning>,
    /// The name of each.
    theirs: Vec<Box<str>>,
    tree: Tree,
}

/// Dotted names as a tree, so that an event is gone through once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Tree {
    children: Vec<(Box<str>, Self)>,
    /// The meanings of the name that ends here.
    meanings: Vec<usize>,
}

impl Tree {
    fn add(&mut self, name: &str, meaning: usize) {
        let mut at = self;
        for part in name.split('.') {
            let known = at.children.iter().position(|(own, _)| **own == *part);
            let place = known.unwrap_or_else(|| {
                at.children.push((part.into(), Self::default()));
                at.children.len().saturating_sub(1)
            });
            let Some((_, child)) = at.children.get_mut(place) else { return };
            at = child;
        }
        at.meanings.push(meaning);
    }

    /// Finds what stands under the names: nested (`{"a": {"b": 1}}`), flat (`{"a.b": 1}`), or both. The last of equal
    /// names counts. No deeper than the JSON is.
    fn find<'j>(&self, json: &'j Json<'j>, found: &mut [Option<&'j Json<'j>>]) {
        for (name, value) in json.members() {
            let child = |at: &'_ Self, part: &str| at.children.iter().position(|(own, _)| **own == *part);
            let mut at = Some(self);
            for part in name.split('.') {
                at = at.and_then(|at| at.children.get(child(at, part)?)).map(|(_, child)| child);
                if at.is_none() {
                    break;
                }
            }
            let Some(at) = at else { continue };
            for meaning in &at.meanings {
                if let Some(place) = found.get_mut(*meaning) {
                    *place = Some(value);
                }
            }
            at.find(value, found);
        }
    }
}

/// Our name of the decision that an answer carried, in maps of names.
const DECISION: &str = "response_decision";

/// Names of the Elastic Common Schema 9, and of its shippers where they differ.
const ECS: [(&str, Meaning); 35] = [
    ("@timestamp", Meaning::Field(Field::ObservedAt)),
    ("source.ip", Meaning::Field(Field::ClientIp)),
    ("client.ip", Meaning::Field(Field::ClientIp)),
    ("source.address", Meaning::Field(Field::ClientIp)),
    ("client.address", Meaning::Field(Field::ClientIp)),
    ("source.geo.country_iso_code", Meaning::Field(Field::Country)),
    ("client.geo.country_iso_code", Meaning::Field(Field::Country)),
    ("source.as.number", Meaning::Field(Field::Asn)),
    ("client.as.number", Meaning::Field(Field::Asn)),
    ("user_agent.original", Meaning::Field(Field::UserAgent)),
    ("http.request.method", Meaning::Field(Field::RequestMethod)),
    ("http.request.referrer", Meaning::Field(Field::Referer)),
    ("http.request.mime_type", Meaning::Field(Field::ContentType)),
    ("http.request.bytes", Meaning::Field(Field::RequestBytes)),
    ("http.request.body.bytes", Meaning::Field(Field::RequestBytes)),
    ("url.domain", Meaning::Field(Field::RequestHost)),
    ("destination.domain", Meaning::Field(Field::RequestHost)),
    ("url.scheme", Meaning::Field(Field::RequestScheme)),
    ("url.original", Meaning::Target),
    ("url.full", Meaning::Target),
    ("url.path", Meaning::Field(Field::RequestPath)),
    ("url.query", Meaning::Field(Field::RequestQuery)),
    ("tls.version", Meaning::Field(Field::TlsVersion)),
    ("tls.client.ja3", Meaning::Field(Field::TlsJa3)),
    ("tls.client.ja4", Meaning::Field(Field::TlsJa4)),
    ("http.response.status_code", Meaning::Field(Field::ResponseStatus)),
    ("http.response.bytes", Meaning::Field(Field::ResponseBytes)),
    ("http.response.body.bytes", Meaning::Field(Field::ResponseBytes)),
    ("event.duration", Meaning::Nanoseconds),
    ("http.response.headers.keyloft-decision", Meaning::Decision),
    ("http.response.headers.Keyloft-Decision", Meaning::Decision),
    ("keyloft.decision", Meaning::Decision),
    ("keyloft.decision.id", Meaning::Decision),
    ("response.decision", Meaning::Decision),
    ("response_decision", Meaning::Decision),
];

/// Variables of nginx, as a `log_format … escape=json` names them.
const NGINX: [(&str, Meaning); 28] = [
    ("msec", Meaning::Field(Field::ObservedAt)),
    ("time_iso8601", Meaning::Field(Field::ObservedAt)),
    ("time_local", Meaning::Field(Field::ObservedAt)),
    ("time", Meaning::Field(Field::ObservedAt)),
    ("@timestamp", Meaning::Field(Field::ObservedAt)),
    ("remote_addr", Meaning::Field(Field::ClientIp)),
    ("geoip2_country_code", Meaning::Field(Field::Country)),
    ("geoip_country_code", Meaning::Field(Field::Country)),
    ("http_user_agent", Meaning::Field(Field::UserAgent)),
    ("http_referer", Meaning::Field(Field::Referer)),
    ("request_method", Meaning::Field(Field::RequestMethod)),
    ("scheme", Meaning::Field(Field::RequestScheme)),
    ("http_host", Meaning::Field(Field::RequestHost)),
    ("host", Meaning::Field(Field::RequestHost)),
    ("server_name", Meaning::Field(Field::RequestHost)),
    ("request_uri", Meaning::Target),
    ("request", Meaning::RequestLine),
    ("uri", Meaning::Field(Field::RequestPath)),
    ("args", Meaning::Field(Field::RequestQuery)),
    ("query_string", Meaning::Field(Field::RequestQuery)),
    ("request_length", Meaning::Field(Field::RequestBytes)),
    ("content_type", Meaning::Field(Field::ContentType)),
    ("ssl_protocol", Meaning::Field(Field::TlsVersion)),
    ("status", Meaning::Field(Field::ResponseStatus)),
    ("bytes_sent", Meaning::Field(Field::ResponseBytes)),
    ("body_bytes_sent", Meaning::Field(Field::ResponseBytes)),
    ("request_time", Meaning::Seconds),
    ("sent_http_keyloft_decision", Meaning::Decision),
];

impl Names {
    /// Those of the Elastic Common Schema.
    pub fn ecs() -> Self {
        Self::of_table(&ECS)
    }

    /// Those of nginx.
    pub fn nginx() -> Self {
        Self::of_table(&NGINX)
    }

    /// The names of the sender that mean something, in the order in which they count.
    pub fn theirs(&self) -> impl Iterator<Item = &str> {
        self.theirs.iter().map(|name| &**name)
    }

    /// What means something, under which name, in that order.
    pub(super) fn meanings(&self) -> impl Iterator<Item = (&Meaning, &str)> {
        self.meanings.iter().zip(self.theirs())
    }

    fn of_table(table: &[(&str, Meaning)]) -> Self {
        Self::of(table.iter().map(|(name, meaning)| (*name, meaning.clone())))
    }

    fn of<'n>(names: impl Iterator<Item = (&'n str, Meaning)>) -> Self {
        let (mut meanings, mut theirs, mut tree) = (Vec::new(), Vec::new(), Tree::default());
        for (name, meaning) in names {
            tree.add(name, meanings.len());
            meanings.push(meaning);
            theirs.push(Box::from(name));
        }
        Self { meanings, theirs, tree }
    }

    /// Those of a tenant: from our field to the dotted name of theirs. `response_decision` is one of ours there, too.
    ///
    /// # Errors
    /// Our names that are no field, or none that a sender can state.
    pub fn of_map(map: &BTreeMap<String, String>) -> Result<Self, Vec<String>> {
        let meaning = |ours: &str| match ours {
            DECISION => Some(Meaning::Decision),
            other => Field::parse(other).ok().filter(is_stated).map(Meaning::Field),
        };
        let wrong: Vec<String> = map.keys().filter(|ours| meaning(ours).is_none()).cloned().collect();
        if !wrong.is_empty() {
            return Err(wrong);
        }
        Ok(Self::of(map.iter().filter_map(|(ours, theirs)| Some((&**theirs, meaning(ours)?)))))
    }
}

/// Whether a sender can state a field: others are worked out, or come from the key.
fn is_stated(field: &Field) -> bool {
    !matches!(
        field,
        Field::SourceId
            | Field::TrustLevel
            | Field::KeyId
            | Field::Door
            | Field::ClientNetwork
            | Field::RefererHost
            | Field::RequestPathRaw
            | Field::RequestMalformed
            | Field::PayloadBytes
            | Field::PayloadFields
            | Field::HourOfDay
            | Field::DayOfWeek
    )
}

impl<'a> Event<'a> {
    /// An event under the names of others. It is never refused: a shipper sends what it has, and would drop or repeat
    /// a whole batch. Members without a meaning are passed over; a value of the wrong type or form is absent, and the
    /// event is marked (`request_malformed`).
    pub fn of_names(names: &Names, json: &'a Json<'a>, arrival: Arrival<'a>) -> Self {
        let mut found = vec![None; names.meanings.len()];
        names.tree.find(json, &mut found);
        let given = found.into_iter().enumerate().filter_map(|(place, json)| Some((place, json?.value())));
        Self::of_given(names, given, arrival)
    }

    /// The same out of what is given under some of the names, by their places in [`Names::theirs`], in order.
    pub fn of_given(names: &Names, given: impl IntoIterator<Item = (usize, Value<'a>)>, arrival: Arrival<'a>) -> Self {
        let mut event = Self::new(arrival);
        let mut stated: Option<&Meaning> = None;
        for (place, value) in given {
            let Some(meaning) = names.meanings.get(place) else { continue };
            if stated == Some(meaning) || event.path.is_some() && meaning.is_path() {
                continue; // An earlier name had it.
            }
            if is_said(&value) {
                event.state(meaning, value);
                stated = Some(meaning);
            }
        }
        event
    }

    fn state(&mut self, meaning: &Meaning, value: Value<'a>) {
        match meaning {
            Meaning::Field(field) => self.state_field(field, value),
            Meaning::Target => self.set_target(owned(value)),
            Meaning::RequestLine => self.set_request_line(owned(value)),
            Meaning::Nanoseconds => {
                let nanoseconds = self.size(&value);
                self.set_duration(nanoseconds.map(|nanoseconds| nanoseconds / 1_000_000));
            }
            Meaning::Seconds => {
                let milliseconds = time::thousandths(&value.text());
                self.malformed |= milliseconds.is_none();
                self.set_duration(milliseconds);
            }
            Meaning::Decision => self.has_decision = true,
        }
    }

    fn set_duration(&mut self, milliseconds: Option<i64>) {
        self.has_response = true;
        self.duration_ms = milliseconds;
    }

    fn state_field(&mut self, field: &Field, value: Value<'a>) {
        match field {
            Field::ObservedAt => match time::any(&value) {
                Some(at) => self.observed_at_ms = at,
                None => self.malformed = true,
            },
            Field::ClientIp => self.malformed |= !self.set_client_ip(&value.text()),
            Field::UserAgent => self.user_agent = self.text(owned(value)),
            Field::Referer => self.referer = self.text(owned(value)),
            Field::ContentType => self.content_type = self.text(owned(value)),
            Field::Country => self.country = self.text(upper(owned(value))),
            Field::TlsVersion => self.tls_version = self.text(owned(value)),
            Field::TlsJa3 => self.tls_ja3 = self.text(owned(value)),
            Field::TlsJa4 => self.tls_ja4 = self.text(owned(value)),
            Field::Asn => self.asn = self.size(&value),
            Field::RequestMethod => self.set_method(owned(value)),
            Field::RequestScheme => self.set_scheme(owned(value)),
            Field::RequestHost => self.set_host(owned(value)),
            Field::RequestPath => self.set_path(owned(value)),
            Field::RequestQuery => self.set_query(owned(value)),
            Field::RequestBytes => self.request_bytes = self.size(&value),
            Field::ResponseStatus => {
                let status = self.size(&value);
                self.set_status(status);
            }
            Field::ResponseBytes => {
                self.has_response = true;
                self.response_bytes = self.size(&value);
            }
            Field::DurationMs => {
                let milliseconds = self.size(&value);
                self.set_duration(milliseconds);
            }
            Field::Header(name) => self.add_header(Cow::Owned(name.to_string()), owned(value)),
            Field::Cookie(name) => {
                let cookies = self.cookies.take().into_iter().flatten();
                self.set_cookies(cookies.chain([(Cow::Owned(name.to_string()), owned(value))]).collect::<Vec<_>>());
            }
            Field::Query(name) => {
                let pair = format!("{name}={}", escaped(&value.text()));
                let query = self.query.take().map_or_else(|| pair.clone(), |query| format!("{query}&{pair}"));
                self.set_query(Cow::Owned(query));
            }
            Field::Payload(path) => {
                self.note_length(&value.text());
                self.mapped_payload.push((path.clone(), value));
            }
            // No sender states the others: see `is_stated`.
            _ => self.malformed = true,
        }
    }

    /// A number that is not negative, also when it is written as text.
    fn size(&mut self, value: &Value<'_>) -> Option<i64> {
        let number = match value {
            Value::Text(text) => text.parse().ok(),
            other => other.int(),
        };
        let number = number.filter(|number| *number >= 0);
        self.malformed |= number.is_none();
        number
    }

    /// `GET /path HTTP/1.1`.
    pub(super) fn set_request_line(&mut self, line: Cow<'a, str>) {
        let Some((method, rest)) = line.split_once(' ') else {
            self.malformed = true;
            return;
        };
        let (target, version) = rest.rsplit_once(' ').unwrap_or((rest, ""));
        let is_http = version.starts_with("HTTP/");
        self.malformed |= !is_http;
        let target = if is_http { target } else { rest };
        self.set_method(Cow::Owned(method.to_owned()));
        self.set_target(Cow::Owned(target.to_owned()));
    }
}

/// Whether a value says something: logs write `-` and empty text for what there is not.
fn is_said(value: &Value<'_>) -> bool {
    match value {
        Value::Absent => false,
        Value::Text(text) => !text.is_empty() && text != "-",
        _ => true,
    }
}

fn owned(value: Value<'_>) -> Cow<'_, str> {
    match value {
        Value::Text(text) => text,
        other => Cow::Owned(other.text().into_owned()),
    }
}

/// So that [`super::query`] reads the same value again.
fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('&', "%26").replace('+', "%2B")
}
