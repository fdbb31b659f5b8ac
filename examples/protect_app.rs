//! Your own actix application, protected by Keyloft: `/report` needs a query key and runs inside a query session that
//! lasts as long as the response body.
//!
//! `cargo run --example protect_app`, then the commands that it prints.
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::time::Duration;

use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use keyloft::access::{Action, Permit, Sessions};
use keyloft::http::middleware::{api_key, query_session};
use keyloft::key::{Actor, KeyName, KeyType, NewKey, TenantId};
use keyloft::{Bucket, Keystore, RequestContext, SystemClock};

/// The permit proves that a key was presented that allows queries. Without the middleware the handler cannot be called.
async fn report(permit: Permit) -> String {
    format!("the report of tenant {}, for key {}\n", permit.tenant(), permit.key().name)
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let clock = Arc::new(SystemClock);
    let keystore = Keystore::new(Bucket::in_memory(), Arc::default(), clock.clone());
    keystore.sync().await?;
    let sessions = Sessions::new(keystore.cache().clone(), clock, Duration::from_secs(60), 8);

    let new = NewKey::new(KeyName::parse("reports")?, KeyType::Query);
    let context = RequestContext::new(Actor::System, keystore.now());
    let issued = keystore.issue(&context, &TenantId::default(), new).await?;
    println!("curl -i http://127.0.0.1:8080/report");
    println!("curl -i http://127.0.0.1:8080/report -H 'X-API-KEY: {}'", issued.secret.expose());

    HttpServer::new(move || {
        App::new().app_data(web::Data::new(keystore.clone())).app_data(web::Data::from(sessions.clone())).service(
            web::resource("/report")
                .wrap(from_fn(query_session::hold)) // second: a session, for as long as the body lasts
                .wrap(from_fn(api_key::require(Action::Query))) // first: actix runs the last wrap first
                .route(web::get().to(report)),
        )
    })
    .bind("127.0.0.1:8080")?
    .run()
    .await?;
    Ok(())
}
