//! Quotas as the header fields `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers): lists of
//! structured fields (RFC 9651), one member for each limit that the request has met.

use std::time::Duration;

use super::{Quota, Quotas};
use crate::access::Dimension;

/// The window of every rate, in seconds.
const WINDOW: u64 = 60;

/// The values of `RateLimit-Policy` (the rate of each limit) and of `RateLimit` (what is left of each, and in how many
/// seconds it is full), one after the other in one buffer; and where the second begins. ASCII.
pub fn write(quotas: &Quotas) -> (Vec<u8>, usize) {
    let mut text = Vec::with_capacity(128);
    policy(&mut text, quotas);
    let split = text.len();
    state(&mut text, quotas);
    (text, split)
}

fn policy(text: &mut Vec<u8>, quotas: &Quotas) {
    list(text, quotas, |text, quota| {
        parameter(text, ";q=", quota.rate.per_minute.get());
        match quota.limit.dimension {
            Dimension::Requests => {} // The unit when none is stated.
            Dimension::Events => text.extend_from_slice(br#";qu="events""#),
            Dimension::Bytes => text.extend_from_slice(br#";qu="content-bytes""#),
        }
        parameter(text, ";w=", WINDOW);
    });
}

fn state(text: &mut Vec<u8>, quotas: &Quotas) {
    list(text, quotas, |text, quota| {
        parameter(text, ";r=", quota.remaining);
        parameter(text, ";t=", whole_seconds(quota.full_in));
    });
}

/// Rounded up, so that a client that waits this long has waited long enough.
pub fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

fn list(text: &mut Vec<u8>, quotas: &Quotas, parameters: impl Fn(&mut Vec<u8>, &Quota)) {
    for (number, quota) in quotas.iter().enumerate() {
        if number > 0 {
            text.extend_from_slice(b", ");
        }
        text.push(b'"');
        text.extend_from_slice(quota.limit.name().as_bytes());
        text.push(b'"');
        parameters(text, quota);
    }
}

fn parameter(text: &mut Vec<u8>, name: &str, value: u64) {
    text.extend_from_slice(name.as_bytes());
    text.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{LimitId, LimitScope};
    use crate::key::Rate;

    fn quota(scope: LimitScope, dimension: Dimension, per_minute: u64, remaining: u64, millis: u64) -> Quota {
        let rate = Rate::per_minute(per_minute).unwrap();
        Quota { limit: LimitId { scope, dimension }, rate, remaining, full_in: Duration::from_millis(millis) }
    }

    #[test]
    fn every_limit_is_a_member_with_its_unit() {
        let mut quotas = Quotas::default();
        quotas.note(quota(LimitScope::Key, Dimension::Requests, 600, 599, 100));
        let values = |quotas: &Quotas| {
            let (text, split) = write(quotas);
            let text = String::from_utf8(text).unwrap();
            [text[..split].to_owned(), text[split..].to_owned()]
        };
        assert_eq!(values(&quotas), [r#""key-requests";q=600;w=60"#, r#""key-requests";r=599;t=1"#]);
        quotas.note(quota(LimitScope::Tenant, Dimension::Events, 1_099_511_627_776, 0, 60_000));
        quotas.note(quota(LimitScope::Tenant, Dimension::Bytes, 10, 7, 0));
        quotas.note(quota(LimitScope::Key, Dimension::Requests, 600, 598, 1001));
        let policy = r#""key-requests";q=600;w=60, "tenant-events";q=1099511627776;qu="events";w=60, "#;
        let state = r#""key-requests";r=598;t=2, "tenant-events";r=0;t=60, "tenant-bytes";r=7;t=0"#;
        let bytes = r#""tenant-bytes";q=10;qu="content-bytes";w=60"#;
        assert_eq!(values(&quotas), [format!("{policy}{bytes}"), state.to_owned()]);
    }
}
