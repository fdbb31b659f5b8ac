//! Kinesis Data Firehose delivers over HTTP, in the bodies and headers that its documentation shows.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{Answer, Client, Issued, TestServer, gzip};

const ID: &str = "ed4acda5-034f-9f42-bba1-f29aea6d7d8f";
const PATH: &str = "/api/v1/firehose/aws";

fn body(id: &str, records: &[&[u8]]) -> Vec<u8> {
    let records: Vec<Value> = records.iter().map(|data| json!({"data": STANDARD.encode(data)})).collect();
    json!({"requestId": id, "timestamp": 1_578_090_901_599_i64, "records": records}).to_string().into()
}

struct Sender {
    client: Client,
    key: Issued,
}

impl Sender {
    async fn new(server: &TestServer) -> Self {
        let key = server.admin().issue("default", "firehose", "ingestion").await;
        Self { client: server.anonymous(), key }
    }

    async fn send(&self, id: &str, more: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let request = self.client.request("POST", PATH).header("x-amz-firehose-protocol-version", "1.0");
        let request = request.header("x-amz-firehose-request-id", id).header("content-type", "application/json");
        let request =
            request.header("x-amz-firehose-source-arn", "arn:aws:firehose:us-east-1:123456789:deliverystream/t");
        let request = request.header("x-amz-firehose-access-key", &self.key.api_key);
        Answer::of(more.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(body)).await
    }

    async fn deliver(&self, id: &str, records: &[&[u8]]) -> Answer {
        self.send(id, &[], body(id, records)).await
    }
}

/// What every answer is: the id, the time, and an error message exactly when something is wrong.
#[track_caller]
fn answered(answer: &Answer, status: u16, id: &str) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let said = answer.json();
    assert_eq!(said["requestId"], id);
    assert!(said["timestamp"].as_i64().is_some_and(|at| at > 1_600_000_000_000), "{said}");
    assert_eq!(said["errorMessage"].is_string(), status != 200, "{said}");
    assert_eq!(said.as_object().unwrap().len(), if status == 200 { 2 } else { 3 });
    said
}

async fn rows(server: &TestServer, sql: &str) -> Value {
    let reader = server.admin().issue("default", &format!("reader-{}", sql.len()), "query").await;
    let answer = server.with_key(&reader.api_key).query(sql).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn records_of_json_lines_and_gzip_become_events_with_the_common_attributes() {
    let server = TestServer::spawn().await;
    let sender = Sender::new(&server).await;
    let records: [&[u8]; 4] =
        [b"{\"n\":1}", b"{\"n\":2}\n{\"n\":3}\n", &gzip(b"{\"n\":4}"), b"[{\"n\":5,\"site\":\"own\"}]"];
    let attributes = r#"{"commonAttributes":{"deployment-context":"pre-prod-gamma","site":"s1"}}"#;
    let common = [("x-amz-firehose-common-attributes", attributes)];
    answered(&sender.send(ID, &common, body(ID, &records)).await, 200, ID);
    let found = rows(&server, "SELECT n, site, \"deployment-context\" AS c FROM aws ORDER BY n").await;
    let expected = (1..=5).map(|n| json!({"n": n, "site": if n == 5 { "own" } else { "s1" }, "c": "pre-prod-gamma"}));
    assert_eq!(found, expected.collect::<Value>());
    // The whole body may be compressed, too.
    let packed = gzip(&body("second", &[b"{\"n\":6}"]));
    answered(&sender.send("second", &[("content-encoding", "gzip")], packed).await, 200, "second");
    answered(&sender.deliver("empty", &[]).await, 200, "empty");
}

#[tokio::test]
async fn log_events_of_cloudwatch_say_where_they_come_from_and_its_questions_are_no_events() {
    let server = TestServer::spawn().await;
    let sender = Sender::new(&server).await;
    let envelope = json!({
        "messageType": "DATA_MESSAGE", "owner": "123456789012", "logGroup": "/aws/lambda/f", "logStream": "s-1",
        "subscriptionFilters": ["all"],
        "logEvents": [
            {"id": "36", "timestamp": 1_510_254_469_274_i64, "message": "one"},
            {"id": "37", "timestamp": 1, "message": "two"},
        ],
    });
    let control = json!({
        "messageType": "CONTROL_MESSAGE", "owner": "CloudwatchLogs", "logGroup": "", "logStream": "",
        "subscriptionFilters": [], "logEvents": [{"id": "", "timestamp": 1, "message": "CWL CONTROL MESSAGE"}],
    });
    let (envelope, control) = (gzip(envelope.to_string().as_bytes()), gzip(control.to_string().as_bytes()));
    answered(&sender.deliver(ID, &[&control]).await, 200, ID);
    assert!(!server.path("streams/aws").exists());
    answered(&sender.deliver("2", &[&control, &envelope]).await, 200, "2");
    let found = rows(&server, "SELECT id, message, owner, \"logGroup\", \"logStream\" FROM aws ORDER BY id").await;
    let event = |id, message| {
        let (group, stream) = ("/aws/lambda/f", "s-1");
        json!({"id": id, "message": message, "owner": "123456789012", "logGroup": group, "logStream": stream})
    };
    assert_eq!(found, json!([event("36", "one"), event("37", "two")]));
}

#[tokio::test]
async fn a_repeated_delivery_is_acknowledged_and_stored_once() {
    let server = TestServer::spawn().await;
    let sender = Sender::new(&server).await;
    for _ in 0..3 {
        answered(&sender.deliver(ID, &[b"{\"n\":1}"]).await, 200, ID);
    }
    // Several at once are one as well.
    let at_once = futures::future::join_all((0..8).map(|_| sender.deliver("at-once", &[b"{\"n\":2}"]))).await;
    at_once.iter().for_each(|answer| _ = answered(answer, 200, "at-once"));
    // Another key, and another stream, are another delivery; a refused one may be repeated.
    let other = Sender { key: server.admin().issue("default", "other", "ingestion").await, client: server.anonymous() };
    answered(&other.deliver(ID, &[b"{\"n\":3}"]).await, 200, ID);
    answered(&sender.deliver("bad", &[b"{\"n\":\"x\"}"]).await, 400, "bad");
    answered(&sender.deliver("bad", &[b"{\"n\":4}"]).await, 200, "bad");
    assert_eq!(rows(&server, "SELECT n FROM aws ORDER BY n").await, json!([{"n": 1}, {"n": 2}, {"n": 3}, {"n": 4}]));
    let metrics = server.anonymous().get("/metrics").await;
    assert!(metrics.text().contains("keyloft_firehose_repeated_deliveries_total 9\n"), "{}", metrics.text());
    // What was stored before the stream was deleted is gone.
    let deleted = server.admin().request("DELETE", "/api/v1/tenants/default/logstream/aws");
    assert_eq!(Answer::of(deleted).await.status, 200);
    answered(&sender.deliver(ID, &[b"{\"n\":5}"]).await, 200, ID);
    assert_eq!(rows(&server, "SELECT n FROM aws").await, json!([{"n": 5}]));
}

#[tokio::test]
async fn every_refusal_is_in_the_form_that_firehose_reads() {
    let server = TestServer::spawn_with(|setup| setup.config.ingest.max_body_bytes = 64 * 1024).await;
    let sender = Sender::new(&server).await;
    let good = || body(ID, &[b"{\"n\":1}"]);
    let with_key = |api_key: &str| Sender {
        client: server.anonymous(),
        key: Issued { id: String::new(), api_key: api_key.to_owned() },
    };
    let query = server.admin().issue("default", "reader", "query").await;
    let limited =
        json!({"keyName": "one", "keyType": "ingestion", "limits": {"requests": {"perMinute": 1, "burst": 1}}});
    let limited = with_key(&server.admin().issue_with("default", limited).await.api_key);
    let narrow = json!({"keyName": "narrow", "keyType": "ingestion", "streams": ["web"]});
    let narrow = with_key(&server.admin().issue_with("default", narrow).await.api_key);
    assert_eq!(limited.send("first", &[], body("first", &[])).await.status, 200);
    let bomb = gzip(&vec![b' '; 8 << 20]);
    let refusals = [
        (401, "missing_api_key", {
            let request = server.anonymous().request("POST", PATH).header("x-amz-firehose-request-id", ID);
            Answer::of(request.body(good())).await
        }),
        (401, "missing_api_key", {
            let key = &sender.key.api_key;
            let attributes = json!({"commonAttributes": {"X-API-KEY": key, "Authorization": format!("Bearer {key}")}});
            let request = server.anonymous().request("POST", PATH).header("x-amz-firehose-request-id", ID);
            let request = request.header("x-amz-firehose-common-attributes", attributes.to_string());
            Answer::of(request.body(good())).await
        }),
        (400, "ambiguous_credential", {
            let authorization = format!("Bearer {}", sender.key.api_key);
            sender.send(ID, &[("authorization", &authorization)], good()).await
        }),
        (400, "ambiguous_credential", {
            sender.send(ID, &[("x-amz-firehose-access-key", &sender.key.api_key)], good()).await
        }),
        (401, "invalid_api_key", with_key("hunter2").send(ID, &[], good()).await),
        (403, "wrong_key_type", with_key(&query.api_key).send(ID, &[], good()).await),
        (403, "stream_not_allowed", narrow.send(ID, &[], good()).await),
        (400, "ambiguous_credential", sender.send(ID, &[("x-api-key", &sender.key.api_key)], good()).await),
        (429, "rate_limited", limited.send(ID, &[], good()).await),
        (413, "payload_too_large", sender.send(ID, &[], vec![b' '; 64 * 1024 + 1]).await),
        (413, "payload_too_large", sender.deliver(ID, &[&bomb]).await),
        (415, "unsupported_media_type", sender.send(ID, &[("content-encoding", "br")], good()).await),
        (400, "invalid_request", sender.send(ID, &[], b"{}".to_vec()).await),
        (400, "invalid_request", sender.send(ID, &[], body("another", &[])).await),
        (400, "invalid_request", sender.deliver(ID, &[b"not json"]).await),
        (400, "invalid_request", sender.send(ID, &[("x-amz-firehose-common-attributes", "{}")], good()).await),
        (431, "headers_too_large", with_key(&"x".repeat(17 * 1024)).send(ID, &[], good()).await),
    ];
    for (status, code, answer) in &refusals {
        let said = answered(answer, *status, ID);
        assert!(said["errorMessage"].as_str().unwrap().starts_with(&format!("{code}: ")), "{said}");
    }
    let limited = refusals.iter().find(|(status, _, _)| *status == 429).unwrap();
    assert!(limited.2.header("retry-after").is_some());
    let get = Answer::of(server.anonymous().request("GET", PATH).header("x-amz-firehose-request-id", ID)).await;
    let said = answered(&get, 405, ID);
    assert!(said["errorMessage"].as_str().unwrap().starts_with("method_not_allowed: "), "{said}");
    assert_eq!((get.header("allow"), get.header("cache-control")), (Some("POST"), Some("no-store")));
    let broken = br#"{"requestId":"r","timestamp":1,"records":[{"data":"e30="},{"data":"%%"}]}"#.to_vec();
    let said = answered(&sender.send("r", &[], broken).await, 400, "r");
    assert_eq!(said["errorMessage"], "invalid_request: record 2: the record is not Base64");
    // Without an id there is none to repeat.
    let nameless = server.anonymous().request("POST", PATH).header("x-amz-firehose-access-key", &sender.key.api_key);
    answered(&Answer::of(nameless.body("{\"records\":[]}")).await, 400, "");
    server.app.draining.store(true, std::sync::atomic::Ordering::Release);
    answered(&sender.send(ID, &[], good()).await, 503, ID);
}

#[tokio::test]
async fn without_its_header_the_id_of_a_delivery_is_that_of_its_body() {
    let server = TestServer::spawn().await;
    let sender = Sender::new(&server).await;
    let send = async |body: Vec<u8>, encoding: &str| {
        let request = server.anonymous().request("POST", PATH).header("x-amz-firehose-access-key", &sender.key.api_key);
        Answer::of(request.header("content-encoding", encoding).body(body)).await
    };
    for _ in 0..2 {
        answered(&send(body(ID, &[b"{\"n\":1}"]), "identity").await, 200, ID);
        answered(&send(gzip(&body("packed", &[b"{\"n\":2}"])), "gzip").await, 200, "packed");
    }
    assert_eq!(rows(&server, "SELECT n FROM aws ORDER BY n").await, json!([{"n": 1}, {"n": 2}]), "stored once");
    answered(&send(body("bad", &[b"not json"]), "identity").await, 400, "bad");
    answered(&send(gzip(&body("bad", &[b"not json"])), "gzip").await, 400, "bad");
    let cut = format!("{{\"requestId\":\"cut\",\"records\":[{{\"data\":\"{}", "x".repeat(10_000));
    answered(&send(cut.into_bytes(), "identity").await, 400, "cut");
    // An id that no header could carry, one that comes too late, and none.
    answered(&send(body("a b", &[]), "identity").await, 400, "");
    let late = format!("{{\"records\":[],\"more\":\"{}\",\"requestId\":\"late\"}}", "x".repeat(5000));
    for body in [late.into_bytes(), b"[]".to_vec(), b"\"".to_vec(), vec![b'['; 5000], Vec::new()] {
        answered(&send(body, "identity").await, 400, "");
    }
}

#[tokio::test]
async fn faulty_records_go_to_quarantine_where_the_stream_says_so() {
    let server = TestServer::spawn().await;
    let sender = Sender::new(&server).await;
    let settings = "/api/v1/tenants/default/logstream/aws";
    assert_eq!(server.admin().patch(settings, json!({"onInvalid": "quarantine"})).await.status, 200);
    answered(&sender.deliver(ID, &[b"{\"n\":1}", b"not json", b"{\"n\":2}\n{\"p_x\":1}"]).await, 200, ID);
    assert_eq!(rows(&server, "SELECT n FROM aws ORDER BY n").await, json!([{"n": 1}, {"n": 2}]));
    let key = json!({"keyName": "auditor", "keyType": "query", "streams": ["keyloft_*"]});
    let auditor = server.with_key(&server.admin().issue_with("default", key).await.api_key);
    let kept = auditor.query("SELECT record, line, code, text FROM keyloft_rejected ORDER BY record").await.json();
    let expected = json!([
        {"record": 2, "line": 1, "code": "not_json", "text": "not json"},
        {"record": 3, "line": 2, "code": "reserved_name", "text": "{\"p_x\":1}"},
    ]);
    assert_eq!(kept, expected);
}
