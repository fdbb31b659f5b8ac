//! The envelope in which CloudWatch Logs sends events.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Result};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    message_type: String,
    owner: String,
    log_group: String,
    log_stream: String,
    log_events: Vec<Map<String, Value>>,
}

/// The events of one or more envelopes, one a line: each with `owner`, `logGroup` and `logStream`. The messages
/// with which CloudWatch checks a destination hold no event. `None` when `text` is no envelope.
///
/// # Errors
/// [`ErrorKind::TooLarge`] when the lines are larger than `max_bytes`.
pub(super) fn events(text: &[u8], max_bytes: usize) -> Result<Option<Vec<u8>>> {
    // Most records are something else; only an envelope is worth being read twice.
    if !contains(text, b"\"logEvents\"") || !contains(text, b"\"messageType\"") {
        return Ok(None);
    }
    let mut lines = Vec::new();
    for envelope in serde_json::Deserializer::from_slice(text).into_iter::<Envelope>() {
        let Ok(envelope) = envelope else { return Ok(None) };
        match envelope.message_type.as_str() {
            "DATA_MESSAGE" => {}
            "CONTROL_MESSAGE" => continue,
            _ => return Ok(None),
        }
        let origin =
            [("owner", &envelope.owner), ("logGroup", &envelope.log_group), ("logStream", &envelope.log_stream)];
        for mut event in envelope.log_events {
            for (name, text) in origin {
                event.entry(name).or_insert_with(|| text.as_str().into());
            }
            serde_json::to_writer(&mut lines, &event)
                .map_err(|error| Error::new(ErrorKind::Internal, "a log event cannot be written").caused_by(error))?;
            lines.push(b'\n');
            if lines.len() > max_bytes {
                let message = format!("the log events fill more than {max_bytes} bytes");
                return Err(Error::new(ErrorKind::TooLarge, message));
            }
        }
    }
    Ok(Some(lines))
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENVELOPE: &str = r#"{"messageType":"DATA_MESSAGE","owner":"123456789012","logGroup":"/aws/lambda/f",
        "logStream":"2026/11/26/[$LATEST]x","subscriptionFilters":["all"],"logEvents":[
        {"id":"36","timestamp":1510254469274,"message":"one"},{"id":"37","timestamp":1510254469275,"message":"{\"a\":1}"}]}"#;
    const CONTROL: &str = r#"{"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs","logGroup":"","logStream":"",
        "subscriptionFilters":[],"logEvents":[{"id":"","timestamp":1,"message":"CWL CONTROL MESSAGE: Checking health"}]}"#;

    fn lines(text: &str) -> Option<Vec<Value>> {
        let lines = events(text.as_bytes(), 1 << 20).unwrap()?;
        Some(String::from_utf8(lines).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    #[test]
    fn log_events_become_events_that_say_where_they_come_from() {
        let found = lines(ENVELOPE).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(
            found[1],
            serde_json::json!({"id": "37", "timestamp": 1_510_254_469_275_i64, "message": "{\"a\":1}",
                "owner": "123456789012", "logGroup": "/aws/lambda/f", "logStream": "2026/11/26/[$LATEST]x"})
        );
        assert_eq!(lines(&format!("{CONTROL}\n{ENVELOPE}{ENVELOPE}")).unwrap().len(), 4);
        assert_eq!(lines(CONTROL).unwrap(), Vec::<Value>::new());
    }

    #[test]
    fn what_is_no_envelope_is_left_alone() {
        for text in ["", "{}", r#"{"messageType":"x","logEvents":[]}"#, r#"{"messageType":1,"logEvents":"x"}"#] {
            assert!(lines(text).is_none(), "{text}");
        }
        assert_eq!(events(ENVELOPE.as_bytes(), 100).unwrap_err().kind(), ErrorKind::TooLarge);
    }
}
