//! Entities: who acts, as a pseudonym from which nobody reads the values back.

use std::fmt;
use std::str::FromStr;

use ring::hmac::{self, HMAC_SHA256};

use super::set::EntityDefinitionId;
use super::value::Value;

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// 128 bits in digits of 5 bits.
const DIGITS: usize = 26;
const PREFIX: &str = "e_";
const VALUE_PREFIX: &str = "v_";

/// One entity: 128 bits of an HMAC of its values. Written `e_` and 26 digits of base32 (RFC 4648) in lower case.
///
/// Two entities are the same when definition, tenant and values are. The values cannot be read back, nor guessed
/// without the key of the tenant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entity(u128);

impl Entity {
    /// Its bits, which are as good as random.
    pub(super) fn bits(self) -> u128 {
        self.0
    }

    #[cfg(test)]
    pub(super) fn of_bits(bits: u128) -> Self {
        Self(bits)
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        for digit in 0..DIGITS {
            // The last digit holds three bits, followed by two zeros.
            let shift = 123u32.checked_sub(5 * u32::try_from(digit).unwrap_or_default());
            let bits = shift.map_or(self.0 << 2, |shift| self.0 >> shift) & 31;
            let letter = usize::try_from(bits).ok().and_then(|at| ALPHABET.get(at)).copied().unwrap_or_default();
            fmt::Write::write_char(f, char::from(letter))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is no pseudonym of an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an entity must be e_ and 26 of a-z and 2-7, as decisions name it")]
pub struct InvalidEntity;

impl FromStr for Entity {
    type Err = InvalidEntity;

    /// Reads the one spelling of an entity.
    fn from_str(text: &str) -> Result<Self, InvalidEntity> {
        let digits = text.strip_prefix(PREFIX).filter(|digits| digits.len() == DIGITS).ok_or(InvalidEntity)?;
        let mut bits = 0u128;
        for (index, letter) in digits.bytes().enumerate() {
            let value = ALPHABET.iter().position(|known| *known == letter).ok_or(InvalidEntity)?;
            let value = u128::try_from(value).map_err(|_| InvalidEntity)?;
            let is_last = index == DIGITS - 1;
            if is_last && value & 3 != 0 {
                return Err(InvalidEntity);
            }
            bits = if is_last { bits << 3 | value >> 2 } else { bits << 5 | value };
        }
        Ok(Self(bits))
    }
}

/// The key of a tenant's pseudonyms. Two tenants never have the same entity. Silent in `Debug`.
pub struct Pseudonyms(hmac::Key);

impl fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pseudonyms")
    }
}

impl Pseudonyms {
    /// The key of a tenant, from the secret of the installation.
    pub fn new(secret: &[u8], tenant: &str) -> Self {
        const PURPOSE: &[u8] = b"keyloft pseudonyms of entities 1\0";
        let mut context = hmac::Context::with_key(&hmac::Key::new(HMAC_SHA256, secret));
        context.update(PURPOSE);
        context.update(tenant.as_bytes());
        Self(hmac::Key::new(HMAC_SHA256, context.sign().as_ref()))
    }

    /// The entity of a definition that has these values. A number and the same number as text are one value, so that a
    /// client does not become two by its spelling; an absent value is another one than empty text.
    pub fn entity<'a>(
        &self,
        definition: EntityDefinitionId,
        values: impl IntoIterator<Item = &'a Value<'a>>,
    ) -> Entity {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"entity");
        context.update(definition.0.as_bytes());
        values.into_iter().for_each(|value| update(&mut context, value));
        let tag = context.sign();
        Entity(tag.as_ref().iter().take(16).fold(0, |bits, byte| bits << 8 | u128::from(*byte)))
    }

    /// A text that stands for the value of a field where the value is not kept: `v_` and 26 digits. A value has another
    /// one in every field and in every tenant.
    pub fn value(&self, field: &str, value: &Value<'_>) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"value");
        update(&mut context, &Value::Text(field.into()));
        update(&mut context, value);
        let tag = context.sign();
        let bits = tag.as_ref().iter().take(16).fold(0, |bits, byte| bits << 8 | u128::from(*byte));
        Entity(bits).to_string().replacen(PREFIX, VALUE_PREFIX, 1)
    }

    /// 32 bits that stand for a value where different values are counted. Without the key nobody finds two values that
    /// have the same.
    pub fn distinct(&self, value: &Value<'_>) -> u32 {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"distinct");
        update(&mut context, value);
        let tag = context.sign();
        tag.as_ref().iter().take(4).fold(0, |bits, byte| bits << 8 | u32::from(*byte))
    }
}

/// Adds a value behind its length, so that no two lists of values are the same bytes.
fn update(context: &mut hmac::Context, value: &Value<'_>) {
    if !value.is_present() {
        return context.update(&u32::MAX.to_be_bytes()); // No text is so long.
    }
    let text = value.text();
    context.update(&u32::try_from(text.len()).unwrap_or(u32::MAX - 1).to_be_bytes());
    context.update(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const DEFINITION: EntityDefinitionId = EntityDefinitionId(Uuid::from_u128(7));

    fn of(values: &[Value<'_>]) -> Entity {
        Pseudonyms::new(b"secret", "acme").entity(DEFINITION, values)
    }

    fn text(text: &str) -> Value<'_> {
        Value::Text(text.into())
    }

    #[test]
    fn a_pseudonym_never_changes() {
        assert_eq!(of(&[text("203.0.113.7/32"), text("curl/8")]).to_string(), "e_ivgjinsfhoap7bufgxv3ixy27y");
        assert_eq!(of(&[]).to_string(), "e_omovnmotrvb5i2sbtm37drbply");
        assert_eq!(Pseudonyms::new(b"secret", "acme").distinct(&text("a")), 3_119_479_041);
    }

    #[test]
    fn entities_are_apart_by_value_definition_tenant_and_secret() {
        let all = [
            of(&[]),
            of(&[Value::Absent]),
            of(&[text("")]),
            of(&[text(""), text("")]),
            of(&[text("ab"), text("c")]),
            of(&[text("a"), text("bc")]),
            of(&[text("abc")]),
            of(&[text("abc"), Value::Absent]),
            of(&[Value::Absent, text("abc")]),
            Pseudonyms::new(b"secret", "other").entity(DEFINITION, &[]),
            Pseudonyms::new(b"other", "acme").entity(DEFINITION, &[]),
            Pseudonyms::new(b"secret", "acme").entity(EntityDefinitionId(Uuid::from_u128(8)), &[]),
        ];
        let different: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        assert_eq!(of(&[Value::Int(5)]), of(&[text("5")]), "one client, however it spells itself");
    }

    proptest! {
        #[test]
        fn a_spelling_is_read_back(bits: u128) {
            let written = Entity(bits).to_string();
            prop_assert_eq!(written.len(), 28);
            prop_assert_eq!(written.parse(), Ok(Entity(bits)));
        }

        #[test]
        fn nothing_else_is_an_entity(text in "(e_)?[a-z2-9A-Z=]{20,30}|\\PC*") {
            if let Ok(entity) = text.parse::<Entity>() {
                prop_assert_eq!(entity.to_string(), text);
            }
        }
    }
}
