//! Ids for requests whose clients give none.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use super::RequestId;

/// Fresh random request ids (UUID v4). They are a keyed hash of a counter, because asking the operating system for each
/// would cost a system call per request.
#[derive(Debug, Default)]
pub(crate) struct RequestIds {
    key: RandomState,
    count: AtomicU64,
}

impl RequestIds {
    /// An id that was not given before.
    pub(crate) fn next(&self) -> RequestId {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let (high, low) = (self.key.hash_one((number, true)), self.key.hash_one((number, false)));
        let random = u128::from(high) << 64 | u128::from(low);
        let id = uuid::Builder::from_random_bytes(random.to_ne_bytes()).into_uuid();
        RequestId::padded(id.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_request_ids_are_random_uuids_and_all_differ() {
        let (ids, others) = (RequestIds::default(), RequestIds::default());
        let all: std::collections::HashSet<_> = (0..1000).flat_map(|_| [ids.next(), others.next()]).collect();
        assert_eq!(all.len(), 2000);
        for id in all {
            let uuid = uuid::Uuid::parse_str(id.as_str()).unwrap();
            assert_eq!((uuid.get_version_num(), uuid.to_string().as_str()), (4, id.as_str()));
            assert!(RequestId::parse(id.as_str()).is_ok());
        }
    }
}
