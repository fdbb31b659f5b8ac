//! To whom a clearance was given: the program of the client, and what tells it from others beside its address.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::keys::Key;
use crate::policy::Field;
use crate::policy::event::Event;
use crate::policy::set::{CompiledSet, EntityDefinitionId};

/// The binding of the client that an event is about. The values cannot be read back. `None` when the set has no such
/// definition any more.
///
/// The address, its network, country and number are left out: a phone that leaves the house would be challenged again.
/// Instead, a clearance is good for few networks only ([`super::shown`]).
pub fn of(key: &Key, set: &CompiledSet, definition: Option<EntityDefinitionId>, event: &Event<'_>) -> Option<String> {
    let fields = match definition {
        None => &[][..],
        Some(id) => &set.entities.iter().find(|definition| definition.id == id)?.key,
    };
    let fields = fields.iter().filter_map(|slot| set.fields.get(*slot)).filter(|field| !is_of_network(field));
    let mut texts = Vec::with_capacity(9);
    for field in [&Field::UserAgent].into_iter().chain(fields) {
        let value = event.value(field);
        // What is absent is another value than empty text.
        let state = if value.is_present() { "is" } else { "absent" };
        texts.extend([field.name(), state.to_owned(), value.text().into_owned()]);
    }
    let code = key.sign_texts(texts.iter().map(String::as_str));
    Some(URL_SAFE_NO_PAD.encode(code.get(..16)?))
}

/// Whether a field changes with the network of the client.
fn is_of_network(field: &Field) -> bool {
    matches!(field, Field::ClientIp | Field::ClientNetwork | Field::Country | Field::Asn)
}
