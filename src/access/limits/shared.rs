//! Limits in Redis, for many nodes: one script decides over all limits of a request at once. When Redis does not answer
//! in time, nodes decide alone.

use std::sync::Arc;
use std::time::Duration;

use super::gcra::Price;
use super::{Acquisition, Costs, LimitCost, Quota, Quotas};
use crate::access::{LimitScope, Refusal};
use crate::shared_redis::{Call, SharedRedis, SharedScript};

const SCRIPT: &str = include_str!("gcra.lua");
const MINUTE_MICROS: u128 = 60_000_000;
/// 35 years: Redis counts in doubles, which are exact up to here and beyond, even on top of the time of day.
const MAX_CAPACITY_MICROS: u64 = 1 << 50;

/// The limits of all nodes with the same Redis.
#[derive(Debug)]
pub(super) struct SharedLimits {
    redis: Arc<SharedRedis>,
    script: SharedScript,
}

/// The answer of Redis.
pub(super) struct RedisAnswer {
    /// The acquisition.
    pub(super) acquired: Acquisition,
    /// For each cost, how long until its limit is full again.
    pub(super) until_full: Vec<Duration>,
}

impl SharedLimits {
    /// Limits in this Redis.
    pub(super) fn new(redis: Arc<SharedRedis>) -> Self {
        Self { redis, script: SharedScript::new(SCRIPT) }
    }

    /// The answer of Redis; `None` when it does not answer. When the connection breaks, a cost may be counted twice: a
    /// limit may admit less once, but never more.
    pub(super) async fn acquire(&self, costs: &Costs<'_>) -> Option<RedisAnswer> {
        let mut call = Call::default();
        for cost in costs.iter() {
            let Price { cost: taken, capacity } = price(cost);
            call.key(name(costs, cost)).arg(taken).arg(capacity).arg(cost.rate.per_minute.get());
        }
        let numbers: Vec<i64> = self.redis.run(&self.script, call).await?;
        answer(costs, &numbers)
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
