//! The servers that `scripts/bench-http.sh` loads: one handler that is open, with a key, and with a key that is held to its
//! networks and limits and counted, over a cache of as many keys as asked for. Each has a port of its own, because a router
//! asks its routes in their order. Prints their addresses, a key, one that is unknown, the memory of a key, and a key with
//! networks and limits; then serves until its standard input ends.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::io::Read as _;
use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::{Next, from_fn};
use actix_web::{App, HttpMessage, HttpServer, web};
use keyloft::access::limits::Limiter;
use keyloft::access::{Action, Permit};
use keyloft::http::client;
use keyloft::http::middleware::api_key;
use keyloft::key::{Actor, ApiKey, KeyName, KeyType, Label, Limits, NewKey, PlainSecret, Rate, Tenant, TenantId};
use keyloft::stream::StreamCatalog;
use keyloft::usage::{Meter, UsageSettings, Use};
use keyloft::{Bucket, Clock, KeyCache, Keystore, SystemClock};

async fn answer() -> &'static str {
    "ok"
}

/// The outermost layer, as the server has one on every route: counts for the key, where anything is counted.
async fn counted(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let response = next.call(request).await?;
    let request = response.request();
    if let (Some(permit), Some(meter)) = (request.extensions().get::<Permit>(), request.app_data::<web::Data<Meter>>())
    {
        let (at, address) = (permit.at(), client::of(request));
        meter
            .count(permit.key(), &Use { at, address, admitted: true, older: None, refused: None, events: 0, bytes: 0 });
    }
    Ok(response)
}

fn main() -> std::io::Result<()> {
    // `cargo test` and clippy run benches with other arguments: without a count there is nothing to serve.
    let Some(count) = std::env::args().skip(1).find_map(|argument| argument.parse::<usize>().ok()) else {
        return Ok(());
    };
    let before = resident_bytes();
    let cache = Arc::new(KeyCache::default());
    cache.put_tenant(Tenant::new(TenantId::default()));
    let mut presented = String::new();
    for number in 0..count {
        let secret = PlainSecret::generate(KeyType::Query).unwrap();
        cache.put_key(Arc::new(key(number, &secret)));
        if number == count / 2 {
            presented = secret.expose().to_owned();
        }
    }
    let limited = PlainSecret::generate(KeyType::Query).unwrap();
    // Generous, so that everything is counted and nothing refused.
    let limits = Limits { requests: Rate::per_minute(4_000_000_000).ok(), ..Limits::default() };
    let networks = "10.0.0.0/8,2001:db8::/32,127.0.0.0/8".parse().unwrap();
    cache.put_key(Arc::new(ApiKey { networks, limits: Some(Box::new(limits)), ..key(count, &limited) }));
    cache.set_hydrated();
    let unknown = PlainSecret::generate(KeyType::Query).unwrap();
    let bytes_per_key = (resident_bytes() - before) / count;
    let limiter = web::Data::new(Limiter::new(cache.clone(), Arc::new(SystemClock), None));
    let bucket = Bucket::in_memory();
    let keystore = web::Data::new(Keystore::new(bucket.clone(), cache, Arc::new(SystemClock)));
    let catalog = Arc::new(StreamCatalog::new(bucket.clone()));
    let meter = Meter::new(bucket, keystore.as_ref().clone(), catalog, UsageSettings::default());
    let meter = web::Data::new(meter);

    actix_web::rt::System::new().block_on(async move {
        for route in [Route::Open, Route::Keyed, Route::Limited] {
            let (keystore, limiter, meter) = (keystore.clone(), limiter.clone(), meter.clone());
            let app = move || {
                let app = App::new().app_data(keystore.clone()).configure(|config| route.add_to(config));
                let app =
                    if route == Route::Limited { app.app_data(limiter.clone()).app_data(meter.clone()) } else { app };
                app.wrap(from_fn(counted))
            };
            let server = HttpServer::new(app).workers(2).disable_signals().bind("127.0.0.1:0")?;
            print!("{} ", server.addrs()[0]);
            actix_web::rt::spawn(server.run());
        }
        println!("{presented} {} {bytes_per_key} {}", unknown.expose(), limited.expose());
        let end = web::block(|| std::io::stdin().read_to_end(&mut Vec::new())).await;
        end.map_err(std::io::Error::other)?.map(drop)
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Route {
    Open,
    Keyed,
    Limited,
}

impl Route {
    fn add_to(self, config: &mut web::ServiceConfig) {
        let route = web::resource("/").route(web::get().to(answer));
        match self {
            Self::Open => config.service(route),
            Self::Keyed | Self::Limited => config.service(route.wrap(from_fn(api_key::require(Action::Query)))),
        };
    }
}

/// A key as a real one is: with a name, a source, dates and an author.
fn key(number: usize, secret: &PlainSecret) -> ApiKey {
    let now = Some(SystemClock.now());
    let name = KeyName::parse(&format!("shipper-of-host-{number}")).unwrap();
    let new = NewKey { source_id: Label::parse(&format!("host-{number}")).ok(), ..NewKey::new(name, KeyType::Query) };
    let key = new.into_key(TenantId::default(), secret.digest(), secret.hint());
    ApiKey {
        created_by: Some(Actor::AdminToken),
        created_at: now,
        modified_at: now,
        modified_by: Some(Actor::AdminToken),
        ..key
    }
}

/// The resident set of this process, as Linux counts it.
fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
