//! A server that answers as GitHub documents, refusals included: docs.github.com, "Authorizing OAuth apps", "REST API
//! endpoints for users, emails, organization members and teams". It stands at one address, as a GitHub Enterprise
//! Server does.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use keyloft::{Clock, ManualClock, SystemClock};
use parking_lot::Mutex;
use serde_json::{Value, json};
use url::Url;

pub const CLIENT_ID: &str = "Iv1.0123456789abcdef";
pub const CLIENT_SECRET: &str = "0123456789abcdef0123456789abcdef01234567";
pub const REDIRECT_URI: &str = "http://127.0.0.1:8000/auth/github/callback";

/// Somebody who has an account.
#[derive(Default, Clone)]
pub struct Person {
    pub id: u64,
    pub name: Option<String>,
    /// Address, whether it is the primary one, and whether it is verified.
    pub emails: Vec<(String, bool, bool)>,
    /// The state of each membership, by organization (`org`) or team (`org/team`).
    pub memberships: BTreeMap<String, &'static str>,
}

/// What was asked for with a code.
struct Code {
    login: String,
    scope: String,
    challenge: String,
    at: DateTime<Utc>,
}

struct State {
    people: BTreeMap<String, Person>,
    codes: HashMap<String, Code>,
    /// Whose token, and its scope.
    tokens: HashMap<String, (String, String)>,
    /// Organizations that let in approved OAuth apps only.
    restricted: Vec<String>,
    /// What is answered instead, by path.
    instead: HashMap<String, (u16, Value)>,
    asked: Vec<String>,
    count: usize,
}

/// A GitHub. Stops when dropped.
pub struct GitHub {
    url: String,
    state: Arc<Mutex<State>>,
    pub clock: Arc<ManualClock>,
    handle: ServerHandle,
}

impl GitHub {
    pub async fn start() -> Self {
        let state = Arc::new(Mutex::new(State {
            people: BTreeMap::new(),
            codes: HashMap::new(),
            tokens: HashMap::new(),
            restricted: Vec::new(),
            instead: HashMap::new(),
            asked: Vec::new(),
            count: 0,
        }));
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let data = (web::Data::from(state.clone()), web::Data::from(clock.clone()));
        let server = HttpServer::new(move || {
            App::new().app_data(data.0.clone()).app_data(data.1.clone()).default_service(web::to(answer))
        });
        let server = server.workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Self { url, state, clock, handle }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn api_url(&self) -> String {
        format!("{}/api/v3", self.url)
    }

    /// From now on this login is that person's.
    pub fn knows(&self, login: &str, person: Person) {
        self.state.lock().people.insert(login.to_owned(), person);
    }

    /// From now on this organization shows itself to approved OAuth apps only.
    pub fn restrict(&self, org: &str) {
        self.state.lock().restricted.push(org.to_owned());
    }

    /// From now on it answers so at that path.
    pub fn answers(&self, path: &str, status: u16, body: Value) {
        self.state.lock().instead.insert(path.to_owned(), (status, body));
    }

    /// The paths that were asked for since the last call.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().asked)
    }

    /// Somebody authorizes what the address asks for; returns where the browser is sent.
    pub fn authorize(&self, begin: &Url, login: &str) -> Url {
        assert!(begin.as_str().starts_with(&format!("{}/login/oauth/authorize?", self.url)), "{begin}");
        let parameters: HashMap<String, String> = begin.query_pairs().into_owned().collect();
        assert_eq!(parameters["client_id"], CLIENT_ID);
        assert_eq!(parameters["redirect_uri"], REDIRECT_URI);
        assert_eq!(parameters["code_challenge_method"], "S256", "GitHub knows no other");
        let mut state = self.state.lock();
        state.count += 1;
        let code = format!("code-{}", state.count);
        state.codes.insert(
            code.clone(),
            Code {
                login: login.to_owned(),
                scope: parameters["scope"].clone(),
                challenge: parameters["code_challenge"].clone(),
                at: self.clock.now(),
            },
        );
        let mut back = Url::parse(REDIRECT_URI).unwrap();
        back.query_pairs_mut().append_pair("code", &code).append_pair("state", &parameters["state"]);
        back
    }
}

impl Drop for GitHub {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

fn json_of(status: u16, body: &Value) -> HttpResponse {
    HttpResponse::build(StatusCode::from_u16(status).unwrap()).json(body)
}

fn message(status: u16, message: &str) -> HttpResponse {
    json_of(status, &json!({"message": message, "documentation_url": "https://docs.github.com/rest"}))
}

/// Errors of OAuth come with 200.
fn error(code: &str) -> HttpResponse {
    json_of(200, &json!({"error": code, "error_description": "<b>Said to people.</b>", "error_uri": "https://docs"}))
}

async fn answer(
    request: HttpRequest,
    body: web::Bytes,
    state: web::Data<Mutex<State>>,
    clock: web::Data<ManualClock>,
) -> HttpResponse {
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let mut state = state.lock();
    state.asked.push(request.uri().to_string());
    if let Some((status, body)) = state.instead.get(request.path()) {
        return json_of(*status, body);
    }
    if request.path() == "/login/oauth/access_token" {
        assert_eq!(header("accept").as_deref(), Some("application/json"), "else it answers a form");
        let form: HashMap<String, String> = url::form_urlencoded::parse(&body).into_owned().collect();
        return exchange(&mut state, &form, clock.now());
    }
    if header("user-agent").is_none_or(|agent| !agent.starts_with("keyloft/")) {
        return message(
            403,
            "Request forbidden by administrative rules. Please make sure your request has a User-Agent",
        );
    }
    let token = header("authorization").and_then(|text| text.strip_prefix("Bearer ").map(str::to_owned));
    let Some((login, scope)) = token.and_then(|token| state.tokens.get(&token).cloned()) else {
        return message(401, "Bad credentials");
    };
    let may = |wanted: &str| scope.split(' ').any(|one| one == wanted);
    let person = state.people[&login].clone();
    let path: Vec<&str> = request.path().trim_start_matches("/api/v3/").split('/').collect();
    match path[..] {
        ["user"] => {
            json_of(200, &json!({"id": person.id, "login": login, "name": person.name, "email": null, "type": "User"}))
        }
        ["user", "emails"] if may("user:email") => emails(&person, request.query_string()),
        ["user", "memberships", "orgs", org] if may("read:org") => membership(&state, &person, org, org),
        ["orgs", org, "teams", team, "memberships", of] if may("read:org") && of == login => {
            membership(&state, &person, org, &format!("{org}/{team}"))
        }
        _ => message(404, "Not Found"),
    }
}

fn exchange(state: &mut State, form: &HashMap<String, String>, now: DateTime<Utc>) -> HttpResponse {
    let given = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    if given("client_id") != CLIENT_ID || given("client_secret") != CLIENT_SECRET {
        return error("incorrect_client_credentials");
    }
    if given("redirect_uri") != REDIRECT_URI {
        return error("redirect_uri_mismatch");
    }
    let digest = keyloft::key::Digest::of(given("code_verifier")).to_document();
    let hex = digest.trim_start_matches("sha256:");
    let bytes: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect();
    // A code works once, for ten minutes.
    match state.codes.remove(given("code")) {
        Some(code) if now - code.at <= TimeDelta::minutes(10) && code.challenge == URL_SAFE_NO_PAD.encode(bytes) => {
            state.count += 1;
            let token = format!("gho_{:036}", state.count);
            state.tokens.insert(token.clone(), (code.login, code.scope.clone()));
            json_of(200, &json!({"access_token": token, "scope": code.scope.replace(' ', ","), "token_type": "bearer"}))
        }
        _ => error("bad_verification_code"),
    }
}

fn emails(person: &Person, query: &str) -> HttpResponse {
    let number = |name: &str, default: usize| {
        let found = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name);
        found.map_or(default, |(_, value)| value.parse().unwrap())
    };
    let (size, page) = (number("per_page", 30).min(100), number("page", 1));
    let shown = person.emails.iter().skip(size * (page - 1)).take(size).map(|(email, primary, verified)| {
        json!({"email": email, "primary": primary, "verified": verified, "visibility": primary.then_some("public")})
    });
    json_of(200, &shown.collect())
}

fn membership(state: &State, person: &Person, org: &str, of: &str) -> HttpResponse {
    if state.restricted.iter().any(|restricted| restricted == org) {
        return message(
            403,
            "Although you appear to have the correct authorization credentials, the organization has \
            enabled OAuth App access restrictions",
        );
    }
    match person.memberships.get(of) {
        Some(membership) => json_of(200, &json!({"state": membership, "role": "member"})),
        None => message(404, "Not Found"),
    }
}
