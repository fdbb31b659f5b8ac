//! Which of many changes must wait for each other, so that doing them at once comes to the same as one after the other.

use std::collections::{HashMap, HashSet};

use super::change::Change;
use crate::key::{Digest, KeyId, KeyName};

/// Changes of one name or one key, each with its place, in the order in which they were asked for.
pub(super) type Lane = Vec<(usize, Change)>;

/// What a change is about. Revoking a key frees its name, so a key counts as its name as long as that is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum About {
    Name(KeyName),
    Id(KeyId),
}

/// Splits changes into waves, each of which ends before the next begins, and those into lanes that may run side by side.
/// A secret that comes twice begins a new wave.
pub(super) fn waves(changes: Vec<Change>, name_of: impl Fn(KeyId) -> Option<KeyName>) -> Vec<Vec<Lane>> {
    let mut waves = Vec::new();
    let (mut lanes, mut places, mut digests) = (Vec::<Lane>::new(), HashMap::new(), HashSet::new());
    for (at, change) in changes.into_iter().enumerate() {
        if let Some(digest) = digest(&change)
            && !digests.insert(digest.to_document())
        {
            waves.push(std::mem::take(&mut lanes));
            places.clear();
            digests = HashSet::from([digest.to_document()]);
        }
        let about = match &change {
            Change::Issue { new, .. } => About::Name(new.name.clone()),
            Change::Update { id, .. } | Change::Revoke { id } | Change::Rotate { id, .. } => {
                name_of(*id).map_or(About::Id(*id), About::Name)
            }
        };
        let place = *places.entry(about).or_insert(lanes.len());
        match lanes.get_mut(place) {
            Some(lane) => lane.push((at, change)),
            None => lanes.push(vec![(at, change)]),
        }
    }
    waves.push(lanes);
    waves
}

/// The secret that a change brings along.
fn digest(change: &Change) -> Option<Digest> {
    match change {
        Change::Issue { secret, .. } => secret.map(|secret| secret.digest),
        Change::Rotate { secret, .. } => Some(secret.digest),
        Change::Update { .. } | Change::Revoke { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Hint, KeyType, NewKey};
    use crate::keystore::Brought;

    fn issue(name: &str, secret: &str) -> Change {
        let new = NewKey::new(KeyName::parse(name).unwrap(), KeyType::Query);
        let secret = Brought { digest: Digest::of(secret), hint: Hint::default(), own: true };
        Change::Issue { new: Box::new(new), secret: Some(secret) }
    }

    fn places(waves: &[Vec<Lane>]) -> Vec<Vec<Vec<usize>>> {
        let lane = |lane: &Lane| lane.iter().map(|(at, _)| *at).collect();
        waves.iter().map(|wave| wave.iter().map(lane).collect()).collect()
    }

    #[test]
    fn what_is_about_one_name_stays_in_order_and_the_rest_runs_beside_it() {
        let id = KeyId::random();
        let changes = vec![Change::Revoke { id }, issue("a", "1"), issue("b", "2"), issue("a", "3")];
        let name = |_| KeyName::parse("a").ok();
        assert_eq!(places(&waves(changes, name)), [[vec![0, 1, 3], vec![2]]]);
    }

    #[test]
    fn a_secret_that_comes_twice_waits_for_all_before_it() {
        let changes = vec![issue("a", "1"), issue("b", "2"), issue("c", "1"), issue("d", "3")];
        assert_eq!(places(&waves(changes, |_| None)), [[[0], [1]], [[2], [3]]]);
    }
}
