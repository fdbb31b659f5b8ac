//! `keyloft stream`, the real command against the real server.

use serde_json::{Value, json};

use crate::support::process::keyloft;
use crate::support::{Answer, Client, Ended, Process};

/// A server with its directory, its admin token, and the commands that an operator types for it.
struct Scene {
    directory: tempfile::TempDir,
    process: Process,
    token: String,
}

impl Scene {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let process = Process::serve(&directory.path().join("store"), &[]);
        let token = process.admin_token().unwrap().to_owned();
        Self { directory, process, token }
    }

    fn restart(&mut self) {
        self.process.signal("TERM");
        self.process.wait();
        self.process = Process::serve(&self.directory.path().join("store"), &[]);
    }

    fn typed(&self, line: &str) -> Ended {
        let mut command = keyloft();
        command.env("KEYLOFT_URL", self.process.url()).env("KEYLOFT_ADMIN_TOKEN", &self.token);
        Ended::of(command.args(line.split(' ')), "")
    }

    fn client(&self, line: &str) -> Client {
        let created = self.typed(line).json();
        self.process.with_key(created["apiKey"].as_str().unwrap())
    }
}

async fn send(client: &Client, lines: &'static str) -> Answer {
    let request = client.request("POST", "/api/v1/logstream/web").header("content-type", "application/x-ndjson");
    Answer::of(request.body(lines)).await
}

fn counts(answer: &Answer) -> (Value, Value) {
    let body = answer.json();
    (body["accepted"].clone(), body["rejected"].clone())
}

#[tokio::test]
async fn a_stream_is_shown_and_what_it_does_with_faulty_events_is_changed() {
    let mut scene = Scene::start();
    let shipper = scene.client("key create --name shipper --type ingestion --json");
    scene.typed("stream show web").failed(3, "no such stream");
    assert_eq!(send(&shipper, "{\"n\":1,\"host\":\"a\"}\n").await.status, 200);
    let card = scene.typed("stream show web").done();
    for (label, value) in [("Stream", "web"), ("Tenant", "default"), ("On invalid", "reject")] {
        assert!(card.lines().any(|line| line.starts_with(label) && line.ends_with(value)), "{label}: {card}");
    }
    let fields = card.split("\n\n").nth(1).unwrap();
    assert!(fields.starts_with("FIELD") && fields.contains("host") && fields.contains("integer"), "{card}");

    send(&shipper, "{\"n\":2}\nnot JSON\n").await.refused(400, "invalid_request");
    let updated = scene.typed("stream update web --on-invalid quarantine --wait 5s").done();
    assert!(updated.contains("quarantine") && updated.ends_with("Applied on every live node (1).\n"), "{updated}");
    let answer = send(&shipper, "{\"n\":2}\nnot JSON\n").await;
    assert_eq!((answer.status, counts(&answer)), (reqwest::StatusCode::OK, (json!(1), json!(1))), "{}", answer.text());

    scene.restart();
    let shown = scene.typed("--json stream show web").json();
    assert_eq!((&shown["onInvalid"], &shown["modifiedBy"]), (&json!("quarantine"), &json!("admin")));
    let names: Vec<_> = shown["fields"].as_array().unwrap().iter().map(|field| &field["name"]).collect();
    assert!(names.contains(&&json!("host")) && names.contains(&&json!("n")), "{shown}");
    assert_eq!(scene.typed("stream update web --on-invalid reject --json").json()["onInvalid"], "reject");
    let shipper = scene.client("key create --name shipper-2 --type ingestion --json");
    send(&shipper, "{\"n\":3}\nnot JSON\n").await.refused(400, "invalid_request");
}

#[tokio::test]
async fn settings_wait_for_the_first_event_and_are_those_of_one_tenant() {
    let scene = Scene::start();
    scene.typed("tenant create acme").done();
    scene.typed("--tenant acme stream update web --on-invalid quarantine").done();
    for (tenant, expected) in [("acme", 200), ("default", 400)] {
        let shipper = scene.client(&format!("key create --tenant {tenant} --name shipper --type ingestion --json"));
        let answer = send(&shipper, "not JSON\n{\"n\":1}\n").await;
        assert_eq!(answer.status, expected, "{tenant}: {}", answer.text());
    }
    scene.typed("stream show web").failed(3, "no such stream");
}

#[tokio::test]
async fn commands_that_cannot_work_say_why_and_exit_as_documented() {
    let scene = Scene::start();
    scene.typed("stream update web").failed(2, "--on-invalid");
    scene.typed("stream update web --on-invalid drop").failed(2, "quarantine");
    scene.typed("stream show Web").failed(2, "Web");
    scene.typed("stream update keyloft_usage --on-invalid quarantine").failed(3, "keyloft_");
    scene.typed("stream update keyloft_nonsense --retention 5d").failed(3, "keyloft_usage");
    scene.typed("stream update keyloft_usage --retention 5d").done();
    scene.typed("--tenant nowhere stream show web").failed(3, "no such tenant");
    let mut unauthorized = keyloft();
    unauthorized.env("KEYLOFT_URL", scene.process.url()).env("KEYLOFT_ADMIN_TOKEN", "kl_adm_wrong");
    assert_ne!(Ended::of(unauthorized.args(["stream", "show", "web"]), "").code, 0);
}

#[tokio::test]
async fn a_stream_and_the_events_of_a_tenant_are_deleted_only_when_that_is_meant() {
    let scene = Scene::start();
    let shipper = scene.client("key create --name shipper --type ingestion --json");
    assert_eq!(send(&shipper, "{\"n\":1}\n").await.status, 200);
    scene.typed("stream delete nothing").failed(3, "no such stream");
    scene.typed("stream delete web").failed(2, "say --yes");
    let kept = scene.typed("stream update web --retention 30d").done();
    assert!(kept.lines().any(|line| line.starts_with("Retention (days)") && line.ends_with("30")), "{kept}");
    assert!(scene.typed("--json stream update web --no-retention").json()["retentionDays"].is_null());
    scene.typed("stream update web --retention 30").failed(2, "30d");
    let deleted = scene.typed("stream delete web --yes").done();
    assert_eq!(deleted, "Stream web is deleted. Its name can be used again.\n");
    scene.typed("stream show web").failed(3, "no such stream");
    assert_eq!(send(&shipper, "{\"n\":\"a text\"}\n").await.status, 200);
    let again = scene.typed("--json stream delete web --yes --wait 5s").json();
    assert_eq!((&again["deleted"], &again["finished"]), (&json!(true), &json!(true)));

    scene.typed("tenant create acme").done();
    assert!(scene.typed("tenant update acme --retention 7d --json").json()["retentionDays"] == 7);
    scene.typed("tenant delete acme --events delete").failed(2, "say --yes");
    scene.typed("tenant delete acme --events some").failed(2, "keep");
    let deleted = scene.typed("tenant delete acme --events delete --yes").done();
    assert!(deleted.contains("goes on to erase its events"), "{deleted}");
    assert!(scene.typed("tenant show acme").done().contains("events are "));
}
