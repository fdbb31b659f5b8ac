//! Limits in Redis, for many nodes: one script decides over all limits of a request at once. When Redis does not answer
//! in time, nodes decide alone, and no request waits for Redis until it answers again.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisError, Script, TlsCertificates};
use tokio::runtime::{Builder, Runtime};

use super::gcra::Price;
use super::{Acquisition, Costs, LimitCost, Quota, Quotas};
use crate::access::{LimitScope, Refusal};
use crate::error::{self, Error, ErrorKind};

const SCRIPT: &str = include_str!("gcra.lua");
/// The pause after a failure of Redis; then one request tries it, while the others continue without.
const PAUSE: Duration = Duration::from_secs(1);
const MINUTE_MICROS: u128 = 60_000_000;
/// 35 years: Redis counts in doubles, which are exact up to here and beyond, even on top of the time of day.
const MAX_CAPACITY_MICROS: u64 = 1 << 50;

/// The limits of all nodes with the same Redis.
pub(super) struct SharedLimits {
    redis: ConnectionManager,
    script: Arc<Script>,
    /// How long a request waits for Redis.
    timeout: Duration,
    /// The runtime of its connection: a busy worker must not make Redis look slow.
    runtime: Option<Runtime>,
    start: Instant,
    /// Microseconds from `start`; 0 while Redis answers.
    paused_until: Arc<AtomicU64>,
}

/// The answer of Redis.
pub(super) struct RedisAnswer {
    /// The acquisition.
    pub(super) acquired: Acquisition,
    /// For each cost, how long until its limit is full again.
    pub(super) until_full: Vec<Duration>,
}

impl SharedLimits {
    /// Limits in the Redis at `url`, which may start later, and which may take this long to answer. `ca` replaces the
    /// certificate authorities of the operating system, in PEM.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the URL or `ca` cannot be used, [`ErrorKind::Internal`] when the thread cannot be
    /// started.
    pub(super) fn new(url: &str, ca: Option<&[u8]>, timeout: Duration) -> error::Result<Self> {
        // The cause is left out: it may quote the URL, which may hold a password.
        let unusable = |_| Error::invalid("the address of Redis for the limits cannot be used");
        let client = match ca {
            None => Client::open(url).map_err(unusable)?,
            Some(ca) => {
                let certificates = TlsCertificates { client_tls: None, root_cert: Some(ca.to_vec()) };
                let unusable = |_| Error::invalid("the URL or the certificate authority of Redis cannot be used");
                Client::build_with_tls(url, certificates).map_err(unusable)?
            }
        };
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("limits").enable_all().build();
        let runtime = runtime
            .map_err(|error| Error::new(ErrorKind::Internal, "cannot start the thread for limits").caused_by(error))?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(PAUSE))
            .set_response_timeout(Some(timeout))
            .set_number_of_retries(0);
        let entered = runtime.enter();
        let redis = ConnectionManager::new_lazy_with_config(client, config).map_err(unusable)?;
        drop(entered);
        let (script, start) = (Arc::new(Script::new(SCRIPT)), Instant::now());
        let shared = Self { redis, script, timeout, runtime: Some(runtime), start, paused_until: Arc::default() };
        shared.connect();
        Ok(shared)
    }

    /// Connects ahead of the first request, and logs at the start what is wrong with the connection.
    fn connect(&self) {
        let (mut redis, paused_until) = (self.redis.clone(), Arc::clone(&self.paused_until));
        let until = self.micros() + micros(PAUSE);
        if let Some(runtime) = &self.runtime {
            runtime.spawn(async move {
                if let Err(error) = redis::cmd("PING").query_async::<()>(&mut redis).await {
                    pause(&paused_until, until, &Silence::because(&error));
                }
            });
        }
    }

    /// The answer of Redis; `None` when it does not answer, or failed within the pause.
    pub(super) async fn acquire(&self, costs: &Costs<'_>) -> Option<RedisAnswer> {
        if !self.is_worth_asking() {
            return None;
        }
        match self.ask(costs).await {
            Ok(numbers) => {
                self.paused_until.store(0, Ordering::Relaxed);
                answer(costs, &numbers)
            }
            Err(silence) => {
                pause(&self.paused_until, self.micros() + micros(PAUSE), &silence);
                None
            }
        }
    }

    fn is_worth_asking(&self) -> bool {
        let until = self.paused_until.load(Ordering::Relaxed);
        if until == 0 {
            return true;
        }
        let now = self.micros();
        let next = now + micros(PAUSE);
        // After the pause, one request tries.
        now >= until && self.paused_until.compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    async fn ask(&self, costs: &Costs<'_>) -> Result<Vec<i64>, Silence> {
        let (mut redis, script) = (self.redis.clone(), self.script.clone());
        let asked: Vec<_> =
            costs.iter().map(|cost| (name(costs, cost), price(cost), cost.rate.per_minute.get())).collect();
        let Some(runtime) = &self.runtime else { return Err(Silence("no thread".to_owned())) };
        let asking = runtime.spawn(async move {
            let mut call = script.prepare_invoke();
            for (name, price, rate) in asked {
                call.key(name).arg(price.cost).arg(price.capacity).arg(rate);
            }
            match call.invoke_async::<Vec<i64>>(&mut redis).await {
                // The connection had broken and is being made anew. A count whose answer was lost is counted twice: a
                // limit may admit less once, but never more.
                Err(error) if error.is_io_error() && !error.is_timeout() => call.invoke_async(&mut redis).await,
                outcome => outcome,
            }
        });
        match tokio::time::timeout(self.timeout, asking).await {
            Ok(Ok(answer)) => answer.map_err(|error| Silence::because(&error)),
            Ok(Err(_)) => Err(Silence("no thread".to_owned())),
            Err(_) => Err(Silence("no answer in time".to_owned())),
        }
    }

    fn micros(&self) -> u64 {
        micros(self.start.elapsed()).max(1)
    }
}

/// Stops asking Redis until `until`, and logs the reason if Redis had answered before.
fn pause(paused_until: &AtomicU64, until: u64, Silence(reason): &Silence) {
    if paused_until.swap(until, Ordering::Relaxed) == 0 {
        tracing::warn!(reason, "Redis is unavailable: this node counts limits alone until it answers");
    }
}

/// Why Redis is unavailable, for the log.
struct Silence(String);

/// How rustls begins what it says of a certificate that it refuses. The rest names the fault and the names in the
/// certificate.
const REFUSED_CERTIFICATE: &str = "invalid peer certificate";

impl Silence {
    /// What is wrong with the certificate; else the kind of the error and the first word of what Redis said. The rest
    /// may quote names or a password.
    fn because(error: &RedisError) -> Self {
        let text = if error.is_io_error() { error.to_string() } else { String::new() };
        if let Some(at) = text.find(REFUSED_CERTIFICATE) {
            return Self(text[at..].to_owned());
        }
        let is_word = |code: &&str| code.len() <= 16 && code.bytes().all(|byte| byte.is_ascii_uppercase());
        let code = error.code().filter(is_word).map(|code| format!(" ({code})")).unwrap_or_default();
        Self(format!("{}{code}", error.category()))
    }
}

impl Drop for SharedLimits {
    fn drop(&mut self) {
        // Waiting for the thread, as a plain drop does, would panic inside an async context.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for SharedLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedLimits(..)")
    }
}

/// In microseconds, both rounded up: over any time, a limit admits no more than over one microsecond more.
fn price(cost: &LimitCost) -> Price {
    let price = |cells: u64| {
        let units = u128::from(cells) * u128::from(cost.limit.dimension.cell());
        let micros = (units * MINUTE_MICROS).div_ceil(cost.rate.per_minute.get().into());
        u64::try_from(micros).unwrap_or(u64::MAX).min(MAX_CAPACITY_MICROS)
    };
    Price { cost: price(cost.cells()), capacity: price(cost.burst_cells()) }
}

/// The braces keep the limits of one tenant together in a cluster.
fn name(costs: &Costs<'_>, cost: &LimitCost) -> String {
    let dimension = cost.limit.dimension.as_str();
    match cost.limit.scope {
        LimitScope::Key => format!("keyloft:limit:{{{}}}:{}:{dimension}", costs.tenant, costs.key_id),
        LimitScope::Tenant => format!("keyloft:limit:{{{}}}:{dimension}", costs.tenant),
    }
}

/// `None` when the script returned other numbers than expected.
fn answer(costs: &Costs<'_>, numbers: &[i64]) -> Option<RedisAnswer> {
    let [refused, wait, until_full @ ..] = numbers else { return None };
    let micros = |number: i64| u64::try_from(number).ok().map(Duration::from_micros);
    let until_full: Vec<_> = until_full.iter().map(|number| micros(*number)).collect::<Option<_>>()?;
    let refused = usize::try_from(*refused).ok()?;
    let mut quotas = Quotas::default();
    for (cost, full_in) in costs.iter().zip(&until_full) {
        quotas.note(quota(cost, *full_in, refused > 0));
    }
    let refused = refused.checked_sub(1).and_then(|at| costs.iter().nth(at));
    let wait = micros(*wait)?;
    let refusal = refused.map(|cost| Refusal::Rate { limit: cost.limit, wait });
    Some(RedisAnswer { acquired: Acquisition { quotas, refusal }, until_full })
}

fn quota(cost: &LimitCost, full_in: Duration, refused: bool) -> Quota {
    // The rounding of costs is free again before an answer arrives.
    let slack = if refused { 0 } else { 100 };
    let left = price(cost).capacity.saturating_sub(micros(full_in).saturating_sub(slack));
    let units = u128::from(left) * u128::from(cost.rate.per_minute.get()) / MINUTE_MICROS;
    let cell = cost.limit.dimension.cell();
    let remaining = (u64::try_from(units).unwrap_or(u64::MAX) / cell * cell).min(cost.rate.burst.get());
    Quota { limit: cost.limit, rate: cost.rate, remaining, full_in }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
