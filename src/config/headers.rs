//! Header names and origins of the operator, parsed once at start.

use std::fmt;

/// How many further headers may carry an API key.
const MAX_HEADERS: usize = 8;
/// The longest name of one, in bytes.
const MAX_NAME_BYTES: usize = 64;
/// How many origins may be allowed.
const MAX_ORIGINS: usize = 64;

/// Names of headers that carry an API key besides `X-API-KEY`, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderNames(Vec<String>);

impl HeaderNames {
    /// Reads names with commas between; `none` is no name.
    ///
    /// # Errors
    /// The rule that a name breaks: it must be a header name, have no other meaning, and be listed once.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut names = Vec::new();
        for name in parts(text) {
            let name = name.to_ascii_lowercase();
            // Some proxies turn an underscore into a hyphen, so a client could set a header that only the proxy may
            // set.
            let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            if !is_name || !(1..=MAX_NAME_BYTES).contains(&name.len()) {
                return Err(format!("must be names of headers: 1-{MAX_NAME_BYTES} of a-z, 0-9 and -"));
            }
            if has_a_meaning(&name) {
                return Err(format!("must not name {name}, which has a meaning of its own"));
            }
            if names.contains(&name) {
                return Err(format!("must not name {name} twice"));
            }
            names.push(name);
        }
        if names.len() > MAX_HEADERS {
            return Err(format!("must name at most {MAX_HEADERS} headers"));
        }
        Ok(Self(names))
    }

    /// The names.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// The origins whose pages may use the data plane from a browser.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Origins {
    /// None: no answer has a CORS field.
    #[default]
    None,
    /// Every one.
    Any,
    /// These, as browsers write them.
    These(Vec<String>),
}

impl Origins {
    /// Reads origins with commas between; `none` is none, and `*` alone is every one.
    ///
    /// # Errors
    /// The rule that an origin breaks: scheme, host and port as browsers write them, and nothing else.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut origins = Vec::new();
        for origin in parts(text) {
            if origin == "*" && text.trim() == "*" {
                return Ok(Self::Any);
            }
            // Origins are compared byte by byte, so an origin must be written as browsers write it.
            let is_exact = url::Url::parse(origin).is_ok_and(|url| {
                let is_page = matches!(url.scheme(), "http" | "https") && !origin.contains('*');
                is_page && url.origin().ascii_serialization() == origin
            });
            if !is_exact {
                return Err("must be origins such as https://console.example.com or http://localhost:3000, with the \
                            scheme, without a path and without *; or * alone for every origin"
                    .to_owned());
            }
            if !origins.iter().any(|known| known == origin) {
                origins.push(origin.to_owned());
            }
        }
        match origins.len() {
            0 => Ok(Self::None),
            count if count > MAX_ORIGINS => Err(format!("must be at most {MAX_ORIGINS} origins")),
            _ => Ok(Self::These(origins)),
        }
    }
}

impl fmt::Display for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Any => f.write_str("*"),
            Self::These(origins) => f.write_str(&origins.join(",")),
        }
    }
}

/// The parts of a list; `none` has none.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let text = if text.trim() == "none" { None } else { Some(text) };
    text.into_iter().flat_map(|text| text.split(',').map(str::trim))
}

/// Whether a header has a meaning for HTTP, browsers, proxies or Keyloft.
fn has_a_meaning(name: &str) -> bool {
    STANDARD.contains(&name) || STANDARD_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Headers of HTTP, browsers and proxies, by the registry of IANA and by custom.
const STANDARD: &[&str] = &[
    "accept",
    "age",
    "allow",
    "alt-svc",
    "alt-used",
    "authorization",
    "baggage",
    "cache-control",
    "clear-site-data",
    "connection",
    "cookie",
    "date",
    "dnt",
    "dpop",
    "early-data",
    "etag",
    "expect",
    "expires",
    "forwarded",
    "from",
    "host",
    "http2-settings",
    "idempotency-key",
    "keep-alive",
    "last-modified",
    "link",
    "location",
    "max-forwards",
    "nel",
    "origin",
    "pragma",
    "prefer",
    "priority",
    "range",
    "referer",
    "refresh",
    "report-to",
    "retry-after",
    "save-data",
    "server",
    "set-cookie",
    "signature",
    "signature-input",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "upgrade-insecure-requests",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "x-api-key", // Always read.
    "x-content-type-options",
    "x-correlation-id",
    "x-frame-options",
    "x-http-method-override",
    "x-real-ip",
    "x-request-id",
    "x-requested-with",
    "x-tenant-id",
    "x-xss-protection",
];

const STANDARD_PREFIXES: &[&str] = &[
    "accept-",
    "access-control-",
    "content-",
    "if-",
    "proxy-",
    "ratelimit",
    "sec-",
    "strict-transport-",
    "x-amz-",
    "x-forwarded-",
    "x-keyloft-",
    "x-p-",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_headers_are_names_without_another_meaning() {
        let names = HeaderNames::parse("X-Esper-API-Key, api-key").unwrap();
        assert_eq!(names.iter().collect::<Vec<_>>(), ["x-esper-api-key", "api-key"]);
        assert_eq!(HeaderNames::parse("none").unwrap(), HeaderNames::default());
        for (bad, why) in [
            ("", "names of headers"),
            ("api key", "names of headers"),
            ("api_key", "names of headers"),
            ("api-key,", "names of headers"),
            ("schlüssel", "names of headers"),
            (&"x".repeat(65), "names of headers"),
            ("api-key,Api-Key", "twice"),
            ("a,b,c,d,e,f,g,h,i", "at most 8"),
            ("X-API-KEY", "meaning"),
            ("Authorization", "meaning"),
            ("cookie", "meaning"),
            ("content-type", "meaning"),
            ("sec-fetch-site", "meaning"),
            ("x-p-stream", "meaning"),
            ("x-request-id", "meaning"),
            ("x-forwarded-for", "meaning"),
            ("x-amz-firehose-access-key", "meaning"),
        ] {
            let reason = HeaderNames::parse(bad).unwrap_err();
            assert!(reason.starts_with("must ") && reason.contains(why), "{bad}: {reason}");
        }
    }

    #[test]
    fn origins_are_exact_and_everybody_is_said_alone() {
        assert_eq!(Origins::parse("none").unwrap(), Origins::None);
        assert_eq!(Origins::parse("*").unwrap(), Origins::Any);
        let these = Origins::parse("https://a.example, http://localhost:3000,https://a.example").unwrap();
        assert_eq!(these.to_string(), "https://a.example,http://localhost:3000");
        for bad in [
            "",
            "a.example",
            "https://a.example/",
            "https://a.example/app",
            "https://A.example",
            "https://a.example:443",
            "https://*.example",
            "https://user@a.example",
            "*,https://a.example",
            "null",
            "file:///app",
            "chrome-extension://abc",
        ] {
            assert!(Origins::parse(bad).is_err(), "{bad}");
        }
        let many: Vec<String> = (0..65).map(|n| format!("https://a{n}.example")).collect();
        assert!(Origins::parse(&many.join(",")).is_err());
    }
}
