//! An identity provider that does what a test says: tokens of any kind, other keys, and answers that hang, redirect or
//! are too large. It signs by EdDSA.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyloft::{Clock, SystemClock};
use parking_lot::Mutex;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use url::Url;

pub const DISCOVERY: &str = "/.well-known/openid-configuration";
pub const KEYS: &str = "/keys";
pub const TOKEN: &str = "/token";

/// How it answers otherwise than it should.
#[derive(Clone)]
pub enum Fault {
    /// Not at all.
    Hang,
    /// With 2 MiB.
    Huge,
    /// With a redirect to itself.
    Redirect,
    /// With this status and body.
    Answer(u16, String),
}

/// What a test says about it. Values are merged into what it would say; `null` takes a member out.
pub struct Behaviour {
    pub discovery: Value,
    pub header: Value,
    pub claims: Value,
    /// The keys that it publishes; those of its signer when `None`.
    pub keys: Option<Value>,
    /// The whole ID token.
    pub token: Option<Value>,
    pub faults: HashMap<&'static str, Fault>,
    signer: Ed25519KeyPair,
    kid: String,
    nonces: HashMap<String, String>,
    asked: Vec<String>,
    /// The last request for a token: its `Authorization`, and its form.
    pub exchange: (Option<String>, HashMap<String, String>),
}

pub struct BadProvider {
    issuer: String,
    behaviour: Arc<Mutex<Behaviour>>,
    handle: ServerHandle,
}

fn signer() -> Ed25519KeyPair {
    let key = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
    Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap()
}

fn merged(mut value: Value, changes: &Value) -> Value {
    for (name, change) in changes.as_object().unwrap() {
        match change {
            Value::Null => _ = value.as_object_mut().unwrap().remove(name),
            change => value[name] = change.clone(),
        }
    }
    value
}

impl Behaviour {
    /// From now on it signs with another key, which has this id.
    pub fn rotate(&mut self, kid: &str) {
        (self.signer, self.kid) = (signer(), kid.to_owned());
    }

    /// The keys of its signer.
    pub fn own_keys(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.signer.public_key());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": x}]})
    }

    fn id_token(&self, issuer: &str, nonce: &str) -> Value {
        if let Some(token) = &self.token {
            return token.clone();
        }
        let now = SystemClock.now().timestamp();
        let claims = json!({
            "iss": issuer, "aud": "keyloft", "sub": "1", "nonce": nonce, "iat": now, "exp": now + 60,
            "email": "ada@example.com", "email_verified": true,
        });
        let header = merged(json!({"alg": "EdDSA", "kid": self.kid}), &self.header);
        let encoded = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encoded(header), encoded(merged(claims, &self.claims)));
        let signature = URL_SAFE_NO_PAD.encode(self.signer.sign(message.as_bytes()));
        format!("{message}.{signature}").into()
    }
}

impl BadProvider {
    /// One that behaves well so far.
    pub async fn start() -> Self {
        let behaviour = Arc::new(Mutex::new(Behaviour {
            discovery: json!({}),
            header: json!({}),
            claims: json!({}),
            keys: None,
            token: None,
            faults: HashMap::new(),
            signer: signer(),
            kid: "first".to_owned(),
            nonces: HashMap::new(),
            asked: Vec::new(),
            exchange: (None, HashMap::new()),
        }));
        let data = web::Data::from(behaviour.clone());
        let server = HttpServer::new(move || App::new().app_data(data.clone()).default_service(web::to(answer)));
        let server = server.workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
        let issuer = format!("http://{}", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Self { issuer, behaviour, handle }
    }

    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Changes how it behaves.
    pub fn change(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.behaviour.lock());
    }

    /// How often that path was asked for since the last call.
    pub fn asked(&self, path: &str) -> usize {
        let mut behaviour = self.behaviour.lock();
        let before = behaviour.asked.len();
        behaviour.asked.retain(|asked| asked != path);
        before - behaviour.asked.len()
    }

    /// Somebody signs in; returns where the browser is sent.
    pub fn authorize(&self, begin: &Url) -> Url {
        let parameters: HashMap<String, String> = begin.query_pairs().into_owned().collect();
        let mut behaviour = self.behaviour.lock();
        let code = format!("code-{}", behaviour.nonces.len());
        behaviour.nonces.insert(code.clone(), parameters["nonce"].clone());
        let mut back = Url::parse(&parameters["redirect_uri"]).unwrap();
        back.query_pairs_mut().append_pair("code", &code).append_pair("state", &parameters["state"]);
        back
    }
}

impl Drop for BadProvider {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

async fn answer(request: HttpRequest, body: web::Bytes, state: web::Data<Mutex<Behaviour>>) -> HttpResponse {
    let issuer = format!("http://{}", request.headers().get("host").unwrap().to_str().unwrap());
    let (answer, fault) = {
        let mut behaviour = state.lock();
        behaviour.asked.push(request.uri().to_string());
        let fault = behaviour.faults.get(request.path()).cloned();
        let answer = match request.path() {
            DISCOVERY => merged(
                json!({
                    "issuer": issuer,
                    "authorization_endpoint": format!("{issuer}/authorize?tenant=a%20b"),
                    "token_endpoint": format!("{issuer}{TOKEN}"),
                    "jwks_uri": format!("{issuer}{KEYS}"),
                }),
                &behaviour.discovery,
            ),
            KEYS => behaviour.keys.clone().unwrap_or_else(|| behaviour.own_keys()),
            TOKEN => {
                let by = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
                behaviour.exchange = (by, url::form_urlencoded::parse(&body).into_owned().collect());
                let nonce = behaviour.exchange.1.get("code").and_then(|code| behaviour.nonces.get(code));
                let token = behaviour.id_token(&issuer, nonce.map_or("", String::as_str));
                json!({"access_token": "secret-access-token", "token_type": "Bearer", "id_token": token})
            }
            path => panic!("{path} is asked for"),
        };
        (answer, fault)
    };
    match fault {
        None => HttpResponse::Ok().json(answer),
        Some(Fault::Hang) => {
            actix_web::rt::time::sleep(Duration::from_secs(60)).await;
            HttpResponse::Ok().json(answer)
        }
        Some(Fault::Huge) => HttpResponse::Ok().json(merged(answer, &json!({"padding": "x".repeat(2 << 20)}))),
        Some(Fault::Redirect) => {
            HttpResponse::Found().insert_header((LOCATION, format!("{issuer}{}?again", request.path()))).finish()
        }
        Some(Fault::Answer(status, body)) => HttpResponse::build(StatusCode::from_u16(status).unwrap()).body(body),
    }
}
