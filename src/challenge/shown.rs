//! The clearances that an event shows, as far as they are good for the one that it is about.

use uuid::Uuid;

use super::binding;
use super::clearance::{ClearanceToken, HEADER};
use super::keys::{Keys, Purpose};
use crate::policy::Field;
use crate::policy::engine::Clearance;
use crate::policy::entity::Pseudonyms;
use crate::policy::event::Event;
use crate::policy::set::{CompiledSet, EntityDefinitionId};
use crate::policy::window::{State, WindowKey};

/// How many an event may show.
const MAX_SHOWN: usize = 4;
/// From how many networks one is used within [`NETWORK_SECONDS`].
const MAX_NETWORKS: u32 = 8;
const NETWORK_SECONDS: u16 = 3600;
/// For how many requests within a minute.
const MAX_REQUESTS: u32 = 600;
/// A clearance is an entity in the windows. No set can define this one.
const DEFINITION: EntityDefinitionId = EntityDefinitionId(Uuid::from_u128(0x6b65_796c_6f66_8000_8000_0000_0000_0fff));

/// What clearances are judged by.
#[derive(Debug, Clone, Copy)]
pub struct Judge<'a> {
    /// Whose request it is.
    pub tenant: &'a str,
    /// The keys that signed them.
    pub keys: &'a Keys,
    /// The set in force.
    pub set: &'a CompiledSet,
    /// Where their uses are counted.
    pub state: &'a State,
    /// What their uses are known by.
    pub pseudonyms: &'a Pseudonyms,
    /// The time, in milliseconds since 1970.
    pub now_ms: i64,
}

impl Judge<'_> {
    /// The clearances that an event shows and that are good for it: of this tenant, in time, given to this client, and
    /// not used by too many. With `counts`, this use is counted.
    pub fn good(&self, event: &Event<'_>, counts: bool) -> Vec<Clearance> {
        // Most sets ask nobody to solve anything.
        if self.set.policies.iter().all(|policy| policy.challenge.is_none()) {
            return Vec::new();
        }
        let (mut good, now) = (Vec::new(), self.now_ms.div_euclid(1000));
        for text in texts(event) {
            let read = ClearanceToken::read(text, self.keys, now).filter(|token| token.tenant == self.tenant);
            if let Some(token) = read
                && self.is_for(&token, event)
                && self.is_used_by_few(&token, event, counts)
            {
                let ClearanceToken { level, is_weak, definition, .. } = token;
                good.push(Clearance { level, is_weak, definition });
            }
        }
        good
    }

    /// Whether a clearance was given to the client of the event.
    fn is_for(&self, token: &ClearanceToken, event: &Event<'_>) -> bool {
        let key = self.keys.find(&token.key, Purpose::Binding, &token.tenant);
        let binding = key.and_then(|key| binding::of(&key, self.set, token.definition, event));
        binding.is_some_and(|binding| binding == token.binding)
    }

    /// Whether one client could use a clearance as it is used. Each node counts for itself.
    fn is_used_by_few(&self, token: &ClearanceToken, event: &Event<'_>, counts: bool) -> bool {
        let networks = WindowKey::new(NETWORK_SECONDS, ["networks of a clearance"]);
        let requests = WindowKey::new(60, ["requests of a clearance"]);
        let id = crate::policy::Value::Text(token.id.as_str().into());
        let entity = self.pseudonyms.entity(DEFINITION, [&id]);
        let network = event.value(&Field::ClientNetwork);
        let used = |window, value| match counts {
            true => self.state.hit(entity, window, self.now_ms, value),
            false => self.state.count(entity, window, self.now_ms),
        };
        let from = if network.is_present() { used(networks, Some(self.pseudonyms.distinct(&network))) } else { 0 };
        used(requests, None) <= MAX_REQUESTS && from <= MAX_NETWORKS
    }
}

/// What may be clearances: the member of the event, its header, and our cookies, the newest first, which browsers send
/// last (RFC 6265, section 5.4).
fn texts<'e>(event: &'e Event<'_>) -> impl Iterator<Item = &'e str> {
    let given = [event.clearance(), event.header(HEADER)].into_iter().flatten();
    let ours: Vec<&str> = event.clearance_cookies().collect();
    given.chain(ours.into_iter().rev()).filter(|text| !text.is_empty()).take(MAX_SHOWN)
}
