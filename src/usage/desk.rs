//! This node's sheets: a key stays on the one it was first counted on, so that few objects are written for few keys and
//! none grows without bound.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::sheet::Sheet;
use super::{Book, Tally};
use crate::key::{KeyId, TenantId};

/// How many keys share a sheet: a third of a megabyte, far below what a document may have.
const SHEET_KEYS: usize = 4096;

/// All sheets of this node.
#[derive(Debug, Default)]
pub(super) struct Desk {
    sheets: Vec<Sheet>,
    /// On which of them a key is, and how many each has.
    places: HashMap<KeyId, usize>,
    counts: Vec<usize>,
}

impl Desk {
    /// Takes in what was counted.
    pub(super) fn add(&mut self, counted: &Book) {
        let mut parts: HashMap<usize, Book> = HashMap::new();
        for (tenant, key_id, tally) in counted.iter() {
            let place = self.place(key_id);
            parts.entry(place).or_default().change(tenant, key_id, |sum| sum.add(tally));
        }
        for (place, part) in parts {
            self.sheets[place].add(&part);
        }
    }

    fn place(&mut self, key_id: KeyId) -> usize {
        if let Some(place) = self.places.get(&key_id) {
            return *place;
        }
        if self.counts.last().is_none_or(|count| *count >= SHEET_KEYS) {
            self.sheets.push(Sheet::new());
            self.counts.push(0);
        }
        let place = self.sheets.len() - 1;
        self.counts[place] += 1;
        self.places.insert(key_id, place);
        place
    }

    /// The places of the sheets that have something to be written.
    pub(super) fn due(&self) -> Vec<usize> {
        (0..self.sheets.len()).filter(|place| self.sheets[*place].is_due()).collect()
    }

    /// The places of the sheets that were written.
    pub(super) fn stored(&self) -> Vec<usize> {
        (0..self.sheets.len()).filter(|place| self.sheets[*place].is_stored()).collect()
    }

    /// A sheet by its place, which is one that this desk gave.
    pub(super) fn sheet(&mut self, place: usize) -> &mut Sheet {
        &mut self.sheets[place]
    }

    /// Whether a sheet of this name is one of these.
    pub(super) fn owns(&self, id: Uuid) -> bool {
        self.sheets.iter().any(|sheet| sheet.id() == id)
    }

    /// Forgets the keys that `kept` says no to.
    pub(super) fn retain(&mut self, kept: &impl Fn(&TenantId, KeyId, &mut Tally) -> bool) {
        self.sheets.iter_mut().for_each(|sheet| sheet.retain(kept));
        let books = self.sheets.iter().flat_map(|sheet| sheet.books(false));
        let held: HashSet<KeyId> = books.flat_map(|book| book.iter().map(|(_, key_id, _)| key_id)).collect();
        self.places.retain(|key_id, _| held.contains(key_id));
    }

    /// Adds what this node counted of a key, unless it was folded.
    pub(super) fn add_to(&self, sum: &mut Tally, tenant: &TenantId, key_id: KeyId, folded: impl Fn(Uuid) -> bool) {
        let Some(sheet) = self.places.get(&key_id).map(|place| &self.sheets[*place]) else { return };
        for tally in sheet.books(folded(sheet.id())).filter_map(|book| book.get(tenant, key_id)) {
            sum.add(tally);
        }
    }

    /// Shows every tally of a tenant.
    pub(super) fn each_of(
        &self,
        tenant: &TenantId,
        folded: impl Fn(Uuid) -> bool,
        mut show: impl FnMut(KeyId, &Tally),
    ) {
        for sheet in &self.sheets {
            for book in sheet.books(folded(sheet.id())) {
                book.of_tenant(tenant).for_each(|(key_id, tally)| show(key_id, tally));
            }
        }
    }

    /// How many keys it speaks of.
    pub(super) fn key_count(&self) -> usize {
        self.places.len()
    }
}
