//! SQL over the streams of a query session.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;

use crate::access::Session;
use crate::error::{Error, ErrorKind};
use crate::http::app::App;
use crate::http::credential::AuthHeaders;
use crate::http::error::{Code, Problem};
use crate::http::extract::{Json, RunningSession};
use crate::http::media_type::preferred;
use crate::key::StreamName;
use crate::query::{Access, Format, QueryRequest, Scope};
use crate::serde_text::Rfc3339;

/// The body of a query.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QueryBody {
    query: String,
    start_time: Option<Rfc3339>,
    end_time: Option<Rfc3339>,
}

/// Answers SQL with rows as they come. The session alone decides what may be read; the response body holds it.
///
/// # Errors
/// 400 `invalid_query`, 429, 503; 401, 403 or 504 when the session ends before the first row.
pub async fn run(
    session: RunningSession,
    app: web::Data<App>,
    request: HttpRequest,
    Json(ask): Json<QueryBody>,
) -> Result<HttpResponse, Problem> {
    let refusal = |error| refusal(&request, &ask.query, error);
    let query =
        QueryRequest::new(&ask.query, ask.start_time.map(|at| at.0), ask.end_time.map(|at| at.0)).map_err(refusal)?;
    let scope = Scope { tenant: session.tenant.clone(), access: session.shared() };
    let rows = app.engine.run(scope, query, format(&request)).await.map_err(refusal)?;
    let stopper = rows.stopper();
    tokio::spawn(async move {
        // Also while the body is not read: a client that stops reading keeps no query running.
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

/// Masks the credential of the request in a message: messages quote SQL, whole or in part, and the client may have
/// pasted its credential into it.
fn refusal(request: &HttpRequest, sql: &str, error: Error) -> Problem {
    let presented = AuthHeaders::of(request);
    match error.kind() {
        ErrorKind::Invalid if [sql, error.message()].iter().any(|text| presented.are_quoted_in(text)) => {
            Problem::new(Code::InvalidQuery, "the query holds the credential of this request: take it out")
        }
        ErrorKind::Invalid | ErrorKind::TooLarge => Problem::new(Code::InvalidQuery, error.message().to_owned()),
        _ => error.into(),
    }
}

/// The format that `Accept` prefers; JSON when none of its types is supported.
fn format(request: &HttpRequest) -> Format {
    preferred(request, |range| match range {
        "application/json" | "*/*" | "application/*" => Some(Format::JsonArray),
        "application/x-ndjson" | "application/jsonl" => Some(Format::NdJson),
        "text/csv" | "text/*" => Some(Format::Csv),
        _ => None,
    })
    .unwrap_or_default()
}
