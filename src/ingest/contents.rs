//! What is in a body of events, once it is unpacked: texts, and the fields that all their events have.

use bytes::Bytes;

use super::decode::{CommonFields, Framing, Text};
use super::firehose::Delivery;
use crate::error::{Error, Result};

/// What a body of events is.
#[derive(Debug, Clone)]
pub enum Form {
    /// The events themselves.
    Events(Framing),
    /// A delivery of Firehose, whose events all have these fields. Its id must be this one, if the request named one.
    Firehose {
        /// The id in the header.
        request_id: Option<Box<str>>,
        /// The common attributes.
        common: CommonFields,
    },
}

/// The texts of a request.
#[derive(Debug)]
pub(super) struct Contents {
    source: Source,
    pub(super) common: CommonFields,
}

#[derive(Debug)]
enum Source {
    Body(Bytes, Framing),
    Delivery(Delivery),
}

impl Contents {
    /// Unpacks a body, which is not compressed any more, to at most `max_bytes`.
    ///
    /// # Errors
    /// Those of [`Delivery::read`]; [`crate::ErrorKind::Invalid`] when header and body name two deliveries.
    pub(super) fn unpack(form: Form, body: Bytes, max_bytes: usize) -> Result<Self> {
        let (request_id, common) = match form {
            Form::Events(framing) => {
                return Ok(Self { source: Source::Body(body, framing), common: CommonFields::default() });
            }
            Form::Firehose { request_id, common } => (request_id, common),
        };
        let delivery = Delivery::read(&body, max_bytes)?;
        if request_id.is_some_and(|request_id| *request_id != delivery.request_id) {
            return Err(Error::invalid("requestId is not the one in X-Amz-Firehose-Request-Id"));
        }
        Ok(Self { source: Source::Delivery(delivery), common })
    }

    pub(super) fn texts(&self) -> Vec<Text<'_>> {
        match &self.source {
            Source::Body(body, framing) => vec![Text::of_body(body, *framing)],
            Source::Delivery(delivery) => delivery.texts(),
        }
    }

    /// How many bytes they fill.
    pub(super) fn bytes(&self) -> usize {
        match &self.source {
            Source::Body(body, _) => body.len(),
            Source::Delivery(delivery) => delivery.bytes(),
        }
    }
}
