//! Events that were set aside, as rows in the making.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBuilder, Int64Builder, StringArray, StringBuilder};

use super::batch::Batch;
use super::refusal::{Fault, Place};
use crate::stream::{Field, FieldType};

/// How much of the text of a rejected event is kept, in bytes.
pub const MAX_REJECTED_TEXT_BYTES: usize = 64 * 1024;
/// How many rejected events an answer describes.
const MAX_SAMPLES: usize = 5;

/// The events of a request that were not taken, as rows of text.
#[derive(Debug, Default)]
pub struct Rejected {
    faults: BTreeMap<Fault, usize>,
    samples: Vec<Sample>,
    codes: StringBuilder,
    reasons: StringBuilder,
    records: Int64Builder,
    events: Int64Builder,
    lines: Int64Builder,
    texts: StringBuilder,
    bytes: Int64Builder,
    truncated: BooleanBuilder,
}

/// One of the first rejected events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Where it stands in the request.
    pub place: Place,
    /// What kind of fault it has.
    pub fault: Fault,
    /// What is wrong with it, for people. Names no value.
    pub reason: String,
}

impl Rejected {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.faults.values().sum()
    }

    /// How many there are of each kind of fault.
    pub fn faults(&self) -> &BTreeMap<Fault, usize> {
        &self.faults
    }

    /// The first few.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    pub(super) fn add(&mut self, place: Place, fault: Fault, reason: String, text: &[u8]) {
        *self.faults.entry(fault).or_default() += 1;
        self.codes.append_value(fault.as_str());
        self.reasons.append_value(&reason);
        for (builder, number) in [
            (&mut self.records, place.record),
            (&mut self.events, place.event),
            (&mut self.lines, place.line),
            (&mut self.bytes, text.len()),
        ] {
            builder.append_option(i64::try_from(number).ok().filter(|number| *number > 0));
        }
        let kept = cut(text);
        self.texts.append_value(String::from_utf8_lossy(kept));
        self.truncated.append_value(kept.len() < text.len());
        if self.samples.len() < MAX_SAMPLES {
            self.samples.push(Sample { place, fault, reason });
        }
    }

    /// The rows, which say that the events were sent to `stream`. The fields are the same for every request.
    pub fn into_batch(mut self, stream: &str) -> Batch {
        let rows = self.count();
        let streams = StringArray::from_iter_values(std::iter::repeat_n(stream, rows));
        let columns: [(&str, FieldType, ArrayRef); 9] = [
            ("stream", FieldType::Text, Arc::new(streams)),
            ("code", FieldType::Text, Arc::new(self.codes.finish())),
            ("reason", FieldType::Text, Arc::new(self.reasons.finish())),
            ("record", FieldType::Integer, Arc::new(self.records.finish())),
            ("event", FieldType::Integer, Arc::new(self.events.finish())),
            ("line", FieldType::Integer, Arc::new(self.lines.finish())),
            ("text", FieldType::Text, Arc::new(self.texts.finish())),
            ("bytes", FieldType::Integer, Arc::new(self.bytes.finish())),
            ("truncated", FieldType::Boolean, Arc::new(self.truncated.finish())),
        ];
        let field = |name: &str, field_type| Field { name: name.into(), field_type };
        let (fields, columns) =
            columns.into_iter().map(|(name, field_type, column)| (field(name, field_type), column)).unzip();
        Batch { fields, rows, columns }
    }
}

/// The start of a text that is too long, with no character in parts.
fn cut(text: &[u8]) -> &[u8] {
    let is_inside = |byte: u8| byte & 0b1100_0000 == 0b1000_0000;
    let mut end = text.len().min(MAX_REJECTED_TEXT_BYTES);
    // No character of UTF-8 is longer than four bytes; in what is no UTF-8 it does not matter.
    for _ in 0..3 {
        if end < text.len() && is_inside(text[end]) {
            end -= 1;
        }
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        let long = "é".repeat(MAX_REJECTED_TEXT_BYTES);
        let shifted = format!("x{long}");
        assert_eq!(cut(long.as_bytes()).len(), MAX_REJECTED_TEXT_BYTES);
        assert_eq!(cut(shifted.as_bytes()).len(), MAX_REJECTED_TEXT_BYTES - 1);
        assert_eq!(cut(b"short"), b"short");
        assert_eq!(cut(&[0x80; MAX_REJECTED_TEXT_BYTES + 9]).len(), MAX_REJECTED_TEXT_BYTES - 3);
    }
}
