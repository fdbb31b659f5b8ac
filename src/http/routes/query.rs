//! SQL over the streams of a query session.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::access::Session;
use crate::error::{Error, ErrorKind};
use crate::http::app::App;
use crate::http::credential::AuthHeaders;
use crate::http::error::{Code, Problem};
use crate::http::extract::{Json, RunningSession};
use crate::key::StreamName;
use crate::query::{Access, Format, QueryRequest, Scope};

/// The body of a query.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ask {
    query: String,
    start_time: Option<DateTime<Utc>>,
    end_time: Option<DateTime<Utc>>,
}

/// Answers SQL with rows as they come. The session is the only source of what may be read; it is held by the body.
///
/// # Errors
/// 400 `invalid_query`, 429, 503; 401, 403 or 504 when the session ends before the first row.
pub async fn run(
    session: RunningSession,
    app: web::Data<App>,
    request: HttpRequest,
    Json(ask): Json<Ask>,
) -> Result<HttpResponse, Problem> {
    let refusal = |error| refusal(&request, error);
    let query = QueryRequest::new(&ask.query, ask.start_time, ask.end_time).map_err(refusal)?;
    let scope = Scope { tenant: session.tenant.clone(), access: session.shared() };
    let rows = app.engine.run(scope, query, format(&request)).await.map_err(refusal)?;
    let stopper = rows.stopper();
    tokio::spawn(async move {
        // Even while nobody reads the body: a client that has stopped reading keeps nothing running.
        session.ended().await;
        stopper.stop();
    });
    Ok(HttpResponse::Ok()
        .content_type(rows.content_type())
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .streaming(rows))
}

impl Access for Session {
    fn allows(&self, stream: &StreamName) -> bool {
        self.streams().allow(stream)
    }

    fn touch(&self, stream: &StreamName) -> bool {
        self.touch(stream)
    }
}

/// A message quotes the client's SQL, and somebody may have pasted into it what opened this session.
fn refusal(request: &HttpRequest, error: Error) -> Problem {
    match error.kind() {
        ErrorKind::Invalid if quotes_credential(request, error.message()) => {
            Problem::new(Code::InvalidQuery, "the query holds an API key: take it out")
        }
        ErrorKind::Invalid | ErrorKind::TooLarge => Problem::new(Code::InvalidQuery, error.message().to_owned()),
        _ => error.into(),
    }
}

fn quotes_credential(request: &HttpRequest, message: &str) -> bool {
    let Ok(presented) = AuthHeaders::of(request).credential() else { return false };
    str::from_utf8(&presented).is_ok_and(|presented| message.contains(presented))
}

/// What `Accept` asks for; JSON when there is nothing of it that we can write.
fn format(request: &HttpRequest) -> Format {
    let accept = request.headers().get_all(header::ACCEPT).filter_map(|value| value.to_str().ok());
    preferred(&accept.collect::<Vec<_>>().join(","))
}

/// The format of the highest weight; the first of those that weigh the same.
fn preferred(accept: &str) -> Format {
    let mut best = None;
    for range in accept.split(',') {
        let mut parts = range.split(';').map(|part| part.trim().to_ascii_lowercase());
        let format = match parts.next().unwrap_or_default().as_str() {
            "application/json" | "*/*" | "application/*" => Format::JsonArray,
            "application/x-ndjson" | "application/jsonl" => Format::NdJson,
            "text/csv" | "text/*" => Format::Csv,
            _ => continue,
        };
        let weight = parts.find_map(|part| part.strip_prefix("q=").map(str::to_owned));
        let weight = weight.map_or(1.0, |weight| weight.trim().parse().unwrap_or(0.0_f32));
        if weight > best.map_or(0.0, |(heaviest, _)| heaviest) {
            best = Some((weight, format));
        }
    }
    best.map_or_else(Format::default, |(_, format)| format)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_of_the_highest_weight_that_we_can_write_is_taken() {
        for (accept, format) in [
            ("", Format::JsonArray),
            ("image/png", Format::JsonArray),
            ("Text/CSV", Format::Csv),
            ("text/*", Format::Csv),
            ("APPLICATION/X-NDJSON; charset=utf-8", Format::NdJson),
            ("application/*, text/csv", Format::JsonArray),
            ("text/csv, application/json", Format::Csv),
            ("text/csv;q=0.5, application/jsonl;q=0.9, */*;q=0.1", Format::NdJson),
            ("text/csv;q=0, */*", Format::JsonArray),
            ("text/csv; Q=0", Format::JsonArray),
            ("text/html, text/csv;q=0.2", Format::Csv),
            ("text/csv;q=nonsense, application/jsonl;q=0.001", Format::NdJson),
        ] {
            assert_eq!(preferred(accept), format, "{accept}");
        }
    }
}
