//! What a client is given for a challenge, and shows with its requests: `kc1.<payload>.<code>`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::SKEW_SECONDS;
use super::keys::{Keys, Purpose};
use crate::policy::event::CLEARANCE_COOKIES;
use crate::policy::set::{EntityDefinitionId, Level};

/// The header of programs that keep no cookies.
pub const HEADER: &str = "keyloft-clearance";
const PREFIX: &str = "kc1.";
/// Longer texts are no clearances: the longest has some 500 characters.
const MAX_CHARS: usize = 1024;

/// A clearance, as the one who made it knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClearanceToken {
    /// Which secret signs it.
    pub key: String,
    /// Whose it is.
    pub tenant: String,
    /// How much work it was given for.
    pub level: Level,
    /// Whether it was given for waiting instead.
    #[serde(rename = "weak")]
    pub is_weak: bool,
    /// About which entities.
    pub definition: Option<EntityDefinitionId>,
    /// To whom.
    pub binding: String,
    /// The id of the challenge.
    pub id: String,
    /// When that was made, in seconds since 1970.
    #[serde(rename = "iat")]
    pub issued_at: i64,
    /// Until when it is good, in seconds since 1970.
    #[serde(rename = "exp")]
    pub expires_at: i64,
}

impl ClearanceToken {
    /// Its text; `None` when the secret that signs it is gone.
    pub fn text(&self, keys: &Keys) -> Option<String> {
        let key = keys.find(&self.key, Purpose::Clearance, &self.tenant)?;
        let mut text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).ok()?));
        let code = key.sign(text.as_bytes());
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(code, &mut text);
        Some(text)
    }

    /// Reads a clearance of ours that is in time. Whether it was given to the one who shows it is not known yet.
    pub fn read(text: &str, keys: &Keys, now: i64) -> Option<Self> {
        let (signed, code) = text.rsplit_once('.').filter(|_| text.len() <= MAX_CHARS)?;
        let payload = URL_SAFE_NO_PAD.decode(signed.strip_prefix(PREFIX)?).ok()?;
        // Only to find the key: nothing of it counts before the code is verified.
        let token: Self = serde_json::from_slice(&payload).ok()?;
        let key = keys.find(&token.key, Purpose::Clearance, &token.tenant)?;
        let code = URL_SAFE_NO_PAD.decode(code).ok()?;
        (key.verifies(signed.as_bytes(), &code) && token.is_current(now)).then_some(token)
    }

    /// Whether it is good at a time, and not from the future.
    pub(super) fn is_current(&self, now: i64) -> bool {
        now.saturating_add(SKEW_SECONDS) >= self.issued_at && now < self.expires_at.saturating_add(SKEW_SECONDS)
    }

    /// The name of its cookie: clearances for different settings stand side by side in a browser, and a new one takes
    /// the place of an old one for the same.
    pub fn cookie_name(&self, keys: &Keys) -> Option<String> {
        let definition = self.definition.map_or_else(String::new, |definition| definition.to_string());
        let level = match self.level {
            Level::Low => "low",
            Level::Medium => "medium",
            Level::High => "high",
        };
        let lasts = self.expires_at.saturating_sub(self.issued_at).to_string();
        let strength = if self.is_weak { "weak" } else { "" };
        let key = keys.find(&self.key, Purpose::Clearance, &self.tenant)?;
        let code = key.sign_texts(["cookie", &definition, level, &lasts, strength]);
        Some(format!("{CLEARANCE_COOKIES}{}", URL_SAFE_NO_PAD.encode(code.get(..6)?)))
    }
}
