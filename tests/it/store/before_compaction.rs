//! A store that the last version before compaction has left behind (`fixtures/stores/before-compaction`) goes on as it
//! is, and changes to the present form by use.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, NaiveDate};
use keyloft::ManualClock;
use keyloft::key::{StreamName, TenantId};
use serde_json::{Value, json};

use crate::support::{Answer, Client, Process, TestServer};

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/stores/before-compaction");
const KEYS: &str = "/api/v1/tenants/default/apikeys";
/// Streams whose days have more than one object, and those days.
const MERGED: [(&str, &str, &[u32]); 2] = [("default", "web", &[20, 21, 22]), ("default", "wide", &[20])];
/// Streams that have one object a day, which stays as it is.
const KEPT: [(&str, &str, &[u32]); 3] =
    [("default", "wide", &[21]), ("default", "lonely", &[20]), ("acme", "web", &[20, 22])];

/// A secret that the old version knows.
fn secret(name: &str) -> String {
    let keys = std::fs::read_to_string(Path::new(FIXTURE).join("keys.json")).unwrap();
    serde_json::from_str::<Value>(&keys).unwrap()[name].as_str().unwrap().to_owned()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap().flatten() {
        let to = to.join(file.file_name());
        match file.file_type().unwrap().is_dir() {
            true => copy(&file.path(), &to),
            false => drop(std::fs::copy(file.path(), to).unwrap()),
        }
    }
}

fn old_store() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&Path::new(FIXTURE).join("store"), folder.path());
    folder
}

/// The program itself.
fn serve(store: &Path) -> Process {
    Process::serve_logging_to(std::process::Stdio::null(), store.to_str().unwrap(), &[], &[])
}

/// Its days are over for more than 24 hours.
fn later() -> DateTime<chrono::Utc> {
    "2026-11-25T12:00:00Z".parse().unwrap()
}

async fn ask(client: &Client, body: Value) -> Value {
    let answer = client.post("/api/v1/query", body.clone()).await;
    assert_eq!(answer.status, 200, "{body}: {}", answer.text());
    answer.json()
}

/// Who reads on a server.
#[derive(Clone)]
struct Readers {
    reader: Client,
    acme: Client,
    system: Client,
}

impl Readers {
    fn on(url: &str) -> Self {
        let with = |name| Client::with_key(url, &secret(name));
        Self { reader: with("default/reader"), acme: with("acme/reader"), system: with("default/system") }
    }

    /// Asserts what the old version stored, by sums that are known, and returns all rows of it.
    async fn old_events(&self) -> Vec<Value> {
        let sums = "SELECT count(*) AS c, sum(n) AS n, sum(seconds) AS seconds, count(note) AS notes, \
                    sum(client_version_major) AS major FROM web WHERE n < 1000";
        let known = json!([{"c": 107, "n": 5778, "seconds": 5799.5, "notes": 35, "major": 108}]);
        assert_eq!(ask(&self.reader, json!({"query": sums})).await, known);
        let acme = json!([{"c": 8, "n": 36, "seconds": 38.0, "notes": 2, "major": 9}]);
        assert_eq!(ask(&self.acme, json!({"query": sums})).await, acme);
        let one_day = json!({"query": "SELECT count(*) AS c, sum(n) AS n FROM web",
            "startTime": "2026-11-21T00:00:00Z", "endTime": "2026-11-22T00:00:00Z"});
        assert_eq!(ask(&self.reader, one_day).await, json!([{"c": 44, "n": 3630}]));
        let one_source = "SELECT count(*) AS c, sum(n) AS n FROM web WHERE p_source_id = 'shop'";
        assert_eq!(ask(&self.reader, json!({"query": one_source})).await, json!([{"c": 3, "n": 306}]));
        let wide = "SELECT count(*) AS c, count(field_0) AS first, sum(field_150) AS middle, sum(field_399) AS last \
                    FROM wide";
        let sum = json!([{"c": 3, "first": 2, "middle": 450, "last": 399}]);
        assert_eq!(ask(&self.reader, json!({"query": wide})).await, sum);
        let rejected = json!({"query": "SELECT stream, code FROM keyloft_rejected"});
        assert_eq!(ask(&self.system, rejected).await, json!([{"stream": "web", "code": "type_conflict"}]));
        // Named, because new events may bring new columns.
        let web = "SELECT p_timestamp, p_offset, p_key_id, p_source_id, n, path, status, seconds, client_os, \
                   client_version_major, tags, ok, note FROM web WHERE n < 1000 ORDER BY n";
        let mut rows = Vec::new();
        for (client, sql) in [
            (&self.reader, web),
            (&self.reader, "SELECT * FROM wide ORDER BY p_timestamp"),
            (&self.reader, "SELECT * FROM lonely"),
            (&self.acme, web),
            (&self.system, "SELECT * FROM keyloft_rejected"),
            (&self.system, "SELECT * FROM keyloft_usage WHERE p_timestamp < '2026-11-23' ORDER BY p_timestamp, key_id"),
        ] {
            rows.push(ask(client, json!({"query": sql})).await);
        }
        rows
    }
}

/// Keys that work still do, those that do not still do not, and what is known of them is still known.
async fn assert_keys(url: &str, admin: &Client) {
    let status = async |name| Client::with_key(url, &secret(name)).get("/api/v1/whoami").await.status.as_u16();
    for name in ["default/writer", "default/reader", "default/generated", "default/rotated", "default/limited"] {
        assert_eq!(status(name).await, 200, "{name}");
    }
    assert_eq!((status("acme/writer").await, status("acme/reader").await), (200, 200));
    for name in ["default/revoked", "default/rotated-before"] {
        Client::with_key(url, &secret(name)).get("/api/v1/whoami").await.refused(401, "invalid_api_key");
    }
    let expected = ["generated", "limited", "reader", "rotated", "system", "writer"];
    assert_eq!(admin.names().await, expected, "of the keys whose documents were removed, none is left");
    let limited = key(admin, "limited").await;
    assert_eq!(limited["streams"], json!(["web", "metrics-*"]));
    assert_eq!(limited["limits"]["requests"], json!({"perMinute": 60, "burst": 20}));
    assert_eq!((&limited["metadata"]["team"], &limited["sourceId"]), (&json!("payments"), &json!("shop")));
    let revoked = admin.get(&format!("{KEYS}?state=revoked")).await.json();
    assert_eq!(revoked["items"][0]["keyName"], "revoked");
    assert_eq!(admin.get("/api/v1/tenants/acme").await.json()["name"], "Acme");
    assert_eq!(admin.get("/api/v1/unreadable").await.json()["items"], json!([]));
}

async fn key(admin: &Client, name: &str) -> Value {
    admin.get(&format!("{KEYS}?name={name}")).await.json()["items"][0].clone()
}

fn day_folder(store: &Path, (tenant, stream, day): (&str, &str, u32)) -> PathBuf {
    let root = if tenant == "default" { store.to_owned() } else { store.join(tenant) };
    root.join(format!("streams/{stream}/date=2026-11-{day}"))
}

fn parquet(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|file| file.path());
    files.filter(|file| file.extension().is_some_and(|extension| extension == "parquet")).collect()
}

/// How many objects of ingest a day has, and how many merged ones.
fn objects(store: &Path, day: (&str, &str, u32)) -> (usize, usize) {
    let folder = day_folder(store, day);
    (parquet(&folder).len(), parquet(&folder.join("merged")).len())
}

/// Removes the objects of ingest of a day.
fn remove_fresh(store: &Path, day: (&str, &str, u32)) {
    parquet(&day_folder(store, day)).iter().for_each(|file| std::fs::remove_file(file).unwrap());
}

/// Compacts all days of the old version.
async fn compact(server: &TestServer) {
    for (tenant, stream, days) in MERGED.iter().chain(&KEPT) {
        for day in *days {
            let date = NaiveDate::from_ymd_opt(2026, 11, *day).unwrap();
            let id = (TenantId::parse(tenant).unwrap(), StreamName::parse(stream).unwrap(), date);
            server.app.compactor.compact(&id).await.unwrap();
        }
    }
}

async fn send(writer: &Client, numbers: std::ops::Range<u32>) {
    for n in numbers {
        let event = json!({"n": 1000 + n, "path": "/new", "seconds": 1.5, "client": {"os": "Plan 9"}, "new_field": n});
        let answer = writer.ingest("web", event.to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

async fn new_events(reader: &Client) -> Value {
    ask(reader, json!({"query": "SELECT count(*) AS c, sum(new_field) AS s FROM web WHERE n >= 1000"})).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_keys_work_and_its_events_are_the_same_before_during_and_after_they_are_merged() {
    let folder = Arc::new(old_store());
    let server = TestServer::spawn_with(|setup| {
        setup.clock = Arc::new(ManualClock::new(later()));
        setup.directory = folder.clone();
        setup.config.compaction.interval = Some(Duration::from_secs(3600)); // Merged when this test says so.
    })
    .await;
    assert_keys(server.url(), &server.admin()).await;
    let readers = Readers::on(server.url());
    let before = readers.old_events().await;
    assert_eq!(before[0].as_array().unwrap().len(), 107);
    assert_eq!(before[0][0]["tags"], r#"["a",1]"#);
    let writer = server.with_key(&secret("default/writer"));
    send(&writer, 0..3).await;
    assert_eq!(readers.old_events().await, before);

    let merged = Arc::new(AtomicBool::new(false));
    let during = tokio::spawn({
        let (readers, merged, before) = (readers.clone(), merged.clone(), before.clone());
        async move {
            let mut rounds = 0;
            while !merged.load(Ordering::Acquire) || rounds == 0 {
                assert_eq!(readers.old_events().await, before);
                rounds += 1;
            }
        }
    });
    compact(&server).await;
    merged.store(true, Ordering::Release);
    during.await.unwrap();
    assert_eq!(readers.old_events().await, before);
    assert_eq!(objects(folder.path(), ("default", "web", 20)), (12, 1), "queries that run still read the old objects");
    // Nodes do that once no query can read them any more: what is left has everything.
    for (tenant, stream, days) in MERGED {
        for day in days {
            remove_fresh(folder.path(), (tenant, stream, *day));
            assert_eq!(objects(folder.path(), (tenant, stream, *day)), (0, 1), "{stream} {day}");
        }
    }
    for (tenant, stream, days) in KEPT {
        for day in days {
            assert_eq!(objects(folder.path(), (tenant, stream, *day)), (1, 0), "{tenant} {stream} {day}");
        }
    }
    assert_eq!(readers.old_events().await, before);
    send(&writer, 3..6).await;
    assert_eq!(new_events(&readers.reader).await, json!([{"c": 6, "s": 15}]));

    // With the admin token that the old version made.
    drop(server);
    let process = serve(folder.path());
    let admin = process.admin(&secret("admin"));
    admin.until_ready().await;
    assert_keys(process.url(), &admin).await;
    let readers = Readers::on(process.url());
    assert_eq!(readers.old_events().await, before);
    assert_eq!(new_events(&readers.reader).await, json!([{"c": 6, "s": 15}]));
}

#[tokio::test]
async fn its_keys_can_be_rotated_and_revoked() {
    let folder = old_store();
    let mut process = serve(folder.path());
    let admin = process.admin(&secret("admin"));
    admin.until_verified().await;
    let rotated = async |name: &str| {
        let path = format!("{KEYS}/{}", key(&admin, name).await["keyId"].as_str().unwrap());
        let answer = admin.post(&format!("{path}/rotate"), json!({"overlapSeconds": 0})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        (path, answer.json()["apiKey"].as_str().unwrap().to_owned())
    };
    let ((reader_path, reader), (_, generated)) = (rotated("reader").await, rotated("generated").await);
    assert_eq!(admin.delete(&reader_path).await.status, 200);
    let taken = json!({"keyName": "generated", "keyType": "query"});
    admin.post(KEYS, taken).await.refused(409, "duplicate_key_name");
    admin.issue("default", "reader", "query").await;
    for _ in 0..2 {
        let whoami = async |secret: &str| -> Answer { process.with_key(secret).get("/api/v1/whoami").await };
        assert_eq!(whoami(&generated).await.status, 200);
        for gone in [&secret("default/generated"), &secret("default/reader"), &reader] {
            whoami(gone).await.refused(401, "invalid_api_key");
        }
        process.signal("TERM");
        assert_eq!(process.wait(), Some(0));
        process = serve(folder.path());
        process.anonymous().until_verified().await;
    }
}
