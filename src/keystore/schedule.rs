//! Which of many changes must wait for each other, so that results equal sequential execution.

use std::collections::{HashMap, HashSet};

use super::change::Change;
use crate::key::{Digest, KeyId, KeyName};

/// Changes of one name or one key, each with its place, in the order in which they were asked for.
pub(super) type ConflictGroup = Vec<(usize, Change)>;

/// What a change is about. Revoking a key frees its name, so a key counts as its name as long as that is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum About {
    Name(KeyName),
    Id(KeyId),
}

/// Splits changes into rounds, each of which ends before the next begins, and those into groups that may run side by
/// side. A secret that occurs twice begins a new round.
pub(super) fn schedule(changes: Vec<Change>, name_of: impl Fn(KeyId) -> Option<KeyName>) -> Vec<Vec<ConflictGroup>> {
    let mut rounds = Vec::new();
    let (mut groups, mut places, mut digests) = (Vec::<ConflictGroup>::new(), HashMap::new(), HashSet::new());
    for (at, change) in changes.into_iter().enumerate() {
        if let Some(digest) = digest(&change)
            && !digests.insert(digest.to_document())
        {
            rounds.push(std::mem::take(&mut groups));
            places.clear();
            digests = HashSet::from([digest.to_document()]);
        }
        let about = match &change {
            Change::Issue { new, .. } => About::Name(new.name.clone()),
            Change::Update { id, .. } | Change::Revoke { id } => name_of(*id).map_or(About::Id(*id), About::Name),
        };
        let place = *places.entry(about).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push((at, change)),
            None => groups.push(vec![(at, change)]),
        }
    }
    rounds.push(groups);
    rounds
}

/// The secret that a change supplies.
fn digest(change: &Change) -> Option<Digest> {
    match change {
        Change::Issue { secret, .. } => secret.map(|secret| secret.digest),
        Change::Update { rotation, .. } => rotation.map(|rotation| rotation.secret.digest),
        Change::Revoke { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Hint, KeyType, NewKey};
    use crate::keystore::SuppliedSecret;

    fn issue(name: &str, secret: &str) -> Change {
        let new = NewKey::new(KeyName::parse(name).unwrap(), KeyType::Query);
        let secret = SuppliedSecret { digest: Digest::of(secret), hint: Hint::default(), own: true };
        Change::Issue { new: Box::new(new), secret: Some(secret), active: true }
    }

    fn places(rounds: &[Vec<ConflictGroup>]) -> Vec<Vec<Vec<usize>>> {
        let group = |group: &ConflictGroup| group.iter().map(|(at, _)| *at).collect();
        rounds.iter().map(|round| round.iter().map(group).collect()).collect()
    }

    #[test]
    fn changes_of_one_name_stay_in_order_and_the_rest_runs_beside_them() {
        let id = KeyId::random();
        let changes = vec![Change::Revoke { id }, issue("a", "1"), issue("b", "2"), issue("a", "3")];
        let name = |_| KeyName::parse("a").ok();
        assert_eq!(places(&schedule(changes, name)), [[vec![0, 1, 3], vec![2]]]);
    }

    #[test]
    fn a_secret_that_occurs_twice_waits_for_all_changes_before_it() {
        let changes = vec![issue("a", "1"), issue("b", "2"), issue("c", "1"), issue("d", "3")];
        assert_eq!(places(&schedule(changes, |_| None)), [[[0], [1]], [[2], [3]]]);
    }
}
