//! The query string as an argument of handlers.

use std::borrow::Cow;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use serde::Deserialize;
use serde::de::value::{Error as ValueError, MapDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use url::form_urlencoded;

use super::error::Problem;
use crate::serde_text::read_value;

/// The longest name of an unknown parameter that a refusal repeats. API keys and tokens are longer.
const MAX_NAME: usize = 24;

/// The parameters of a query string. A refusal names the parameter and repeats no value: it may be a key.
#[derive(Debug)]
pub struct Query<T>(pub T);

/// The parameters of a route of the admin plane that has none: any is a mistake of the client, and refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

impl<T: DeserializeOwned + 'static> FromRequest for Query<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(read(request.query_string()).map(Self))
    }
}

fn read<T: DeserializeOwned>(query_string: &str) -> Result<T, Problem> {
    let parameters = form_urlencoded::parse(query_string.as_bytes()).map(|(name, value)| (name, Parameter(value)));
    let mut last = None;
    let parameters = parameters.inspect(|(name, _)| last = Some(name.clone()));
    read_value(MapDeserializer::new(parameters)).map_err(|reason| {
        // serde stops at the parameter that it does not know.
        let reason = match last.filter(|name| may_be_repeated(name)) {
            Some(name) => reason.replacen("unknown field", &format!("unknown parameter `{name}`"), 1),
            None => reason.replacen("unknown field", "unknown parameter", 1),
        };
        Problem::invalid(format!("The query string cannot be read: {reason}."))
    })
}

/// Whether a text is like the name of a parameter, and not like a secret in its place.
fn may_be_repeated(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
}

/// The value of a parameter: text, whatever type it is to become.
struct Parameter<'a>(Cow<'a, str>);

impl<'de> IntoDeserializer<'de> for Parameter<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! parsed {
    ($($deserialize:ident $visit:ident $expected:literal,)*) => {$(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
            visitor.$visit(self.0.parse().map_err(|_| ValueError::custom(concat!("expected ", $expected)))?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Parameter<'_> {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_str(&self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    parsed! {
        deserialize_bool visit_bool "true or false",
        deserialize_u32 visit_u32 "a whole number",
        deserialize_u64 visit_u64 "a whole number",
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct
        map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyType;
    use crate::serde_text::Rfc3339;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Parameters {
        limit: Option<usize>,
        #[serde(default)]
        dry_run: bool,
        key_type: Option<KeyType>,
        expires_before: Option<Rfc3339>,
        name: Option<String>,
    }

    #[test]
    fn parameters_are_read_as_what_they_are_to_become() {
        let all = "limit=7&dryRun=true&keyType=query&expiresBefore=2027-01-01T00:00:00Z&name=a+b%20%C3%A9";
        let Parameters { limit, dry_run, key_type, expires_before, name } = read(all).unwrap();
        assert_eq!((limit, dry_run, key_type), (Some(7), true, Some(KeyType::Query)));
        assert!(expires_before.is_some() && name.as_deref() == Some("a b é"));
        let nothing: Parameters = read("").unwrap();
        assert!(nothing.limit.is_none() && !nothing.dry_run);
    }

    #[test]
    fn an_error_names_the_parameter_and_what_it_takes_and_no_value() {
        for (query_string, expected) in [
            ("limit=canary", "limit: expected a whole number"),
            ("limit=", "limit: expected a whole number"),
            ("limit=-1", "limit: expected a whole number"),
            ("limit=1&limit=2", "duplicate field `limit`"),
            ("dryRun=canary", "dryRun: expected true or false"),
            ("expiresBefore=canary", "expiresBefore: expected an instant such as 2027-01-01T00:00:00Z"),
        ] {
            let problem = read::<Parameters>(query_string).unwrap_err();
            assert_eq!(problem.detail(), format!("The query string cannot be read: {expected}."), "{query_string}");
        }
        let problem = read::<Parameters>("keyType=canary").unwrap_err();
        assert!(problem.detail().contains("keyType: ") && !problem.detail().contains("canary"), "{}", problem.detail());
        let detail = |query_string: &str| read::<Parameters>(query_string).unwrap_err().detail().to_owned();
        let unknown = detail("limit=1&expires_before=canary&limits=2");
        assert!(unknown.contains("unknown parameter `expires_before`, expected one of `limit`"), "{unknown}");
        assert!(!unknown.contains("canary"));
        for secret in ["kl_qry_0123456789012345678901234567890123456789012abcdef", "c4nary", &"a".repeat(25), ""] {
            let unknown = detail(&format!("{secret}=1"));
            assert!(unknown.contains("unknown parameter, expected"), "{unknown}");
        }
    }
}
