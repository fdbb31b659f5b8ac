//! The part of an error that a client may see: its own mistakes in full, and the name of an unreadable object of its
//! own. Paths and other tenants stay hidden.

use std::error::Error as StdError;
use std::io;

use datafusion::arrow::error::ArrowError;
use datafusion::common::{DataFusionError, SchemaError, plan_datafusion_err};
use datafusion::parquet::errors::ParquetError;
use datafusion::sql::sqlparser::parser::ParserError;
use object_store::Error as StoreError;

use super::wording::{self, OTHERWISE};
use crate::error::{Error, ErrorKind};
use crate::key::credential::may_hold_secret;
use crate::stream::objects::MISSING;

/// Enough for the parser's complaint, too little for a list of a thousand columns.
const MAX_MESSAGE_BYTES: usize = 1024;
/// In place of a message that would quote a secret.
pub(super) const HOLDS_SECRET: &str = "the query holds an API key or a token: take it out";

/// The prefixes that layers of the library put before a message.
const LAYERS: &[&str] = &[
    "Error during planning: ",
    "Execution error: ",
    "Schema error: ",
    "Arrow error: ",
    "Compute error: ",
    "External error: ",
    "This feature is not implemented: ",
    "Optimizer rule ",
];

/// Parts of internal errors of the library that the text of a query causes.
const OF_THE_QUERY: &[&str] =
    &["Cannot run range queries", "Regular expression did not compile", "in BETWEEN expression"];

/// The error of ours that an error of DataFusion stands for.
///
/// Failures of the store and of memory are known by their type. Every other error comes from the text of the query or
/// from data, in whichever layer it arises: the client can change it.
pub(super) fn of(error: DataFusionError) -> Error {
    if let Some(ours) = cause::<Error>(&error) {
        return Error::new(ours.kind(), ours.message());
    }
    if cause::<StoreError>(&error).is_some() {
        let message = "the events cannot be read from the store right now";
        return Error::new(ErrorKind::Unavailable, message).caused_by(error);
    }
    if cause::<Panicked>(&error).is_some() {
        return panicked();
    }
    if cause::<ParquetError>(&error).is_some() || cause::<io::Error>(&error).is_some() {
        return Error::new(ErrorKind::Corrupt, "a file of events cannot be read").caused_by(error);
    }
    match layer(&error) {
        Layer::Memory => {
            let message = "the query needs more memory than is left: ask for less at once, or try again later";
            Error::new(ErrorKind::Exhausted, message).caused_by(error)
        }
        Layer::File => Error::new(ErrorKind::Corrupt, "a file of events cannot be read").caused_by(error),
        Layer::Stopped => stopped(),
        Layer::Engine => {
            tracing::error!(cause = shown(&error.to_string()), "the query engine failed on a query");
            Error::invalid(OTHERWISE)
        }
        Layer::Query => Error::invalid(message(&error)),
    }
}

/// The engine panicked while it read an object.
#[derive(Debug, thiserror::Error)]
#[error("the query engine panicked")]
pub(super) struct Panicked;

/// Why a query is refused that would read too much.
pub(super) fn too_large(error: &DataFusionError) -> Option<&str> {
    cause::<Error>(error).filter(|ours| ours.kind() == ErrorKind::QueryTooLarge).map(Error::message)
}

/// Whether an error is a defect of the engine, or of what it read.
pub(super) fn is_of_engine(error: &DataFusionError) -> bool {
    cause::<Panicked>(error).is_some() || cause::<Error>(error).is_none() && matches!(layer(error), Layer::Engine)
}

/// Why an object cannot be read, when an error that arose while it was read is about the object itself: not about the
/// query, and not about a store that does not answer.
pub(super) fn of_object(error: &DataFusionError) -> Option<String> {
    if let Some(ours) = cause::<Error>(error) {
        return (ours.kind() == ErrorKind::Corrupt).then(|| ours.message().to_owned());
    }
    if let Some(store) = cause::<StoreError>(error) {
        return match store {
            StoreError::NotFound { .. } => Some(MISSING.to_owned()),
            // What a directory says of a link, or of a file without permission.
            StoreError::NotSupported { .. } => Some("it cannot be opened".to_owned()),
            _ => None,
        };
    }
    if let Some(parquet) = cause::<ParquetError>(error) {
        let text = parquet.to_string();
        let text = text.strip_prefix("Parquet error: ").unwrap_or(&text);
        return Some(format!("it is damaged ({})", shown(text)));
    }
    let is_file = cause::<io::Error>(error).is_some() || matches!(layer(error), Layer::File);
    is_file.then(|| "it is damaged".to_owned())
}

/// All names of a query were found when it was read. A column that DataFusion 55 cannot find later is one that it has
/// renamed itself: a `NOT (a LIKE b)` within `ROLLUP`, for example. No report upstream is known, and no release that
/// ends it.
pub(super) fn lost_column(error: DataFusionError) -> DataFusionError {
    let lost = match error.find_root() {
        DataFusionError::SchemaError(schema, _) => matches!(**schema, SchemaError::FieldNotFound { .. }),
        DataFusionError::NotImplemented(text) => {
            text.starts_with("Physical plan does not support logical expression GroupingSet(")
        }
        _ => false,
    };
    if !lost {
        return error;
    }
    plan_datafusion_err!(
        "the query engine cannot compute such an expression here: compute it in FROM, and use its name"
    )
}

/// The engine panicked on a query.
pub(super) fn panicked() -> Error {
    tracing::error!("the query engine panicked on a query");
    Error::invalid(OTHERWISE)
}

/// The work ended before the answer was complete.
pub(super) fn stopped() -> Error {
    Error::new(ErrorKind::Unavailable, "the query was stopped, because the server is stopping")
}

enum Layer {
    Memory,
    File,
    Stopped,
    /// A defect of the library.
    Engine,
    Query,
}

fn layer(error: &DataFusionError) -> Layer {
    match error {
        DataFusionError::ResourcesExhausted(_) => Layer::Memory,
        DataFusionError::ParquetError(_) | DataFusionError::IoError(_) => Layer::File,
        DataFusionError::ArrowError(error, _) => match &**error {
            ArrowError::IoError(..) | ArrowError::ParquetError(_) => Layer::File,
            ArrowError::MemoryError(_) => Layer::Memory,
            ArrowError::ExternalError(inner) => inner.downcast_ref().map_or(Layer::Query, layer),
            _ => Layer::Query,
        },
        DataFusionError::ExecutionJoin(error) if error.is_cancelled() => Layer::Stopped,
        // What the library says of a task of its own that ended early.
        DataFusionError::Execution(text) if text.contains("Non Panic Task error") => Layer::Stopped,
        DataFusionError::Execution(text) if text.contains("Panic Task error") => Layer::Engine,
        // Some of what it calls its own defects come from the text of a query.
        DataFusionError::Internal(text) if OF_THE_QUERY.iter().any(|part| text.contains(part)) => Layer::Query,
        DataFusionError::ExecutionJoin(_) | DataFusionError::Internal(_) => Layer::Engine,
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => layer(inner),
        DataFusionError::Shared(inner) => layer(inner),
        DataFusionError::Collection(errors) => errors.first().map_or(Layer::Query, layer),
        DataFusionError::External(inner) => inner.downcast_ref().map_or(Layer::Query, layer),
        _ => Layer::Query,
    }
}

/// The first line of an error that the client's SQL caused, without what the library puts before it.
fn message(error: &DataFusionError) -> String {
    let text = match error.find_root() {
        DataFusionError::SQL(parser, _) => match &**parser {
            ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.clone(),
            ParserError::RecursionLimitExceeded => "the query is nested too deeply".to_owned(),
        },
        DataFusionError::Collection(errors) => {
            errors.first().map_or_else(String::new, DataFusionError::strip_backtrace)
        }
        root => root.strip_backtrace(),
    };
    cut(wording::plain(&first_line(&text)))
}

/// The part of a text that may be shown.
fn shown(text: &str) -> String {
    cut(first_line(text))
}

fn cut(mut line: String) -> String {
    line.truncate(line.floor_char_boundary(MAX_MESSAGE_BYTES));
    line
}

/// What a text says, without secrets.
fn first_line(text: &str) -> String {
    let mut lines = text.lines();
    let mut line = lines.next().unwrap_or_default();
    while let Some(rest) = LAYERS.iter().find_map(|layer| line.strip_prefix(layer)) {
        line = rest;
    }
    // Its last line says what is wrong.
    let pattern = line.starts_with("regex parse error").then(|| lines.next_back()).flatten();
    let pattern = pattern.map(|why| format!("not a regular expression: {}", why.trim_start_matches("error: ")));
    let line = pattern.as_deref().unwrap_or(line);
    // No message that we know of holds an object name; should one ever, it stays here.
    if line.contains(".parquet") || line.contains("streams/") || line.contains("://") {
        return OTHERWISE.to_owned();
    }
    // Messages quote the client's SQL: a key that was pasted into it must not travel on in answers and their logs.
    if may_hold_secret(text) {
        return HOLDS_SECRET.to_owned();
    }
    line.to_owned()
}

/// The error of type `E` in the chain of causes, if there is one.
fn cause<E: StdError + 'static>(error: &DataFusionError) -> Option<&E> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        // Boxes and shared errors hide what they hold from `source`.
        next = match error.downcast_ref::<DataFusionError>() {
            Some(DataFusionError::External(inner)) => Some(&**inner),
            Some(DataFusionError::Shared(inner)) => Some(&**inner),
            Some(DataFusionError::ObjectStore(inner)) => Some(&**inner),
            Some(DataFusionError::ParquetError(inner)) => Some(&**inner),
            Some(DataFusionError::ArrowError(inner, _)) => Some(&**inner),
            _ => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store_error() -> StoreError {
        StoreError::Generic { store: "S3", source: "acme/streams/web/secret.parquet".into() }
    }

    #[test]
    fn an_outage_is_told_from_the_clients_mistakes_however_deep_it_hides() {
        let parquet = datafusion::parquet::errors::ParquetError::External(Box::new(store_error()));
        for error in [
            DataFusionError::from(store_error()),
            DataFusionError::from(parquet),
            DataFusionError::External(Box::new(DataFusionError::from(store_error()))),
            DataFusionError::from(store_error()).context("while reading"),
            DataFusionError::ArrowError(Box::new(ArrowError::ExternalError(Box::new(store_error()))), None),
        ] {
            let error = of(error);
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
            assert!(!error.message().contains("secret"));
        }
    }

    #[test]
    fn messages_are_one_short_line_and_never_hold_an_object_name() {
        let long = of(DataFusionError::Plan(format!("bad {}\nsecond", "ö".repeat(2000))));
        assert!(long.message().len() <= MAX_MESSAGE_BYTES && long.message().starts_with("bad ö"));
        let path = of(DataFusionError::Execution("cannot read acme/streams/web/date=2026-01-01/x.parquet".into()));
        assert_eq!((path.kind(), path.message()), (ErrorKind::Invalid, OTHERWISE));
        assert_eq!(of(DataFusionError::Internal("x".into())).kind(), ErrorKind::Invalid);
        let pattern = of(DataFusionError::External("regex parse error:\n    (\n    ^\nerror: unclosed group".into()));
        assert_eq!(pattern.message(), "not a regular expression: unclosed group");
    }
}
