//! Where the server is, and how requests reach it. The admin token goes to that server and nowhere else.

use std::time::Duration;

use clap::Args;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder, StatusCode, redirect};
use serde_json::Value;
use url::{Host, Url};

use super::{Failure, Outcome, login};
use crate::config::{AdminToken, admin};
use crate::key::TenantId;

const URL_ENV: &str = "KEYLOFT_URL";
pub(super) const DEFAULT_URL: &str = "http://127.0.0.1:8000";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than the server waits for the other nodes.
const TIMEOUT: Duration = Duration::from_secs(90);
/// Tens of thousands of keys, one after the other.
const LONG_TIMEOUT: Duration = Duration::from_secs(3600);

/// Longer than a server takes over bulk work.
const STREAM_TIMEOUT: Duration = Duration::from_secs(900);

/// The options that all commands with a server share.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of key and tenant")]
pub struct ClientArgs {
    /// The server to talk to
    #[arg(long, global = true, value_parser = server_url)]
    #[arg(help = "The server to talk to [default: http://127.0.0.1:8000] [env: KEYLOFT_URL]")]
    url: Option<Url>,
    /// The tenant of the command [default: default]
    #[arg(long, global = true, value_parser = TenantId::parse)]
    tenant: Option<TenantId>,
    /// Print JSON for programs instead of tables for people
    #[arg(long, global = true)]
    pub(super) json: bool,
}

impl ClientArgs {
    /// The tenant of the command.
    pub fn tenant(&self) -> TenantId {
        self.tenant.clone().unwrap_or_default()
    }

    /// The tenant, if it was given.
    pub(super) fn stated_tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }

    /// The tenant that a file is about: both the file and the command line may name it, and must agree.
    ///
    /// # Errors
    /// Usage, when they do not.
    pub(super) fn tenant_of_file(&self, written: Option<TenantId>) -> Outcome<TenantId> {
        match (&self.tenant, written) {
            (Some(stated), Some(written)) if *stated != written => {
                Err(Failure::usage(format!("the file is for tenant {written}, and --tenant says {stated}")))
            }
            (Some(tenant), _) => Ok(tenant.clone()),
            (None, written) => Ok(written.unwrap_or_default()),
        }
    }

    /// `serve` is no client: an option that would do nothing is a mistake.
    pub(super) fn refuse_for_serve(&self) -> Outcome {
        if self.url.is_some() || self.tenant.is_some() || self.json {
            return Err(Failure::usage("--url, --tenant and --json are for key and tenant, not for serve"));
        }
        Ok(())
    }

    /// The same for a command that talks to no server.
    pub(super) fn refuse_for(&self, command: &str) -> Outcome {
        if self.url.is_some() || self.tenant.is_some() {
            return Err(Failure::usage(format!("--url and --tenant are for key and tenant, not for {command}")));
        }
        Ok(())
    }

    /// A client of the server, with the admin token of the environment, else the token of a machine, else that of the
    /// sign-in there.
    ///
    /// # Errors
    /// Usage, when there is no token or the URL in the environment cannot be used.
    pub fn connect(&self) -> Outcome<Client> {
        let base = self.base()?;
        let token = match admin::client_token(|name| std::env::var_os(name))? {
            Some(token) => Some(token),
            None => login::file::read(&base)?.map(|login| login.token),
        };
        let token = token.ok_or_else(|| {
            Failure::usage(
                "no admin token: set KEYLOFT_ADMIN_TOKEN, or KEYLOFT_ADMIN_TOKEN_FILE to a file that holds it; for the \
                 token of a machine KEYLOFT_TOKEN or KEYLOFT_TOKEN_FILE; or sign in with keyloft login",
            )
        })?;
        Client::new(base, Some(token))
    }

    /// A client of the server that presents nothing.
    ///
    /// # Errors
    /// Usage, when the URL in the environment cannot be used.
    pub(super) fn connect_without_token(&self) -> Outcome<Client> {
        Client::new(self.base()?, None)
    }

    pub(super) fn base(&self) -> Outcome<Url> {
        match (&self.url, std::env::var(URL_ENV)) {
            (Some(url), _) => Ok(url.clone()),
            (None, Ok(text)) => server_url(&text).map_err(|rule| Failure::usage(format!("{URL_ENV}: {rule}"))),
            (None, Err(_)) => server_url(DEFAULT_URL).map_err(Failure::failed),
        }
    }
}

fn server_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "must be a URL such as http://127.0.0.1:8000")?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("must start with http:// or https:// and name a host");
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err("must hold neither credentials nor a query");
    }
    Ok(url)
}

/// A client of one server.
#[derive(Debug)]
pub struct Client {
    base: Url,
    token: Option<AdminToken>,
    http: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

/// The name and value of a query parameter.
pub(super) type Parameter = (&'static str, String);

impl Client {
    pub(super) fn new(base: Url, token: Option<AdminToken>) -> Outcome<Self> {
        let mut http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            // A redirect would carry the token to a place that the operator did not name.
            .redirect(redirect::Policy::none());
        if is_loopback(&base) {
            http = http.no_proxy();
        }
        if base.scheme() == "http" {
            // Plain HTTP must work on machines that hold no certificates at all.
            http = http.tls_built_in_root_certs(false);
        }
        let http = http.build().map_err(|error| Failure::failed(format!("cannot set up HTTP: {error}")))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::failed(format!("cannot set up the runtime: {error}")))?;
        Ok(Self { base, token, http, runtime })
    }

    /// Where the server is.
    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    /// `GET` with query parameters.
    pub(super) fn get(&self, path: &[&str], parameters: &[Parameter]) -> Outcome<Value> {
        self.send(self.request(Method::GET, path)?.query(parameters))
    }

    /// `POST` with a JSON body.
    pub(super) fn post(&self, path: &[&str], body: &Value) -> Outcome<Value> {
        self.send(self.request(Method::POST, path)?.json(body))
    }

    /// `POST` with query parameters and a JSON body.
    pub(super) fn post_with(&self, path: &[&str], parameters: &[Parameter], body: &Value) -> Outcome<Value> {
        self.send(self.request(Method::POST, path)?.query(parameters).json(body))
    }

    /// The same with an API key.
    pub(super) fn post_as(&self, key: &str, path: &[&str], parameters: &[Parameter], body: &Value) -> Outcome<Value> {
        self.send(self.request(Method::POST, path)?.header("X-API-KEY", key).query(parameters).json(body))
    }

    /// The same for many keys, with a longer timeout.
    pub(super) fn post_many(&self, path: &[&str], parameters: &[Parameter], body: &Value) -> Outcome<Value> {
        self.send(self.request(Method::POST, path)?.timeout(LONG_TIMEOUT).query(parameters).json(body))
    }

    /// `PATCH` with query parameters and a JSON body.
    pub(super) fn patch(&self, path: &[&str], parameters: &[Parameter], body: &Value) -> Outcome<Value> {
        self.send(self.request(Method::PATCH, path)?.query(parameters).json(body))
    }

    /// `DELETE` with query parameters.
    pub(super) fn delete(&self, path: &[&str], parameters: &[Parameter]) -> Outcome<Value> {
        self.send(self.request(Method::DELETE, path)?.query(parameters))
    }

    /// `POST` of lines that is answered by lines; each is given to `each` as it comes.
    pub(super) fn stream(
        &self,
        path: &[&str],
        parameters: &[Parameter],
        body: Vec<u8>,
        each: impl FnMut(&str) -> Outcome,
    ) -> Outcome {
        let request = self.request(Method::POST, path)?.query(parameters);
        self.lines(request.header(CONTENT_TYPE, "application/x-ndjson").body(body), each)
    }

    /// `POST` with a JSON body that is answered by lines; each is given to `each` as it comes.
    pub(super) fn stream_json(&self, path: &[&str], body: &Value, each: impl FnMut(&str) -> Outcome) -> Outcome {
        self.lines(self.request(Method::POST, path)?.json(body), each)
    }

    fn lines(&self, request: RequestBuilder, mut each: impl FnMut(&str) -> Outcome) -> Outcome {
        let request = request.timeout(STREAM_TIMEOUT);
        self.runtime.block_on(async {
            let mut answer = request.send().await.map_err(|error| self.unreachable(&error))?;
            let status = answer.status();
            if !status.is_success() {
                let body = answer.bytes().await.map_err(|error| self.unreachable(&error))?;
                return read(status, &body).map(drop);
            }
            let mut rest = Vec::new();
            while let Some(piece) = answer.chunk().await.map_err(|error| self.unreachable(&error))? {
                rest.extend_from_slice(&piece);
                let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                for line in String::from_utf8_lossy(&rest[..whole]).lines() {
                    each(line)?;
                }
                rest.drain(..whole);
            }
            Ok(())
        })
    }

    fn request(&self, method: Method, path: &[&str]) -> Outcome<RequestBuilder> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| Failure::usage("the server's URL cannot carry a path"))?
            .pop_if_empty()
            .extend(["api", "v1"])
            .extend(path);
        let request = self.http.request(method, url);
        Ok(match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        })
    }

    fn send(&self, request: RequestBuilder) -> Outcome<Value> {
        self.runtime.block_on(async {
            let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
            let status = answer.status();
            let body = answer.bytes().await.map_err(|error| self.unreachable(&error))?;
            read(status, &body)
        })
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let why = if error.is_timeout() {
            "no answer in time".to_owned()
        } else {
            // The last cause says it best: `Connection refused`.
            let mut cause: &dyn std::error::Error = error;
            while let Some(deeper) = cause.source() {
                cause = deeper;
            }
            cause.to_string()
        };
        Failure::unavailable(format!("cannot reach {}: {why}", self.base))
    }
}

/// The body of a success, `null` without one; or the failure.
fn read(status: StatusCode, body: &[u8]) -> Outcome<Value> {
    if status.is_success() {
        let null = || Ok(Value::Null);
        return if body.is_empty() { null() } else { serde_json::from_slice(body) }
            .map_err(|_| Failure::failed("the answer is not JSON: is this a Keyloft server?"));
    }
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let mut faults = faults(&problem).into_iter();
    let first = faults.next();
    let detail = ["detail", "title"].into_iter().find_map(|field| problem[field].as_str());
    let detail = first.as_deref().or(detail).or(status.canonical_reason()).unwrap_or("no reason given");
    let code = problem["code"].as_str().map_or_else(String::new, |code| format!(", {code}"));
    let message = format!("{detail} ({}{code})", status.as_u16());
    // 429 does not refuse the request itself: it may work later.
    let is_busy = status == StatusCode::TOO_MANY_REQUESTS;
    if status.is_client_error() && !is_busy {
        Err(Failure::refused(message).with_lines(faults))
    } else if status.is_server_error() || is_busy {
        Err(Failure::unavailable(message))
    } else {
        Err(Failure::failed(format!("{message}: not followed, so that the admin token goes nowhere else")))
    }
}

/// Every fault of a refused policy set; nothing of other refusals.
fn faults(problem: &Value) -> Vec<String> {
    let line = |fault: &Value| {
        let text = |member: &str| fault[member].as_str().unwrap_or_default();
        let place = match (fault["line"].as_u64(), fault["column"].as_u64()) {
            (Some(line), Some(column)) => format!(":{line}:{column}"),
            _ => String::new(),
        };
        let hint = fault["hint"].as_str().map_or_else(String::new, |hint| format!(" ({hint})"));
        format!("{}{place}: {}{hint}", text("path"), text("message"))
    };
    problem["errors"].as_array().into_iter().flatten().map(line).collect()
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::failure::FailureKind;
    use super::*;

    #[test]
    fn a_refusal_an_outage_and_a_redirect_are_told_apart() {
        let problem = br#"{"code":"duplicate_key_name","title":"Conflict","detail":"the name is taken"}"#;
        let cases = [
            (409, FailureKind::Refused, "the name is taken (409, duplicate_key_name)"),
            (401, FailureKind::Refused, "the name is taken (401, duplicate_key_name)"),
            (429, FailureKind::Unavailable, "the name is taken (429, duplicate_key_name)"),
            (503, FailureKind::Unavailable, "the name is taken (503, duplicate_key_name)"),
        ];
        for (status, kind, message) in cases {
            let failure = read(StatusCode::from_u16(status).unwrap(), problem).unwrap_err();
            assert_eq!((failure.kind(), failure.to_string().as_str()), (kind, message));
        }
        let moved = read(StatusCode::FOUND, b"").unwrap_err();
        assert_eq!(moved.kind(), FailureKind::Failed);
        let proxy = read(StatusCode::BAD_GATEWAY, b"<html>").unwrap_err();
        assert_eq!(proxy.to_string(), "Bad Gateway (502)");
    }

    #[test]
    fn an_answer_that_is_no_json_is_a_failure() {
        assert_eq!(read(StatusCode::OK, b"").unwrap(), Value::Null);
        assert_eq!(read(StatusCode::OK, b"<html>").unwrap_err().kind(), FailureKind::Failed);
    }

    #[test]
    fn a_server_that_does_not_listen_is_unavailable() {
        // A port that was free a moment ago.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let base = server_url(&format!("http://127.0.0.1:{port}/")).unwrap();
        let token = AdminToken::parse("x".repeat(32)).unwrap();
        let failure = Client::new(base, Some(token)).unwrap().get(&["tenants"], &[]).unwrap_err();
        assert_eq!(failure.kind(), FailureKind::Unavailable);
    }

    #[test]
    fn a_path_is_appended_to_the_base_and_escaped() {
        for base in ["http://127.0.0.1:1/base", "http://127.0.0.1:1/base/"] {
            let token = AdminToken::parse("x".repeat(32)).unwrap();
            let client = Client::new(server_url(base).unwrap(), Some(token)).unwrap();
            let request = client.request(Method::GET, &["tenants", "a/../b"]).unwrap().build().unwrap();
            assert_eq!(request.url().path(), "/base/api/v1/tenants/a%2F..%2Fb");
        }
    }
}
