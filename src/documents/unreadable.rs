//! Why a document cannot be used.

use serde::Deserialize;
use serde_json::Value;

/// Why a document cannot be used. Reported to operators; holds no secret, because it quotes no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Parseable's own format, with the API key in clear text.
    #[error("a legacy Parseable key in clear text: import it to turn it into a digest")]
    Legacy,
    /// It is JSON, or should be, but no document of its kind.
    #[error("not {kind} ({category} at line {line})")]
    Malformed {
        /// What it should be, such as "a key document".
        kind: &'static str,
        /// `syntax`, `data` or `end of file`.
        category: &'static str,
        /// Where, counted from 1.
        line: usize,
    },
    /// It was written by a later version of Keyloft.
    #[error("version {0} is not understood")]
    Version(u32),
    /// A field has an invalid value.
    #[error("the field {0} is not valid")]
    Field(&'static str),
    /// The id inside is not the name of the file.
    #[error("keyId differs from the file name")]
    WrongId,
    /// The object cannot be a document, whatever is in it: too large, or no plain file.
    #[error("{0}")]
    Object(String),
}

impl Unreadable {
    /// Explains a body that serde refused, without quoting it: serde's own message repeats values.
    pub fn explain(kind: &'static str, understood: u32, body: &[u8], error: &serde_json::Error) -> Self {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        if let Ok(Versioned { version }) = serde_json::from_slice(body)
            && version != understood
        {
            return Self::Version(version);
        }
        let category = match error.classify() {
            serde_json::error::Category::Syntax => "syntax",
            serde_json::error::Category::Data => "data",
            serde_json::error::Category::Eof | serde_json::error::Category::Io => "end of file",
        };
        Self::Malformed { kind, category, line: error.line() }
    }
}

/// Whether a JSON object has a field.
pub(super) fn has_field(body: &[u8], field: &str) -> bool {
    matches!(serde_json::from_slice(body), Ok(Value::Object(fields)) if fields.contains_key(field))
}
