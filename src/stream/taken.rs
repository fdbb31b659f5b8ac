//! Which objects of a day are in merged ones already.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::object_id::{self, WriterId};

/// A set of event objects of one day, small because objects are numbered. It only grows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TakenObjects {
    /// The numbers of each writer.
    writers: BTreeMap<WriterId, Numbers>,
    /// Of the objects with random ids, which earlier versions wrote: all whose file name is at most this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    random_until: Option<String>,
}

impl TakenObjects {
    /// Whether an object is in the set.
    pub fn contains(&self, id: Uuid, file_name: &str) -> bool {
        match object_id::parts(id) {
            Some((writer, number)) => self.writers.get(&writer).is_some_and(|numbers| numbers.contains(number)),
            None => self.random_until.as_deref().is_some_and(|last| file_name <= last),
        }
    }

    /// The ids of the objects that have numbers.
    pub fn numbered(&self) -> impl Iterator<Item = Uuid> {
        let numbers = self.writers.iter().flat_map(|(writer, numbers)| numbers.0.iter().map(|range| (*writer, *range)));
        numbers.flat_map(|(writer, (first, last))| (first..=last).map(move |number| writer.id(number)))
    }

    /// Adds an object. One with a random id brings all those with it that come before it by name.
    pub fn insert(&mut self, id: Uuid, file_name: &str) {
        match object_id::parts(id) {
            Some((writer, number)) => self.writers.entry(writer).or_default().insert(number),
            None if self.random_until.as_deref().is_none_or(|last| file_name > last) => {
                self.random_until = Some(file_name.to_owned());
            }
            None => {}
        }
    }
}

/// A set of numbers: ranges that neither overlap nor touch, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Numbers(Vec<(u32, u32)>);

impl Numbers {
    /// The place of the first range that ends at `number` or later.
    fn place(&self, number: u32) -> usize {
        self.0.partition_point(|(_, last)| *last < number)
    }

    fn contains(&self, number: u32) -> bool {
        self.0.get(self.place(number)).is_some_and(|(first, _)| *first <= number)
    }

    fn insert(&mut self, number: u32) {
        if self.contains(number) {
            return;
        }
        let at = self.place(number);
        let touches_before = at > 0 && self.0[at - 1].1.checked_add(1) == Some(number);
        let touches_after = self.0.get(at).is_some_and(|(first, _)| number.checked_add(1) == Some(*first));
        match (touches_before, touches_after) {
            (true, true) => self.0[at - 1].1 = self.0.remove(at).1,
            (true, false) => self.0[at - 1].1 = number,
            (false, true) => self.0[at].0 = number,
            (false, false) => self.0.insert(at, (number, number)),
        }
    }
}

/// Such as `0-3021,3023`.
impl From<Numbers> for String {
    fn from(numbers: Numbers) -> Self {
        let range = |(first, last): &(u32, u32)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        };
        numbers.0.iter().map(range).collect::<Vec<_>>().join(",")
    }
}

impl TryFrom<String> for Numbers {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const EXPECTED: &str = "ranges of numbers in order, such as 0-3021,3023";
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for range in text.split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last) = first.parse().ok().zip(last.parse().ok()).ok_or(EXPECTED)?;
            if first > last || ranges.last().is_some_and(|(_, before)| *before >= first) {
                return Err(EXPECTED);
            }
            ranges.push((first, last));
        }
        Ok(Self(ranges))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::object_id::ObjectIds;
    use super::*;
    use crate::key::{StreamName, TenantId};

    proptest! {
        #[test]
        fn numbers_are_a_set(inserted in proptest::collection::vec(0u32..40, 0..60)) {
            let (mut numbers, mut set) = (Numbers::default(), BTreeSet::new());
            for number in inserted {
                numbers.insert(number);
                set.insert(number);
            }
            for number in 0..41 {
                prop_assert_eq!(numbers.contains(number), set.contains(&number));
            }
            if !set.is_empty() {
                prop_assert_eq!(Numbers::try_from(String::from(numbers.clone())), Ok(numbers));
            }
        }
    }

    #[test]
    fn what_is_no_set_of_numbers_is_refused() {
        for text in ["", "a", "1-", "2-1", "3,2", "1-3,3", "-1", "1,,2", "4294967296"] {
            assert!(Numbers::try_from(text.to_owned()).is_err(), "{text}");
        }
        let mut last = Numbers::try_from("4294967294".to_owned()).unwrap();
        last.insert(u32::MAX);
        assert_eq!(String::from(last), "4294967294-4294967295");
    }

    #[test]
    fn numbered_objects_are_taken_one_by_one_and_random_ones_up_to_a_name() {
        let ids = ObjectIds::default();
        let (tenant, stream) = (TenantId::default(), StreamName::parse("web").unwrap());
        let given: Vec<Uuid> = (0..5).map(|_| ids.next(&tenant, &stream)).collect();
        let mut taken = TakenObjects::default();
        for id in [given[0], given[1], given[3]] {
            taken.insert(id, "");
        }
        let contained: Vec<bool> = given.iter().map(|id| taken.contains(*id, "")).collect();
        assert_eq!(contained, [true, true, false, true, false]);
        let random = Uuid::from_u128(7);
        taken.insert(random, "0930-b");
        assert!(taken.contains(random, "0930-a") && !taken.contains(random, "0931-a"));
        let text = serde_json::to_string(&taken).unwrap();
        assert!(text.contains("\"0-1,3\"") && text.contains("\"randomUntil\":\"0930-b\""), "{text}");
        assert_eq!(serde_json::from_str::<TakenObjects>(&text).unwrap(), taken);
    }
}
