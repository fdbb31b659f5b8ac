//! What clients send back: a challenge and its solution as JSON, or in a field of a form.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::dev::Payload;
use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::form_urlencoded;

use super::Failure;
use crate::challenge::{Challenge, Refused, Solution};
use crate::http::error::{Code, Problem};
use crate::http::extract::{check_length, read_body, without_mark};
use crate::http::media_type::{media_type, refuse_encoded, unsupported};

/// The largest body, in bytes: a challenge has some 800, and at most 8 KiB.
const MAX_BYTES: usize = 16 * 1024;
const TIMEOUT: Duration = Duration::from_secs(10);
const FORM: &str = "application/x-www-form-urlencoded";
/// Clients of ALTCHA pad, addresses do not.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// A challenge and its solution.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Solved {
    pub challenge: Challenge,
    pub solution: Solution,
}

/// What a client sends back.
pub(super) enum Sent {
    /// A challenge and its solution.
    Solved(Solved),
    /// A challenge alone: the client waited.
    Waited(Challenge),
}

/// Whether the body is a form.
pub(super) fn is_form(request: &HttpRequest) -> bool {
    media_type(request).is_ok_and(|essence| essence == FORM)
}

/// Reads the body.
pub(super) async fn read(request: &HttpRequest, payload: Payload, is_form: bool) -> Result<Sent, Failure> {
    refuse_encoded(request)?;
    match media_type(request)?.as_str() {
        "" | "application/json" | FORM => {}
        _ => return Err(unsupported("Send application/json or application/x-www-form-urlencoded.").into()),
    }
    if request.headers().get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        let message = "A page of another site has sent this: solve the challenge on the page that asks for it.";
        return Err(Problem::new(Code::InvalidChallenge, message).into());
    }
    check_length(request, MAX_BYTES)?;
    let body = read_body(payload, MAX_BYTES, TIMEOUT).await?;
    let sent = match is_form {
        false => serde_json::from_slice(without_mark(&body)).ok().map(Sent::Solved),
        true => form_urlencoded::parse(&body).find_map(|(name, value)| match &*name {
            "altcha" | "payload" => unpacked(&value).map(Sent::Solved),
            "wait" => unpacked(&value).map(Sent::Waited),
            _ => None,
        }),
    };
    Ok(sent.ok_or(Refused::Invalid)?)
}

/// JSON in base64 of either alphabet.
pub(super) fn unpacked<T: DeserializeOwned>(text: &str) -> Option<T> {
    let alphabet = if text.contains(['-', '_']) { URL_SAFE } else { STANDARD };
    let bytes = GeneralPurpose::new(&alphabet, LENIENT).decode(text).ok()?;
    serde_json::from_slice(&bytes).ok()
}
