//! Events of very many fields, in the real binary with its defaults.

use serde_json::{Map, Value, json};

use crate::support::Process;

const FIELDS: usize = 990;

fn wide() -> Value {
    (0..FIELDS).map(|field| (format!("c{field}"), json!("v"))).collect::<Map<_, _>>().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg(target_os = "linux")]
async fn streams_of_very_many_fields_fit_into_a_small_container() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::serve(&folder.path().join("store"), &["--compaction-interval", "0s"]);
    let admin = server.admin(server.admin_token().unwrap());
    let sender = server.with_key(&admin.issue("default", "sender", "ingestion").await.api_key);
    let reader = server.with_key(&admin.issue("default", "reader", "query").await.api_key);
    // Eight new streams at once, each with three requests.
    let first = (0..24).map(|n| {
        let sender = &sender;
        async move { sender.ingest(&format!("wide-{}", n % 8), wide().to_string()).await.status }
    });
    let statuses = futures::future::join_all(first).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    let batch = Value::Array(vec![wide(); 250]).to_string();
    for n in 0..16 {
        assert_eq!(sender.ingest(&format!("wide-{}", n % 8), batch.clone()).await.status, 200);
    }
    // Small events of a wide stream are small objects.
    for _ in 0..200 {
        assert_eq!(sender.ingest("wide-0", r#"{"c1":"z"}"#).await.status, 200);
    }
    let count = reader.query("SELECT count(*) AS n, count(c1) AS c FROM \"wide-0\"").await;
    assert_eq!(count.json(), json!([{"n": 703, "c": 703}]), "{}", count.text());
    let last = reader.query("SELECT * FROM \"wide-0\" ORDER BY p_timestamp DESC LIMIT 5").await.json();
    assert!(last.as_array().is_some_and(|rows| rows.len() == 5 && rows[0]["c1"] == "z"), "{last}");
    let peak = server.peak_memory();
    assert!(peak < 512 << 20, "{peak} bytes");
}
