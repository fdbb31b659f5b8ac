//! Reading YAML within bounds. Errors name the line and the field, never a value.

use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};
use serde_saphyr::Error;
use serde_saphyr::options::MergeKeyPolicy;

use super::{Failure, Outcome, input};
use crate::serde_text::without_values;

/// The largest file that is read, in bytes.
pub(super) const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Reads a whole file; `-` is standard input.
pub(super) fn text(path: &std::path::Path) -> Outcome<String> {
    let bytes = input::file(path, MAX_BYTES)?;
    String::from_utf8(bytes).map_err(|_| Failure::usage(format!("{} is not UTF-8", path.display())))
}

/// Help for errors: the name of a field, and the words after "takes".
pub(super) type FieldHelp = &'static [(&'static str, &'static str)];

/// How much an error says.
#[derive(Debug, Clone, Copy)]
pub(super) enum ErrorMode {
    /// The field and what it takes, without its value.
    Explain(FieldHelp),
    /// The line alone: the file belongs to another system and holds secrets.
    LineOnly,
}

/// Reads one document, in which `<<` merges.
pub(super) fn parse<T: DeserializeOwned>(text: &str, mode: ErrorMode) -> Outcome<T> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: 1,
            max_depth: 32,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_nodes: 1_000_000,
            max_events: 3_000_000,
        },
        merge_keys: MergeKeyPolicy::Merge,
        with_snippet: false,
    };
    let mut path = None;
    let read = serde_saphyr::with_deserializer_from_str_with_options(text, options, |deserializer| {
        serde_path_to_error::deserialize(deserializer).map_err(|error| {
            path = Some(error.path().clone());
            error.into_inner()
        })
    });
    read.map_err(|error| {
        let line = error.location().map_or(1, |at| at.line());
        let reason = match mode {
            ErrorMode::Explain(help) => {
                explanation(&error, text, line, path.as_ref().and_then(|path| field(path, help)))
            }
            ErrorMode::LineOnly => "not what was expected here".to_owned(),
        };
        wrong(line, &reason)
    })
}

/// A failure at a line.
pub(super) fn wrong(line: u64, reason: &str) -> Failure {
    Failure::usage(format!("line {line}: {reason}"))
}

/// The innermost field with help.
fn field(path: &Path, help: FieldHelp) -> Option<(&'static str, &'static str)> {
    let keys = path.iter().filter_map(|segment| match segment {
        Segment::Map { key } => Some(key.as_str()),
        _ => None,
    });
    keys.filter_map(|key| help.iter().find(|(name, _)| *name == key)).next_back().copied()
}

fn explanation(error: &Error, text: &str, line: u64, field: Option<(&str, &str)>) -> String {
    let takes = |otherwise: String| match field {
        Some((name, what)) => format!("{name} takes {what}"),
        None => otherwise,
    };
    match error {
        Error::AliasError { error, .. } => explanation(error, text, line, field),
        Error::SerdeUnknownField { field, expected, .. } => {
            // The name of a field is no value, but a secret may have slipped there.
            let shown = if field.len() <= 24 { format!(" {field}") } else { String::new() };
            format!("unknown field{shown}, expected one of {}", expected.join(", "))
        }
        Error::SerdeMissingField { field, .. } => format!("the field {field} is missing from what ends here"),
        Error::DuplicateMappingKey { .. } => "this key stands here twice".to_owned(),
        Error::Message { msg, .. } => match field {
            Some((name, _)) => format!("{name}: {}", without_values(msg)),
            None => without_values(msg),
        },
        Error::UnknownAnchor { .. } => format!("there is no anchor of this name; {QUOTE}"),
        Error::MergeValueNotMapOrSeqOfMaps { .. } => "<< takes an alias of a mapping, such as *base".to_owned(),
        Error::MultipleDocuments { .. } => "the file must hold one document".to_owned(),
        Error::ExternalMessage { .. } if has_bare_star(text, line) => format!("not valid YAML: {QUOTE}"),
        Error::ExternalMessage { .. } => "not valid YAML".to_owned(),
        Error::SerdeUnknownVariant { expected, .. } => takes(format!("expected one of {}", expected.join(", "))),
        Error::SerdeInvalidType { expected, .. } | Error::SerdeInvalidValue { expected, .. } => {
            takes(format!("expected {expected}"))
        }
        Error::Unexpected { expected, .. } => takes(format!("expected {expected}")),
        Error::InvalidScalar { ty, .. } => takes(format!("expected {ty}")),
        _ => takes("not valid YAML, or not what was expected here".to_owned()),
    }
}

const QUOTE: &str = "a text that begins with * has to be quoted: '*'";

/// Whether a value of this line begins with a `*` that is not quoted: YAML takes that for an alias.
fn has_bare_star(text: &str, line: u64) -> bool {
    let line = usize::try_from(line).ok().and_then(|line| text.lines().nth(line.checked_sub(1)?)).unwrap_or_default();
    line.match_indices('*').any(|(at, _)| {
        let before = line[..at].trim_end();
        before.is_empty() || before.ends_with(['[', ',', ':', '-', '{'])
    })
}
