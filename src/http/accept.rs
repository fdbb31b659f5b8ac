//! Content negotiation by `Accept` (RFC 9110, section 12.5.1).

use actix_web::HttpRequest;
use actix_web::http::header;

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
