//! Metrics in both formats that scrapers read.

use std::collections::BTreeMap;

use serde_json::json;

use crate::operators::roles::machine;
use crate::support::people::Signer;
use crate::support::{Answer, Client, TestServer};

async fn metrics(server: &TestServer, accept: Option<&str>) -> (String, String) {
    let request = server.anonymous().request("GET", "/metrics");
    let request = accept.into_iter().fold(request, |request, accept| request.header("accept", accept));
    let answer = Answer::of(request).await;
    assert_eq!(answer.status, 200);
    (answer.header("content-type").unwrap().to_owned(), answer.text().to_owned())
}

/// Reads the text format 0.0.4 strictly: every sample belongs to the family that was declared last, by its very name.
/// Gives the samples.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let is_name = |name: &str| {
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':'))
            && !name.starts_with(|first: char| first.is_ascii_digit())
    };
    let (mut samples, mut families) = (BTreeMap::new(), BTreeMap::new());
    let (mut helped, mut family) = ("", ("", ""));
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            (helped, _) = help.split_once(' ').unwrap();
        } else if let Some(typed) = line.strip_prefix("# TYPE ") {
            family = typed.split_once(' ').unwrap();
            assert!(matches!(family.1, "counter" | "gauge" | "histogram" | "summary" | "untyped"), "{line}");
            assert!(is_name(family.0) && helped == family.0, "{line}");
            assert_eq!(families.insert(family.0, family.1), None, "{line}: declared twice");
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = sample.split_once('{').unwrap_or((sample, "}"));
            assert!(labels.ends_with('}'), "{line}");
            let suffix = name.strip_prefix(family.0).unwrap_or_else(|| panic!("{line} in {family:?}"));
            let allowed: &[&str] = if family.1 == "histogram" { &["_sum", "_count", "_bucket"] } else { &[""] };
            assert!(allowed.contains(&suffix), "{line} in {family:?}");
            assert_eq!(samples.insert(sample.to_owned(), value.parse().unwrap()), None, "{line}: twice");
        }
    }
    samples
}

#[tokio::test]
async fn a_scraper_gets_the_format_that_it_asks_for() {
    let server = TestServer::spawn().await;
    server.with_key("unknown").get("/api/v1/whoami").await;
    let modern = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let older = "text/plain; version=0.0.4; charset=utf-8";
    // What Prometheus itself sends, and others.
    let prometheus = "application/openmetrics-text;version=1.0.0;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,\
                      text/plain;version=1.0.0;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
    for (accept, expected) in [
        (None, modern),
        (Some("*/*"), modern),
        (Some(prometheus), modern),
        (Some("text/plain;version=0.0.4"), older),
        (Some("text/plain; version=0.0.4; q=1.0, */*; q=0.5"), older),
        (Some("text/html"), modern),
    ] {
        let (content_type, text) = metrics(&server, accept).await;
        assert_eq!(content_type, expected, "{accept:?}");
        assert_eq!(text.ends_with("# EOF\n"), expected == modern);
    }
}

#[tokio::test]
async fn the_older_format_is_well_formed_and_says_the_same() {
    let server = TestServer::spawn().await;
    let sender = server.admin().issue("default", "shipper", "ingestion").await;
    assert_eq!(server.with_key(&sender.api_key).ingest("web", "{\"a\":1}").await.status, 200);
    server.with_key("unknown").get("/api/v1/whoami").await;
    let samples = parse(&metrics(&server, Some("text/plain;version=0.0.4")).await.1);
    assert_eq!(samples["keyloft_ingested_events_total"], 1.0);
    assert_eq!(samples["keyloft_keys"], 1.0);
    assert!(samples["keyloft_denials_total{reason=\"malformed\"}"] >= 1.0, "{samples:?}");
    let (_, openmetrics) = metrics(&server, None).await;
    let names = openmetrics.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
    for (name, _) in names {
        // Requests for metrics are counted themselves, once they are answered.
        assert!(samples.contains_key(name) || name.contains("route=\"/metrics\""), "{name}");
    }
}

/// Who may not administer is counted as who may not send or ask.
#[tokio::test]
async fn refusals_of_those_who_administer_are_counted_by_reason() {
    let server = TestServer::spawn().await;
    let signer = Signer::added_to(&server).await;
    let owner = signer.person(&server, 1).await;
    owner.becomes(&server, "default", "owner").await;
    let machines = "/api/v1/tenants/default/service-operators";
    let elsewhere = json!({"name": "ci", "role": "viewer", "allowedCidrs": ["192.0.2.0/24"]});
    let elsewhere = server.admin().post(machines, elsewhere).await.json();
    let (_, viewer) = machine(&server, "default", "viewer").await;
    let leave = format!("/api/v1/tenants/default/memberships/{}", owner.id);
    for (times, reason) in ["invalid_admin_token", "role_not_allowed", "network_not_allowed", "last_owner"]
        .into_iter()
        .enumerate()
        .map(|(at, reason)| (at + 1, reason))
    {
        for _ in 0..times {
            let (answer, status) = match reason {
                "invalid_admin_token" => (server.anonymous().get("/api/v1/tenants").await, 401),
                "role_not_allowed" => (viewer.post("/api/v1/tenants", json!({"tenantId": "acme"})).await, 403),
                "network_not_allowed" => {
                    let token = elsewhere["token"].as_str().unwrap();
                    (Client::admin(server.url(), token).get("/api/v1/tenants").await, 403)
                }
                _ => (owner.client(&server).delete(&leave).await, 409),
            };
            answer.refused(status, reason);
        }
        let samples = parse(&metrics(&server, Some("text/plain;version=0.0.4")).await.1);
        let counted = samples.get(&format!("keyloft_denials_total{{reason=\"{reason}\"}}"));
        assert_eq!(counted, Some(&(times as f64)), "{reason}: {samples:?}");
    }
    // What is refused for another reason is not.
    server.admin().get("/api/v1/tenants/nobody").await.refused(404, "not_found");
    let samples = parse(&metrics(&server, Some("text/plain;version=0.0.4")).await.1);
    assert_eq!(samples.keys().filter(|name| name.starts_with("keyloft_denials")).count(), 4, "{samples:?}");
}
