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
const TOO_FAR: &str = "its number is far behind those of the others";
/// Nodes write one number after the other. So many may be missing, because what was broken is removed by hand.
const MAX_GAP: u64 = 100;

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
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            Ok(Slot::Unreadable("it is no document, or too large for one".to_owned()))
        }
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

/// Lists what is behind a number. What is far behind was written by hand: a node that took it for the end would write
/// where nobody reads. `has_missed` says that others may have removed what came next. Costs a listing, so do not call
/// it every second.
///
/// # Errors
/// [`ErrorKind::Unavailable`] when the store does not answer.
pub async fn list(bucket: &Bucket, after: u64, has_missed: bool) -> Result<Listing> {
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
    let mut before = (!has_missed).then_some(after);
    let far = listing.numbers.iter().position(|(seq, _)| {
        let is_far = before.is_some_and(|before| *seq > before.saturating_add(MAX_GAP));
        before = Some(*seq);
        is_far
    });
    let far = far.map_or_else(Vec::new, |far| listing.numbers.split_off(far));
    let object = |seq: u64| name(seq).path().into_string();
    listing.foreign.extend(far.into_iter().map(|(seq, _)| (object(seq), TOO_FAR.to_owned())));
    Ok(listing)
}
