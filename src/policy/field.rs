//! The fields of an event: their names, what they hold, and the slots of those that a policy set reads.

use std::collections::HashMap;
use std::fmt;

use super::nearest::nearest;

/// Longest name of a field, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// What a field holds. An absent field is empty as text, false as a bool, and null as anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Text.
    Text,
    /// A whole number.
    Int,
    /// A whole number of milliseconds, which may also be compared with a duration.
    Milliseconds,
    /// True or false.
    Bool,
    /// An IP address. As text it is written canonically (RFC 5952).
    Ip,
    /// Whatever the sender put there: text, a whole number or a bool, as the expression takes it.
    Any,
}

/// A field of an event. Names are flat; four families carry a name of their own: `request_query_<name>`,
/// `request_header_<name>`, `request_cookie_<name>` and `payload_<path>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Field {
    /// `source_id`: the source of the key.
    SourceId,
    /// `trust_level`: how far the operator trusts that source.
    TrustLevel,
    /// `key_id`: the key that sent the event.
    KeyId,
    /// `door`: by which way the event came.
    Door,
    /// `client_ip`: the address of the client, as the sender says. IPv4-mapped and NAT64 addresses are IPv4.
    ClientIp,
    /// `client_network`: its network, `/32` for IPv4 and `/64` for IPv6.
    ClientNetwork,
    /// `user_agent`.
    UserAgent,
    /// `referer`.
    Referer,
    /// `referer_host`: its host, normalised as `request_host` is.
    RefererHost,
    /// `country`: two upper case letters.
    Country,
    /// `asn`: the number of the autonomous system.
    Asn,
    /// `tls_version`.
    TlsVersion,
    /// `tls_ja3`.
    TlsJa3,
    /// `tls_ja4`.
    TlsJa4,
    /// `request_method`: in upper case.
    RequestMethod,
    /// `request_scheme`: in lower case.
    RequestScheme,
    /// `request_host`: in lower case, punycode, without port or final dot.
    RequestHost,
    /// `request_path`: decoded once, merged slashes, dots resolved.
    RequestPath,
    /// `request_path_raw`: as it was sent.
    RequestPathRaw,
    /// `request_query`: all of it, as it was sent.
    RequestQuery,
    /// `request_bytes`: the size of the request.
    RequestBytes,
    /// `request_malformed`: whether something had to be cut, dropped or replaced.
    RequestMalformed,
    /// `content_type`.
    ContentType,
    /// `payload_bytes`: the size of the payload.
    PayloadBytes,
    /// `payload_fields`: how many members it has.
    PayloadFields,
    /// `response_status`.
    ResponseStatus,
    /// `response_bytes`.
    ResponseBytes,
    /// `duration_ms`: how long the answer took.
    DurationMs,
    /// `observed_at`: RFC 3339 in UTC with milliseconds, so that the order of texts is the order of times.
    ObservedAt,
    /// `hour_of_day`: 0 to 23, in UTC.
    HourOfDay,
    /// `day_of_week`: 0 (Sunday) to 6, in UTC, as CEL counts.
    DayOfWeek,
    /// `request_query_<name>`: the first value of a parameter, decoded. Whatever is no ASCII letter, digit or `_` in
    /// the name of a parameter is `_` here; case counts.
    Query(Box<str>),
    /// `request_header_<name>`: lower case, with `_` for `-`.
    Header(Box<str>),
    /// `request_cookie_<name>`: named as parameters are.
    Cookie(Box<str>),
    /// `payload_<path>`: `payload_user_email` is `payload.user_email` where that exists, else `payload.user.email`.
    Payload(Box<str>),
}

/// Every field without a name of its own.
const FIXED: [(&str, Field, Kind); 31] = [
    ("source_id", Field::SourceId, Kind::Text),
    ("trust_level", Field::TrustLevel, Kind::Text),
    ("key_id", Field::KeyId, Kind::Text),
    ("door", Field::Door, Kind::Text),
    ("client_ip", Field::ClientIp, Kind::Ip),
    ("client_network", Field::ClientNetwork, Kind::Text),
    ("user_agent", Field::UserAgent, Kind::Text),
    ("referer", Field::Referer, Kind::Text),
    ("referer_host", Field::RefererHost, Kind::Text),
    ("country", Field::Country, Kind::Text),
    ("asn", Field::Asn, Kind::Int),
    ("tls_version", Field::TlsVersion, Kind::Text),
    ("tls_ja3", Field::TlsJa3, Kind::Text),
    ("tls_ja4", Field::TlsJa4, Kind::Text),
    ("request_method", Field::RequestMethod, Kind::Text),
    ("request_scheme", Field::RequestScheme, Kind::Text),
    ("request_host", Field::RequestHost, Kind::Text),
    ("request_path", Field::RequestPath, Kind::Text),
    ("request_path_raw", Field::RequestPathRaw, Kind::Text),
    ("request_query", Field::RequestQuery, Kind::Text),
    ("request_bytes", Field::RequestBytes, Kind::Int),
    ("request_malformed", Field::RequestMalformed, Kind::Bool),
    ("content_type", Field::ContentType, Kind::Text),
    ("payload_bytes", Field::PayloadBytes, Kind::Int),
    ("payload_fields", Field::PayloadFields, Kind::Int),
    ("response_status", Field::ResponseStatus, Kind::Int),
    ("response_bytes", Field::ResponseBytes, Kind::Int),
    ("duration_ms", Field::DurationMs, Kind::Milliseconds),
    ("observed_at", Field::ObservedAt, Kind::Text),
    ("hour_of_day", Field::HourOfDay, Kind::Int),
    ("day_of_week", Field::DayOfWeek, Kind::Int),
];

const QUERY: &str = "request_query_";
const HEADER: &str = "request_header_";
const COOKIE: &str = "request_cookie_";
const PAYLOAD: &str = "payload_";

/// Headers whose values are no secret. Any other may be one: each system names its credentials as it likes.
const PLAIN_HEADERS: [&str; 16] = [
    "accept",
    "accept_encoding",
    "accept_language",
    "cache_control",
    "connection",
    "content_encoding",
    "content_length",
    "content_type",
    "host",
    "sec_ch_ua",
    "sec_fetch_dest",
    "sec_fetch_mode",
    "sec_fetch_site",
    "te",
    "transfer_encoding",
    "user_agent",
];

impl Field {
    /// A field by its name.
    ///
    /// ```
    /// use keyloft::policy::Field;
    /// assert_eq!(Field::parse("request_path").unwrap(), Field::RequestPath);
    /// assert_eq!(Field::parse("request_header_x_trace").unwrap(), Field::Header("x_trace".into()));
    /// assert_eq!(Field::parse("request_methd").unwrap_err().nearest, ["request_method"]);
    /// ```
    ///
    /// # Errors
    /// [`UnknownField`], with the names that come nearest.
    pub fn parse(name: &str) -> Result<Self, UnknownField> {
        if let Some((_, field, _)) = FIXED.iter().find(|(fixed, _, _)| *fixed == name) {
            return Ok(field.clone());
        }
        Self::family(name).ok_or_else(|| UnknownField { name: name.chars().take(64).collect(), nearest: similar(name) })
    }

    /// A field that carries a name of its own.
    fn family(name: &str) -> Option<Self> {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.len() > MAX_NAME_BYTES || !name.chars().all(word) {
            return None;
        }
        let own = |prefix: &str| name.strip_prefix(prefix).filter(|own| !own.is_empty());
        if let Some(own) = own(QUERY) {
            return Some(Self::Query(own.into()));
        }
        if let Some(own) = own(HEADER) {
            return (!own.contains(|c: char| c.is_ascii_uppercase())).then(|| Self::Header(own.into()));
        }
        if let Some(own) = own(COOKIE) {
            return Some(Self::Cookie(own.into()));
        }
        own(PAYLOAD).map(|own| Self::Payload(own.into()))
    }

    /// Its name, as expressions write it.
    pub fn name(&self) -> String {
        match self {
            Self::Query(own) => format!("{QUERY}{own}"),
            Self::Header(own) => format!("{HEADER}{own}"),
            Self::Cookie(own) => format!("{COOKIE}{own}"),
            Self::Payload(own) => format!("{PAYLOAD}{own}"),
            fixed => fixed.fixed().map(|(name, _)| name).unwrap_or_default().to_owned(),
        }
    }

    /// What it holds.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Query(_) | Self::Header(_) | Self::Cookie(_) => Kind::Text,
            Self::Payload(_) => Kind::Any,
            fixed => fixed.fixed().map_or(Kind::Text, |(_, kind)| kind),
        }
    }

    fn fixed(&self) -> Option<(&'static str, Kind)> {
        FIXED.iter().find(|(_, field, _)| field == self).map(|(name, _, kind)| (*name, *kind))
    }

    /// Whether its value may be a secret: it is used in expressions, and never stored, logged or explained.
    pub fn is_secret(&self) -> bool {
        match self {
            // A referer carries the query of another page, a raw path may carry one by mistake.
            Self::Cookie(_) | Self::Query(_) | Self::Payload(_) | Self::RequestQuery | Self::Referer => true,
            Self::RequestPathRaw => true,
            Self::Header(name) => !PLAIN_HEADERS.contains(&&**name),
            _ => false,
        }
    }

    /// Whether only an event with a response has it.
    pub fn reads_response(&self) -> bool {
        matches!(self, Self::ResponseStatus | Self::ResponseBytes | Self::DurationMs)
    }

    /// The names of all fields without a name of their own.
    pub fn names() -> impl Iterator<Item = &'static str> {
        FIXED.iter().map(|(name, _, _)| *name)
    }
}

/// The names that come nearest to one that is none: misspelt, or without its first word.
fn similar(name: &str) -> Vec<String> {
    let last_word = |fixed: &&str| fixed.strip_suffix(name).is_some_and(|before| before.ends_with('_'));
    if !name.is_empty() {
        let found: Vec<String> = Field::names().filter(last_word).map(str::to_owned).collect();
        if !found.is_empty() {
            return found;
        }
    }
    let lower = name.to_ascii_lowercase().replace('-', "_");
    if lower != name && Field::parse(&lower).is_ok() {
        return vec![lower];
    }
    // The prefix of a family is compared alone: what stands behind it is the sender's.
    let family = |prefix: &str| {
        let (cut, _) = lower.match_indices('_').nth(prefix.matches('_').count().checked_sub(1)?)?;
        let (head, own) = lower.split_at_checked(cut + 1)?;
        (!own.is_empty() && !nearest(head, [prefix]).is_empty()).then(|| format!("{prefix}{own}"))
    };
    let found = nearest(&lower, Field::names());
    if !found.is_empty() {
        return found;
    }
    [QUERY, HEADER, COOKIE, PAYLOAD].into_iter().filter_map(family).collect()
}

/// A name that is no field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownField {
    /// The name, cut to 64 characters.
    pub name: String,
    /// The names that come nearest, the best first. Often none.
    pub nearest: Vec<String>,
}

impl fmt::Display for UnknownField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no field {}", self.name)
    }
}

impl std::error::Error for UnknownField {}

/// The place of a field among the [`Fields`] of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(u16);

impl Slot {
    /// Its index in [`Fields::iter`].
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The fields that the expressions, entities and windows of one set read, each with a slot. Only these are taken out
/// of an event.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    fields: Vec<Field>,
    slots: HashMap<Field, Slot>,
    /// By slot: whether an expression asks what is in it.
    read: Vec<bool>,
}

/// A set reads more than [`Fields::MAX`] fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyFields;

impl fmt::Display for TooManyFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a policy set reads at most {} different fields", Fields::MAX)
    }
}

impl std::error::Error for TooManyFields {}

impl Fields {
    /// How many different fields one set may read.
    pub const MAX: u16 = 512;

    /// The slot of a field, which is a new one the first time.
    ///
    /// # Errors
    /// [`TooManyFields`] when a new one would be beyond [`Fields::MAX`].
    pub fn slot(&mut self, field: Field) -> Result<Slot, TooManyFields> {
        if let Some(slot) = self.slots.get(&field) {
            return Ok(*slot);
        }
        let slot = u16::try_from(self.fields.len()).ok().filter(|slot| *slot < Self::MAX).ok_or(TooManyFields)?;
        self.fields.push(field.clone());
        self.read.push(false);
        self.slots.insert(field, Slot(slot));
        Ok(Slot(slot))
    }

    /// Notes that an expression asks what is in a slot, not only whether there is something.
    pub fn note_read(&mut self, slot: Slot) {
        if let Some(read) = self.read.get_mut(slot.index()) {
            *read = true;
        }
    }

    /// All fields, each with whether an expression asks what is in it. Of others it matters only which values are the
    /// same.
    pub fn uses(&self) -> impl Iterator<Item = (&Field, bool)> {
        self.fields.iter().zip(self.read.iter().copied())
    }

    /// The field of a slot.
    pub fn get(&self, slot: Slot) -> Option<&Field> {
        self.fields.get(slot.index())
    }

    /// All of them, in the order of their slots.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Field> {
        self.fields.iter()
    }
}
