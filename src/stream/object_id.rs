//! Ids of event objects: the writer, and the sequence number of the object in its stream.
//!
//! Numbers make a set of many ids small: [`super::TakenObjects`] holds the objects of a day as a few ranges. The id of
//! a merged object holds the revision of the manifest that is to list it instead.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid, Version};

use crate::key::{InvalidId, StreamName, TenantId};

/// The bits of an id that count.
const NUMBER_BITS: u32 = 32;

/// A process that writes event objects: 90 random bits, and the bits of a UUID of version 8 (RFC 9562).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WriterId(u128);

impl WriterId {
    #[allow(clippy::disallowed_methods)]
    pub(crate) fn random() -> Self {
        let uuid = Builder::from_custom_bytes(Uuid::new_v4().into_bytes()).into_uuid();
        Self(uuid.as_u128() >> NUMBER_BITS)
    }

    /// The id of an object of this writer.
    pub fn id(self, number: u32) -> Uuid {
        Uuid::from_u128(self.0 << NUMBER_BITS | u128::from(number))
    }
}

impl fmt::Display for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:024x}", self.0)
    }
}

impl FromStr for WriterId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let writer = u128::from_str_radix(text, 16).ok().map(Self).filter(|writer| writer.to_string() == text);
        writer.ok_or_else(|| InvalidId::new("the writer of an object", "24 hexadecimal digits"))
    }
}

impl TryFrom<String> for WriterId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<WriterId> for String {
    fn from(writer: WriterId) -> Self {
        writer.to_string()
    }
}

/// The parts of an id; `None` for those of earlier versions, which are random.
pub fn parts(id: Uuid) -> Option<(WriterId, u32)> {
    let number = (id.as_u128() & u128::from(u32::MAX)) as u32;
    (id.get_version() == Some(Version::Custom)).then_some((WriterId(id.as_u128() >> NUMBER_BITS), number))
}

/// A new id of a merged object that the manifest of this revision is to list.
pub fn merged(revision: u64) -> Uuid {
    WriterId::random().id(u32::try_from(revision).unwrap_or(u32::MAX))
}

/// The revision of the manifest that was to list a merged object; `None` for objects of earlier versions.
pub fn revision(merged: Uuid) -> Option<u64> {
    parts(merged).map(|(_, revision)| u64::from(revision))
}

/// Numbers the objects and the events that this process writes. Each id is given once.
#[derive(Debug, Default)]
pub struct ObjectIds {
    next: Mutex<HashMap<(TenantId, StreamName), Next>>,
}

/// The numbers that come next in a stream.
#[derive(Debug)]
struct Next {
    writer: WriterId,
    object: u32,
    event: i64,
}

impl ObjectIds {
    /// The next one of a stream.
    pub fn next(&self, tenant: &TenantId, stream: &StreamName) -> Uuid {
        self.with(tenant, stream, |next| {
            let id = next.writer.id(next.object);
            match next.object.checked_add(1) {
                Some(more) => next.object = more,
                None => (next.writer, next.object) = (WriterId::random(), 0),
            }
            id
        })
    }

    /// The number of the first of `count` new events of a stream. Numbers grow for as long as the process runs.
    pub fn events(&self, tenant: &TenantId, stream: &StreamName, count: usize) -> i64 {
        self.with(tenant, stream, |next| {
            let first = next.event;
            next.event = first.saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
            first
        })
    }

    fn with<T>(&self, tenant: &TenantId, stream: &StreamName, take: impl FnOnce(&mut Next) -> T) -> T {
        let mut next = self.next.lock();
        let fresh = || Next { writer: WriterId::random(), object: 0, event: 0 };
        take(next.entry((tenant.clone(), stream.clone())).or_insert_with(fresh))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_objects_of_a_stream_are_counted_and_their_ids_are_uuids() {
        let ids = ObjectIds::default();
        let (tenant, web, api) = (TenantId::default(), StreamName::parse("web"), StreamName::parse("api"));
        let (web, api) = (web.unwrap(), api.unwrap());
        let given: Vec<_> = (0..3).map(|_| parts(ids.next(&tenant, &web)).unwrap()).collect();
        assert_eq!(given.iter().map(|(_, number)| *number).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(given.iter().all(|(writer, _)| *writer == given[0].0));
        let other = parts(ids.next(&tenant, &api)).unwrap();
        assert!(other.1 == 0 && other.0 != given[0].0);
        let events = [ids.events(&tenant, &web, 5), ids.events(&tenant, &api, 2), ids.events(&tenant, &web, 1)];
        assert_eq!(events, [0, 0, 5]);
        let id = ids.next(&tenant, &web);
        assert_eq!(Uuid::try_parse(&id.to_string()).unwrap(), id);
        assert_eq!(parts(Uuid::from_u128(7)), None);
        let text = given[0].0.to_string();
        assert_eq!(text.parse::<WriterId>().unwrap(), given[0].0);
        assert!("7".parse::<WriterId>().is_err());
    }
}
