//! What a browser keeps between being sent to a provider and coming back: a signed cookie for each sign-in under way,
//! so that several tabs work, and any node can go on.

use actix_web::cookie::{Cookie, SameSite, time};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};

use crate::http::app::App;
use crate::http::error::Problem;
use crate::key::Digest;
use crate::operators::token::{AUDIENCE, Claims, TokenType};
use crate::signin::{Attempt, Callback};

/// How long a sign-in may take at the provider, in seconds.
const LASTS: i64 = 600;
/// How many may be under way in one browser.
const MAX_FLOWS: usize = 8;
const FLOW: &str = "keyloft-flow-";
const CONSOLE: &str = "keyloft";
/// Browsers take a cookie with this prefix from this host alone, over https, for all paths
/// (draft-ietf-httpbis-rfc6265bis, section 4.1.3.2).
const HOST: &str = "__Host-";

/// A sign-in under way.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Flow {
    iss: String,
    aud: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    /// What the provider's answer must fit.
    pub(super) attempt: Attempt,
    /// Where it goes on.
    pub(super) target: Target,
}

/// Where a sign-in goes on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Target {
    /// On a page of ours, with a cookie.
    Page(String),
    /// At a command line that listens on this port of the browser's machine, and has the verifier of this challenge.
    CommandLine(u16, String),
    /// On the page that shows the handoff; it is redeemed with the verifier of this challenge.
    Paste(String),
    /// At another front end in the same browser, which redeems the handoff with this cookie.
    FrontEnd,
}

impl Claims for Flow {
    fn parties(&self) -> (&str, &str) {
        (&self.iss, &self.aud)
    }

    fn times(&self) -> [i64; 3] {
        [self.iat, self.nbf, self.exp]
    }
}

/// The cookies of one browser.
pub(super) struct Flows<'a> {
    app: &'a App,
    /// Name and value, the oldest first, as browsers send them (RFC 6265, section 5.4).
    cookies: Vec<(String, String)>,
}

impl<'a> Flows<'a> {
    /// Those that a request brings.
    pub(super) fn of(app: &'a App, request: &HttpRequest) -> Self {
        let prefix = name(app, FLOW);
        let cookies = request.cookies().map(|cookies| {
            let ours = cookies.iter().filter(|cookie| cookie.name().starts_with(&prefix));
            ours.map(|cookie| (cookie.name().to_owned(), cookie.value().to_owned())).collect()
        });
        Self { app, cookies: cookies.unwrap_or_default() }
    }

    /// The digests of their values, one of which may prove a handoff.
    pub(super) fn proofs(&self) -> Vec<Digest> {
        self.cookies.iter().take(MAX_FLOWS).map(|(_, value)| Digest::of(value)).collect()
    }

    /// Begins one more, in place of the oldest when there are too many.
    ///
    /// # Errors
    /// 503 when no key can be stored that signs it.
    pub(super) async fn begin(&self, attempt: Attempt, target: Target) -> Result<Vec<Cookie<'static>>, Problem> {
        let (signers, iat) = (self.app.accounts.signers(), self.app.keystore.now().timestamp());
        let (iss, aud) = (signers.issuer().to_owned(), AUDIENCE.to_owned());
        let flow = Flow { iss, aud, iat, nbf: iat, exp: iat + LASTS, attempt, target };
        let value = signers.sign(TokenType::Flow, &flow).await?;
        let id = &Digest::of(&value).base64url()[..8];
        let over = (self.cookies.len() + 1).saturating_sub(MAX_FLOWS);
        let mut cookies: Vec<_> = self.cookies[..over].iter().map(|(name, _)| gone(self.app, name.clone())).collect();
        cookies.push(cookie(self.app, format!("{}{id}", name(self.app, FLOW)), value, LASTS));
        Ok(cookies)
    }

    /// The one that a provider's answer belongs to, with its cookie's name and value.
    pub(super) fn take(&self, callback: &Callback) -> Option<(Flow, &str, &str)> {
        let signers = self.app.accounts.signers();
        let read = |value: &str| signers.verify::<Flow>(TokenType::Flow, value).ok();
        let mut found = self.cookies.iter().rev().take(2 * MAX_FLOWS);
        found.find_map(|(name, value)| {
            let flow = read(value).filter(|flow| flow.attempt.is_answered_by(callback))?;
            Some((flow, &**name, &**value))
        })
    }
}

/// Whether browsers speak https to us.
fn is_secure(app: &App) -> bool {
    app.public_url.as_ref().is_some_and(|url| url.as_str().starts_with("https:"))
}

fn name(app: &App, name: &str) -> String {
    if is_secure(app) { format!("{HOST}{name}") } else { name.to_owned() }
}

fn cookie(app: &App, name: String, value: String, seconds: i64) -> Cookie<'static> {
    Cookie::build(name, value)
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(is_secure(app))
        .max_age(time::Duration::seconds(seconds))
        .finish()
}

/// The cookie of the console.
pub(super) fn console(app: &App, token: String, seconds: i64) -> Cookie<'static> {
    cookie(app, name(app, CONSOLE), token, seconds)
}

/// Removes the cookie of the console.
pub(super) fn forget_console(app: &App, answer: &mut HttpResponse) {
    if answer.add_cookie(&gone(app, name(app, CONSOLE))).is_err() {
        tracing::error!("a cookie could not be removed");
    }
}

/// What removes a cookie.
pub(super) fn gone(app: &App, name: String) -> Cookie<'static> {
    cookie(app, name, String::new(), 0)
}
