//! Reading YAML that people wrote: bounded, and what is wrong with it said by its line, never with its values.

use std::io::Read;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_saphyr::options::MergeKeyPolicy;

use super::{Failure, Outcome};
use crate::http::extract::without_values;

/// The largest file that is read, in bytes.
pub(super) const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Reads a whole file; `-` is standard input.
pub(super) fn text(path: &Path) -> Outcome<String> {
    let shown = path.display();
    let input: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(path).map_err(|error| Failure::usage(format!("cannot open {shown}: {error}")))?)
    };
    let mut bytes = Vec::new();
    let read = input.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| Failure::usage(format!("cannot read {shown}: {error}")))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Failure::usage(format!("{shown} is larger than {MAX_BYTES} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| Failure::usage(format!("{shown} is not UTF-8")))
}

/// What a file is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manners {
    /// It is ours: what is wrong is explained, in words without values.
    Ours,
    /// It is somebody else's and holds secrets: only the place is told.
    Secret,
}

/// Reads one document.
pub(super) fn parse<T: DeserializeOwned>(text: &str, manners: Manners) -> Outcome<T> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: 1,
            max_depth: 32,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_nodes: 1_000_000,
            max_events: 3_000_000,
        },
        merge_keys: if manners == Manners::Ours { MergeKeyPolicy::Error } else { MergeKeyPolicy::Merge },
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let line = error.location().map_or(1, |at| at.line());
        let reason = match manners {
            Manners::Ours => reason(&error),
            Manners::Secret => "not what was expected here".to_owned(),
        };
        Failure::usage(format!("line {line}: {reason}"))
    })
}

/// A mistake that only shows when the whole is known.
pub(super) fn wrong(line: u64, reason: &str) -> Failure {
    Failure::usage(format!("line {line}: {reason}"))
}

fn reason(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error;
    match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            // The name of a field is no value, but a secret may have slipped there.
            let shown = if field.len() <= 24 { format!(" {field}") } else { String::new() };
            format!("unknown field{shown}, expected one of {}", expected.join(", "))
        }
        Error::SerdeMissingField { field, .. } => format!("the field {field} is missing from what ends here"),
        Error::SerdeUnknownVariant { expected, .. } => format!("expected one of {}", expected.join(", ")),
        Error::SerdeInvalidType { expected, .. } | Error::SerdeInvalidValue { expected, .. } => {
            format!("expected {expected}")
        }
        Error::DuplicateMappingKey { .. } => "this key stands here twice".to_owned(),
        Error::Message { msg, .. } => without_values(msg),
        Error::Unexpected { expected, .. } => format!("expected {expected}"),
        Error::InvalidScalar { ty, .. } => format!("expected {ty}"),
        _ => "not valid YAML, or not what was expected here".to_owned(),
    }
}
