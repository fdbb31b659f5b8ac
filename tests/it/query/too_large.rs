//! Queries that would open or read more than one query may.

use serde_json::json;

use crate::support::{Scene, events};

#[tokio::test]
async fn a_query_that_would_open_too_much_is_422_with_figures_and_advice() {
    let scene = Scene::with(|setup| {
        setup.config.query.max_objects = 2;
        setup.config.compaction.interval = None;
    })
    .await;
    let count = "SELECT count(*) AS n FROM quakes";
    assert_eq!(scene.reading().query(count).await.json(), json!([{"n": events::earthquakes()}]));
    for _ in 0..3 {
        assert_eq!(scene.sending().ingest("quakes", "{\"event_id\":\"late\"}").await.status, 200);
    }
    for sql in [count, "SELECT magnitude FROM quakes"] {
        let answer = scene.reading().query(sql).await;
        answer.refused(422, "query_too_large");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        for part in ["at least 4 objects", "may open 2", "--query-max-objects", "startTime", "p_timestamp"] {
            assert!(detail.contains(part), "{part}: {detail}");
        }
    }
    let body = json!({"query": count, "endTime": "2026-01-01T00:00:00Z"});
    assert_eq!(scene.reading().post("/api/v1/query", body).await.json(), json!([{"n": 0}]));
    scene.until_idle().await;
}

#[tokio::test]
async fn a_query_that_would_read_too_many_bytes_is_422() {
    let scene = Scene::with(|setup| setup.config.query.max_bytes = 1000).await;
    let answer = scene.reading().query("SELECT max(magnitude) AS m FROM quakes").await;
    answer.refused(422, "query_too_large");
    assert!(answer.text().contains("may read 1000 B (--query-max-bytes)"), "{}", answer.text());
    let count = scene.reading().query("SELECT count(*) AS n FROM quakes").await;
    assert_eq!(count.json(), json!([{"n": events::earthquakes()}]));
}
