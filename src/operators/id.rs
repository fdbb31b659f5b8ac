//! The ids of invitations, memberships and sign-in sessions, and e-mail addresses. Each is parsed once, at the edge.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::key::id::{display_inner, textual};
use crate::key::operator::prefixed_id;
use crate::key::{InvalidId, OperatorId};

prefixed_id! {
    /// The id of an invitation: random.
    InvitationId, "inv-", "the id of an invitation"
}

prefixed_id! {
    /// The id of a sign-in: random. It lasts until the operator signs out, or the session ends.
    LoginId, "sid-", "the id of a sign-in"
}

macro_rules! random {
    ($($name:ident),*) => {$(
        impl $name {
            /// A fresh random id (UUID v4).
            #[allow(clippy::disallowed_methods)]
            pub fn random() -> Self {
                Self(Uuid::new_v4().as_u128())
            }
        }
    )*};
}
random!(InvitationId, LoginId);

/// An e-mail address, kept as it was given. It says who is invited, and never who somebody is.
///
/// - at most 254 bytes (RFC 5321, section 4.5.3.1.3, without its brackets).
/// - one `@`, with something on both sides.
/// - letters, digits and visible ASCII: nothing that looks like nothing, or turns text around.
#[derive(Clone, PartialEq, Eq)]
pub struct Email(Box<str>);

impl Email {
    const MAX_BYTES: usize = 254;

    /// Reads an address.
    ///
    /// # Errors
    /// [`InvalidId`] when the text breaks a rule listed on the type.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        const RULE: InvalidId =
            InvalidId::new("an e-mail address", "at most 254 bytes with one @, without blanks and control characters");
        let is_visible = |c: char| c.is_ascii_graphic() || (!c.is_ascii() && c.is_alphanumeric());
        let sides = text.split_once('@');
        let is_good = sides.is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'));
        if is_good && text.len() <= Self::MAX_BYTES && text.chars().all(is_visible) {
            Ok(Self(text.into()))
        } else {
            Err(RULE)
        }
    }

    /// Whether two texts are one address: upper and lower case of ASCII letters are alike. Of other letters they are
    /// not, since there are some whose lower case is that of an ASCII letter.
    pub fn is(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

/// What is removed from a list of members: somebody, or an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MembershipId {
    /// Of a member.
    Operator(OperatorId),
    /// Of an invitation.
    Invitation(InvitationId),
}

impl FromStr for MembershipId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        const RULE: InvalidId =
            InvalidId::new("the id of a membership", "op- or inv- and 32 hexadecimal digits in lower case");
        let operator = OperatorId::parse(text).map(Self::Operator);
        operator.or_else(|_| InvitationId::parse(text).map(Self::Invitation)).map_err(|_| RULE)
    }
}

impl fmt::Display for MembershipId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator(id) => id.fmt(f),
            Self::Invitation(id) => id.fmt(f),
        }
    }
}

display_inner!(Email);
textual!(InvitationId, LoginId, Email);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let zeros = format!("op-{}", "0".repeat(32));
        assert_eq!(OperatorId::parse(&zeros).unwrap().to_string(), zeros);
        let id = InvitationId::random();
        assert_eq!(id.to_string().parse(), Ok(MembershipId::Invitation(id)));
        let digits = "5a12af06505d0ebbb95bca5441f5c29f";
        for bad in [
            "",
            "op-",
            digits,
            &format!("op-{}", digits.to_uppercase()),
            &format!("OP-{digits}"),
            &format!("op-+{}", &digits[1..]),
            &format!("op-{}", &digits[1..]),
            &format!("op-{digits}0"),
            &format!("op-{digits} "),
            &format!("inv-{}/", &digits[1..]),
        ] {
            assert!(bad.parse::<MembershipId>().is_err(), "{bad:?}");
        }
        assert!(OperatorId::parse(&format!("inv-{digits}")).is_err());
    }

    #[test]
    fn an_address_is_kept_as_it_was_given_and_compared_without_regard_to_case() {
        let email = |text: &str| Email::parse(text).unwrap();
        assert_eq!(email("Jörg.O'Neil+ci@Example.com").to_string(), "Jörg.O'Neil+ci@Example.com");
        assert!(email("Ada@Example.com").is(&email("ada@example.COM")));
        assert!(!email("ada@example.com").is(&email("ada@example.org")));
        assert!(!email("\u{212a}im@example.com").is(&email("kim@example.com")), "the sign of kelvin is no k");
        let long = format!("{}@example.com", "a".repeat(243));
        for bad in [
            "",
            "@",
            "a@",
            "@b",
            "ab",
            "a@b@c",
            "a b@c",
            "a@b\n",
            "a\u{0}@b",
            "a\u{a0}@b",
            "a\u{200b}@b",
            "a\u{202e}@b",
            &long,
        ] {
            assert!(Email::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Email::parse(&long[1..]).is_ok());
    }
}
