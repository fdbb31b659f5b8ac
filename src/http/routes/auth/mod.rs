//! Signing in and out.
//!
//! 1. [`sign_in`]: to a provider and back.  [`flow`]: what the browser keeps meanwhile.  [`page`]: what people see.
//! 2. [`session`]: exchanging a handoff for a token, oneself, signing out, and the public keys.

mod flow;
mod page;
pub mod session;
pub mod sign_in;

use actix_web::HttpRequest;

use crate::http::app::App;
use crate::http::error::Problem;
use crate::http::{answered, client};

/// Takes one try to sign in from the budget of the client's network.
fn attempt(app: &App, request: &HttpRequest) -> Result<(), Problem> {
    app.attempts.take(client::of(request)).inspect_err(|problem| refused(app, request, problem))
}

/// Notes for the audit that a sign-in was refused.
fn refused(app: &App, request: &HttpRequest, problem: &Problem) {
    answered::note_sign_in(app, request, problem.code().status(), problem.code().as_str(), None);
}
