//! The counters of this node, in segments. A key stays in the segment it was first counted in, so that few objects are
//! written for few keys and none grows without bound.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::segment::Segment;
use super::{Tally, UsageTable};
use crate::key::{KeyId, TenantId};

/// How many keys share a segment: a third of a megabyte, far below the limit of a document.
const SEGMENT_KEYS: usize = 4096;

/// All segments of this node.
#[derive(Debug, Default)]
pub(super) struct NodeCounters {
    segments: Vec<Segment>,
    /// The segment of each key, and the number of keys of each segment.
    places: HashMap<KeyId, usize>,
    counts: Vec<usize>,
}

impl NodeCounters {
    pub(super) fn add(&mut self, counted: &UsageTable) {
        let mut parts: HashMap<usize, UsageTable> = HashMap::new();
        for (tenant, key_id, tally) in counted.iter() {
            let place = self.place(key_id);
            parts.entry(place).or_default().change(tenant, key_id, |sum| sum.add(tally));
        }
        for (place, part) in parts {
            self.segments[place].add(&part);
        }
    }

    fn place(&mut self, key_id: KeyId) -> usize {
        if let Some(place) = self.places.get(&key_id) {
            return *place;
        }
        if self.counts.last().is_none_or(|count| *count >= SEGMENT_KEYS) {
            self.segments.push(Segment::new());
            self.counts.push(0);
        }
        let place = self.segments.len() - 1;
        self.counts[place] += 1;
        self.places.insert(key_id, place);
        place
    }

    /// The places of the segments with something to write.
    pub(super) fn due(&self) -> Vec<usize> {
        (0..self.segments.len()).filter(|place| self.segments[*place].is_due()).collect()
    }

    /// The places of the segments that were written.
    pub(super) fn stored(&self) -> Vec<usize> {
        (0..self.segments.len()).filter(|place| self.segments[*place].is_stored()).collect()
    }

    /// A segment by its place, as given by [`NodeCounters::due`] or [`NodeCounters::stored`].
    pub(super) fn segment(&mut self, place: usize) -> &mut Segment {
        &mut self.segments[place]
    }

    /// Whether a segment is one of these.
    pub(super) fn owns(&self, id: Uuid) -> bool {
        self.segments.iter().any(|segment| segment.id() == id)
    }

    /// Removes the keys for which `kept` is false.
    pub(super) fn retain(&mut self, kept: &impl Fn(&TenantId, KeyId, &mut Tally) -> bool) {
        self.segments.iter_mut().for_each(|segment| segment.retain(kept));
        let tables = self.segments.iter().flat_map(|segment| segment.tables(false));
        let held: HashSet<KeyId> = tables.flat_map(|table| table.iter().map(|(_, key_id, _)| key_id)).collect();
        self.places.retain(|key_id, _| held.contains(key_id));
    }

    /// Adds what this node counted of a key, except what was archived.
    pub(super) fn add_to(&self, sum: &mut Tally, tenant: &TenantId, key_id: KeyId, archived: impl Fn(Uuid) -> bool) {
        let Some(segment) = self.places.get(&key_id).map(|place| &self.segments[*place]) else { return };
        for tally in segment.tables(archived(segment.id())).filter_map(|table| table.get(tenant, key_id)) {
            sum.add(tally);
        }
    }

    /// Calls `show` with every tally of a tenant.
    pub(super) fn each_of(
        &self,
        tenant: &TenantId,
        archived: impl Fn(Uuid) -> bool,
        mut show: impl FnMut(KeyId, &Tally),
    ) {
        for segment in &self.segments {
            for table in segment.tables(archived(segment.id())) {
                table.of_tenant(tenant).for_each(|(key_id, tally)| show(key_id, tally));
            }
        }
    }

    /// How many keys have been counted.
    pub(super) fn key_count(&self) -> usize {
        self.places.len()
    }
}
