//! `/.keyloft/challenge`: where browsers and programs solve a challenge. On the host of the protected application,
//! which passes requests for this path on. Nobody presents a credential: the signed challenge says whose it is.
//!
//! 1. [`sent`]: what clients send back.  [`answer`]: what they get.
//!
//! What a page of another site can make a browser send gives it nothing: a clearance is good for the program, and the
//! values of the entity, that were challenged, and `__Host-` cookies are set by this host alone. What a browser says
//! that another site sent is refused all the same, so that nobody is given the clearance of somebody else.

mod answer;
mod sent;

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;

use super::decide::not_ready;
use crate::challenge::{Challenge, ClearanceToken, Keys, Refused, Solution, Verified};
use crate::http::app::App;
use crate::http::error::{Code, Problem};
use crate::http::query_string::Query;
use crate::policy::event::CLEARANCE_COOKIES;
use answer::{Failure, Format, dressed, given, page, required};
use sent::{Sent, Solved, unpacked};

/// How many cookies of ours are looked at.
const MAX_COOKIES: usize = 16;

/// The query string.
#[derive(Debug, Deserialize)]
pub struct ChallengeQuery {
    /// The challenge, as JSON in base64.
    challenge: Option<String>,
    /// Asks whether a clearance arrives here, instead.
    check: Option<String>,
}

/// Shows a challenge: a page, or its parameters as JSON. With `check`, says whether a clearance of ours arrives.
///
/// 403 when all is well: a client that sees a challenge did not get what it asked for. 400 `invalid_challenge`,
/// `challenge_expired`; 409 `clearance_missing`; 503.
pub async fn show(app: web::Data<App>, Query(query): Query<ChallengeQuery>, request: HttpRequest) -> HttpResponse {
    let format = Format::of(&request);
    dressed(shown(&app, &query, &request, format).unwrap_or_else(|failure| failure.answer(&app, format)))
}

/// Takes a solution, or a wait where that is enough, and gives the clearance: as JSON to a program, as a cookie and a
/// way back to a form. Asked again, it gives the same again.
///
/// 400 `invalid_challenge`, `challenge_expired`; 413, 415; 429 `too_many_challenges`; 503.
pub async fn redeem(app: web::Data<App>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let is_form = sent::is_form(&request);
    let format = Format::of(&request).filter(|_| is_form);
    let redeemed = redeemed(&app, &request, payload.into_inner(), is_form).await;
    dressed(redeemed.unwrap_or_else(|failure| failure.answer(&app, format)))
}

fn shown(
    app: &App,
    query: &ChallengeQuery,
    request: &HttpRequest,
    format: Option<Format>,
) -> Result<HttpResponse, Failure> {
    let ready = || app.decider.keys().map_err(not_ready);
    let now = app.decider.now().timestamp();
    if let Some(check) = &query.check {
        if check != "1" {
            return Err(Problem::invalid("check is 1.").into());
        }
        return match has_clearance(request, ready()?, now) {
            true => Ok(HttpResponse::NoContent().finish()),
            false => Err(Problem::new(Code::ClearanceMissing, "No cookie of ours came with the request.").into()),
        };
    }
    let challenge: Challenge = query.challenge.as_deref().and_then(unpacked).ok_or(Refused::Invalid)?;
    let verified = challenge.verified(ready()?, now)?;
    match format {
        Some(Format::Json) => Ok(required(&verified)),
        _ => page(&verified, now),
    }
}

/// Whether a clearance of ours came as a cookie.
fn has_clearance(request: &HttpRequest, keys: &Keys, now: i64) -> bool {
    let Ok(cookies) = request.cookies() else { return false };
    let ours = cookies.iter().rev().filter(|cookie| cookie.name().starts_with(CLEARANCE_COOKIES));
    ours.take(MAX_COOKIES).any(|cookie| ClearanceToken::read(cookie.value(), keys, now).is_some())
}

async fn redeemed(app: &App, request: &HttpRequest, payload: Payload, is_form: bool) -> Result<HttpResponse, Failure> {
    let sent = sent::read(request, payload, is_form).await?;
    let (keys, now) = (app.decider.keys().map_err(not_ready)?, app.decider.now().timestamp());
    let (verified, is_weak) = match sent {
        Sent::Solved(Solved { challenge, solution }) => {
            (solved(app, challenge.verified(keys, now)?, solution).await?, false)
        }
        Sent::Waited(challenge) => {
            let verified = challenge.verified(keys, now)?;
            let left = verified.wait_seconds(now).ok_or(Refused::Invalid)?;
            if left > 0 {
                app.metrics.decisions.count_challenge("too_early");
                let mut answer = page(&verified, now)?;
                answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(left));
                return Ok(answer);
            }
            (verified, true)
        }
    };
    let token = verified.clearance(is_weak, now)?;
    let answer = given(&verified, &token, keys, now, is_form)?;
    app.metrics.decisions.count_challenge(if is_weak { "waited" } else { "solved" });
    Ok(answer)
}

/// Computes a solution again, if not too many are computed already. On a thread of its own, where it goes on when the
/// client hangs up; its permit goes with it.
async fn solved(app: &App, verified: Verified, solution: Solution) -> Result<Verified, Failure> {
    let permit = app.decider.places().clone().try_acquire_owned().map_err(|_| Failure::Busy)?;
    let computed = tokio::task::spawn_blocking(move || {
        let is_solved = verified.is_solved_by(&solution);
        drop(permit);
        is_solved.then_some(verified)
    });
    match computed.await {
        Ok(verified) => verified.ok_or(Failure::Refused(Refused::Invalid)),
        Err(error) => {
            tracing::error!("a solution could not be computed: {error}");
            Err(Problem::new(Code::Internal, "The solution could not be verified.").into())
        }
    }
}
