//! From a body to its events: it is decompressed, unpacked to texts, and decoded. Each step reserves what it makes.

use std::sync::Arc;

use bytes::Bytes;

use super::body::{ContentEncoding, inflate};
use super::budget::Reservation;
use super::decode::{Batch, CommonFields, Decoded, Framing, Places, Rejected, Sorted, Text, decode, sort};
use super::firehose::Delivery;
use crate::error::{Error, Result};
use crate::stream::StreamSchema;

/// Bodies up to here are decoded on the thread that received them; larger ones would delay other requests there.
const INLINE_BYTES: usize = 64 * 1024;
/// The same for compressed bodies, which grow.
const INLINE_COMPRESSED_BYTES: usize = 4 * 1024;
/// What a request counts for at least: its own bookkeeping.
pub(super) const MIN_REQUEST_BYTES: usize = 1024;

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

/// A body of events as it came.
#[derive(Debug, Clone)]
pub struct Upload {
    /// How it is compressed.
    pub encoding: ContentEncoding,
    /// What it is.
    pub form: Form,
    /// Its bytes.
    pub body: Bytes,
}

/// A body that is to be read.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    pub(super) upload: Upload,
    /// The largest body, decompressed.
    pub(super) max_bytes: usize,
    /// The stream whose unfit events are set aside; `None` when a faulty event refuses the request.
    pub(super) sort_for: Option<Arc<StreamSchema>>,
}

/// The events of a body.
#[derive(Debug)]
pub(super) struct Events {
    pub(super) batch: Batch,
    pub(super) places: Places,
    pub(super) aside: Option<Aside>,
}

/// The events that were set aside, and what is needed to sort them again when the stream is another one by then.
#[derive(Debug)]
pub(super) struct Aside {
    pub(super) rejected: Rejected,
    pub(super) contents: Arc<Contents>,
}

impl Reading {
    /// Whether it takes so little time that no thread of its own is needed.
    pub(super) fn is_small(&self) -> bool {
        let inline_bytes = match (self.upload.encoding, &self.upload.form) {
            (ContentEncoding::Identity, Form::Events(_)) => INLINE_BYTES,
            _ => INLINE_COMPRESSED_BYTES,
        };
        self.upload.body.len() <= inline_bytes
    }

    /// Reads the events. Afterwards `memory` is for these.
    ///
    /// # Errors
    /// As for [`inflate`], [`Contents::unpack`] and [`fn@decode`].
    pub(super) fn events(self, memory: &mut Reservation) -> Result<Events> {
        let Self { upload: Upload { encoding, form, body }, max_bytes, sort_for } = self;
        let set = |memory: &mut Reservation, bytes: usize| memory.set(bytes.max(MIN_REQUEST_BYTES));
        // A body that is something else than its text is kept, to be read again when memory is short.
        let kept = match (encoding, &form) {
            (ContentEncoding::Identity, Form::Events(_)) => 0,
            _ => body.len(),
        };
        set(memory, body.len());
        let text = inflate(encoding, &body, max_bytes, memory)?;
        set(memory, kept + text.len());
        let contents = Contents::unpack(form, text, max_bytes, memory)?;
        set(memory, kept + contents.bytes());
        let Some(stream) = sort_for else {
            let Decoded { batch, places } = decode(&contents.texts(), &contents.common, memory)?;
            set(memory, batch.memory_bytes());
            return Ok(Events { batch, places, aside: None });
        };
        let Sorted { decoded: Decoded { batch, places }, rejected } =
            sort(&contents.texts(), &contents.common, &stream, memory)?;
        // The texts stay, to be sorted again; what is set aside is a part of them, and written beside them.
        set(memory, batch.memory_bytes() + 2 * contents.bytes());
        Ok(Events { batch, places, aside: Some(Aside { rejected, contents: Arc::new(contents) }) })
    }
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
    /// Unpacks a body, which is not compressed any more, to at most `max_bytes`, which are added to `memory` first.
    ///
    /// # Errors
    /// Those of [`Delivery::read`]; [`crate::ErrorKind::Invalid`] when header and body name two deliveries.
    pub(super) fn unpack(form: Form, body: Bytes, max_bytes: usize, memory: &mut Reservation) -> Result<Self> {
        let (request_id, common) = match form {
            Form::Events(framing) => {
                return Ok(Self { source: Source::Body(body, framing), common: CommonFields::default() });
            }
            Form::Firehose { request_id, common } => (request_id, common),
        };
        let delivery = Delivery::read(&body, max_bytes, memory)?;
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
