//! How a request declares its body, `Content-Type` and `Content-Encoding` (RFC 9110, sections 8.3 and 8.4), and which
//! type it prefers for the answer, `Accept` (section 12.5.1).

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderName};

use super::error::{Code, Problem};

/// The type of a body in lower case, without parameters; empty without a `Content-Type`.
///
/// # Errors
/// 400 when the field is repeated, 415 when it is not ASCII, or names another charset than UTF-8: bodies are read as
/// UTF-8, and anything else would be stored as what it is not.
pub fn media_type(request: &HttpRequest) -> Result<String, Problem> {
    let Some(value) = once(request, header::CONTENT_TYPE)? else { return Ok(String::new()) };
    let mut parts = split_unquoted(value);
    let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    for (name, value) in parts.filter_map(|parameter| parameter.split_once('=')) {
        let value = value.trim().trim_matches('"');
        let is_utf8 = ["utf-8", "utf8", "us-ascii"].iter().any(|charset| value.eq_ignore_ascii_case(charset));
        if name.trim().eq_ignore_ascii_case("charset") && !is_utf8 {
            return Err(unsupported("The body must be UTF-8: Content-Type names another charset."));
        }
    }
    Ok(essence)
}

/// Whether this is one of the names under which NDJSON is sent.
pub fn is_ndjson(media_type: &str) -> bool {
    let names = ["x-ndjson", "ndjson", "jsonl", "x-jsonl", "jsonlines", "x-jsonlines", "json-lines", "stream+json"];
    media_type.strip_prefix("application/").is_some_and(|subtype| names.contains(&subtype))
}

/// The one content coding of a body in lower case; `None` when it is sent as it is.
///
/// # Errors
/// 415 when there is more than one.
pub fn content_encoding(request: &HttpRequest) -> Result<Option<String>, Problem> {
    let mut values = request.headers().get_all(header::CONTENT_ENCODING);
    let Some(value) = values.next() else { return Ok(None) };
    let name = value.to_str().ok().filter(|name| values.next().is_none() && !name.contains(','));
    let name = name.ok_or_else(|| unsupported("Send the body with one Content-Encoding at the most."))?;
    let name = name.trim().to_ascii_lowercase();
    Ok((name != "identity").then_some(name))
}

/// Refuses a compressed body where none is taken.
///
/// # Errors
/// 415 that names the coding.
pub fn refuse_encoded(request: &HttpRequest) -> Result<(), Problem> {
    let Some(name) = content_encoding(request)? else { return Ok(()) };
    // A field may hold anything: only what can be the name of a coding is repeated.
    let is_token =
        (1..=32).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let name = if is_token { name.as_str() } else { "a name that is not valid" };
    Err(unsupported(format!("Send the body as it is, without Content-Encoding: this route does not take {name}.")))
}

/// A 415.
pub fn unsupported(detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(Code::UnsupportedMediaType, detail)
}

fn once(request: &HttpRequest, name: HeaderName) -> Result<Option<&str>, Problem> {
    let mut values = request.headers().get_all(&name);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::invalid(format!("{name} is repeated.")));
    }
    value.to_str().map(Some).map_err(|_| unsupported(format!("{name} is not ASCII.")))
}

/// The parts between semicolons; one in quotes is text.
fn split_unquoted(value: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    value.split(move |character| {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        character == ';' && !quoted
    })
}

/// The offer with the highest weight in `Accept`; at equal weight, the one that the client names first. `offer` returns
/// what answers a lower-case range such as `text/csv` or `text/*`.
pub(super) fn preferred<T>(request: &HttpRequest, offer: impl Fn(&str) -> Option<T>) -> Option<T> {
    let accept = request.headers().get_all(header::ACCEPT).filter_map(|value| value.to_str().ok());
    let mut best = None;
    for range in accept.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(|part| part.trim().to_ascii_lowercase());
        let Some(offered) = offer(&parts.next().unwrap_or_default()) else { continue };
        let weight = parts.find_map(|part| part.strip_prefix("q=").map(str::to_owned));
        let weight = weight.map_or(1.0, |weight| weight.trim().parse().unwrap_or(0.0_f32));
        if weight > best.as_ref().map_or(0.0, |(heaviest, _)| *heaviest) {
            best = Some((weight, offered));
        }
    }
    best.map(|(_, offered)| offered)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn read(value: &str) -> Result<String, Problem> {
        media_type(&TestRequest::default().insert_header((header::CONTENT_TYPE, value)).to_http_request())
    }

    #[test]
    fn a_media_type_is_read_whatever_its_case_and_its_parameters_say() {
        assert_eq!(media_type(&TestRequest::default().to_http_request()).unwrap(), "");
        for (value, essence) in [
            ("", ""),
            ("Application/JSON", "application/json"),
            (" application/json ; Charset=\"UTF-8\"", "application/json"),
            ("application/x-ndjson;charset=utf8;", "application/x-ndjson"),
            ("application/vnd.a+json; profile=\"x; charset=utf-16\"", "application/vnd.a+json"),
        ] {
            assert_eq!(read(value).unwrap(), essence, "{value}");
        }
    }

    #[test]
    fn another_charset_than_utf_8_is_refused() {
        for value in ["application/json; charset=utf-16", "application/json;a=b;CHARSET=\"iso-8859-1\""] {
            assert_eq!(read(value).unwrap_err().code(), Code::UnsupportedMediaType, "{value}");
        }
    }

    #[test]
    fn a_coding_is_named_and_nothing_else_is_repeated() {
        let refusal = |value: &str| {
            let request = TestRequest::default().insert_header((header::CONTENT_ENCODING, value)).to_http_request();
            refuse_encoded(&request).map_err(|problem| problem.detail().to_owned())
        };
        assert_eq!(refusal("identity"), Ok(()));
        assert!(refusal("GZIP").unwrap_err().contains("does not take gzip"));
        for value in ["kl_ing_secret", "", "gzip, gzip"] {
            assert!(!refusal(value).unwrap_err().contains("secret"), "{value}");
        }
    }

    #[test]
    fn the_offer_of_the_highest_weight_is_taken() {
        for (accept, expected) in [
            ("", None),
            ("image/png", None),
            ("Text/CSV", Some("csv")),
            ("text/*", Some("csv")),
            ("APPLICATION/X-NDJSON; charset=utf-8", Some("ndjson")),
            ("application/*, text/csv", Some("json")),
            ("text/csv, application/json", Some("csv")),
            ("text/csv;q=0.5, application/x-ndjson;q=0.9, */*;q=0.1", Some("ndjson")),
            ("text/csv;q=0, */*", Some("json")),
            ("text/csv; Q=0", None),
            ("text/html, text/csv;q=0.2", Some("csv")),
            ("text/csv;q=nonsense, application/x-ndjson;q=0.001", Some("ndjson")),
        ] {
            let request = TestRequest::default().append_header(("accept", accept)).to_http_request();
            let offer = |range: &str| match range {
                "application/json" | "*/*" | "application/*" => Some("json"),
                "application/x-ndjson" => Some("ndjson"),
                "text/csv" | "text/*" => Some("csv"),
                _ => None,
            };
            assert_eq!(preferred(&request, offer), expected, "{accept}");
        }
        let parts = TestRequest::default().append_header(("accept", "a/b;q=0.1")).append_header(("accept", "c/d"));
        assert_eq!(preferred(&parts.to_http_request(), |range| Some(range.to_owned())).as_deref(), Some("c/d"));
    }
}
