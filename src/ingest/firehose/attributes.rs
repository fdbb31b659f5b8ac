//! The common attributes of a delivery, which become fields of every event.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::ingest::CommonFields;

/// What Firehose allows: so many attributes of so many characters.
const MAX_ATTRIBUTES: usize = 50;
const MAX_NAME_CHARS: usize = 256;
const MAX_VALUE_CHARS: usize = 1024;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    common_attributes: BTreeMap<String, String>,
}

/// Reads `X-Amz-Firehose-Common-Attributes`: `{"commonAttributes": {"name": "value"}}`. Values are texts and nothing
/// more: none of them is a credential.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when it is no such JSON, larger than Firehose allows, or names a field that no event
/// may have.
pub fn attributes(header: &str) -> Result<CommonFields> {
    // The parser's own words could repeat a value.
    let invalid = || {
        Error::invalid(
            "X-Amz-Firehose-Common-Attributes must be {\"commonAttributes\": {\"name\": \"value\"}}: texts only",
        )
    };
    let Header { common_attributes } = serde_json::from_str(header).map_err(|_| invalid())?;
    let is_long = |text: &str, most: usize| text.chars().nth(most).is_some();
    let too_long =
        common_attributes.iter().any(|(name, value)| is_long(name, MAX_NAME_CHARS) || is_long(value, MAX_VALUE_CHARS));
    if common_attributes.len() > MAX_ATTRIBUTES || too_long {
        return Err(Error::invalid(format!(
            "at most {MAX_ATTRIBUTES} common attributes are taken, with names of {MAX_NAME_CHARS} and values of \
             {MAX_VALUE_CHARS} characters"
        )));
    }
    CommonFields::new(common_attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_texts_within_the_bounds_of_firehose() {
        assert!(
            attributes(r#"{"commonAttributes":{"deployment-context":"pre-prod-gamma","device-types":""}}"#).is_ok()
        );
        assert!(attributes(r#"{"commonAttributes":{}}"#).is_ok());
        let many: Vec<String> = (0..51).map(|n| format!("\"a{n}\":\"x\"")).collect();
        for bad in [
            "",
            "{}",
            "[]",
            r#"{"commonAttributes":{"a":1}}"#,
            r#"{"commonAttributes":{"":"x"}}"#,
            r#"{"commonAttributes":{"p_key_id":"x"}}"#,
            &format!(r#"{{"commonAttributes":{{"{}":"x"}}}}"#, "a".repeat(257)),
            &format!(r#"{{"commonAttributes":{{"a":"{}"}}}}"#, "secret".repeat(200)),
            &format!(r#"{{"commonAttributes":{{{}}}}}"#, many.join(",")),
        ] {
            let error = attributes(bad).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
