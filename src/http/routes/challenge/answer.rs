//! What clients get: a page or JSON, a clearance, or why there is none.

use actix_web::cookie::{Cookie, SameSite, time};
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use chrono::DateTime;
use serde_json::{Value, json};

use crate::challenge::page::{Page, RefusedPage, render, render_refused};
use crate::challenge::{ClearanceToken, Keys, PATH, Refused, Verified};
use crate::http::app::App;
use crate::http::error::{Code, Problem};
use crate::http::media_type::preferred;
use crate::key::secret::RandomText;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Page,
    Json,
}

impl Format {
    /// What a client asks for; `None` when anything is right.
    pub fn of(request: &HttpRequest) -> Option<Self> {
        let offer = |range: &str| match range {
            "text/html" | "text/*" | "application/xhtml+xml" => Some(Some(Self::Page)),
            "application/json" | "application/problem+json" | "application/*" => Some(Some(Self::Json)),
            "*/*" => Some(None),
            _ => None,
        };
        preferred(request, offer).flatten()
    }
}

/// Why a client gets nothing.
pub(super) enum Failure {
    /// The challenge is not good, or not solved.
    Refused(Refused),
    /// Too many solutions are being verified.
    Busy,
    /// Anything else.
    Problem(Problem),
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl Failure {
    /// The refusal: a page for a client that asks for one, with a way back where we know one.
    pub fn answer(self, app: &App, format: Option<Format>) -> HttpResponse {
        let (outcome, problem, return_path) = match self {
            Self::Problem(problem) => return HttpResponse::from_error(problem),
            Self::Refused(Refused::Invalid) => {
                let message = "This is no challenge of ours with its solution, or it was changed on its way.";
                ("invalid", Problem::new(Code::InvalidChallenge, message), None)
            }
            Self::Refused(Refused::Expired { return_path }) => {
                let message = "The challenge is too old. Repeat the request that was challenged to get another.";
                ("expired", Problem::new(Code::ChallengeExpired, message), Some(return_path))
            }
            Self::Busy => {
                let message = "Too many solutions are being verified. Send the same again in a second.";
                ("busy", Problem::new(Code::TooManyChallenges, message), None)
            }
        };
        app.metrics.decisions.count_challenge(outcome);
        if format != Some(Format::Page) {
            return HttpResponse::from_error(problem);
        }
        let words = problem.detail().to_owned();
        html(HttpResponse::from_error(problem), |nonce| {
            render_refused(RefusedPage { words: &words, return_path: return_path.as_deref(), nonce })
        })
        .unwrap_or_else(HttpResponse::from_error)
    }
}

/// The page that solves a challenge by itself.
///
/// # Errors
/// 500 without randomness.
pub(super) fn page(verified: &Verified, now: i64) -> Result<HttpResponse, Failure> {
    let (data, wait) = (verified.data(), verified.wait_seconds(now));
    let json = serde_json::to_string(verified.challenge()).unwrap_or_default();
    let rendered = html(HttpResponse::Forbidden().finish(), |nonce| {
        render(Page {
            challenge_json: &json,
            decision_id: &data.decision_id,
            return_path: &data.return_path,
            is_replayable: data.replayable,
            offers_wait: wait.is_some(),
            wait_seconds: wait.unwrap_or_default(),
            nonce,
        })
    });
    Ok(rendered?)
}

/// The same for a program.
pub(super) fn required(verified: &Verified) -> HttpResponse {
    let message = "Solve the challenge, send the solution to verifyUrl, and repeat the request with the clearance.";
    let problem = Problem::new(Code::ChallengeRequired, message);
    let mut body: Value = serde_json::from_slice(&problem.body()).unwrap_or_default();
    body["challenge"] = json!(verified.challenge());
    body["verifyUrl"] = json!(PATH);
    HttpResponse::from_error(problem).set_body(body.to_string()).map_into_boxed_body()
}

/// A clearance: as JSON, or as a way back, and in both as a cookie.
///
/// # Errors
/// [`Refused::Invalid`] when the secret that signs it is gone.
pub(super) fn given(
    verified: &Verified,
    token: &ClearanceToken,
    keys: &Keys,
    now: i64,
    is_form: bool,
) -> Result<HttpResponse, Refused> {
    let (text, name) = token.text(keys).zip(token.cookie_name(keys)).ok_or(Refused::Invalid)?;
    let return_path = verified.data().return_path.as_str();
    let mut answer = match is_form {
        true => HttpResponse::SeeOther().insert_header((header::LOCATION, return_path)).finish(),
        false => HttpResponse::Ok().json(json!({
            "clearance": text,
            "expiresAt": DateTime::from_timestamp_secs(token.expires_at).unwrap_or_default(),
            "returnPath": return_path,
        })),
    };
    // Browsers keep it as long as it is good, and send it with every request to this host, over https.
    let cookie = Cookie::build(name, text)
        .path("/")
        .secure(true)
        .http_only(true)
        .same_site(SameSite::Lax)
        .max_age(time::Duration::seconds(token.expires_at.saturating_sub(now).max(1)))
        .finish();
    if let Err(error) = answer.add_cookie(&cookie) {
        tracing::error!("a clearance cannot be a cookie: {error}");
    }
    Ok(answer)
}

/// An answer as a page that runs our script alone, and stands in no frame.
fn html(mut answer: HttpResponse, body: impl FnOnce(&str) -> String) -> Result<HttpResponse, Problem> {
    let random = RandomText::generate().map(RandomText::into_inner);
    let nonce = random.map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{0}'; style-src 'nonce-{0}'; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        *nonce
    );
    let policy = HeaderValue::from_str(&policy).map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    Ok(answer.set_body(body(&nonce)).map_into_boxed_body())
}

/// What every answer says: it is for this client alone, now, and for no frame.
pub(super) fn dressed(mut answer: HttpResponse) -> HttpResponse {
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "Cookie, Accept"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}
