//! A real log, by every way: the same figures. They are those of fixtures/traffic/README.md.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use keyloft::{Clock as _, ManualClock};
use serde_json::{Value, json};

use super::SET;
use crate::support::{TestServer, typed};

const KEYS: &str = "/api/v1/tenants/default/apikeys";
const FILE: &str = r#"
version: 1
entities: [{name: client, keyFields: [client_ip]}]
traffic: {streams: [access], format: ecs}
policies:
  - {name: thirty, entity: client, mitigation: monitor, window: {seconds: 60, threshold: 30}}
  - {name: sixty, entity: client, mitigation: monitor, window: {seconds: 60, threshold: 60}}
  - {name: hundred, entity: client, mitigation: monitor, window: {seconds: 300, threshold: 100}}
  - {name: ten-errors, entity: client, mitigation: monitor,
     window: {seconds: 10, threshold: 10, count: "response_status in [400, 403, 404]"}}
  - {name: errors, mitigation: monitor, expression: "response_status in [400, 403, 404]"}
  - {name: bots, mitigation: monitor, expression: "user_agent.matches('(?i)bot|crawl|spider')"}
  - {name: no-agent, mitigation: monitor, expression: "!has(user_agent)"}
"#;

/// A line of the log that can be read.
struct Line {
    at: DateTime<Utc>,
    client: String,
    method: String,
    target: String,
    status: u16,
    agent: Option<String>,
}

impl Line {
    /// Reads a line in this test's own way.
    fn read(line: &str) -> Option<Self> {
        let quoted: Vec<&str> = line.split('"').collect();
        let [head, request, answer, _, _, agent, ..] = quoted.as_slice() else { return None };
        if quoted.len() < 7 {
            return None;
        }
        let at = head.split(['[', ']']).nth(1)?;
        let at = DateTime::parse_from_str(at, "%d/%b/%Y:%H:%M:%S %z").ok()?.with_timezone(&Utc);
        let mut request = request.split(' ');
        Some(Self {
            at,
            client: head.split(' ').next()?.to_owned(),
            method: request.next()?.to_owned(),
            target: request.next().unwrap_or("/").to_owned(),
            status: answer.split_whitespace().next()?.parse().ok()?,
            agent: (*agent != "-").then(|| (*agent).to_owned()),
        })
    }

    fn ecs(&self) -> Value {
        json!({"@timestamp": self.at, "source": {"ip": self.client}, "user_agent": {"original": self.agent},
            "http": {"request": {"method": self.method}, "response": {"status_code": self.status}},
            "url": {"original": self.target}})
    }

    /// The request, and then the report of its answer.
    fn asked(&self) -> [Value; 2] {
        let mut request = json!({"observedAt": self.at, "clientIp": self.client,
            "request": {"method": self.method, "path": self.target, "headers": {}}});
        if let Some(agent) = &self.agent {
            request["request"]["headers"]["user-agent"] = json!(agent);
        }
        let mut answered = request.clone();
        answered["response"] = json!({"status": self.status});
        [request, answered]
    }
}

fn log() -> String {
    let packed = std::fs::File::open("fixtures/traffic/apache-combined.log.zst").unwrap();
    String::from_utf8(zstd::decode_all(packed).unwrap()).unwrap()
}

type Figures = BTreeMap<String, u64>;

fn figures(items: &Value) -> Figures {
    let item = |item: &Value| (item["name"].as_str().unwrap().to_owned(), item["total"].as_u64().unwrap());
    items.as_array().unwrap().iter().map(item).collect()
}

async fn server() -> (TestServer, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new("2015-05-17T00:00:00Z".parse().unwrap()));
    let server = TestServer::spawn_with(|setup| setup.clock = clock.clone()).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("p.yaml"), FILE).unwrap();
    typed(&server, &format!("policy apply -f {} --yes", folder.path().join("p.yaml").display())).done();
    assert_eq!(server.admin().get(SET).await.json()["policySetVersion"], 1);
    (server, clock)
}

async fn results(server: &TestServer) -> Figures {
    let answer = server.admin().get("/api/v1/tenants/default/results/policies").await;
    assert_eq!(answer.status, 200);
    figures(&answer.json()["items"])
}

#[tokio::test]
async fn a_real_log_gives_the_same_figures_by_decide_by_ingest_offline_and_by_backtest() {
    let text = log();
    let mut lines: Vec<Line> = text.lines().filter_map(Line::read).collect();
    lines.sort_by_key(|line| line.at);
    assert_eq!(lines.len(), 9_999);
    let expected: Figures = [
        ("thirty", 494),
        ("sixty", 90),
        ("hundred", 9),
        ("ten-errors", 0),
        ("errors", 215),
        ("bots", 1290),
        ("no-agent", 190),
    ]
    .map(|(name, count)| (name.to_owned(), count))
    .into();
    // By ingest, as a shipper sends it.
    let (ingest, clock) = server().await;
    let shipper = ingest.admin().issue("default", "shipper", "ingestion").await;
    let shipper = ingest.with_key(&shipper.api_key);
    for lines in lines.chunks(500) {
        clock.advance(lines[lines.len() - 1].at + TimeDelta::seconds(5) - clock.now());
        let body = lines.iter().map(|line| line.ecs().to_string()).collect::<Vec<_>>().join("\n");
        assert_eq!(shipper.ingest("access", body).await.status, 200);
    }
    assert_eq!(results(&ingest).await, expected);
    let reader = json!({"keyName": "reader", "keyType": "query", "streams": ["keyloft_decisions"]});
    let reader = ingest.admin().post(KEYS, reader).await.json();
    let sql = "SELECT policy_name AS name, count(DISTINCT entity) AS total FROM keyloft_decisions \
               WHERE entity IS NOT NULL GROUP BY 1";
    let clients =
        ingest.with_key(reader["apiKey"].as_str().unwrap()).post("/api/v1/query", json!({"query": sql})).await;
    let clients = figures(&clients.json());
    assert_eq!(["thirty", "sixty", "hundred"].map(|name| clients[name]), [31, 2, 1]);
    // What was ingested, once more, by the set in force and by the same as a draft.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("p.yaml"), FILE).unwrap();
    for draft in ["", &format!(" -f {}", folder.path().join("p.yaml").display())] {
        let line = format!("policy backtest{draft} --from 2015-05-01 --to 2015-06-01 --json");
        let tried = typed(&ingest, &line).json();
        assert_eq!((figures(&tried["items"]), &tried["events"]), (expected.clone(), &json!(9_999)));
        let entities = |item: &Value| item["entities"].as_u64().unwrap();
        let items = tried["items"].as_array().unwrap();
        assert_eq!(items.iter().map(entities).collect::<Vec<_>>(), [31, 2, 1, 0, 0, 0, 0]);
        assert_eq!(tried["changed"], json!([]));
    }
    // By decide: a request each, and a report of its answer.
    let (decide, clock) = server().await;
    let edge = decide.admin().post(KEYS, json!({"keyName": "edge", "keyType": "ingestion", "sourceId": "edge"})).await;
    let edge = decide.with_key(edge.json()["apiKey"].as_str().unwrap());
    for lines in lines.chunks(500) {
        clock.advance(lines[lines.len() - 1].at + TimeDelta::seconds(5) - clock.now());
        let events: Vec<Value> = lines.iter().flat_map(Line::asked).collect();
        let answer = edge.post("/api/v1/decide?observe=true", json!({"events": events})).await;
        assert_eq!((answer.status.as_u16(), answer.json()["observed"].as_u64()), (200, Some(events.len() as u64)));
    }
    assert_eq!(results(&decide).await, expected);
    // Offline, by the command line.
    let folder = tempfile::tempdir().unwrap();
    let (file, access) = (folder.path().join("p.yaml"), folder.path().join("access.log"));
    std::fs::write(&file, FILE).unwrap();
    std::fs::write(&access, text).unwrap();
    let line = format!("policy check -f {} --log {} --json", file.display(), access.display());
    let offline = typed(&decide, &line).json();
    assert_eq!(figures(&offline["items"]), expected);
    assert_eq!((&offline["events"], &offline["unreadableLines"][0]["line"]), (&json!(9_999), &json!(8_899)));
}
