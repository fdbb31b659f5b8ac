//! `keyloft serve`: the boot sequence, top to bottom.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, timeout_at};

use super::connection::DEFAULT_URL;
use super::{Failure, Outcome, ServeArgs, output};
use crate::access::AdminDigest;
use crate::cache::global;
use crate::clock::SystemClock;
use crate::config::{Authentication, Config};
use crate::http::app::App;
use crate::http::auth_off;
use crate::http::server::Server;
use crate::key::PlainSecret;
use crate::layout::ObjectName;
use crate::store::Bucket;
use crate::telemetry;

pub(super) const ABOUT: &str = "Run a server.

It keeps everything in the store: keys, tenants and events. Every option can be a flag, an
environment variable or a line of a TOML file; flags win over the environment, and the
environment over the file.

Examples:
  keyloft serve
  keyloft serve --store s3://bucket/prefix --listen 0.0.0.0:8000
  keyloft serve --config keyloft.toml --log-format json";

/// How long the greeting waits for the keys.
const GREETING_PATIENCE: Duration = Duration::from_secs(3);

/// Runs a server until a signal stops it.
pub(super) fn run(args: ServeArgs) -> Outcome {
    let config = args.load()?;
    let _log = telemetry::log::start(config.log.format, &config.log.filter)?;
    let system = actix_web::rt::System::new();
    let outcome = system.block_on(serve(config));
    // A store that hangs keeps threads of the runtime, and dropping it would wait for them: they end with the process.
    std::mem::forget(system);
    outcome
}

async fn serve(config: Config) -> Outcome {
    let cannot_listen = |error| Failure::failed(format!("cannot listen on {}: {error}", config.http.listen));
    // Before the admin token is made: it is shown once, and a start that fails must not lose it.
    let listener = TcpListener::bind(config.http.listen).map_err(cannot_listen)?;
    let stop_signal = stop_signal()?;
    outlive_file_size_limits()?;
    let bucket = config.store.open()?.with_single_writer(config.single_writer);
    // Before the first write of this node, which is the admin token's. A store that is away is asked again later.
    if let Err(error) = bucket.probe().await {
        tracing::warn!("the store cannot be probed yet: {error:?}");
    }
    require_output(&config, &bucket).await?;
    let (admin, new_token) = admin(&config, &bucket).await?;
    let app = Arc::new(App::new(&config, bucket, global::cache(), Arc::new(SystemClock), admin)?);
    let server = Server::accept(listener, app.clone(), &config.http).map_err(cannot_listen)?;
    let (address, stop) = (server.address(), server.stop());
    let running = actix_web::rt::spawn(server.run());
    let following = actix_web::rt::spawn({
        let (app, authentication) = (app.clone(), config.http.auth);
        async move {
            tokio::join!(auth_off::remind(authentication), app.probe_store(), async {
                app.hydrate().await;
                app.follow().await;
            });
        }
    });
    // Commands that follow the greeting find the keys loaded; but an unreachable store must not delay the greeting.
    let _ = tokio::time::timeout(GREETING_PATIENCE, app.hydrated()).await;
    let text = greeting(&config, address, new_token.as_ref());
    match &new_token {
        Some(_) => output::print_once(&text).map_err(|failure| {
            failure.and(&format!("the admin token is lost: remove {} from the store", ObjectName::Admin.path()))
        })?,
        None => output::print(&text)?,
    }
    drop(new_token);

    let node_id = app.keystore.replica().node_id();
    tracing::info!(%address, store = %config.store, %node_id, "listening");
    stop_signal.await;
    tracing::info!("stopping: new requests are refused, running ones end");
    let end = stop.gracefully().await;
    // Until `close` returns, a revocation still ends running queries. Withdrawing the node gets half of the remaining
    // time.
    let patience = end.saturating_duration_since(Instant::now()) / 2;
    match timeout_at(end, app.keystore.close(patience)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!("other nodes count this one as live for three minutes: {error:?}"),
        Err(_) => tracing::warn!("other nodes count this one as live for three minutes: the store does not answer"),
    }
    following.abort();
    if app.keystore.has_pending_revocations() {
        tracing::error!("a revocation was not stored: revoke the key again");
    }
    // Requests that are not over by now end with the process.
    let ended = match timeout_at(end, running).await {
        Ok(ended) => ended.map_err(|error| Failure::failed(error.to_string()))?,
        Err(_) => Ok(()),
    };
    tracing::info!("stopped");
    ended.map_err(|error| Failure::failed(format!("the listener failed: {error}")))
}

/// The first start prints the admin token once: it must not be made when standard output would lose it.
async fn require_output(config: &Config, bucket: &Bucket) -> Outcome {
    let is_made = config.admin.token.is_none() && bucket.read(&ObjectName::Admin).await?.is_none();
    if is_made && output::is_discarded() {
        return Err(Failure::failed(
            "standard output is closed or /dev/null, where the first start prints the admin token: \
             set KEYLOFT_ADMIN_TOKEN or KEYLOFT_ADMIN_TOKEN_FILE",
        ));
    }
    Ok(())
}

/// The token of the environment, else the one in the bucket, which the first start makes.
async fn admin(config: &Config, bucket: &Bucket) -> Outcome<(AdminDigest, Option<PlainSecret>)> {
    if let Some(token) = &config.admin.token {
        return Ok((AdminDigest::new(token.digest()), None));
    }
    Ok(AdminDigest::kept(bucket).await?)
}

/// Printed once on standard output, never logged: it may hold the admin token.
fn greeting(config: &Config, address: SocketAddr, new_token: Option<&PlainSecret>) -> String {
    let mut text = format!("Keyloft listens on http://{address} and keeps everything in {}.\n\n", config.store);
    if config.http.auth == Authentication::Off {
        text.push_str("Authentication is off: all who reach this address may do everything.\n\n");
    }
    let export = match (new_token, &config.admin.token) {
        (Some(token), _) => {
            text.push_str("This is the admin token. It is shown this once: keep it.\n\n");
            format!("export KEYLOFT_ADMIN_TOKEN={}", token.expose())
        }
        (None, Some(_)) => "export KEYLOFT_ADMIN_TOKEN=…   # the one this server was given".to_owned(),
        (None, None) => "export KEYLOFT_ADMIN_TOKEN=…   # the one the first start printed".to_owned(),
    };
    text.push_str("Next, in another terminal:\n\n");
    text.push_str(&format!("  {export}\n"));
    let url = url(address);
    if url != DEFAULT_URL {
        text.push_str(&format!("  export KEYLOFT_URL={url}\n"));
    }
    let keyloft = std::env::args().next().unwrap_or_else(|| "keyloft".to_owned());
    text.push_str(&format!("  {keyloft} key create --name first-shipper --type ingestion\n"));
    text.push_str(&format!("  {keyloft} key create --name first-dashboard --type query\n"));
    text
}

/// Where a command on this machine reaches a server that listens on this address.
fn url(address: SocketAddr) -> String {
    let reached = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(reached, address.port()))
}

/// Listens from now on for SIGTERM (a service manager) and SIGINT (Ctrl-C); the future waits for one of them.
fn stop_signal() -> Outcome<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// From now on a write beyond a file size limit (`ulimit -f`) is an error, as on a full disk. Unless its signal is
/// listened for, that ends the process; to listen once is enough, because tokio never gives a signal back.
fn outlive_file_size_limits() -> Outcome {
    listen(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())).map(drop)
}

fn listen(kind: SignalKind) -> Outcome<Signal> {
    signal(kind).map_err(|error| Failure::failed(format!("cannot wait for signals: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_one_that_somebody_answers() {
        for (listening, reached) in [
            ("127.0.0.1:8000", DEFAULT_URL),
            ("0.0.0.0:8000", DEFAULT_URL),
            ("[::1]:8000", "http://[::1]:8000"),
            ("[::]:9000", "http://[::1]:9000"),
            ("192.0.2.7:8000", "http://192.0.2.7:8000"),
        ] {
            assert_eq!(url(listening.parse().unwrap()), reached);
        }
    }
}
