//! Every caller of `access::decide` gives the same answer, order included: the data plane, `POST /apikeys/verify`, and
//! the middleware of an application that embeds Keyloft.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use chrono::{DateTime, SecondsFormat, TimeDelta};
use keyloft::access::{
    Action, ClientAddress, Denial, Dimension, LimitId, LimitScope, Limiter, Permit, Refusal, StatedTenant,
};
use keyloft::http::Problem;
use keyloft::http::middleware::api_key;
use keyloft::key::{Credential, KeyType, PlainSecret, StreamName, TenantId};
use keyloft::testing::{Decision, Facts, FoundKey, TenantState, View, decide};
use keyloft::{Bucket, Clock, Keystore, ManualClock};
use serde_json::json;

use crate::support::{Answer, Client, TestServer};

/// The keys of one run.
const KEYS: usize = 80;
const TENANTS: [&str; 5] = ["default", "no-ingest", "no-query", "no-use", "gone"];
const STREAM: &str = "web-1";

/// Numbers that look random, the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.roll(of.len() as u64)).unwrap()].clone()
    }

    /// True once in `sides` times.
    fn rarely(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }
}

/// What is presented, and what is stated with it.
#[derive(Debug, Clone)]
struct Presented {
    api_key: String,
    stated: Option<&'static str>,
    is_limited: bool,
    how: String,
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Use {
    Ingest,
    Query,
    List,
    Inspect,
    Embedded(Action),
}

impl Use {
    const ALL: [Self; 7] = [
        Self::Ingest,
        Self::Query,
        Self::List,
        Self::Inspect,
        Self::Embedded(Action::Ingest),
        Self::Embedded(Action::Query),
        Self::Embedded(Action::Inspect),
    ];

    fn action(self) -> Action {
        match self {
            Self::Ingest => Action::Ingest,
            Self::Query | Self::List => Action::Query,
            Self::Inspect => Action::Inspect,
            Self::Embedded(action) => action,
        }
    }

    fn stream(self) -> Option<StreamName> {
        (self == Self::Ingest).then(|| StreamName::parse(STREAM).unwrap())
    }

    async fn ask(self, (keyloft, embedder): &(Client, Client), presented: &Presented) -> Answer {
        let request = match self {
            Self::Ingest => keyloft
                .request("POST", "/api/v1/ingest")
                .header("x-p-stream", STREAM)
                .header("content-type", "application/json")
                .body("{\"a\":1}"),
            Self::Query => keyloft.request("POST", "/api/v1/query").json(&json!({"query": "SELECT 1 AS one"})),
            Self::List => keyloft.request("GET", "/api/v1/logstream"),
            Self::Inspect => keyloft.request("GET", "/api/v1/whoami"),
            Self::Embedded(action) => embedder.request("GET", &format!("/{action:?}")),
        };
        let request = request.header("x-api-key", &presented.api_key);
        Answer::of(match presented.stated {
            Some(tenant) => request.header("x-p-tenant", tenant),
            None => request,
        })
        .await
    }
}

/// An application with nothing but the middleware, over the keys and limits of a server.
struct Embedder {
    url: String,
    handle: actix_web::dev::ServerHandle,
}

impl Embedder {
    fn spawn(keystore: &Keystore, limiter: &Arc<Limiter>) -> Self {
        let (sender, receiver) = mpsc::channel();
        let (keystore, limiter) = (keystore.clone(), limiter.clone());
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let app = move || {
                    let app = App::new()
                        .app_data(web::Data::new(keystore.clone()))
                        .app_data(web::Data::from(limiter.clone()));
                    Action::ALL.into_iter().fold(app, |app, action| {
                        let tenant = async |permit: Permit| permit.tenant().to_string();
                        let resource = web::resource(format!("/{action:?}")).wrap(from_fn(api_key::require(action)));
                        app.service(resource.route(web::get().to(tenant)))
                    })
                };
                let server = HttpServer::new(app).workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
                let address = server.addrs()[0];
                let server = server.run();
                sender.send(Self { url: format!("http://{address}"), handle: server.handle() }).unwrap();
                server.await.unwrap();
            });
        });
        receiver.recv_timeout(Duration::from_secs(10)).unwrap()
    }
}

/// A server with keys of every sort, and what is presented to it.
struct World {
    server: TestServer,
    admin: Client,
    presented: Vec<Presented>,
}

impl World {
    async fn new(dice: &mut Dice) -> Self {
        let clock = Arc::new(ManualClock::new(DateTime::UNIX_EPOCH + TimeDelta::days(20_000)));
        let shared = clock.clone();
        let server = TestServer::spawn_with(move |setup| {
            setup.clock = shared;
            setup.bucket = Some(Bucket::in_memory());
        })
        .await;
        let admin = server.admin();
        for tenant in &TENANTS[1..] {
            admin.post("/api/v1/tenants", json!({"tenantId": tenant})).await;
        }
        let mut presented = Vec::new();
        for number in 0..KEYS {
            presented.push(Self::key(&admin, clock.now(), dice, number).await);
        }
        for (tenant, suspended) in [
            ("no-ingest", json!(["ingestion"])),
            ("no-query", json!(["query"])),
            ("no-use", json!(["ingestion", "query"])),
        ] {
            assert_eq!(
                admin.patch(&format!("/api/v1/tenants/{tenant}"), json!({"suspended": suspended})).await.status,
                200
            );
        }
        assert_eq!(admin.delete("/api/v1/tenants/gone").await.status, 200);
        clock.advance(TimeDelta::hours(1));
        let unknown = PlainSecret::generate(KeyType::Query).unwrap().expose().to_owned();
        for api_key in [unknown, "no-key-of-anybody".to_owned()] {
            presented.push(Presented { api_key, stated: None, is_limited: false, how: "unknown".to_owned() });
        }
        Self { server, admin, presented }
    }

    /// Issues a key, and does to it whatever the dice say.
    async fn key(admin: &Client, now: DateTime<chrono::Utc>, dice: &mut Dice, number: usize) -> Presented {
        let at = |after: TimeDelta| json!((now + after).to_rfc3339_opts(SecondsFormat::Millis, true));
        let tenant = if dice.rarely(2) { "default" } else { dice.pick(&TENANTS) };
        let key_type = dice.pick(&["ingestion", "query"]);
        let mut body = json!({
            "keyName": format!("k{number}"),
            "keyType": key_type,
            "allowedCidrs": dice.pick(&[json!([]), json!(["127.0.0.0/8"]), json!(["192.0.2.0/24"])]),
            "streams": dice.pick(&[json!(["*"]), json!(["web-*"]), json!(["app"])]),
        });
        let is_limited = dice.rarely(3);
        if is_limited {
            body["limits"] = json!({"requests": {"perMinute": 1, "burst": 1}});
        }
        if dice.rarely(3) {
            body["expiresAt"] = at(dice.pick(&[TimeDelta::minutes(30), TimeDelta::hours(2)]));
        }
        let mut how = format!("{tenant} {body}");
        let issued = admin.issue_with(tenant, body).await;
        let path = format!("/api/v1/tenants/{tenant}/apikeys/{}", issued.id);
        if dice.rarely(4) {
            let overlap = dice.pick(&[60, 7200]);
            let rotated = admin.post(&format!("{path}/rotate"), json!({"overlapSeconds": overlap})).await;
            assert_eq!(rotated.status, 200, "{}", rotated.text());
            how += &format!(" rotated with {overlap}");
        }
        match dice.roll(6) {
            0 => assert_eq!(admin.patch(&path, json!({"state": "disabled"})).await.status, 200),
            1 => assert_eq!(admin.delete(&path).await.status, 200),
            _ => {}
        }
        let stated = match dice.roll(6) {
            0 => Some("no-use"),
            1 => TENANTS.into_iter().find(|other| *other == tenant),
            _ => None,
        };
        Presented { api_key: issued.api_key, stated, is_limited, how }
    }
}

/// What `access::decide` says of a request, from what the node holds in memory.
fn decided(
    keystore: &Keystore,
    presented: &Presented,
    action: Action,
    stream: Option<&StreamName>,
    stated_tenant: StatedTenant<'_>,
    request_rate: Option<Refusal>,
) -> Decision {
    let digest = Credential::parse(&presented.api_key).map(|credential| credential.digest());
    let key = digest.as_ref().ok().and_then(|digest| keystore.cache().find(digest));
    let tenant = key.as_ref().map(|key| TenantState::from(&*keystore.cache().tenant(&key.tenant).unwrap()));
    let found = match &digest {
        Err(malformed) => Err(Denial::from(*malformed)),
        Ok(digest) => Ok(key.as_deref().zip(tenant).map(|(key, tenant)| FoundKey { key, tenant, presented: digest })),
    };
    let facts = Facts {
        now: keystore.now(),
        view: View::Current,
        found,
        stated_tenant,
        address: ClientAddress::Known(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        request_rate,
        stream,
        volume: None,
    };
    decide(&facts, action)
}

/// The status and the code of an answer that says this.
fn on_the_wire(decision: Decision) -> (u16, Option<&'static str>) {
    let problem = match decision {
        Decision::Granted => return (200, None),
        Decision::Denied(denial) => Problem::from(denial),
        Decision::Refused(refusal) => Problem::from(refusal),
    };
    (problem.code().status().as_u16(), Some(problem.code().as_str()))
}

async fn verified(admin: &Client, presented: &Presented, action: Option<KeyType>, stream: bool) -> String {
    let mut question = json!({"apiKey": presented.api_key, "address": "127.0.0.1"});
    if let Some(action) = action {
        question["action"] = json!(action);
    }
    if stream {
        question["stream"] = json!(STREAM);
    }
    let answer = admin.post("/api/v1/apikeys/verify", question).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["code"].as_str().unwrap().to_owned()
}

/// The word that `verify` has for a decision.
fn word(decision: Decision) -> &'static str {
    match decision.denial() {
        None => "valid",
        Some(Denial::Unknown) => "not_found",
        Some(Denial::TenantDeleted(_)) => "revoked",
        Some(denial) => denial.as_str(),
    }
}

/// All callers, for one thing that is presented. Gives the words that were seen.
async fn agree(world: &World, clients: &(Client, Client), presented: &Presented, dice: &mut Dice) -> Vec<String> {
    let keystore = &world.server.app.keystore;
    let stated = presented.stated.map_or(StatedTenant::Nothing, StatedTenant::Tenant);
    let used_up = Refusal::Rate {
        limit: LimitId { scope: LimitScope::Key, dimension: Dimension::Requests },
        wait: Duration::from_secs(60),
    };
    let (mut spent, mut words) = (false, Vec::new());
    let start = usize::try_from(dice.roll(Use::ALL.len() as u64)).unwrap();
    for turn in 0..Use::ALL.len() {
        let (used, about) = (Use::ALL[(start + turn) % Use::ALL.len()], &presented.how);
        let (action, stream) = (used.action(), used.stream());
        let rate = (presented.is_limited && spent).then_some(used_up);
        let expected = decided(keystore, presented, action, stream.as_ref(), stated, rate);
        let answer = used.ask(clients, presented).await;
        let code = (answer.status != 200).then(|| answer.problem().1);
        assert_eq!((answer.status.as_u16(), code.as_deref()), on_the_wire(expected), "{used:?}: {about}");
        // What got as far as the limits was paid for, also if its stream is not allowed.
        spent |= decided(keystore, presented, action, None, stated, None) == Decision::Granted;

        // `verify` takes nothing from limits and has no stated tenant.
        let asked = action.key_type();
        if asked.is_none() {
            continue;
        }
        let word_of_verify = verified(&world.admin, presented, asked, stream.is_some()).await;
        let expected = decided(keystore, presented, action, stream.as_ref(), StatedTenant::Nothing, None);
        assert_eq!(word_of_verify, word(expected), "{used:?}: {about}");
        // Without the oracle: the same code, where neither a statement nor a limit was decisive.
        if rate.is_none() && presented.stated.is_none() {
            let same = match (answer.status.as_u16(), code.as_deref()) {
                (200, None) => word_of_verify == "valid",
                (401, Some("invalid_api_key")) => {
                    ["malformed", "not_found", "expired", "disabled", "revoked", "rotated"].contains(&&*word_of_verify)
                }
                (_, code) => code == Some(&*word_of_verify),
            };
            assert!(same, "{used:?}: {word_of_verify} and {}: {about}", answer.text());
        }
        words.push(code.unwrap_or(word_of_verify.clone()));
        words.push(word_of_verify);
    }
    words
}

/// Gives the words that were seen.
async fn all_agree(seed: u64) -> BTreeSet<String> {
    let mut dice = Dice(seed);
    let mut world = World::new(&mut dice).await;
    for presented in &mut world.presented {
        presented.how = format!("seed {seed}: {}", presented.how); // What a failure shows.
    }
    let embedder = Embedder::spawn(&world.server.app.keystore, &world.server.app.limiter);
    let clients = (world.server.anonymous(), Client::anonymous(&embedder.url));
    let mut words = BTreeSet::new();
    for presented in &world.presented {
        words.extend(agree(&world, &clients, presented, &mut dice).await);
    }
    embedder.handle.stop(false).await;
    assert!(world.server.app.keystore.tenant(&TenantId::parse("gone").unwrap()).is_err());
    words
}

#[tokio::test]
async fn the_data_plane_and_verify_and_an_embedder_decide_alike() {
    let words = all_agree(20_261_126).await;
    // A run that never met a reason proves nothing about it.
    for met in [
        "valid",
        "malformed",
        "not_found",
        "expired",
        "disabled",
        "revoked",
        "rotated",
        "wrong_key_type",
        "tenant_suspended",
        "tenant_mismatch",
        "network_not_allowed",
        "stream_not_allowed",
        "rate_limited",
    ] {
        assert!(words.contains(met), "never met {met}: {words:?}");
    }
}

#[tokio::test]
async fn they_decide_alike_about_fresh_keys_too() {
    let fresh = PlainSecret::generate(KeyType::Query).unwrap();
    let seed = fresh.expose().bytes().fold(0u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    assert!(all_agree(seed).await.len() > 5);
}
