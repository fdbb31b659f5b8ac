//! A challenge in the format of ALTCHA v2, so that its clients can solve it: a number is sought with which PBKDF2 gives
//! a key that begins with certain digits.
//!
//! Its own code, because the crate `altcha` compares the expiry with the clock of the system, knows one key only, and
//! brings a second SHA-2, HMAC and PBKDF2 beside those of `ring`.

use std::num::NonZeroU32;

use ring::pbkdf2;
use serde::{Deserialize, Serialize};

use super::clearance::ClearanceToken;
use super::keys::{Keys, Purpose};
use super::{SKEW_SECONDS, hex};
use crate::policy::set::{EntityDefinitionId, Level};

const ALGORITHM: &str = "PBKDF2/SHA-256";
/// One try of 256 is right.
const PREFIX: &str = "00";
const KEY_BYTES: u8 = 32;
/// How long somebody without a program to solve it waits, in seconds.
pub const WAIT_SECONDS: i64 = 10;
/// For how long a clearance for waiting is good at most, in seconds.
const WEAK_SECONDS: i64 = 600;

impl Level {
    /// How often the function is repeated in a try. On one core of an AMD EPYC, 2026-11-29, a try takes 0.19, 0.38 and
    /// 0.76 ms, and a solution, of 256 tries on average, 48, 98 and 193 ms.
    pub(crate) const fn cost(self) -> u32 {
        match self {
            Self::Low => 1000,
            Self::Medium => 2000,
            Self::High => 4000,
        }
    }
}

/// A challenge as clients get it and send it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Challenge {
    /// What is to be done.
    pub parameters: Parameters,
    /// The code of the parameters, in hexadecimal digits.
    pub signature: String,
}

/// What is to be done. The members stand in the order of their names, so that their JSON is the canonical one, which is
/// signed: it is written from here, never taken from a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Parameters {
    algorithm: String,
    cost: u32,
    /// What we want to know when it comes back.
    pub data: Data,
    expires_at: i64,
    key_length: u8,
    key_prefix: String,
    /// 16 random bytes: the id of the challenge, and of its clearance.
    nonce: String,
    salt: String,
}

/// What we want to know when a challenge comes back. In the order of the names, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Data {
    /// Whether waiting is enough.
    pub accept_weak: bool,
    /// Whom it was given to.
    pub binding: String,
    /// By which decision.
    pub decision_id: String,
    /// About which entities.
    pub definition: Option<EntityDefinitionId>,
    /// When, in seconds since 1970.
    pub issued_at: i64,
    /// Which secret signed it.
    pub key: String,
    /// How much work it is.
    pub level: Level,
    /// Whether the request may be repeated by going to its path.
    pub replayable: bool,
    /// Where the client goes on.
    pub return_path: String,
    /// Whose it is.
    pub tenant: String,
    /// For how long its clearance is good.
    pub ttl_seconds: u32,
}

/// A challenge to be made.
#[derive(Debug, Clone)]
pub struct Order<'a> {
    /// Whose it is.
    pub tenant: &'a str,
    /// How much work it is.
    pub level: Level,
    /// For how long its clearance is good, in seconds.
    pub ttl_seconds: u32,
    /// Whether waiting is enough.
    pub accept_weak: bool,
    /// About which entities.
    pub definition: Option<EntityDefinitionId>,
    /// To whom: see [`super::binding`].
    pub binding: String,
    /// By which decision.
    pub decision_id: &'a str,
    /// Where the client goes on.
    pub return_path: String,
    /// Whether the request may be repeated by going to its path.
    pub replayable: bool,
    /// When, in seconds since 1970.
    pub now: i64,
    /// How long it can be solved, in seconds.
    pub lifetime_seconds: i64,
}

/// What a client found.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Solution {
    counter: u32,
    derived_key: String,
    /// How long it took, as the client says.
    #[serde(default, rename = "time")]
    _time: Option<f64>,
}

/// Why nothing is given for a challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// It is none of ours, was changed, or is not solved.
    Invalid,
    /// It is too old, or its clearance would be.
    Expired {
        /// Where the client may try again.
        return_path: String,
    },
}

impl Challenge {
    /// Makes a challenge. Nothing is remembered of it.
    pub fn new(keys: &Keys, order: Order<'_>, random: &[u8; 32]) -> Self {
        let (nonce, salt) = random.split_at(16);
        let parameters = Parameters {
            algorithm: ALGORITHM.to_owned(),
            cost: order.level.cost(),
            data: Data {
                accept_weak: order.accept_weak,
                binding: order.binding,
                decision_id: order.decision_id.to_owned(),
                definition: order.definition,
                issued_at: order.now,
                key: keys.id().to_owned(),
                level: order.level,
                replayable: order.replayable,
                return_path: order.return_path,
                tenant: order.tenant.to_owned(),
                ttl_seconds: order.ttl_seconds,
            },
            expires_at: order.now.saturating_add(order.lifetime_seconds),
            key_length: KEY_BYTES,
            key_prefix: PREFIX.to_owned(),
            nonce: hex::encode(nonce),
            salt: hex::encode(salt),
        };
        let code = keys.signing(Purpose::Challenge, order.tenant).sign(&parameters.canonical());
        Self { parameters, signature: hex::encode(&code) }
    }

    /// Whether it is one of ours that can still be solved. Cheap: some microseconds for whatever a client sends.
    ///
    /// # Errors
    /// [`Refused`]: the signature first, then the time.
    pub fn verified(self, keys: &Keys, now: i64) -> Result<Verified, Refused> {
        let data = &self.parameters.data;
        let key = keys.find(&data.key, Purpose::Challenge, &data.tenant).ok_or(Refused::Invalid)?;
        let code: [u8; 32] = hex::decode(&self.signature).ok_or(Refused::Invalid)?;
        if !key.verifies(&self.parameters.canonical(), &code) {
            return Err(Refused::Invalid);
        }
        // From here on everything is as we wrote it.
        if now.saturating_add(SKEW_SECONDS) < data.issued_at {
            return Err(Refused::Invalid);
        }
        if now >= self.parameters.expires_at.saturating_add(SKEW_SECONDS) {
            return Err(Refused::Expired { return_path: data.return_path.clone() });
        }
        Ok(Verified(self))
    }
}

impl Parameters {
    fn canonical(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// A challenge that is one of ours, and in time.
#[derive(Debug, Clone)]
pub struct Verified(Challenge);

impl Verified {
    /// The challenge.
    pub fn challenge(&self) -> &Challenge {
        &self.0
    }

    /// What we wanted to know.
    pub fn data(&self) -> &Data {
        &self.0.parameters.data
    }

    /// Whether a client solved it. This computes for up to a millisecond.
    pub fn is_solved_by(&self, solution: &Solution) -> bool {
        let parameters = &self.0.parameters;
        let found = hex::decode::<32>(&solution.derived_key).filter(|_| solution.derived_key.starts_with(PREFIX));
        let (nonce, salt) = (hex::decode::<16>(&parameters.nonce), hex::decode::<16>(&parameters.salt));
        let (Some(found), Some(nonce), Some(salt), Some(cost)) = (found, nonce, salt, NonZeroU32::new(parameters.cost))
        else {
            return false;
        };
        let password = [&nonce[..], &solution.counter.to_be_bytes()].concat();
        let mut key = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, cost, &salt, &password, &mut key);
        key == found
    }

    /// How many seconds somebody who cannot solve it has to wait yet; `None` where waiting is not enough.
    pub fn wait_seconds(&self, now: i64) -> Option<u32> {
        let waited = now.saturating_sub(self.data().issued_at);
        let left = WAIT_SECONDS.saturating_sub(waited).clamp(0, WAIT_SECONDS + SKEW_SECONDS);
        self.data().accept_weak.then(|| u32::try_from(left).unwrap_or_default())
    }

    /// What is given for it: the same bytes for the same challenge, on every node, as often as it is asked for.
    ///
    /// # Errors
    /// [`Refused::Expired`] when the clearance would be expired already.
    pub fn clearance(&self, is_weak: bool, now: i64) -> Result<ClearanceToken, Refused> {
        let (parameters, data) = (&self.0.parameters, self.data());
        let ttl_seconds = i64::from(data.ttl_seconds);
        let lasts = if is_weak { ttl_seconds.min(WEAK_SECONDS) } else { ttl_seconds };
        let token = ClearanceToken {
            key: data.key.clone(),
            tenant: data.tenant.clone(),
            level: data.level,
            is_weak,
            definition: data.definition,
            binding: data.binding.clone(),
            id: parameters.nonce.clone(),
            issued_at: data.issued_at,
            expires_at: data.issued_at.saturating_add(lasts),
        };
        match token.is_current(now) {
            true => Ok(token),
            false => Err(Refused::Expired { return_path: data.return_path.clone() }),
        }
    }
}
