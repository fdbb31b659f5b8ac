//! What is light stays quick beside heavy queries, and what reads the store does not stand in the way of what writes
//! it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::scene::COMPUTING;
use crate::support::tap::Carried;
use crate::support::{Client, Scene, Tap, TestServer};

/// Each computes for minutes before its first row: nested loops, hash joins, and a window over a cross join.
const HEAVY: [&str; 3] = [
    COMPUTING,
    "SELECT count(*) AS n FROM quakes a JOIN quakes b ON a.magnitude_type = b.magnitude_type \
     JOIN quakes c ON b.magnitude_type = c.magnitude_type JOIN quakes d ON c.magnitude_type = d.magnitude_type",
    "SELECT max(n) AS n FROM (SELECT row_number() OVER () AS n FROM quakes a, quakes b, quakes c)",
];

/// How often each light request is made.
const ROUNDS: usize = 6;

/// A heavy query takes minutes. What waits for one is far beyond this, on a machine that does nothing else.
const BOUND: Duration = Duration::from_secs(10);

/// Measures what a thread gets of a processor that stands back as those of queries do, beside the heavy queries and
/// whatever else the machine does: light requests get no more.
struct Yardstick {
    is_done: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<f64>,
}

impl Yardstick {
    /// What it gets beside the heavy queries alone: they keep each processor busy.
    const USUAL_SHARE: f64 = 0.5;

    fn start() -> Self {
        let is_done = Arc::new(AtomicBool::new(false));
        let done = is_done.clone();
        let thread = std::thread::spawn(move || {
            #[cfg(target_os = "linux")]
            let _ = rustix::process::setpriority_process(None, 5);
            let (start, before) = (Instant::now(), computed());
            while !done.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
            computed()
                .zip(before)
                .map_or(1.0, |(now, before)| (now - before).as_secs_f64() / start.elapsed().as_secs_f64())
        });
        Self { is_done, thread }
    }

    /// How many times as long as usual everything takes; never so many that what waits for a heavy query passes.
    fn slowness(self) -> f64 {
        self.is_done.store(true, Ordering::Relaxed);
        let share = self.thread.join().unwrap();
        (Self::USUAL_SHARE / share).clamp(1.0, 9.0)
    }
}

/// For how long this thread has computed; `None` where the system does not say.
fn computed() -> Option<Duration> {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    statistics.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// Somebody of another tenant than the heavy queries.
struct Neighbour {
    sending: Client,
    reading: Client,
    stranger: Client,
}

impl Neighbour {
    async fn new(server: &TestServer) -> Self {
        let admin = server.admin();
        let created = admin.post("/api/v1/tenants", json!({"tenantId": "light"})).await;
        assert_eq!(created.status, 201, "{}", created.text());
        let sender = admin.issue("light", "shipper", "ingestion").await;
        let reader = admin.issue("light", "dashboard", "query").await;
        let unknown = keyloft::key::PlainSecret::generate(keyloft::key::KeyType::Query).unwrap();
        Self {
            sending: server.with_key(&sender.api_key),
            reading: server.with_key(&reader.api_key),
            stranger: server.with_key(unknown.expose()),
        }
    }

    /// The slowest answer of each light request.
    async fn slowest(&self) -> [(&'static str, Duration); 4] {
        let mut slowest = ["SELECT 1", "a count", "ingest", "401"].map(|what| (what, Duration::ZERO));
        for _ in 0..ROUNDS {
            for (what, slowest) in &mut slowest {
                let start = Instant::now();
                let asked = async {
                    match *what {
                        "SELECT 1" => self.reading.query("SELECT 1 AS one").await,
                        "a count" => self.reading.query("SELECT n, count(*) AS c FROM seen GROUP BY n").await,
                        "ingest" => self.sending.ingest("seen", "{\"n\":1}").await,
                        _ => self.stranger.get("/api/v1/whoami").await,
                    }
                };
                let Ok(answer) = tokio::time::timeout(10 * BOUND, asked).await else { panic!("{what} waits") };
                assert_eq!(answer.status, if *what == "401" { 401 } else { 200 }, "{}", answer.text());
                *slowest = start.elapsed().max(*slowest);
            }
        }
        slowest
    }
}

/// Asks for ever: on a busy machine a heavy query may run out of memory or time before the light requests are made.
async fn ask_again(reading: Client, sql: &str) {
    loop {
        reading.query(sql).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn light_requests_of_one_tenant_stay_quick_beside_heavy_queries_of_another() {
    let scene = Scene::new().await;
    let neighbour = Neighbour::new(&scene.server).await;
    assert_eq!(neighbour.sending.ingest("seen", "{\"n\":1}").await.status, 200);
    let alone = neighbour.slowest().await;
    let heavy: Vec<_> = HEAVY.iter().cycle().take(6).map(|sql| tokio::spawn(ask_again(scene.reading(), sql))).collect();
    scene
        .server
        .until("all compute", |server| server.open_sessions() == heavy.len() && server.app.engine.live_tasks() > 0)
        .await;
    let yardstick = Yardstick::start();
    let beside = neighbour.slowest().await;
    let slowness = yardstick.slowness();
    eprintln!("alone {alone:?}\nbeside {beside:?}, everything takes {slowness:.1} times as long");
    assert!(scene.server.open_sessions() > 0 && heavy.iter().all(|asking| !asking.is_finished()), "nothing is heavy");
    for ((what, alone), (_, beside)) in alone.into_iter().zip(beside) {
        let bound = BOUND.mul_f64(slowness) + 10 * alone;
        assert!(beside < bound, "{what} takes {beside:?} of {bound:?} beside heavy queries, {alone:?} without");
    }
    heavy.iter().for_each(tokio::task::JoinHandle::abort);
    scene.until_idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Ceph: run scripts/test.sh")]
async fn queries_read_s3_over_connections_that_carry_nothing_else() {
    let tap = Tap::before_ceph().await;
    let bucket = tap.store().open();
    let scene = Scene::with(|setup| setup.bucket = Some(bucket)).await;
    let mut carried = tap.take();
    for n in 0..3 {
        assert_eq!(scene.sending().ingest("seen", format!("{{\"n\":{n}}}")).await.status, 200);
        let counted = scene.reading().query("SELECT count(*) AS n FROM seen").await;
        assert_eq!(counted.json(), json!([{"n": n + 1}]));
        carried.extend(tap.take());
    }
    let connections = |of: &dyn Fn(&str) -> bool| -> BTreeSet<usize> {
        carried.iter().filter(|(_, request)| of(request)).map(|(connection, _)| *connection).collect()
    };
    let reads = connections(&|request| request.starts_with("GET ") && request.contains(".parquet"));
    let writes = connections(&|request| request.starts_with("PUT "));
    let shown: Vec<&Carried> = carried.iter().collect();
    assert!(!reads.is_empty() && !writes.is_empty(), "{shown:#?}");
    assert!(reads.is_disjoint(&writes), "reads {reads:?}, writes {writes:?}: {shown:#?}");
}
