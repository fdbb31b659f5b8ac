//! Ids for parts that came without one.

use std::collections::HashMap;

use uuid::Uuid;

use super::document::PolicySet;

impl PolicySet {
    /// The same set, in which every part has an id: its own, else that of the part of `old` with its name, else a new
    /// one.
    #[must_use]
    pub fn identified(mut self, old: &Self, mut new_id: impl FnMut() -> Uuid) -> Self {
        macro_rules! identify {
            ($list:ident, $id:ident) => {
                let known = old.$list.iter().filter_map(|part| Some((part.name.as_str(), part.$id?)));
                let known: HashMap<_, _> = known.collect();
                for part in &mut self.$list {
                    let by_name = || known.get(part.name.as_str()).copied();
                    part.$id = part.$id.or_else(by_name).or_else(|| Some(new_id().into()));
                }
            };
        }
        identify!(actions, action_id);
        identify!(entities, entity_definition_id);
        identify!(mitigations, mitigation_id);
        identify!(policies, policy_id);
        self
    }
}
