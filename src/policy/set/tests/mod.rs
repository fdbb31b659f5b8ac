//! Sets as documents.

mod documents;
