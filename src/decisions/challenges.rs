//! What clients have to solve, and the keys that sign it.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::challenge::keys::Purpose;
use crate::challenge::puzzle::Parameters;
use crate::challenge::shown::Judge;
use crate::challenge::{Challenge, Keys, Order, PATH, binding, return_path};
use crate::key::secret::seed;
use crate::policy::engine::Decision;
use crate::policy::event::Event;

/// How many solutions are computed again at once: each takes a core for up to a millisecond.
const PLACES: usize = 4;

/// Makes challenges. Nothing is remembered of them. Silent in `Debug`.
pub struct Challenges {
    lifetime_seconds: i64,
    other_secret: Option<Zeroizing<Vec<u8>>>,
    keys: OnceLock<Keys>,
    places: Arc<Semaphore>,
}

impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Challenges(..)")
    }
}

/// A challenge in an answer.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Offer {
    parameters: Parameters,
    signature: String,
    /// The page that solves it, on the host of the application.
    page_url: String,
    /// Where a solution is sent, on the host of the application.
    verify_url: &'static str,
}

impl Challenges {
    /// They can be solved for so long. `other_secret` verifies beside the one that signs.
    pub fn new(lifetime: Duration, other_secret: Option<Zeroizing<Vec<u8>>>) -> Self {
        let lifetime_seconds = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
        Self { lifetime_seconds, other_secret, keys: OnceLock::new(), places: Arc::new(Semaphore::new(PLACES)) }
    }

    /// Permits for solutions that are computed again.
    pub(super) fn places(&self) -> &Arc<Semaphore> {
        &self.places
    }

    /// The keys, once the secret is known.
    pub(super) fn keys(&self, secret: Option<&[u8]>) -> Option<&Keys> {
        let other = || self.other_secret.as_ref().map(|other| other.as_slice());
        secret.map(|secret| self.keys.get_or_init(|| Keys::new(secret, other())))
    }

    /// What the client of an event has to solve; `None` unless that is what was decided.
    pub(super) fn offer(
        &self,
        judge: &Judge<'_>,
        decision: &Decision<'_>,
        event: &Event<'_>,
        decision_id: &str,
    ) -> Option<Offer> {
        let challenge = decision.challenge()?;
        let entity = decision.deciding().and_then(|deciding| deciding.policy.entity);
        let definition = entity.and_then(|at| judge.set.entities.get(at)).map(|definition| definition.id);
        let random = seed().inspect_err(|error| tracing::error!("no challenge can be made: {error}")).ok()?;
        let key = judge.keys.signing(Purpose::Binding, judge.tenant);
        let order = Order {
            tenant: judge.tenant,
            level: challenge.level,
            ttl_seconds: challenge.ttl_seconds,
            accept_weak: challenge.accept_weak,
            definition,
            binding: binding::of(&key, judge.set, definition, event)?,
            decision_id,
            return_path: return_path::checked(event.return_path()),
            replayable: event.is_replayable(),
            now: judge.now_ms.div_euclid(1000),
            lifetime_seconds: self.lifetime_seconds,
        };
        let challenge = Challenge::new(judge.keys, order, &random);
        let packed = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&challenge).ok()?);
        let Challenge { parameters, signature } = challenge;
        Some(Offer { parameters, signature, page_url: format!("{PATH}?challenge={packed}"), verify_url: PATH })
    }
}
