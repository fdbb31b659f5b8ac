//! The documents of a kind by id and by hash.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::HeldKind;
use crate::store::Tag;

#[derive(Debug)]
pub(super) struct Memory<T: HeldKind> {
    /// With the state of the object that each was read from.
    documents: BTreeMap<T::Id, (Arc<T>, Option<Tag>)>,
    by_hash: HashMap<u64, Vec<T::Id>>,
    /// How often a document was removed: one that was read before that may be the one that is gone.
    removals: u64,
}

impl<T: HeldKind> Default for Memory<T> {
    fn default() -> Self {
        Self { documents: BTreeMap::new(), by_hash: HashMap::new(), removals: 0 }
    }
}

impl<T: HeldKind> Memory<T> {
    pub(super) fn get(&self, id: &T::Id) -> Option<&Arc<T>> {
        self.documents.get(id).map(|(document, _)| document)
    }

    pub(super) fn tag(&self, id: &T::Id) -> Option<Tag> {
        self.documents.get(id).and_then(|(_, tag)| *tag)
    }

    pub(super) fn find(&self, hash: u64) -> Vec<(T::Id, Arc<T>)> {
        let ids = self.by_hash.get(&hash).into_iter().flatten();
        ids.filter_map(|id| Some((id.clone(), self.get(id)?.clone()))).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&T::Id, &Arc<T>, Option<Tag>)> {
        self.documents.iter().map(|(id, (document, tag))| (id, document, *tag))
    }

    /// The documents that do not count because of another, and why.
    pub(super) fn conflicts(&self) -> Vec<(T::Id, &'static str)> {
        let shared = self.by_hash.values().filter(|ids| T::HASHES_ARE_OWN && ids.len() > 1);
        // One other is enough: somebody may have made thousands of copies.
        let conflict = |id: &T::Id, ids: &[T::Id]| {
            let mut others = ids.iter().filter(|other| *other != id);
            let reason = others.find_map(|other| self.get(id)?.conflict(self.get(other)?))?;
            Some((id.clone(), reason))
        };
        shared.flat_map(|ids| ids.iter().filter_map(move |id| conflict(id, ids))).collect()
    }

    pub(super) fn put(&mut self, id: T::Id, document: Arc<T>, tag: Option<Tag>) {
        self.take_out(&id);
        for hash in document.hashes() {
            self.by_hash.entry(hash).or_default().push(id.clone());
        }
        self.documents.insert(id, (document, tag));
    }

    /// Says whether there was one.
    pub(super) fn remove(&mut self, id: &T::Id) -> bool {
        self.removals += 1;
        self.take_out(id)
    }

    /// How often [`Memory::remove`] was called.
    pub(super) fn removals(&self) -> u64 {
        self.removals
    }

    fn take_out(&mut self, id: &T::Id) -> bool {
        let Some((document, _)) = self.documents.remove(id) else { return false };
        for hash in document.hashes() {
            if let Some(ids) = self.by_hash.get_mut(&hash) {
                ids.retain(|other| other != id);
                if ids.is_empty() {
                    self.by_hash.remove(&hash);
                }
            }
        }
        true
    }
}
