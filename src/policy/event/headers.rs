//! Headers of a request.

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use crate::policy::MAX_VALUE_BYTES;

/// How many headers of different names are read: far more than servers take (Apache and hyper 100), because a client
/// could hide one behind others.
pub const MAX_HEADERS: usize = 4096;
/// From so many on they are found by an index.
const MANY: usize = 32;

/// Headers by name. Names are the same without regard to case, and `-` is `_`, as in CGI: where both spellings come,
/// the one with dashes counts, because the other one may pass a proxy that checks the first.
#[derive(Clone, Default)]
pub(super) struct Headers<'a> {
    list: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// The places of the headers by their names, once there are many.
    index: Option<Box<(RandomState, HashTable<usize>)>>,
}

impl<'a> Headers<'a> {
    /// Adds one, and says how long its value is now. Repeated ones are joined by `, ` until that is too long; cookies
    /// by `; ` and as a whole: HTTP/2 may send each in a line of its own (RFC 9113, section 8.2.3).
    pub fn add(&mut self, name: Cow<'a, str>, value: Cow<'a, str>, malformed: &mut bool) -> usize {
        let length = value.len();
        let Some((own, before)) = self.place(&name).and_then(|place| self.list.get_mut(place)) else {
            if self.list.len() < MAX_HEADERS {
                self.push(name, value);
            } else {
                *malformed = true;
            }
            return length;
        };
        if own.eq_ignore_ascii_case(&name) {
            let are_cookies = name.eq_ignore_ascii_case("cookie");
            if are_cookies || before.len() <= MAX_VALUE_BYTES {
                let joined = before.to_mut();
                joined.push_str(if are_cookies { "; " } else { ", " });
                joined.push_str(&value);
            }
            return before.len();
        }
        *malformed = true;
        let underscores = |name: &str| name.bytes().filter(|byte| *byte == b'_').count();
        if underscores(&name) < underscores(own) {
            (*own, *before) = (name, value);
        }
        length
    }

    /// The header that expressions name so.
    pub fn get(&self, name: &str) -> Option<&Cow<'a, str>> {
        self.place(name).and_then(|place| self.list.get(place)).map(|(_, value)| value)
    }

    fn place(&self, name: &str) -> Option<usize> {
        let is_it = |(own, _): &(Cow<'a, str>, Cow<'a, str>)| is_same(own.bytes(), name.bytes());
        match &self.index {
            None => self.list.iter().position(is_it),
            Some(index) => {
                let (random, places) = &**index;
                places.find(hash(random, name), |place| self.list.get(*place).is_some_and(is_it)).copied()
            }
        }
    }

    fn push(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) {
        self.list.push((name, value));
        let first = match (&self.index, self.list.len()) {
            (None, MANY) => 0,
            (None, _) => return,
            (Some(_), count) => count - 1,
        };
        let (random, places) = &mut **self.index.get_or_insert_default();
        for (place, (name, _)) in self.list.iter().enumerate().skip(first) {
            let of = |place: &usize| self.list.get(*place).map_or(0, |(name, _)| hash(random, name));
            places.insert_unique(hash(random, name), place, of);
        }
    }
}

/// Names that are the same have the same.
fn hash(random: &RandomState, name: &str) -> u64 {
    random.hash_one(name.bytes().map(letter).collect::<Vec<u8>>())
}

fn letter(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'_' }
}

fn is_same(one: impl ExactSizeIterator<Item = u8>, other: impl ExactSizeIterator<Item = u8>) -> bool {
    one.len() == other.len() && one.map(letter).eq(other.map(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> (Headers<'static>, bool) {
        let (mut headers, mut malformed) = (Headers::default(), false);
        for (name, value) in lines {
            _ = headers.add(Cow::Borrowed(name), Cow::Borrowed(value), &mut malformed);
        }
        (headers, malformed)
    }

    #[test]
    fn repeated_headers_are_joined_whatever_their_case() {
        let (headers, malformed) = headers(&[("X-Foo", "a"), ("Accept", "b"), ("x-foo", "c")]);
        assert_eq!((headers.get("x_foo").unwrap().as_ref(), malformed), ("a, c", false));
        assert_eq!(headers.get("x_fo"), None);
    }

    #[test]
    fn cookies_in_several_lines_are_one_list_however_long() {
        let long = "a".repeat(MAX_VALUE_BYTES + 1);
        let (mut headers, mut malformed) = (Headers::default(), false);
        for line in [&*long, "b=1", "c=2"] {
            headers.add("Cookie".into(), line.to_owned().into(), &mut malformed);
        }
        assert_eq!(headers.get("cookie").unwrap().as_ref(), format!("{long}; b=1; c=2"));
    }

    #[test]
    fn a_header_with_underscores_never_hides_one_with_dashes() {
        for lines in
            [[("X-User-Id", "real"), ("X_User_Id", "forged")], [("x_user-id", "forged"), ("x-user-id", "real")]]
        {
            let (headers, malformed) = headers(&lines);
            assert_eq!((headers.get("x_user_id").unwrap().as_ref(), malformed), ("real", true));
        }
    }

    #[test]
    fn headers_beyond_the_bound_are_dropped_and_it_shows() {
        let (mut headers, mut malformed) = (Headers::default(), false);
        for number in 0..MAX_HEADERS {
            headers.add(format!("h{number}").into(), "v".into(), &mut malformed);
        }
        assert!(!malformed);
        headers.add("H4095".into(), "again".into(), &mut malformed);
        assert!(!malformed, "no new name");
        assert_eq!(headers.get("h4095").unwrap().as_ref(), "v, again");
        headers.add("h4096".into(), "v".into(), &mut malformed);
        assert!(malformed && headers.get("h4096").is_none());
        let lengths = [500, 600, 700].map(|length| headers.add("h0".into(), "x".repeat(length).into(), &mut malformed));
        assert_eq!(lengths, [503, 1105, 1105], "it is too long, and grows no more");
    }
}
