//! The records of a delivery, unpacked.

use std::borrow::Cow;
use std::fmt;
use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer as _};

use super::cloudwatch;
use crate::error::{Error, ErrorKind, Result};
use crate::ingest::body::inflate;
use crate::ingest::{ContentEncoding, Framing, MAX_EVENTS, Reservation, Text};

/// How gzip begins.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// The body of a delivery.
#[derive(Debug)]
pub struct Delivery {
    /// Identifies it over all attempts.
    pub request_id: String,
    /// Its records, in their order.
    pub records: Vec<Record>,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The text of its events, or what was sent.
    bytes: Vec<u8>,
    framing: Framing,
    /// Why it could not be unpacked, if so.
    broken: Option<&'static str>,
}

/// How far into a body its id is looked for, in bytes of its text. Firehose sends it first.
const ID_WITHIN: u64 = 4096;

/// The id of a delivery, from the beginning of a body that may be compressed with gzip.
pub fn first_request_id(body: &[u8]) -> Option<String> {
    let text: Box<dyn Read + '_> =
        if body.starts_with(GZIP) { Box::new(flate2::read::GzDecoder::new(body)) } else { Box::new(body) };
    let mut found = None;
    let id = FirstId(&mut found);
    let _ = serde_json::Deserializer::from_reader(text.take(ID_WITHIN)).deserialize_map(id); // It is cut off.
    found
}

/// The field `requestId` of an object that may be cut off behind it.
struct FirstId<'a>(&'a mut Option<String>);

impl<'de> Visitor<'de> for FirstId<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a delivery")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while self.0.is_none()
            && let Some(name) = map.next_key::<String>()?
        {
            match name.as_str() {
                "requestId" => *self.0 = Some(map.next_value()?),
                _ => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'b> {
    #[serde(borrow)]
    request_id: Cow<'b, str>,
    #[serde(borrow)]
    records: Vec<Data<'b>>,
}

#[derive(Deserialize)]
struct Data<'b> {
    #[serde(borrow)]
    data: Cow<'b, str>,
}

impl Delivery {
    /// Reads a body, which is not compressed any more. All records together hold at most `max_bytes` when they are
    /// unpacked; these are added to `memory` first.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the body is no delivery, [`ErrorKind::TooLarge`] when it holds more,
    /// [`ErrorKind::Unavailable`] when there is no memory for it.
    pub(in crate::ingest) fn read(body: &[u8], max_bytes: usize, memory: &mut Reservation) -> Result<Self> {
        memory.extend_to(memory.bytes() + body.len())?;
        // The parser's own words could repeat a value.
        let Body { request_id, records } = serde_json::from_slice(body).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Error::invalid(format!(
                "line {line}, column {column}: the body must be {{\"requestId\", \"timestamp\", \"records\": [{{\"data\"}}]}}"
            ))
        })?;
        if records.len() > MAX_EVENTS {
            let message = format!("a delivery has at most {MAX_EVENTS} records: buffer less");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        let mut left = max_bytes;
        let unpack = |record: Data<'_>| {
            let record = Record::unpack(&record.data, left, max_bytes, memory)?;
            left = left.saturating_sub(record.bytes.len());
            Ok(record)
        };
        let records = records.into_iter().map(unpack).collect::<Result<_>>()?;
        Ok(Self { request_id: request_id.into_owned(), records })
    }

    /// The texts of its events.
    pub fn texts(&self) -> Vec<Text<'_>> {
        let numbered = self.records.iter().zip(1..);
        numbered.map(|(record, number)| record.text(number)).collect()
    }

    /// How many bytes the records fill.
    pub fn bytes(&self) -> usize {
        self.records.iter().map(|record| record.bytes.len()).sum()
    }
}

impl Record {
    fn text(&self, number: usize) -> Text<'_> {
        Text { bytes: &self.bytes, framing: self.framing, record: number, broken: self.broken }
    }

    /// At most `left` bytes, of `max_bytes` in all.
    fn unpack(data: &str, left: usize, max_bytes: usize, memory: &mut Reservation) -> Result<Self> {
        let Ok(bytes) = STANDARD.decode(data) else {
            return Ok(Self::broken(data.as_bytes().to_vec(), "the record is not Base64"));
        };
        if bytes.len() > left {
            return Err(too_large(max_bytes));
        }
        let bytes = if bytes.starts_with(GZIP) {
            let packed = Bytes::from(bytes);
            match inflate(ContentEncoding::Gzip, &packed, left, memory) {
                Ok(text) => text.to_vec(),
                Err(error) if error.kind() == ErrorKind::TooLarge => return Err(too_large(max_bytes)),
                Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
                Err(_) => return Ok(Self::broken(data.as_bytes().to_vec(), "the record is truncated or corrupt gzip")),
            }
        } else {
            bytes
        };
        let of_cloudwatch = cloudwatch::events(&bytes, left).map_err(|error| match error.kind() {
            ErrorKind::TooLarge => too_large(max_bytes),
            _ => error,
        })?;
        Ok(match of_cloudwatch {
            Some(lines) => Self { bytes: lines, framing: Framing::Lines, broken: None },
            None => Self { framing: framing(&bytes), bytes, broken: None },
        })
    }

    fn broken(bytes: Vec<u8>, reason: &'static str) -> Self {
        Self { bytes, framing: Framing::Json, broken: Some(reason) }
    }
}

/// A record does not say how its events stand in it. Where several lines are there, each stands for itself, unless the
/// first begins a value that a later one ends.
fn framing(text: &[u8]) -> Framing {
    let mut lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let are_values = || serde_json::Deserializer::from_slice(text).into_iter::<IgnoredAny>().all(|value| value.is_ok());
    let goes_on =
        |line: &[u8]| serde_json::from_slice::<IgnoredAny>(line).is_err_and(|error| error.is_eof()) && are_values();
    match (lines.next(), lines.next()) {
        (Some(first), Some(_)) if !goes_on(first) => Framing::Lines,
        _ => Framing::Json,
    }
}

fn too_large(max_bytes: usize) -> Error {
    Error::new(ErrorKind::TooLarge, format!("the records hold more than {max_bytes} bytes, unpacked: buffer less"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::tests::gzip;

    fn read(body: &[u8], max_bytes: usize) -> Result<Delivery> {
        Delivery::read(body, max_bytes, &mut Reservation::unlimited())
    }

    fn body(records: &[&[u8]]) -> Vec<u8> {
        let records: Vec<_> = records.iter().map(|data| serde_json::json!({"data": STANDARD.encode(data)})).collect();
        serde_json::json!({"requestId": "r-1", "timestamp": 1_578_090_901_599_i64, "records": records})
            .to_string()
            .into()
    }

    #[test]
    fn records_are_unpacked_in_their_order() {
        let body = body(&[b"{\"a\":1}", &gzip(b"{\"a\":2}\n{\"a\":3}"), b"", b"{\n\"a\":\n4}", b"[{\"a\":5}]"]);
        let delivery = read(&body, 1000).unwrap();
        assert_eq!(delivery.request_id, "r-1");
        let texts: Vec<_> =
            delivery.texts().iter().map(|text| (text.bytes.to_vec(), text.framing, text.record)).collect();
        assert_eq!(texts[0], (b"{\"a\":1}".to_vec(), Framing::Json, 1));
        assert_eq!(texts[1], (b"{\"a\":2}\n{\"a\":3}".to_vec(), Framing::Lines, 2));
        assert_eq!(texts[3].1, Framing::Json);
        assert_eq!((texts.len(), delivery.bytes()), (5, 7 + 15 + 9 + 9));
    }

    #[test]
    fn lines_stand_for_themselves_unless_the_first_begins_a_value_that_a_later_one_ends() {
        for lines in [
            "{}\n{}",
            "{\"a\":\n{}\n{}",
            "{\"a\":\n{\"b\":1}",
            "[\n{}\n",
            "{}\n{\n",
            "[2026] boom\n{}",
            "boom\n{}",
            "{}]\n{}",
        ] {
            assert_eq!(framing(lines.as_bytes()), Framing::Lines, "{lines}");
        }
        for json in ["", "{}", "[{}]\n", "{\n}", "[{},\n{}]", "[\n{}]", "{\"a\":\n1}\n{}"] {
            assert_eq!(framing(json.as_bytes()), Framing::Json, "{json}");
        }
    }

    #[test]
    fn what_cannot_be_unpacked_is_a_record_that_says_so() {
        let body = br#"{"requestId":"r","timestamp":1,"records":[{"data":"%%"},{"data":"H4sIAAAA"},{"data":"e30="}]}"#;
        let delivery = read(body, 1000).unwrap();
        let broken: Vec<_> = delivery.texts().iter().map(|text| text.broken).collect();
        assert_eq!(broken, [Some("the record is not Base64"), Some("the record is truncated or corrupt gzip"), None]);
    }

    #[test]
    fn all_records_together_are_bounded() {
        let bomb = gzip(&vec![b' '; 8 << 20]);
        assert_eq!(read(&body(&[&bomb]), 1 << 20).unwrap_err().kind(), ErrorKind::TooLarge);
        let half = gzip(&vec![b' '; 600]);
        assert!(read(&body(&[&half]), 1000).is_ok());
        assert_eq!(read(&body(&[&half, &half]), 1000).unwrap_err().kind(), ErrorKind::TooLarge);
    }

    #[test]
    fn a_body_that_is_no_delivery_is_refused_without_its_values() {
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"requestId":"secret"}"#,
            r#"{"requestId":1,"records":[]}"#,
            r#"{"requestId":"r","records":[{"data":"secret","data":1}]}"#,
        ] {
            let error = read(bad.as_bytes(), 100).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
