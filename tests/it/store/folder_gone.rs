//! The folder of the store goes away while a server runs, as when its volume is unmounted.

use std::time::Duration;

use serde_json::json;

use crate::support::TestServer;

const COUNT: &str = "SELECT count(*) AS n FROM web";

#[tokio::test]
async fn a_store_whose_folder_is_gone_or_another_one_is_unavailable_and_loses_nothing() {
    let server = TestServer::spawn_with(|setup| setup.config.sync.poll_interval = Duration::from_millis(20)).await;
    let sender = server.admin().issue("default", "sender", "ingestion").await;
    let reader = server.admin().issue("default", "reader", "query").await;
    let (sender, reader) = (server.with_key(&sender.api_key), server.with_key(&reader.api_key));
    assert_eq!(sender.ingest("web", r#"{"a": 1}"#).await.status, 200);
    let aside = server.directory().with_extension("aside");
    std::fs::rename(server.directory(), &aside).unwrap();
    for is_empty_folder_there in [false, true] {
        if is_empty_folder_there {
            std::fs::create_dir(server.directory()).unwrap();
        }
        sender.ingest("web", r#"{"a": 2}"#).await.refused(503, "store_unavailable");
        reader.query(COUNT).await.refused(503, "store_unavailable");
        let body = json!({"keyName": "more", "keyType": "query"});
        server.admin().post("/api/v1/tenants/default/apikeys", body).await.refused(503, "store_unavailable");
        server.admin().post("/api/v1/sync", json!({})).await.refused(503, "store_unavailable");
        assert_eq!(reader.get("/api/v1/whoami").await.status, 200, "keys stay in memory");
        assert_eq!(server.directory().exists(), is_empty_folder_there, "no folder is made");
    }
    assert_eq!(std::fs::read_dir(server.directory()).unwrap().count(), 0, "nothing is written into another folder");
    std::fs::remove_dir(server.directory()).unwrap();
    std::fs::rename(&aside, server.directory()).unwrap();
    assert_eq!(sender.ingest("web", r#"{"a": 3}"#).await.status, 200);
    assert_eq!(reader.query(COUNT).await.json(), json!([{"n": 2}]));
    assert_eq!(server.admin().post("/api/v1/sync", json!({})).await.json()["removed"], 0);
}

/// Each number of the log would look taken by something unreadable, one after the other and for ever.
#[tokio::test]
async fn a_folder_of_the_log_that_is_a_file_makes_the_store_unavailable() {
    let server = TestServer::spawn_with(|setup| setup.config.sync.poll_interval = Duration::from_millis(20)).await;
    server.admin().issue("default", "k", "query").await;
    let (log, aside) = (server.path(".settings/keyloft/log"), server.path(".settings/keyloft/aside"));
    std::fs::rename(&log, &aside).unwrap();
    std::fs::write(&log, "").unwrap();
    let body = json!({"keyName": "more", "keyType": "query"});
    let admin = server.admin();
    let issued = admin.post("/api/v1/tenants/default/apikeys", body);
    let issued = tokio::time::timeout(Duration::from_secs(20), issued).await.expect("an answer");
    issued.refused(503, "store_unavailable");
    assert_eq!(server.app.keystore.replica().applied_seq(), 1);
    std::fs::remove_file(&log).unwrap();
    std::fs::rename(&aside, &log).unwrap();
    server.admin().issue("default", "again", "query").await;
}
