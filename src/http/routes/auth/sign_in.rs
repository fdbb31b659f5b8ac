//! To an identity provider and back.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::attempt;
use super::flow::{self, Flows, Target};
use super::page::{self, Ending};
use crate::error::ErrorKind;
use crate::http::answered;
use crate::http::app::App;
use crate::http::error::{Code, Problem};
use crate::http::operator::anonymous;
use crate::http::query_string::{Nothing, Query};
use crate::key::Digest;
use crate::operators::sign_in::{Entry, Origin};
use crate::signin::{Callback, SignInError};

/// The page where sign-ins end that go on nowhere else.
const COMPLETE: &str = "/auth/complete";
/// The longest `next`.
const MAX_NEXT: usize = 512;

/// Where a sign-in is to go on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    next: Option<String>,
    cli: Option<u64>,
    challenge: Option<String>,
    handoff: Option<u64>,
}

impl Login {
    fn target(self) -> Result<Target, Problem> {
        let challenge = self.challenge.map(|challenge| check_challenge(&challenge).map(|()| challenge)).transpose()?;
        match (self.cli, challenge, self.handoff, self.next) {
            (Some(port), Some(challenge), None, None) => match u16::try_from(port) {
                Ok(port @ 1..) => Ok(Target::CommandLine(port, challenge)),
                _ => Err(Problem::invalid("cli must be a port.")),
            },
            (None, Some(challenge), Some(1), None) => Ok(Target::Paste(challenge)),
            (None, None, Some(1), None) => Ok(Target::FrontEnd),
            (None, None, None, next) => next.map_or(Ok(COMPLETE.to_owned()), own_path).map(Target::Page),
            _ => Err(Problem::invalid("Say next, or cli and challenge, or handoff=1 with or without challenge.")),
        }
    }
}

/// The challenge of a verifier: the SHA-256 of it in base64url (RFC 7636, section 4.2).
fn check_challenge(text: &str) -> Result<(), Problem> {
    let is_good =
        text.len() == 43 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if is_good { Ok(()) } else { Err(Problem::invalid("challenge must be the SHA-256 of the verifier in base64url.")) }
}

/// A path of ours. A browser must not read another host out of it.
fn own_path(next: String) -> Result<String, Problem> {
    let is_plain = next.len() <= MAX_NEXT && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let is_path = is_plain && next.starts_with('/') && !next.starts_with("//");
    let base = Url::parse("https://own.invalid").ok();
    let joined = base.filter(|_| is_path).and_then(|base| base.join(&next).ok());
    let is_own = joined.is_some_and(|url| url.host_str() == Some("own.invalid") && !url.path().starts_with("//"));
    if is_own { Ok(next) } else { Err(Problem::invalid("next must be a path of this server.")) }
}

/// What one can sign in with.
pub async fn providers(app: web::Data<App>, _: Query<Nothing>) -> HttpResponse {
    let url = app.public_url.as_ref().map_or("", |url| url.as_str());
    let items: Vec<_> = app
        .providers
        .all()
        .map(|provider| {
            let login_url = format!("{url}/auth/{}/login", provider.name());
            json!({
                "name": provider.name().as_str(), "kind": provider.kind().as_str(),
                "displayName": provider.display_name(), "loginUrl": login_url,
            })
        })
        .collect();
    HttpResponse::Ok().json(json!({"items": items}))
}

/// Sends a browser to a provider.
///
/// # Errors
/// 400, 404 without such a provider, 429; a page with 503 when the provider or the store does not answer.
pub async fn login(
    app: web::Data<App>,
    name: web::Path<String>,
    Query(asked): Query<Login>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    attempt(&app, &request)?;
    let provider = app.providers.get(&name).ok_or_else(no_such_provider)?;
    let target = asked.target()?;
    let (url, attempt) = match provider.begin().await {
        Ok(begun) => begun,
        Err(error) => return Ok(ended(&app, &request, &target, ending(&name, &error))),
    };
    let cookies = match Flows::of(&app, &request).begin(attempt, target.clone()).await {
        Ok(cookies) => cookies,
        Err(problem) if problem.code() == Code::StoreUnavailable => {
            return Ok(ended(&app, &request, &target, Ending::StoreUnavailable));
        }
        Err(problem) => return Err(problem),
    };
    let mut answer = to(url.as_str());
    for cookie in &cookies {
        answer.add_cookie(cookie).map_err(|_| Problem::new(Code::Internal, "A cookie could not be set."))?;
    }
    Ok(answer)
}

/// Takes a browser back.
///
/// # Errors
/// 404 without such a provider, 429. All else is a page, or an address that says how it ended.
pub async fn callback(
    app: web::Data<App>,
    name: web::Path<String>,
    callback: Result<web::Query<Callback>, actix_web::Error>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    attempt(&app, &request)?;
    let provider = app.providers.get(&name).ok_or_else(no_such_provider)?;
    let flows = Flows::of(&app, &request);
    let callback = callback.map(web::Query::into_inner).ok();
    let Some((callback, (flow, cookie, value))) = callback.and_then(|callback| {
        let flow = flows.take(&callback)?;
        Some((callback, flow))
    }) else {
        return Ok(ended(&app, &request, &Target::Page(COMPLETE.to_owned()), Ending::Failed));
    };
    let entry = match provider.finish(&flow.attempt, &callback).await {
        Ok(identity) => {
            let proof = match &flow.target {
                Target::Page(_) => None,
                Target::CommandLine(_, challenge) | Target::Paste(challenge) => Some(Digest::of(challenge)),
                Target::FrontEnd => Some(Digest::of(value)),
            };
            let context = anonymous(&app, &request);
            let origin = Origin { address: context.client, user_agent: context.agent.clone(), proof };
            app.accounts.sign_in(&context, identity, origin).await.map_err(|error| {
                tracing::warn!(provider = %name, "a sign-in did not work: {error:?}");
                let is_away = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::StoreNotSafe);
                if is_away { Ending::StoreUnavailable } else { Ending::Failed }
            })
        }
        Err(error) => Err(ending(&name, &error)),
    };
    let mut answer = match entry {
        Ok(Entry::In(signed_in)) => match &flow.target {
            Target::Page(next) => {
                let seconds = (signed_in.expires_at - app.keystore.now()).num_seconds();
                let mut answer = to(next);
                set(&mut answer, &flow::console(&app, signed_in.token, seconds));
                answer
            }
            Target::CommandLine(port, _) => to(&loopback(*port, &format!("handoff={}", signed_in.token))),
            Target::Paste(_) | Target::FrontEnd => to(&complete_at(&app, &format!("handoff={}", signed_in.token))),
        },
        Ok(Entry::NotAllowed(id)) => ended(&app, &request, &flow.target, Ending::NotAllowed(id)),
        Err(ending) => ended(&app, &request, &flow.target, ending),
    };
    // A front end redeems the handoff with the cookie.
    if !matches!(flow.target, Target::FrontEnd) {
        set(&mut answer, &flow::gone(&app, cookie.to_owned()));
    }
    Ok(answer)
}

/// Where a sign-in ends that goes on nowhere else.
pub async fn complete() -> HttpResponse {
    page::complete()
}

/// Ends a sign-in that did not work, where it was to go on.
fn ended(app: &App, request: &HttpRequest, target: &Target, ending: Ending) -> HttpResponse {
    answered::note_sign_in(app, request, ending.status(), ending.code(), ending.who());
    match target {
        Target::Page(_) => ending.page(),
        Target::CommandLine(port, _) => to(&loopback(*port, &ending.parameters())),
        Target::Paste(_) | Target::FrontEnd => to(&complete_at(app, &ending.parameters())),
    }
}

/// How a sign-in ends that the provider ends. Its reason is for our log.
fn ending(provider: &str, error: &SignInError) -> Ending {
    match error {
        SignInError::Unavailable => Ending::ProviderUnavailable,
        SignInError::Denied => Ending::Denied,
        SignInError::Failed(_) => {
            tracing::warn!(%provider, "a sign-in did not work: {error}");
            Ending::Failed
        }
    }
}

/// To a command line on the machine of the browser (RFC 8252, section 7.3).
fn loopback(port: u16, parameters: &str) -> String {
    format!("http://127.0.0.1:{port}/callback?{parameters}")
}

fn complete_at(app: &App, fragment: &str) -> String {
    let url = app.public_url.as_ref().map_or("", |url| url.as_str());
    format!("{url}{COMPLETE}#{fragment}")
}

fn to(url: &str) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, url))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .finish()
}

fn set(answer: &mut HttpResponse, cookie: &actix_web::cookie::Cookie<'_>) {
    if answer.add_cookie(cookie).is_err() {
        tracing::error!("a cookie could not be set");
    }
}

fn no_such_provider() -> Problem {
    Problem::new(Code::NotFound, "There is no such identity provider.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_is_a_path_of_ours_however_it_is_written() {
        for good in ["/", "/console", "/console/keys?tenant=acme#top", "/a//b"] {
            assert!(own_path(good.to_owned()).is_ok(), "{good}");
        }
        let long = format!("/{}", "a".repeat(MAX_NEXT));
        for bad in [
            "",
            "console",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\/evil",
            "https:evil",
            "https://evil",
            "/\t/evil.example",
            "\t//evil.example",
            "/%0a\n//evil",
            "/.//evil.example",
            "/a/..//evil.example",
            "javascript:alert(1)",
            "/ä",
            &long,
        ] {
            assert!(own_path(bad.to_owned()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_sign_in_goes_on_in_one_place() {
        let login = |next: Option<&str>, cli, challenge: Option<&str>, handoff| Login {
            next: next.map(str::to_owned),
            cli,
            challenge: challenge.map(str::to_owned),
            handoff,
        };
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"; // RFC 7636, appendix B.
        assert!(matches!(login(None, None, None, None).target(), Ok(Target::Page(path)) if path == COMPLETE));
        assert!(matches!(login(None, Some(80), Some(challenge), None).target(), Ok(Target::CommandLine(80, _))));
        assert!(matches!(login(None, None, Some(challenge), Some(1)).target(), Ok(Target::Paste(_))));
        assert!(matches!(login(None, None, None, Some(1)).target(), Ok(Target::FrontEnd)));
        for bad in [
            login(None, Some(80), None, None),
            login(None, Some(0), Some(challenge), None),
            login(None, Some(80), Some("short"), None),
            login(Some("/"), Some(80), Some(challenge), None),
            login(Some("/"), None, None, Some(1)),
            login(None, None, Some(challenge), None),
            login(None, None, None, Some(2)),
        ] {
            assert_eq!(bad.target().unwrap_err().code(), Code::InvalidRequest);
        }
    }
}
