//! Stream names, and the patterns that say which streams a key may touch.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::id::{InvalidId, display_inner, is_segment, textual};

/// The prefix of system streams.
const SYSTEM_PREFIX: &str = "keyloft_";
/// The stream of the audit.
pub const AUDIT: &str = "keyloft_audit";

/// The name of a stream: a table of events in a tenant.
///
/// - `[a-z0-9][a-z0-9_-]{0,62}`: safe as a path segment.
/// - not `information_schema`, which SQL reserves.
///
/// ```
/// use keyloft::key::StreamName;
/// assert!(StreamName::parse("web-logs").is_ok());
/// assert!(StreamName::parse("Web Logs").is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamName(Box<str>);

impl StreamName {
    /// Reads a stream name.
    ///
    /// # Errors
    /// [`InvalidId`] when the text breaks a rule listed on the type.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        const RULE: InvalidId = InvalidId::new(
            "a stream name",
            "1-63 of a-z, 0-9, _ and -, starting with a letter or digit, and not reserved",
        );
        if is_segment(text) && text != "information_schema" { Ok(Self(text.into())) } else { Err(RULE) }
    }

    /// Whether Keyloft alone writes it: it starts with `keyloft_`.
    pub fn is_system(&self) -> bool {
        self.0.starts_with(SYSTEM_PREFIX)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A stream name in which `*` stands for any run of characters, the empty one included.
///
/// - 1-64 of `a-z`, `0-9`, `_`, `-` and `*`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct StreamPattern(Box<str>);

impl StreamPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`InvalidId`] when the text breaks a rule listed on the type.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        const RULE: InvalidId = InvalidId::new("a stream pattern", "1-64 of a-z, 0-9, _, - and *");
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-' | b'*');
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) { Ok(Self(text.into())) } else { Err(RULE) }
    }

    /// Whether `stream` is covered. Linear in the name times the number of `*`, so a hostile pattern stays cheap.
    pub fn matches(&self, stream: &StreamName) -> bool {
        covers(&self.0, &stream.0)
    }
}

/// Whether a text is a pattern with something in place of each `*`.
pub(super) fn covers(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut pieces = rest.split('*').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return text.ends_with(piece);
        }
        let Some(at) = text.find(piece) else { return false };
        text = &text[at + piece.len()..];
    }
    true
}

display_inner!(StreamName, StreamPattern);
textual!(StreamName, StreamPattern);

/// The streams a key may touch: the union of its patterns.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Streams {
    /// Every stream of the tenant except system streams (`["*"]`).
    #[default]
    All,
    /// The streams that one of these patterns covers; none when empty.
    Matching(Box<[StreamPattern]>),
}

impl Streams {
    /// How many patterns one key may carry.
    pub const MAX_PATTERNS: usize = 64;

    /// Whether `stream` is covered. `*` does not match system streams: only patterns that start with
    /// `keyloft_` do. The stream of the audit is covered by its name alone.
    pub fn allow(&self, stream: &StreamName) -> bool {
        let meant = |pattern: &StreamPattern| match &*stream.0 {
            AUDIT => &*pattern.0 == AUDIT,
            _ => !stream.is_system() || pattern.0.starts_with(SYSTEM_PREFIX),
        };
        match self {
            Self::All => !stream.is_system(),
            Self::Matching(patterns) => patterns.iter().any(|pattern| meant(pattern) && pattern.matches(stream)),
        }
    }
}

impl TryFrom<Vec<StreamPattern>> for Streams {
    type Error = InvalidId;

    /// # Errors
    /// [`InvalidId`] when there are more than [`Streams::MAX_PATTERNS`].
    fn try_from(patterns: Vec<StreamPattern>) -> Result<Self, InvalidId> {
        if patterns.len() > Self::MAX_PATTERNS {
            return Err(InvalidId::new("streams", "at most 64 patterns"));
        }
        if patterns.iter().any(|pattern| &*pattern.0 == "*") && patterns.len() == 1 {
            return Ok(Self::All);
        }
        Ok(Self::Matching(patterns.into()))
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("[*]"),
            Self::Matching(patterns) => f.debug_list().entries(patterns.iter().map(|p| &p.0)).finish(),
        }
    }
}

impl Serialize for Streams {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.collect_seq(["*"]),
            Self::Matching(patterns) => serializer.collect_seq(patterns.iter()),
        }
    }
}

impl<'de> Deserialize<'de> for Streams {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<StreamPattern>::deserialize(deserializer)?.try_into().map_err(serde::de::Error::custom)
    }
}

/// Shorthand for the patterns of a key: every pattern must parse.
impl FromStr for Streams {
    type Err = InvalidId;

    /// Reads comma-separated patterns.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        text.split(',')
            .filter(|piece| !piece.trim().is_empty())
            .map(|piece| StreamPattern::parse(piece.trim()))
            .collect::<Result<Vec<_>, _>>()?
            .try_into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        StreamPattern::parse(pattern).unwrap().matches(&StreamName::parse(name).unwrap())
    }

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (pattern, name) in
            [("*", "a"), ("web", "web"), ("web-*", "web-"), ("web-*", "web-1"), ("*-log", "a-log"), ("a*b*c", "a-bb-c")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("web", "webs"), ("web-*", "web"), ("*-log", "a-logs"), ("a*b*c", "acb"), ("a*a", "a")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn no_pattern_means_no_stream() {
        let none = Streams::try_from(Vec::new()).unwrap();
        assert!(!none.allow(&StreamName::parse("a").unwrap()));
    }

    #[test]
    fn a_system_stream_is_covered_only_by_patterns_that_mean_it() {
        let usage = StreamName::parse("keyloft_usage").unwrap();
        assert!(usage.is_system() && !StreamName::parse("keyloft").unwrap().is_system());
        for (patterns, covered) in [
            ("*", false),
            ("*,web", false),
            ("k*", false),
            ("keyloft*", false),
            ("*usage", false),
            ("keyloft_*", true),
            ("keyloft_usage", true),
            ("web,keyloft_u*", true),
            ("keyloft_x*", false),
        ] {
            assert_eq!(patterns.parse::<Streams>().unwrap().allow(&usage), covered, "{patterns}");
        }
    }

    #[test]
    fn the_stream_of_the_audit_is_covered_by_its_name_alone() {
        let audit = StreamName::parse(AUDIT).unwrap();
        for (patterns, covered) in [
            ("*", false),
            ("*,web", false),
            ("keyloft_*", false),
            ("keyloft_audit*", false),
            ("keyloft_aud*t", false),
            ("*audit", false),
            ("keyloft_*,web", false),
            ("", false),
            ("keyloft_audit", true),
            ("*,keyloft_audit", true),
            ("keyloft_*,keyloft_audit", true),
        ] {
            assert_eq!(patterns.parse::<Streams>().unwrap().allow(&audit), covered, "{patterns}");
        }
        // Others that begin like it are not meant.
        let other = StreamName::parse("keyloft_audit2").unwrap();
        assert!("keyloft_*".parse::<Streams>().unwrap().allow(&other));
    }

    /// The textbook definition, exponential but obvious.
    fn reference(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|at| reference(rest, &name[at..])),
            Some((byte, rest)) => name.first() == Some(byte) && reference(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn patterns_match_as_the_textbook_says(pattern in "[ab*]{1,7}", name in "[ab]{1,9}") {
            prop_assert_eq!(matches(&pattern, &name), reference(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
