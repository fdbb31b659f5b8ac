//! Your own actix application, protected by the traffic policies of a Keyloft server: it asks before it answers,
//! refuses what is blocked, and shows the page of a challenge. `enforce` and `relay` are what you take over.
//!
//! `KEYLOFT_URL=http://127.0.0.1:8000 KEYLOFT_API_KEY=kl_ing_… cargo run --example decide_middleware`
#![allow(clippy::expect_used)]

use std::{collections::HashMap, env::var, sync::LazyLock, time::Duration};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, Result, body, dev, error, http, middleware, web};
use reqwest::{Client, redirect::Policy};
use serde_json::{Value, json};

static HTTP: LazyLock<Client> = LazyLock::new(|| Client::builder().redirect(Policy::none()).build().expect("a client"));
static URL: LazyLock<String> = LazyLock::new(|| var("KEYLOFT_URL").expect("KEYLOFT_URL"));
static KEY: LazyLock<String> = LazyLock::new(|| var("KEYLOFT_API_KEY").expect("KEYLOFT_API_KEY"));

/// Asks about a request before it is answered.
async fn enforce(req: dev::ServiceRequest, next: middleware::Next<body::BoxBody>) -> Result<dev::ServiceResponse> {
    let texts = |name| req.headers().get_all(name).map(|text| String::from_utf8_lossy(text.as_bytes())).collect();
    let sent: HashMap<_, Vec<_>> = req.headers().keys().map(|name| (name.as_str(), texts(name))).collect();
    // The path comes with the query, the headers with host and cookies. Behind a proxy of your own, the address is the
    // one that this proxy states.
    let (verb, path, ip) = (req.method().as_str(), req.uri().to_string(), req.peer_addr().map(|peer| peer.ip()));
    let event = json!({"clientIp": ip, "request": {"method": verb, "path": path, "headers": sent}, "returnPath": path});
    let ask = HTTP.post(URL.clone() + "/api/v1/decide").header("X-API-KEY", &*KEY).timeout(Duration::from_millis(100));
    // Whatever goes wrong, the request passes: a Keyloft that is away takes nothing else with it.
    let decision: Value = async { ask.json(&event).send().await?.json().await }.await.unwrap_or_default();
    let answer = match (decision["action"].as_str(), decision["challenge"]["pageUrl"].as_str()) {
        (Some("block"), _) => HttpResponse::Forbidden().finish(),
        (Some("challenge"), Some(page)) => relay(req.request(), URL.clone() + page, Default::default()).await?,
        _ => return next.call(req).await,
    };
    Ok(req.into_response(answer))
}

/// What Keyloft answers to this client: the page of a challenge, or to its solution.
async fn relay(req: &HttpRequest, url: String, body: web::Bytes) -> Result<HttpResponse> {
    let mut ask = if body.is_empty() { HTTP.get(url) } else { HTTP.post(url).body(body) };
    for name in ["accept", "content-type", "cookie", "sec-fetch-site"] {
        ask = req.headers().get_all(name).fold(ask, |ask, value| ask.header(name, value.as_bytes()));
    }
    let answer = ask.send().await.map_err(|_| error::ErrorBadGateway("no answer"))?;
    let mut relayed = HttpResponse::build(http::StatusCode::from_u16(answer.status().as_u16()).expect("a status"));
    answer.headers().iter().for_each(|(name, value)| _ = relayed.append_header((name.as_str(), value.as_bytes())));
    Ok(relayed.body(answer.bytes().await.map_err(|_| error::ErrorBadGateway("no answer"))?))
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    // A request may name another host in its line: of what it says, only the query goes into the address.
    let url = |req: &HttpRequest| format!("{}/.keyloft/challenge?{}", *URL, req.query_string());
    let check = move |req: HttpRequest, body| async move { relay(&req, url(&req), body).await };
    let own = || web::scope("").wrap(middleware::from_fn(enforce)).default_service(web::to(|| async { "Welcome.\n" }));
    let app = move || App::new().route("/.keyloft/challenge", web::to(check)).service(own());
    HttpServer::new(app).bind(var("LISTEN").unwrap_or("127.0.0.1:8080".into()))?.run().await
}
