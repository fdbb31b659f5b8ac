//! Three nodes on one store, with clients that send and ask all the time.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::ledger::{Ledger, Moment, Range};
use crate::support::client::connections;
use crate::support::{Answer, Dice, Fleet, Line, TestStore};

pub const NODES: usize = 3;
pub const WEB: &str = "/api/v1/tenants/default/logstream/web";
const OPTIONS: &[&str] = &[
    "--compaction-interval=200ms",
    "--ingest-window=1ms",
    "--sync-poll-interval=200ms",
    "--usage-flush-interval=0s",
    "--workers=1",
];
/// How many requests of one client are on their way at once at most.
const IN_FLIGHT: u64 = 3;
/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// Which store the nodes share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Directory,
    Ceph,
}

pub struct World {
    pub seed: u64,
    pub fleet: Arc<Fleet>,
    /// To the store, one of each node; none to a directory.
    pub lines: Vec<Line>,
    pub ledger: Ledger,
    store: TestStore,
    http: reqwest::Client,
    writer: String,
    reader: String,
    next: AtomicU64,
    stop: AtomicBool,
}

impl World {
    pub async fn new(seed: u64, kind: Kind) -> Arc<Self> {
        let store = if kind == Kind::Directory { TestStore::directory() } else { TestStore::ceph() };
        let (mut lines, mut variables) = (Vec::new(), vec![store.variables().to_vec(); NODES]);
        if kind == Kind::Ceph {
            for of_node in &mut variables {
                let line = Line::to_ceph().await;
                of_node.retain(|(name, _)| name != "AWS_ENDPOINT_URL");
                of_node.push(("AWS_ENDPOINT_URL".to_owned(), line.url()));
                lines.push(line);
            }
        }
        let fleet = Fleet::start_each(&store.url(), variables, OPTIONS).await;
        let (writer, reader) = (issue(&fleet, "writer", "ingestion").await, issue(&fleet, "reader", "query").await);
        let http = connections().timeout(PATIENCE).build().unwrap();
        let (ledger, next, stop) = Default::default();
        Arc::new(Self { seed, fleet, lines, ledger, store, http, writer, reader, next, stop })
    }

    /// Chance of one of those who act in this world.
    pub fn dice(&self, who: u64) -> Dice {
        Dice::new(self.seed * 64 + who + 1)
    }

    /// Where the store is, if it is a directory.
    pub fn directory(&self) -> PathBuf {
        PathBuf::from(self.store.url().trim_start_matches("file://"))
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Whether there is something to do: until the end, or until something broke.
    pub fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst) && !self.ledger.is_broken()
    }

    pub async fn pause(dice: &Dice, from: u64, to: u64) {
        tokio::time::sleep(Duration::from_millis(from + dice.below(to - from))).await;
    }

    fn post(&self, place: usize, path: &str, key: &str) -> reqwest::RequestBuilder {
        self.http.post(self.fleet.url(place) + path).header("x-api-key", key)
    }

    /// Sends numbered events, never the same twice, until the world stops.
    pub async fn write(self: Arc<Self>, place: usize) {
        let dice = self.dice(place as u64);
        let mut on_their_way = tokio::task::JoinSet::new();
        while self.goes_on() {
            let (count, field) = (1 + dice.below(6), dice.in_a_thousand(150).then(|| dice.below(8)));
            let this = self.clone();
            on_their_way.spawn(async move { this.send(place, count, field).await });
            while on_their_way.len() as u64 > dice.below(IN_FLIGHT) {
                on_their_way.join_next().await.unwrap().unwrap();
            }
            Self::pause(&dice, 60, 250).await;
        }
        on_their_way.join_all().await;
    }

    /// Sends some events in one request, maybe with a field that others lack. Says whether they were acknowledged.
    pub async fn send(&self, place: usize, count: u64, field: Option<u64>) -> bool {
        let first = self.next.fetch_add(count, Ordering::SeqCst);
        let numbers = first..first + count;
        let line = |n: u64| {
            let mut event = json!({"n": n, "text": format!("event {n}")});
            if let Some(field) = field {
                event[format!("f{field}")] = n.into();
            }
            event.to_string() + "\n"
        };
        let body: String = numbers.clone().map(line).collect();
        self.ledger.send(numbers.clone());
        let request = self.post(place, "/api/v1/logstream/web", &self.writer);
        let request = request.header("content-type", "application/x-ndjson").body(body);
        match Answer::try_of(request).await {
            Some(answer) if answer.status == 200 => {
                self.ledger.acknowledge(numbers);
                return true;
            }
            Some(answer) if matches!(answer.status.as_u16(), 429 | 503) => {
                self.ledger.error(format!("ingest {} {}", answer.status.as_u16(), detail(&answer)));
            }
            Some(answer) => {
                self.ledger.broken(format!("node {place} refuses events: {} {}", answer.status, answer.text()));
            }
            None => self.ledger.error("ingest: no answer"),
        }
        false
    }

    /// Asks one question after the other, of any node, until the world stops.
    pub async fn read(self: Arc<Self>, reader: u64) {
        let dice = self.dice(8 + reader);
        while self.goes_on() {
            let place = dice.index(NODES);
            match self.ask(place, &dice).await {
                Ok(true) => self.ledger.count(|tally| tally.answers += 1),
                Ok(false) => {}
                Err(why) => self.ledger.broken(format!("node {place}: {why}")),
            }
            Self::pause(&dice, 20, 200).await;
        }
    }

    /// Asks one question and judges the answer. Says whether there was one.
    async fn ask(&self, place: usize, dice: &Dice) -> Result<bool, String> {
        let now = Moment::now().ms;
        let start = now - i64::try_from(dice.below(6000)).unwrap();
        let range = start..start + 1 + i64::try_from(dice.below(4000)).unwrap();
        match dice.below(6) {
            0 => self.numbers(place, "SELECT n, text FROM web", None).await,
            1 => self.numbers(place, "SELECT n, p_timestamp FROM web ORDER BY p_timestamp", None).await,
            2 => self.numbers(place, "SELECT n FROM web", Some(&range)).await,
            3 => self.numbers(place, &within(&range), Some(&range)).await,
            4 => self.field(place, dice.below(8)).await,
            _ => self.sum(place).await,
        }
    }

    /// Asks for the numbers of events. A range is stated beside the SQL, unless that has it already.
    pub async fn numbers(&self, place: usize, sql: &str, range: Option<&Range>) -> Result<bool, String> {
        let asked = Moment::now();
        let beside = range.filter(|_| !sql.contains("WHERE"));
        let Some(rows) = self.query(place, sql, beside).await? else { return Ok(false) };
        let rows = rows.as_array().ok_or("no rows")?;
        let mut found = Vec::new();
        for row in rows {
            let n = row["n"].as_u64().ok_or_else(|| format!("an event without a number: {row}"))?;
            if row.get("text").is_some_and(|text| *text != format!("event {n}")) {
                return Err(format!("`{sql}`: an event has the text of another: {row}"));
            }
            found.push(n);
        }
        let times: Vec<_> = rows.iter().filter_map(|row| row["p_timestamp"].as_str()).collect();
        if !times.is_sorted() {
            return Err(format!("`{sql}`: events are not in order"));
        }
        self.ledger.judge(asked, range, &found).map_err(|why| format!("`{sql}` {beside:?}: {why}"))?;
        Ok(true)
    }

    /// Asks for the events that have a certain field.
    async fn field(&self, place: usize, field: u64) -> Result<bool, String> {
        let sql = format!("SELECT n, f{field} AS f FROM web WHERE f{field} IS NOT NULL");
        let Some(rows) = self.query(place, &sql, None).await? else { return Ok(false) };
        match rows.as_array().ok_or("no rows")?.iter().find(|row| row["f"] != row["n"]) {
            Some(row) => Err(format!("`{sql}`: an event has the field of another: {row}")),
            None => Ok(true),
        }
    }

    pub async fn sum(&self, place: usize) -> Result<bool, String> {
        let asked = Moment::now();
        let sql = "SELECT count(*) AS c, sum(n) AS s FROM web";
        let Some(rows) = self.query(place, sql, None).await? else { return Ok(false) };
        let (count, sum) = (rows[0]["c"].as_u64().ok_or("no count")?, rows[0]["s"].as_u64().unwrap_or(0));
        self.ledger.judge_sum(asked, count, sum).map_err(|why| format!("`{sql}`: {why}"))?;
        Ok(true)
    }

    /// The rows of an answer; `None` of an error that there may be while something fails.
    pub async fn query(&self, place: usize, sql: &str, range: Option<&Range>) -> Result<Option<Value>, String> {
        let mut body = json!({"query": sql});
        if let Some(range) = range {
            (body["startTime"], body["endTime"]) = (instant(range.start).into(), instant(range.end).into());
        }
        let request = self.post(place, "/api/v1/query", &self.reader).json(&body);
        let Some(answer) = Answer::try_of(request).await else {
            self.ledger.error("no answer");
            return Ok(None);
        };
        if answer.status != 200 {
            self.ledger.error(format!("{} {}", answer.status.as_u16(), detail(&answer)));
        }
        match answer.status.as_u16() {
            200 => Ok(Some(serde_json::from_slice(&answer.body).map_err(|error| format!("`{sql}`: {error}"))?)),
            429 | 503 => Ok(None),
            // Nodes learn of streams and fields within a poll.
            400 if ["No field named f", "there is no stream `web`"]
                .iter()
                .any(|why| detail(&answer).starts_with(why)) =>
            {
                Ok(None)
            }
            status => Err(format!("`{sql}` is answered {status}: `{}` {:?}", answer.text(), answer.headers)),
        }
    }

    /// The objects that the stream consists of, as a node lists them.
    pub async fn objects(&self, place: usize) -> Option<Vec<Value>> {
        let (status, page) = self.fleet.admin(place, "GET", &format!("{WEB}/objects?limit=10000"), None).await?;
        (status == 200).then(|| page["items"].as_array().cloned())?
    }
}

async fn issue(fleet: &Fleet, name: &str, key_type: &str) -> String {
    let body = json!({"keyName": name, "keyType": key_type});
    let (status, answer) = fleet.admin(0, "POST", "/api/v1/tenants/default/apikeys", Some(body)).await.unwrap();
    assert_eq!(status, 201, "{answer}");
    answer["apiKey"].as_str().unwrap().to_owned()
}

/// What a problem says; all of an answer that is none.
fn detail(answer: &Answer) -> String {
    let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    problem["detail"].as_str().map_or_else(|| answer.text().to_owned(), str::to_owned)
}

fn within(range: &Range) -> String {
    let (start, end) = (instant(range.start), instant(range.end));
    format!("SELECT n FROM web WHERE p_timestamp >= TIMESTAMP '{start}' AND p_timestamp < TIMESTAMP '{end}'")
}

fn instant(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms).unwrap().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}
