//! The values of an event, field by field.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat};

use super::event::Event;
use super::json::Json;
use super::text::cut;
use super::{address, host, query};
use crate::policy::{Field, Fields, MAX_VALUE_BYTES, Value, Values};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// 1 January 1970 was a Thursday.
const FIRST_DAY: i64 = 4;

impl Event<'_> {
    /// The values of all fields that a set reads, and of no other.
    pub fn values(&self, fields: &Fields) -> Values<'_> {
        // A long text is nothing bad, unless the set reads it and gets only its beginning.
        let is_cut = |field| matches!(self.whole(field), Value::Text(text) if text.len() > MAX_VALUE_BYTES);
        let malformed = self.malformed || self.has_long_text && fields.iter().any(is_cut);
        Values::read(fields, |field| match field {
            Field::RequestMalformed => Value::Bool(malformed),
            other => self.value(other),
        })
    }

    /// The value of a field, cut to [`MAX_VALUE_BYTES`].
    pub fn value(&self, field: &Field) -> Value<'_> {
        match self.whole(field) {
            Value::Text(text) if text.len() > MAX_VALUE_BYTES => Value::Text(cut(text, &mut false)),
            other => other,
        }
    }

    /// The value of a field, as long as it is.
    fn whole(&self, field: &Field) -> Value<'_> {
        if let Some(kept) = self.kept_value(field) {
            return kept.clone();
        }
        match field {
            Field::SourceId => shown(self.arrival.source_id),
            Field::TrustLevel => shown(self.arrival.trust_level),
            Field::KeyId => shown(self.arrival.key_id),
            Field::Door => shown(Some(self.arrival.door.as_str())),
            Field::ClientIp => self.client_ip.map_or(Value::Absent, Value::Ip),
            Field::ClientNetwork => {
                let network = |ip| Value::Text(address::network(ip, self.arrival.ipv6_network_bits).into());
                self.client_ip.map_or(Value::Absent, network)
            }
            Field::UserAgent => text(self.user_agent.as_ref().or_else(|| self.headers.get("user_agent"))),
            Field::Referer => text(self.referer()),
            Field::RefererHost => self.referer().and_then(|url| host::of_url(url)).map_or(Value::Absent, Value::Text),
            Field::Country => text(self.country.as_ref()),
            Field::Asn => number(self.asn),
            Field::TlsVersion => text(self.tls_version.as_ref()),
            Field::TlsJa3 => text(self.tls_ja3.as_ref()),
            Field::TlsJa4 => text(self.tls_ja4.as_ref()),
            Field::RequestMethod => text(self.method.as_ref()),
            Field::RequestScheme => text(self.scheme.as_ref()),
            Field::RequestHost => text(self.host.as_ref()),
            Field::RequestPath => text(self.path.as_ref()),
            Field::RequestPathRaw => text(self.path_raw.as_ref()),
            Field::RequestQuery => shown(self.query.as_deref()),
            Field::RequestBytes => number(self.request_bytes),
            Field::RequestMalformed => Value::Bool(self.malformed),
            Field::ContentType => text(self.content_type.as_ref().or_else(|| self.headers.get("content_type"))),
            Field::PayloadBytes => size(self.payload.map(Json::bytes)),
            Field::PayloadFields => size(self.payload.map(Json::count_members)),
            Field::ResponseStatus => number(self.status),
            Field::ResponseBytes => number(self.response_bytes),
            Field::DurationMs => number(self.duration_ms),
            Field::ObservedAt => DateTime::from_timestamp_millis(self.observed_at_ms)
                .map_or(Value::Absent, |at| Value::Text(at.to_rfc3339_opts(SecondsFormat::Millis, true).into())),
            Field::HourOfDay => Value::Int(self.observed_at_ms.div_euclid(HOUR_MS).rem_euclid(24)),
            Field::DayOfWeek => Value::Int((self.observed_at_ms.div_euclid(DAY_MS) % 7 + FIRST_DAY).rem_euclid(7)),
            Field::Query(name) => self.query_parameter(name),
            Field::Header(name) => text(self.headers.get(name)),
            Field::Cookie(name) => self.cookie(name),
            Field::Payload(path) => self.payload_member(path),
        }
    }

    fn referer(&self) -> Option<&Cow<'_, str>> {
        self.referer.as_ref().or_else(|| self.headers.get("referer"))
    }

    fn query_parameter(&self, name: &str) -> Value<'_> {
        let Some(text) = self.query.as_deref() else { return Value::Absent };
        let (pairs, _) = query::pairs(text);
        pick(pairs.map(|(sent, value)| (query::decoded(sent), value)), name)
            .map_or(Value::Absent, |value| Value::Text(query::decoded(value)))
    }

    /// A cookie as the sender took it apart, else from the header.
    fn cookie(&self, name: &str) -> Value<'_> {
        let found = match &self.cookies {
            Some(cookies) => pick(cookies.iter().map(|(sent, value)| (Cow::Borrowed(&**sent), &**value)), name),
            None => {
                let header = self.headers.get("cookie").map_or("", |header| header);
                pick(query::cookies(header).0.map(|(sent, value)| (Cow::Borrowed(sent), value)), name)
            }
        };
        found.map_or(Value::Absent, |value| Value::Text(Cow::Borrowed(value)))
    }

    /// The cookies that may hold clearances, as the sender took them apart, else from the header.
    pub fn clearance_cookies(&self) -> impl Iterator<Item = &str> {
        let taken_apart = self.cookies.iter().flatten().map(|(name, value)| (&**name, &**value));
        let header = self.headers.get("cookie").filter(|_| self.cookies.is_none());
        let all = taken_apart.chain(header.into_iter().flat_map(|header| query::cookies(header).0));
        all.filter(|(name, _)| name.starts_with(query::CLEARANCE_COOKIES)).map(|(_, value)| value)
    }

    /// A header, as long as it is.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| &**value)
    }

    /// A member of the payload: at each object the member with the longest name with which the rest begins is taken.
    fn payload_member(&self, path: &str) -> Value<'_> {
        if let Some((_, value)) = self.mapped_payload.iter().find(|(name, _)| **name == *path) {
            return value.clone();
        }
        let Some(mut at) = self.payload else { return Value::Absent };
        let mut rest = Some(path);
        while let Some(path) = rest {
            // The last of equal ones, as most readers of JSON take it.
            let members = at.members().iter().filter(|(name, _)| begins_with(path, name));
            let Some((name, member)) = members.max_by_key(|(name, _)| name.len()) else { return Value::Absent };
            at = member;
            rest = path.get(name.len().saturating_add(1)..);
        }
        at.value()
    }
}

/// Whether a name is all of a path, or what stands before a `_` of it.
fn begins_with(path: &str, name: &str) -> bool {
    path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

/// The value under a name: of exactly that name, else the first that expressions name so.
fn pick<'a>(pairs: impl Iterator<Item = (Cow<'a, str>, &'a str)>, name: &str) -> Option<&'a str> {
    let mut similar = None;
    for (sent, value) in pairs {
        if sent == name {
            return Some(value);
        }
        if similar.is_none() && query::is_named(&sent, name) {
            similar = Some(value);
        }
    }
    similar
}

fn shown(text: Option<&str>) -> Value<'_> {
    text.map_or(Value::Absent, |text| Value::Text(Cow::Borrowed(text)))
}

fn text<'a>(text: Option<&'a Cow<'_, str>>) -> Value<'a> {
    shown(text.map(|text| &**text))
}

fn number(number: Option<i64>) -> Value<'static> {
    number.map_or(Value::Absent, Value::Int)
}

fn size(size: Option<usize>) -> Value<'static> {
    number(size.and_then(|size| i64::try_from(size).ok()))
}
