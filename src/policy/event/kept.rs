//! What is kept of an event so that policies can be tried on it later: normalised values of fields that are no secret,
//! and pseudonyms of those that tell one client from another.

use super::arrival::Arrival;
use super::event::{Event, Phase};
use crate::policy::entity::Pseudonyms;
use crate::policy::{Field, Value};

/// The fields whose values are kept, beside [`HEADERS`]. None is a secret, and none is an address.
pub const PLAIN: [Field; 19] = [
    Field::Country,
    Field::Asn,
    Field::TlsVersion,
    Field::TlsJa3,
    Field::TlsJa4,
    Field::UserAgent,
    Field::RefererHost,
    Field::ContentType,
    Field::RequestMethod,
    Field::RequestScheme,
    Field::RequestHost,
    Field::RequestPath,
    Field::RequestBytes,
    Field::RequestMalformed,
    Field::PayloadBytes,
    Field::PayloadFields,
    Field::ResponseStatus,
    Field::ResponseBytes,
    Field::DurationMs,
];
/// The headers whose values are kept.
pub const HEADERS: [&str; 8] = [
    "accept",
    "accept_encoding",
    "accept_language",
    "cache_control",
    "sec_ch_ua",
    "sec_fetch_dest",
    "sec_fetch_mode",
    "sec_fetch_site",
];
/// The fields that are kept as pseudonyms, whatever a set names.
const ADDRESSES: [Field; 2] = [Field::ClientIp, Field::ClientNetwork];

/// What is kept of a field.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptField {
    /// Which field.
    pub field: Field,
    /// Whether the value is a pseudonym.
    pub is_pseudonym: bool,
    /// The value. None is absent.
    pub value: Value<'static>,
}

/// The field whose kept values are those of `field`.
pub fn kept_as(field: &Field) -> &Field {
    match field {
        Field::Header(name) if **name == *"user_agent" => &Field::UserAgent,
        Field::Header(name) if **name == *"content_type" => &Field::ContentType,
        other => other,
    }
}

/// Whether the value of a field is kept, if an event has one.
pub fn is_plain(field: &Field) -> bool {
    PLAIN.contains(field) || matches!(field, Field::Header(name) if HEADERS.contains(&&**name))
}

impl Event<'_> {
    /// What is kept of it: what is harmless, and pseudonyms of addresses and of the fields that are `told_apart`.
    pub fn kept<'f>(&self, pseudonyms: &Pseudonyms, told_apart: impl IntoIterator<Item = &'f Field>) -> Vec<KeptField> {
        let headers = HEADERS.iter().map(|name| Field::Header((*name).into()));
        let plain = PLAIN.into_iter().chain(headers).map(|field| (field, false));
        let others = told_apart.into_iter().filter(|field| {
            !is_plain(kept_as(field)) && !super::given::comes_with_every_event(field) && !ADDRESSES.contains(field)
        });
        let others = ADDRESSES.into_iter().chain(others.cloned()).map(|field| (field, true));
        let mut kept: Vec<KeptField> = Vec::new();
        for (field, is_pseudonym) in plain.chain(others) {
            let value = self.value(&field);
            if !value.is_present() || kept.iter().any(|known| known.field == field) {
                continue;
            }
            let value = match value {
                value if is_pseudonym => Value::Text(pseudonyms.value(&field.name(), &value).into()),
                Value::Int(number) => Value::Int(number),
                Value::Bool(truth) => Value::Bool(truth),
                value => Value::Text(value.text().into_owned().into()),
            };
            kept.push(KeptField { field, is_pseudonym, value });
        }
        kept
    }
}

impl<'a> Event<'a> {
    /// An event out of what was kept of one. Nothing is normalised again.
    pub fn of_kept(
        arrival: Arrival<'a>,
        observed_at_ms: i64,
        phase: Phase,
        has_own_decision: bool,
        values: impl IntoIterator<Item = (&'a Field, Value<'a>)>,
    ) -> Self {
        let mut event = Self::new(arrival);
        event.observed_at_ms = observed_at_ms;
        event.has_response = phase != Phase::Request;
        event.has_decision = has_own_decision;
        for (field, value) in values {
            match (field, value) {
                (Field::RequestMethod, Value::Text(text)) => event.method = Some(text),
                (Field::RequestHost, Value::Text(text)) => event.host = Some(text),
                (Field::RequestPath, Value::Text(text)) => event.path = Some(text),
                (Field::ResponseStatus, Value::Int(status)) => event.status = Some(status),
                (Field::RequestMalformed, Value::Bool(malformed)) => event.malformed = malformed,
                (field, value) => event.kept.push((field, value)),
            }
        }
        event
    }

    /// The value of a field as it was kept.
    pub(super) fn kept_value(&self, field: &Field) -> Option<&Value<'a>> {
        if self.kept.is_empty() {
            return None; // As for every event that just came.
        }
        let wanted = kept_as(field);
        self.kept.iter().find(|(kept, _)| *kept == wanted).map(|(_, value)| value)
    }
}
