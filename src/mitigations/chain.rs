//! The chain: numbered objects in the bucket, each written once, one number after the other. Who creates number `n` has
//! read all before it, so a position needs to ask for one name only: the next.

use chrono::{DateTime, Utc};
use relative_path::RelativePath;

use super::entry::Entry;
use crate::error::{ErrorKind, Result};
use crate::key::NodeId;
use crate::layout::{self, ObjectName};
use crate::store::{Bucket, Written};
use crate::sync::log::MAX_SEQ;

/// Why a file is no entry.
const NO_ENTRY: &str = "its name is not <number:020>.json";

/// What stands at a number.
#[derive(Debug)]
pub enum Slot {
    /// Nothing, so far or any more.
    Free,
    /// An entry.
    Taken(Entry),
    /// Something that was broken by hand, or written by a later version, and why.
    Unreadable(String),
}

/// What a list of the chain shows.
#[derive(Debug, Default)]
pub struct Listing {
    /// The numbers in their order, and when each was written, by the clock of the store.
    pub numbers: Vec<(u64, DateTime<Utc>)>,
    /// What is no entry by its name, and why.
    pub foreign: Vec<(String, String)>,
}

/// The name of an entry.
pub fn name(seq: u64) -> ObjectName {
    ObjectName::Mitigations { seq }
}

/// Reads what stands at a number.
///
/// # Errors
/// [`ErrorKind::Unavailable`] when the store does not answer.
pub async fn read(bucket: &Bucket, seq: u64) -> Result<Slot> {
    match bucket.read(&name(seq)).await {
        Ok(None) => Ok(Slot::Free),
        Ok(Some(stored)) => Ok(Entry::parse(seq, &stored.body).map_or_else(Slot::Unreadable, Slot::Taken)),
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(Slot::Unreadable("it is no document".to_owned())),
        Err(error) => Err(error),
    }
}

/// Writes an entry at a number that must be free.
///
/// # Errors
/// [`ErrorKind::Unavailable`] when the outcome is not known: who reads on learns it.
pub async fn create(bucket: &Bucket, seq: u64, entry: &Entry, node: NodeId, at: DateTime<Utc>) -> Result<Written> {
    bucket.create(&name(seq), entry.to_bytes(seq, node, at)).await
}

/// Lists what is behind a number. Costs a listing, so do not call it every second.
///
/// # Errors
/// [`ErrorKind::Unavailable`] when the store does not answer.
pub async fn list(bucket: &Bucket, after: u64) -> Result<Listing> {
    let folder = layout::mitigations();
    let listed = match after {
        0 => bucket.list(&folder).await?,
        after => bucket.list_after(&folder, &name(after)).await?,
    };
    let mut listing = Listing::default();
    for object in listed {
        match ObjectName::parse(RelativePath::new(object.path.as_str())) {
            Some(ObjectName::Mitigations { seq }) if (1..=MAX_SEQ).contains(&seq) => {
                listing.numbers.push((seq, object.written_at));
            }
            _ => listing.foreign.push((object.path.into_string(), NO_ENTRY.to_owned())),
        }
    }
    listing.numbers.retain(|(seq, _)| *seq > after);
    listing.numbers.sort_unstable();
    Ok(listing)
}
