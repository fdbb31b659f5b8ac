//! Limits in Redis, for many nodes: one script decides over all limits of a request at once. Redis is a help, never a
//! need: when it does not answer in time, nobody waits for it any more until it does.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisError, Script};
use tokio::runtime::{Builder, Runtime};

use super::{Charge, Charges, Decision, Quota, Quotas, Refusal};
use crate::error::{self, Error, ErrorKind};

const SCRIPT: &str = include_str!("gcra.lua");
/// How long Redis is left alone after it has failed; then one request tries it, while the others go on without.
const PAUSE: Duration = Duration::from_secs(1);
const MINUTE_MICROS: u128 = 60_000_000;
/// 35 years: Redis counts in doubles, which are exact up to here and beyond, even on top of the time of day.
const MAX_CAPACITY_MICROS: u64 = 1 << 50;

/// The limits of all nodes that are told the same address.
pub(super) struct Shared {
    redis: ConnectionManager,
    script: Arc<Script>,
    /// How long a request waits for Redis.
    patience: Duration,
    /// Where it is talked to: a busy worker does not make it look late.
    runtime: Option<Runtime>,
    start: Instant,
    /// Microseconds from `start`; 0 while Redis answers.
    paused_until: AtomicU64,
}

/// What Redis says of a request.
pub(super) struct Ruling {
    /// What is told to the client.
    pub(super) decision: Decision,
    /// For each charge, how long until its limit is full again.
    pub(super) until_full: Vec<Duration>,
}

impl Shared {
    /// Limits in the Redis at `url`, which need not be there yet, and gets so long to answer.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the URL cannot be used, [`ErrorKind::Internal`] when the thread cannot be started.
    pub(super) fn new(url: &str, patience: Duration) -> error::Result<Self> {
        // The cause is left out: it may quote the URL, which may hold a password.
        let unusable = |_| Error::invalid("the address of Redis for the limits cannot be used");
        let client = Client::open(url).map_err(unusable)?;
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("limits").enable_all().build();
        let runtime = runtime
            .map_err(|error| Error::new(ErrorKind::Internal, "cannot start the thread for limits").caused_by(error))?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(PAUSE))
            .set_response_timeout(Some(patience))
            .set_number_of_retries(0);
        let entered = runtime.enter();
        let redis = ConnectionManager::new_lazy_with_config(client, config).map_err(unusable)?;
        drop(entered);
        let (script, start) = (Arc::new(Script::new(SCRIPT)), Instant::now());
        let shared = Self { redis, script, patience, runtime: Some(runtime), start, paused_until: AtomicU64::new(0) };
        shared.connect();
        Ok(shared)
    }

    /// So that the first request finds a connection.
    fn connect(&self) {
        let mut redis = self.redis.clone();
        if let Some(runtime) = &self.runtime {
            runtime.spawn(async move { redis::cmd("PING").query_async::<()>(&mut redis).await });
        }
    }

    /// What Redis says; `None` when it does not, or has not a moment ago.
    pub(super) async fn decide(&self, charges: &Charges<'_>) -> Option<Ruling> {
        if !self.is_worth_asking() {
            return None;
        }
        match self.ask(charges).await {
            Ok(answer) => {
                self.paused_until.store(0, Ordering::Relaxed);
                ruling(charges, &answer)
            }
            Err(Silence(reason)) => {
                let until = self.micros() + micros(PAUSE);
                if self.paused_until.swap(until, Ordering::Relaxed) == 0 {
                    tracing::warn!(reason, "Redis does not count: each node counts for itself until it does");
                }
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
        // Of all requests that come when the pause is over, one tries.
        now >= until && self.paused_until.compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    async fn ask(&self, charges: &Charges<'_>) -> Result<Vec<i64>, Silence> {
        let (mut redis, script) = (self.redis.clone(), self.script.clone());
        let asked: Vec<_> = charges.iter().map(|charge| (name(charges, charge), Price::of(charge))).collect();
        let Some(runtime) = &self.runtime else { return Err(Silence("no thread".to_owned())) };
        let asking = runtime.spawn(async move {
            let mut call = script.prepare_invoke();
            for (name, price) in asked {
                call.key(name).arg(price.cost).arg(price.capacity).arg(price.rate);
            }
            match call.invoke_async::<Vec<i64>>(&mut redis).await {
                // The connection had ended since it was used last, and is being made anew. What was counted without an
                // answer is counted twice: a limit may pass less for once, but never more.
                Err(error) if error.is_io_error() && !error.is_timeout() => call.invoke_async(&mut redis).await,
                outcome => outcome,
            }
        });
        match tokio::time::timeout(self.patience, asking).await {
            Ok(Ok(answer)) => answer.map_err(|error| Silence::because(&error)),
            Ok(Err(_)) => Err(Silence("no thread".to_owned())),
            Err(_) => Err(Silence("no answer in time".to_owned())),
        }
    }

    fn micros(&self) -> u64 {
        micros(self.start.elapsed()).max(1)
    }
}

/// Why Redis does not count, for the log.
struct Silence(String);

impl Silence {
    /// The kind of the error and the first word of what Redis said. The rest may quote names or a password.
    fn because(error: &RedisError) -> Self {
        let is_word = |code: &&str| code.len() <= 16 && code.bytes().all(|byte| byte.is_ascii_uppercase());
        let code = error.code().filter(is_word).map(|code| format!(" ({code})")).unwrap_or_default();
        Self(format!("{}{code}", error.category()))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Waiting for the thread, as a plain drop does, would panic inside an async context.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared(..)")
    }
}

/// A charge in microseconds, both rounded up: over any time, a limit passes no more than over one microsecond more.
struct Price {
    cost: u64,
    capacity: u64,
    rate: u64,
}

impl Price {
    fn of(charge: &Charge) -> Self {
        let rate = charge.rate.per_minute.get();
        let price = |cells: u64| {
            let units = u128::from(cells) * u128::from(charge.policy.kind.cell());
            u64::try_from((units * MINUTE_MICROS).div_ceil(rate.into())).unwrap_or(u64::MAX).min(MAX_CAPACITY_MICROS)
        };
        Self { cost: price(charge.cells()), capacity: price(charge.burst_cells()), rate }
    }

    /// How many units come back in so many microseconds.
    fn units(&self, micros: u64) -> u64 {
        u64::try_from(u128::from(micros) * u128::from(self.rate) / MINUTE_MICROS).unwrap_or(u64::MAX)
    }
}

/// The braces keep the limits of one tenant together in a cluster.
fn name(charges: &Charges<'_>, charge: &Charge) -> String {
    use super::Holder::{Key, Tenant};
    let kind = charge.policy.kind.as_str();
    match charge.policy.holder {
        Key => format!("keyloft:limit:{{{}}}:{}:{kind}", charges.tenant, charges.key_id),
        Tenant => format!("keyloft:limit:{{{}}}:{kind}", charges.tenant),
    }
}

/// `None` when the answer is not what the script gives.
fn ruling(charges: &Charges<'_>, answer: &[i64]) -> Option<Ruling> {
    let [refused, wait, until_full @ ..] = answer else { return None };
    let micros = |number: i64| u64::try_from(number).ok().map(Duration::from_micros);
    let until_full: Vec<_> = until_full.iter().map(|number| micros(*number)).collect::<Option<_>>()?;
    let refused = usize::try_from(*refused).ok()?;
    let mut quotas = Quotas::default();
    for (charge, full_in) in charges.iter().zip(&until_full) {
        quotas.note(quota(charge, *full_in, refused > 0));
    }
    let refused = refused.checked_sub(1).and_then(|at| charges.iter().nth(at));
    let wait = micros(*wait)?;
    let refusal = refused.map(|charge| Refusal::Rate { policy: charge.policy, wait });
    Some(Ruling { decision: Decision { quotas, refusal }, until_full })
}

fn quota(charge: &Charge, full_in: Duration, refused: bool) -> Quota {
    let price = Price::of(charge);
    // What costs are rounded up by is back before an answer has arrived.
    let slack = if refused { 0 } else { 100 };
    let left = price.capacity.saturating_sub(micros(full_in).saturating_sub(slack));
    let cell = charge.policy.kind.cell();
    let remaining = (price.units(left) / cell * cell).min(charge.rate.burst.get());
    Quota { policy: charge.policy, rate: charge.rate, remaining, full_in }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
