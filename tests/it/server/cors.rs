//! Pages of other origins: who may read what, and that refusals can be read too.

use keyloft::config::Origins;
use keyloft::http::routes;
use serde_json::json;

use crate::support::scene::people;
use crate::support::{Answer, Client, TestServer};

const PAGE: &str = "https://console.example.com";

async fn server(origins: &str) -> TestServer {
    let origins = Origins::parse(origins).unwrap();
    TestServer::spawn_with(move |setup| {
        setup.config.http.cors_origins = origins;
        setup.config.ingest.max_body_bytes = 64 * 1024;
    })
    .await
}

async fn preflight(client: &Client, path: &str, origin: &str) -> Answer {
    let request = client.request("OPTIONS", path).header("origin", origin);
    Answer::of(request.header("access-control-request-method", "POST")).await
}

fn fields(answer: &Answer) -> Vec<String> {
    let of_cors = answer.headers.iter().filter(|(name, value)| match name.as_str() {
        "vary" => value.to_str().is_ok_and(|value| value.contains("Origin")),
        name => name.starts_with("access-control-"),
    });
    of_cors.map(|(name, _)| name.as_str().to_owned()).collect()
}

#[tokio::test]
async fn without_the_option_no_answer_has_a_field_and_preflights_are_refused() {
    let server = TestServer::spawn().await;
    let (sender, _) = people(&server).await;
    let answer = preflight(&server.anonymous(), "/api/v1/ingest", PAGE).await;
    answer.refused(405, "method_not_allowed");
    assert!(fields(&answer).is_empty(), "{:?}", answer.headers);
    let sent = sender.request("POST", "/api/v1/logstream/web").header("origin", PAGE).body("{}");
    let answer = Answer::of(sent).await;
    assert!(answer.status == 200 && fields(&answer).is_empty(), "{:?}", answer.headers);
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_ask_and_send() {
    let server = server(&format!("http://localhost:3000,{PAGE}")).await;
    let (sender, reader) = people(&server).await;
    for (path, methods) in [
        ("/api/v1/ingest", "POST"),
        ("/api/v1/logstream/web", "POST"),
        ("/api/v1/query", "POST"),
        ("/api/v1/logstream", "GET"),
        ("/api/v1/whoami", "GET"),
    ] {
        let answer = preflight(&server.anonymous(), path, PAGE).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE));
        assert_eq!(answer.header("access-control-allow-methods"), Some(methods));
        let allowed = answer.header("access-control-allow-headers").unwrap();
        for name in ["x-api-key", "authorization", "content-type", "content-encoding", "x-p-stream", "x-tenant-id"] {
            assert!(allowed.split(", ").any(|allowed| allowed == name), "{name}: {allowed}");
        }
        assert_eq!(answer.header("access-control-max-age"), Some("600"));
        assert_eq!(answer.header("vary"), Some("Origin"));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        assert!(answer.header("x-request-id").is_some());
    }
    let sent = sender.request("POST", "/api/v1/logstream/web").header("origin", PAGE).body("{\"a\":1}");
    let sent = Answer::of(sent).await;
    let asked = reader.request("POST", "/api/v1/query").header("origin", "http://localhost:3000");
    let asked = Answer::of(asked.json(&json!({"query": "SELECT a FROM web"}))).await;
    assert_eq!(asked.json(), json!([{"a": 1}]));
    for (answer, origin) in [(sent, PAGE), (asked, "http://localhost:3000")] {
        assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (200, Some(origin)));
        assert_eq!(answer.header("vary"), Some("Origin"));
        let exposed = answer.header("access-control-expose-headers").unwrap();
        assert_eq!(exposed, "ratelimit, ratelimit-policy, retry-after, x-request-id");
    }
}

#[tokio::test]
async fn a_page_may_read_every_refusal() {
    let server = server(PAGE).await;
    let key = json!({"keyName": "page", "keyType": "ingestion", "limits": {"requests": {"perMinute": 1, "burst": 4}}});
    let key = server.admin().issue_with("default", key).await;
    let sender = server.with_key(&key.api_key);
    let post = |client: &Client, body: String| {
        Answer::of(client.request("POST", "/api/v1/logstream/web").header("origin", PAGE).body(body))
    };
    let huge = format!("{{\"a\":\"{}\"}}", "x".repeat(64 * 1024));
    let long = server.with_key(&"x".repeat(17 * 1024));
    let answers = [
        (401, post(&server.anonymous(), "{}".into()).await),
        (401, post(&server.with_key("hunter2"), "{}".into()).await),
        (400, post(&sender, "{".into()).await),
        (413, post(&sender, huge).await),
        (200, post(&sender, "{}".into()).await),
        (403, Answer::of(sender.request("GET", "/api/v1/logstream").header("origin", PAGE)).await),
        (429, post(&sender, "{}".into()).await),
        (429, post(&sender, "{}".into()).await),
        (431, post(&long, "{}".into()).await),
        (405, Answer::of(sender.request("PUT", "/api/v1/ingest").header("origin", PAGE)).await),
    ];
    for (status, answer) in &answers {
        if *status == 429 && answer.status == 200 {
            continue; // The wrong type of key took nothing.
        }
        assert_eq!(answer.status, *status, "{}", answer.text());
        assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE), "{status}");
        assert_eq!(answer.header("vary"), Some("Origin"), "{status}");
    }
    assert!(answers[7].1.header("retry-after").is_some() && answers[7].1.header("ratelimit").is_some());
    server.app.draining.store(true, std::sync::atomic::Ordering::Release);
    let draining = post(&sender, "{}".into()).await;
    draining.refused(503, "shutting_down");
    assert_eq!(draining.header("access-control-allow-origin"), Some(PAGE));
}

#[tokio::test]
async fn other_origins_and_the_admin_plane_get_nothing() {
    let server = server(PAGE).await;
    let (_, reader) = people(&server).await;
    for origin in
        ["https://evil.example", "null", "https://console.example.com.evil.example", "http://console.example.com"]
    {
        let answer = preflight(&server.anonymous(), "/api/v1/query", origin).await;
        answer.refused(405, "method_not_allowed");
        assert_eq!(fields(&answer), ["vary"], "{origin}");
        let answer = Answer::of(reader.request("GET", "/api/v1/whoami").header("origin", origin)).await;
        assert_eq!((answer.status.as_u16(), fields(&answer)), (200, vec!["vary".to_owned()]), "{origin}");
    }
    // Also without an origin the answer says that it depends on one.
    assert_eq!(fields(&reader.get("/api/v1/whoami").await), ["vary"]);
    let data_plane = [
        "/api/v1/ingest",
        "/api/v1/logstream",
        "/api/v1/query",
        "/api/v1/whoami",
        "/api/v1/firehose",
        "/api/v1/decide",
    ];
    for route in routes().into_iter().filter(|route| !data_plane.iter().any(|plane| route.path.starts_with(plane))) {
        let path = route.path.replace("{tenant}", "default").replace("{id}", "x").replace("{seq}", "1");
        let answer = preflight(&server.admin(), &path.replace("{stream}", "web"), PAGE).await;
        assert!(answer.status == 405 && fields(&answer).is_empty(), "{path}: {:?}", answer.headers);
        let answer = Answer::of(server.admin().request("GET", &path).header("origin", PAGE)).await;
        assert!(fields(&answer).is_empty(), "{path}: {:?}", answer.headers);
    }
}

#[tokio::test]
async fn every_page_may_if_that_is_said_and_still_without_credentials() {
    let server = server("*").await;
    let answer = preflight(&server.anonymous(), "/api/v1/query", "https://anybody.example").await;
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (204, Some("*")));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    let answer = preflight(&server.admin(), "/api/v1/tenants", "https://anybody.example").await;
    assert!(answer.status == 405 && fields(&answer).is_empty(), "{:?}", answer.headers);
}

#[tokio::test]
async fn a_page_may_present_its_key_in_a_further_header() {
    let server = TestServer::spawn_with(|setup| {
        setup.config.http.cors_origins = Origins::parse(PAGE).unwrap();
        setup.config.http.api_key_headers = keyloft::config::HeaderNames::parse("x-esper-api-key").unwrap();
    })
    .await;
    let answer = preflight(&server.anonymous(), "/api/v1/ingest", PAGE).await;
    let allowed = answer.header("access-control-allow-headers").unwrap();
    assert!(allowed.contains("x-api-key") && allowed.ends_with(", x-esper-api-key"), "{allowed}");
}
