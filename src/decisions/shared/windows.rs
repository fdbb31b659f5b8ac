//! Windows in Redis.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::counted::{CountedEvent, CountedWindow};
use super::{Ask, Counted, What};
use crate::key::TenantId;
use crate::policy::entity::Entity;
use crate::policy::window::WindowKey;
use crate::shared_redis::{Call, SharedRedis, SharedScript};

const COUNT: &str = include_str!("windows.lua");
const FORGET: &str = "return redis.call('DEL', unpack(KEYS))";
/// How many questions one script answers, about: it must not keep others waiting for more than a millisecond or so.
const QUESTIONS: usize = 128;

/// The windows of all nodes with the same Redis.
#[derive(Debug)]
pub struct SharedWindows {
    redis: Arc<SharedRedis>,
    count: SharedScript,
    forget: SharedScript,
    /// Numbers of calls that no other node gives.
    hasher: RandomState,
    calls: AtomicU64,
    /// Events whose windows this node counted alone.
    fallbacks: AtomicU64,
}

impl SharedWindows {
    /// Windows in this Redis.
    pub fn new(redis: Arc<SharedRedis>) -> Self {
        let [count, forget] = [COUNT, FORGET].map(SharedScript::new);
        Self {
            redis,
            count,
            forget,
            hasher: RandomState::new(),
            calls: AtomicU64::new(0),
            fallbacks: AtomicU64::new(0),
        }
    }

    /// Counts what events ask, in their order. One event takes one call; more of them take a call for each hundred
    /// questions or so, of which each waits for the timeout at most, and after one without an answer none waits.
    pub async fn ask(&self, tenant: &TenantId, events: &[Vec<Ask>]) -> Counted {
        let mut counted = Vec::with_capacity(events.len());
        while let Some(rest) = events.get(counted.len()..).filter(|rest| !rest.is_empty()) {
            let mut questions = 0;
            let more = rest.iter().take_while(|asks| {
                let is_room = questions < QUESTIONS;
                questions += asks.len();
                is_room
            });
            let at_once = more.count();
            let part = rest.get(..at_once).unwrap_or(rest);
            counted.extend(self.ask_at_once(tenant, part).await);
        }
        Counted { version: None, events: counted }
    }

    async fn ask_at_once(&self, tenant: &TenantId, events: &[Vec<Ask>]) -> Vec<CountedEvent> {
        let asks = events.iter().flatten().count();
        let answers = if asks == 0 { Some(Vec::new()) } else { self.call(tenant, events.iter().flatten()).await };
        // The script gives one answer to each question; what does not is no such script.
        let answers = answers.filter(|answers| answers.len() == asks);
        let mut bytes = answers.iter().flatten();
        let of_event = |asks: &Vec<Ask>| match (asks.is_empty(), &answers) {
            (true, _) => CountedEvent::AsksNothing,
            (false, None) => CountedEvent::Silent,
            (false, Some(_)) => {
                let windows = asks.iter().zip(bytes.by_ref()).map(|(ask, bytes)| CountedWindow::read(ask, bytes));
                CountedEvent::Known(windows.collect())
            }
        };
        let counted: Vec<_> = events.iter().map(of_event).collect();
        let silent = counted.iter().filter(|event| matches!(event, CountedEvent::Silent)).count();
        self.fallbacks.fetch_add(u64::try_from(silent).unwrap_or(u64::MAX), Ordering::Relaxed);
        counted
    }

    async fn call(&self, tenant: &TenantId, asks: impl Iterator<Item = &Ask>) -> Option<Vec<Vec<u8>>> {
        let number = self.hasher.hash_one(self.calls.fetch_add(1, Ordering::Relaxed));
        let mut call = Call::default();
        call.arg(&number.to_be_bytes());
        for Ask { entity, window, at_ms, what } in asks {
            call.key(name(tenant, *entity, *window)).arg(*at_ms).arg(window.seconds);
            match what {
                What::Look => call.arg(""),
                What::Event => call.arg("e"),
                What::Value(value) => call.arg(*value),
            };
        }
        self.redis.run(&self.count, call).await
    }

    /// Forgets what windows know of an entity. Whether it did: not while Redis does not answer.
    pub async fn forget(
        &self,
        tenant: &TenantId,
        entity: Entity,
        windows: impl IntoIterator<Item = WindowKey>,
    ) -> bool {
        let mut call = Call::default();
        windows.into_iter().for_each(|window| _ = call.key(name(tenant, entity, window)));
        call.is_empty() || self.redis.run::<i64>(&self.forget, call).await.is_some()
    }

    /// For how many events this node counted alone, because Redis did not answer.
    pub fn fallbacks(&self) -> u64 {
        self.fallbacks.load(Ordering::Relaxed)
    }
}

/// The braces keep the windows of one tenant together in a cluster.
fn name(tenant: &TenantId, entity: Entity, window: WindowKey) -> String {
    format!("keyloft:window:{{{tenant}}}:{entity}:{window}")
}
