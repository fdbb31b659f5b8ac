//! An object that cannot be read: its queries fail and name it, and others are answered.

use std::time::Duration;

use serde_json::json;

use crate::support::key_files::unreadable;
use crate::support::scene::people;
use crate::support::{Client, TestServer};

/// The merged objects of the stream `web`, by their names in the store.
fn merged(server: &TestServer) -> Vec<String> {
    let days = server.path("streams/web").read_dir().into_iter().flatten().flatten();
    let folders = days.map(|day| day.path().join("merged"));
    let files = folders.flat_map(|folder| folder.read_dir().into_iter().flatten().flatten());
    files.map(|file| file.path().strip_prefix(server.directory()).unwrap().to_str().unwrap().to_owned()).collect()
}

/// Whether a manifest lists what was merged: until then it does not count.
fn is_listed(server: &TestServer) -> bool {
    merged(server).iter().all(|object| {
        let (day, id) = object.trim_end_matches(".parquet").split_once("/merged/").unwrap();
        std::fs::read_to_string(server.path(day).join("manifest.json")).is_ok_and(|manifest| manifest.contains(id))
    })
}

async fn names(server: &TestServer, reader: &Client, object: &str, reason: &str) {
    let answer = reader.query("SELECT sum(n) AS s FROM web").await;
    answer.refused(500, "document_unreadable");
    let expected = format!("the object `{object}` cannot be read: {reason}");
    assert!(answer.json()["detail"].as_str().unwrap().starts_with(&expected), "{}", answer.text());
    let listed = unreadable(server).await;
    assert!(listed.len() == 1 && listed[0].0 == object && listed[0].1.starts_with(reason), "{listed:?}");
    let earlier = json!({"query": "SELECT count(*) AS n FROM web", "endTime": "2026-01-03T00:00:00Z"});
    assert_eq!(reader.post("/api/v1/query", earlier).await.json(), json!([{"n": 0}]), "other ranges stay readable");
}

#[tokio::test]
async fn a_merged_object_that_is_gone_damaged_or_put_back_is_named_as_long_as_it_is_so() {
    let server =
        TestServer::spawn_with(|setup| setup.config.compaction.interval = Some(Duration::from_millis(200))).await;
    let (sender, reader) = people(&server).await;
    for n in 0..8 {
        assert_eq!(sender.ingest("web", format!("{{\"n\":{n}}}")).await.status, 200);
    }
    server.until("the objects are merged", |server| merged(server).len() == 1 && is_listed(server)).await;
    let object = merged(&server).pop().unwrap();
    let path = server.path(&object);
    let body = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    names(&server, &reader, &object, "it is missing").await;
    std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
    names(&server, &reader, &object, "it cannot be opened").await;
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, &body[..body.len() / 2]).unwrap();
    names(&server, &reader, &object, "it is damaged").await;
    std::fs::remove_file(&path).unwrap();
    names(&server, &reader, &object, "it is missing").await;
    std::fs::write(&path, &body).unwrap();
    assert_eq!(reader.query("SELECT sum(n) AS s FROM web").await.json(), json!([{"s": 28}]));
    assert_eq!(unreadable(&server).await, []);
}

#[tokio::test]
async fn an_answer_that_is_cut_short_begins_with_its_status() {
    let server = TestServer::spawn_with(|setup| setup.config.compaction.interval = None).await;
    let (sender, reader) = people(&server).await;
    for n in 0..4 {
        assert_eq!(sender.ingest("web", format!("{{\"n\":{n}}}")).await.status, 200);
    }
    let day = server.path("streams/web").read_dir().unwrap().flatten().find(|entry| entry.path().is_dir()).unwrap();
    let mut objects: Vec<_> = day.path().read_dir().unwrap().flatten().map(|entry| entry.path()).collect();
    objects.sort();
    std::fs::write(objects.last().unwrap(), "damaged").unwrap();
    let mut cut = 0;
    for _ in 0..40 {
        let request = reader.request("POST", "/api/v1/query").json(&json!({"query": "SELECT n FROM web"}));
        let answer = request.send().await.unwrap();
        match answer.status().as_u16() {
            200 => cut += usize::from(answer.bytes().await.is_err()),
            status => assert_eq!(status, 500),
        }
    }
    assert!(cut > 0, "the rows of the other objects come first, sometimes");
}
