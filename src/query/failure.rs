//! What a client may learn of an error: its own mistakes in full, nothing of object names, paths or other tenants.

use std::error::Error as StdError;

use datafusion::arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;
use object_store::Error as StoreError;

use crate::error::{Error, ErrorKind};
use crate::key::KeyType;

/// Enough for the parser's complaint, too little for a list of a thousand columns.
const MAX_MESSAGE_BYTES: usize = 1024;

/// What the library's layers put before a message.
const LAYERS: &[&str] =
    &["Error during planning: ", "Execution error: ", "Schema error: ", "Arrow error: ", "Compute error: "];

/// The error of ours that an error of DataFusion stands for.
pub(super) fn of(error: DataFusionError) -> Error {
    if let Some(ours) = cause::<Error>(&error) {
        return Error::new(ours.kind(), ours.message());
    }
    if cause::<StoreError>(&error).is_some() {
        let message = "the events cannot be read from the store right now";
        return Error::new(ErrorKind::Unavailable, message).caused_by(error);
    }
    match kind(&error) {
        ErrorKind::Invalid => Error::invalid(message(&error)),
        kind @ ErrorKind::Exhausted => {
            let message = "the query needs more memory than is left: ask for less at once, or try again later";
            Error::new(kind, message).caused_by(error)
        }
        kind @ ErrorKind::Corrupt => Error::new(kind, "a file of events cannot be read").caused_by(error),
        _ => defect().caused_by(error),
    }
}

/// An error whose cause only the logs may know.
pub(super) fn defect() -> Error {
    Error::new(ErrorKind::Internal, "the query failed for a reason of ours")
}

fn kind(error: &DataFusionError) -> ErrorKind {
    match error {
        DataFusionError::SQL(..)
        | DataFusionError::Plan(_)
        | DataFusionError::SchemaError(..)
        | DataFusionError::NotImplemented(_)
        | DataFusionError::Configuration(_) => ErrorKind::Invalid,
        // What the library says of a task of its own that was cancelled or panicked.
        DataFusionError::Execution(text) if text.contains("Panic Task error") => ErrorKind::Internal,
        DataFusionError::Execution(_) => ErrorKind::Invalid,
        DataFusionError::ArrowError(error, _) => match &**error {
            ArrowError::ExternalError(_) | ArrowError::IoError(..) | ArrowError::ParquetError(_) => ErrorKind::Corrupt,
            ArrowError::MemoryError(_) => ErrorKind::Exhausted,
            _ => ErrorKind::Invalid,
        },
        DataFusionError::ResourcesExhausted(_) => ErrorKind::Exhausted,
        DataFusionError::ParquetError(_) | DataFusionError::IoError(_) => ErrorKind::Corrupt,
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => kind(inner),
        DataFusionError::Shared(inner) => kind(inner),
        DataFusionError::Collection(errors) => errors.first().map_or(ErrorKind::Internal, kind),
        DataFusionError::External(inner) => inner.downcast_ref().map_or(ErrorKind::Internal, kind),
        _ => ErrorKind::Internal,
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
    let mut line = text.lines().next().unwrap_or_default();
    while let Some(rest) = LAYERS.iter().find_map(|layer| line.strip_prefix(layer)) {
        line = rest;
    }
    // It names a switch of the library that clients cannot reach.
    if line.contains("nested_expressions") {
        return "arrays are not supported".to_owned();
    }
    // No message that we know of holds an object name; should one ever, it stays here.
    if line.contains(".parquet") || line.contains("streams/") || line.contains("://") {
        return "the query cannot be run".to_owned();
    }
    // Messages quote the client's SQL: a key that was pasted into it must not travel on in answers and their logs.
    if KeyType::ALL.into_iter().any(|key_type| line.contains(key_type.prefix())) {
        return "the query holds an API key: take it out".to_owned();
    }
    line[..line.floor_char_boundary(MAX_MESSAGE_BYTES)].to_owned()
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
        assert_eq!((path.kind(), path.message()), (ErrorKind::Invalid, "the query cannot be run"));
        assert_eq!(of(DataFusionError::Internal("x".into())).kind(), ErrorKind::Internal);
    }
}
