//! Listening, limits and shutdown.

use std::fmt;
use std::future::ready;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, KeepAlive};
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::dev::{AppConfig, Server as Actix, ServerHandle};
use actix_web::http::header::HeaderName;
use actix_web::middleware::{Condition, from_fn};
use actix_web::rt::net::TcpStream;
use actix_web::web;
use socket2::SockRef;
use tokio::time::{Instant, timeout_at};

use super::app::App;
use super::client::TrustedProxies;
use super::client_stream::ClientStream;
use super::configure;
use super::credential::ApiKeyHeaders;
use super::middleware::cors::{self, Cors};
use super::middleware::{bounds, local, observe};
use super::routes::health;
use crate::config::{Authentication, HttpConfig};

/// How many connections may wait to be accepted. The 128 of the standard library are too few while the node is stopped
/// or busy: clients beyond them would wait for a second and more.
const BACKLOG: i32 = 1024;

/// A server that listens. It answers once [`Server::run`] is awaited.
pub struct Server {
    app: web::Data<App>,
    address: SocketAddr,
    actix: Actix,
    shutdown_timeout: Duration,
}

/// Stops a running server from elsewhere.
#[derive(Debug, Clone)]
pub struct Stop {
    app: web::Data<App>,
    actix: ServerHandle,
    timeout: Duration,
}

impl Server {
    /// Listens on the configured address; port 0 takes any that is free.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn bind(app: Arc<App>, config: &HttpConfig) -> io::Result<Self> {
        Self::accept(TcpListener::bind(config.listen)?, app, config)
    }

    /// Answers what comes in on `listener`.
    ///
    /// # Errors
    /// When the listener cannot be used, or authentication is off and it is not for this machine alone.
    pub fn accept(listener: TcpListener, app: Arc<App>, config: &HttpConfig) -> io::Result<Self> {
        SockRef::from(&listener).listen(BACKLOG)?;
        let address = listener.local_addr()?;
        let auth_is_off = config.auth == Authentication::Off;
        if auth_is_off && !address.ip().to_canonical().is_loopback() {
            let message = "authentication may be off on a loopback address only";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let authentication = web::Data::new(config.auth);
        let app = web::Data::from(app);
        let keystore = web::Data::new(app.keystore.clone());
        let sessions = web::Data::from(app.sessions.clone());
        let limiter = web::Data::from(app.limiter.clone());
        let proxies = web::Data::new(TrustedProxies::new(config.trusted_proxies.clone()));
        let headers = api_key_headers(config)?;
        let cors = web::Data::new(Cors::new(config.cors_origins.clone(), &headers));
        let headers = web::Data::new(headers);
        let shared = app.clone();
        let stall = config.request_body_timeout;
        let workers = config.workers.map_or_else(cores, std::num::NonZero::get);
        let builder = Actix::build()
            .workers(workers)
            .max_concurrent_connections((config.max_connections / workers).max(1))
            .shutdown_timeout(config.shutdown_timeout.as_secs())
            .disable_signals();
        let stopping = builder.graceful_shutdown_signal();
        let request_head_timeout = config.request_head_timeout;
        // What `HttpServer` does, over a stream of our own.
        let actix = builder.listen("http", listener, move || {
            let app = actix_web::App::new()
                .app_data(shared.clone())
                .app_data(keystore.clone())
                .app_data(sessions.clone())
                .app_data(limiter.clone())
                .app_data(proxies.clone())
                .app_data(headers.clone())
                .app_data(cors.clone())
                .app_data(authentication.clone())
                .configure(configure)
                .default_service(web::to(health::not_found))
                .wrap(from_fn(bounds::check)) // 4. nothing oversized goes further
                .wrap(Condition::new(cors.is_on(), from_fn(cors::apply))) // 3. pages may read refusals, too
                .wrap(Condition::new(auth_is_off, from_fn(local::only))) // 2. without a credential, only from here
                .wrap(from_fn(observe::record)); // 1. sees every answer, refusals included
            let app = app.into_factory().map_err(|error| error.error_response());
            let stopping = stopping.clone();
            let http = HttpService::build()
                .graceful_shutdown_signal(move || {
                    let stopping = stopping.clone();
                    async move { stopping.notified().await }
                })
                // `ClientStream` waits for requests, for as long as it may.
                .keep_alive(KeepAlive::Os)
                .client_request_timeout(Duration::ZERO)
                // Otherwise actix reads for this long without a bound on bytes; `unread` reads with one.
                .client_disconnect_timeout(Duration::ZERO)
                .local_addr(address)
                .on_connect_ext(|stream: &ClientStream, data| _ = data.insert(stream.connection()))
                .h1(map_config(app, |()| AppConfig::default()));
            let app = shared.clone().into_inner();
            fn_service(move |stream: TcpStream| {
                set_up(&stream, stall);
                let peer = stream.peer_addr().ok();
                let stream = ClientStream::new(stream, app.clone(), request_head_timeout);
                ready(Ok::<_, DispatchError>((stream, peer)))
            })
            .and_then(http)
        })?;
        let actix = actix.run();
        Ok(Self { app, address, actix, shutdown_timeout: config.shutdown_timeout })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What stops it.
    pub fn stop(&self) -> Stop {
        Stop { app: self.app.clone(), actix: self.actix.handle(), timeout: self.shutdown_timeout }
    }

    /// Answers requests until it is stopped.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn run(self) -> io::Result<()> {
        self.actix.await
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.address)
    }
}

impl Stop {
    /// Stops in order: new requests get 503, events that were taken become durable and are acknowledged, running
    /// requests end, then the server does, and what keys were used for is written down. Whatever hangs, this returns
    /// within `--shutdown-timeout`, with an eighth of it left, and says when all of it will be over.
    pub async fn gracefully(&self) -> Instant {
        let end = Instant::now() + self.timeout;
        // The last writes get their turn also when the store or a client hangs.
        let (requests_end, usage_end) = (end - self.timeout / 4, end - self.timeout / 8);
        self.app.draining.store(true, Ordering::Release);
        let drained = timeout_at(requests_end, self.app.ingest.drain()).await.is_ok();
        if !drained {
            tracing::error!("the store did not take all events in time: those that were not acknowledged may be lost");
        }
        // Without time left, running requests are not waited for.
        if timeout_at(requests_end, self.actix.stop(drained)).await.is_err() {
            tracing::warn!("running requests did not end in time and are cut off");
        }
        if !matches!(timeout_at(usage_end, self.app.audit.flush(self.app.keystore.replica())).await, Ok(Ok(()))) {
            tracing::warn!("requests that were refused since the last flush are not in the audit");
        }
        let recorded =
            async { tokio::try_join!(self.app.decider.recorder().flush(), self.app.decider.traffic().flush()) };
        if !matches!(timeout_at(usage_end, recorded).await, Ok(Ok(_))) {
            tracing::warn!("decisions since the last flush are not recorded: the store did not answer in time");
        }
        // After the last request has been counted.
        if timeout_at(usage_end, self.app.usage.close()).await.is_err() {
            tracing::warn!("the usage since the last flush is lost: the store did not answer in time");
        }
        end
    }

    /// Stops without waiting for running requests; what was acknowledged is durable all the same.
    pub async fn at_once(&self) {
        self.app.draining.store(true, Ordering::Release);
        self.actix.stop(false).await;
    }
}

fn api_key_headers(config: &HttpConfig) -> io::Result<ApiKeyHeaders> {
    let names = config.api_key_headers.iter().map(HeaderName::try_from).collect::<Result<Vec<_>, _>>();
    names.map(ApiKeyHeaders::new).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

/// An answer of several parts would wait for the client to acknowledge the first, up to 40 ms (RFC 896, RFC 1122). And
/// a client that stops reading would keep its connection for ever, however long its query has been over: actix has no
/// bound for that, so the kernel is given one (`TCP_USER_TIMEOUT`, which also counts while a closed window is probed).
fn set_up(stream: &TcpStream, stall: Duration) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("TCP_NODELAY cannot be set on a connection: {error}");
    }
    if let Err(error) = SockRef::from(stream).set_tcp_user_timeout(Some(stall)) {
        tracing::debug!("TCP_USER_TIMEOUT cannot be set on a connection: {error}");
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get)
}
