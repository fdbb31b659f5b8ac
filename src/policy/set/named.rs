//! A set as people write it in a file: its parts refer to each other by name.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::compile::compile;
use super::document::{PolicySet, SetMode, Traffic};
use super::ids::{ActionId, EntityDefinitionId, MitigationId};
use super::parts::{Action, EntityDefinition, Mitigation, Policy, Window};
use super::starters;
use crate::policy::Fault;
use crate::policy::nearest::nearest;

/// All that a file says of a set. What it does not say stays as it is, or goes: see [`NamedPolicySet::apply`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NamedPolicySet {
    /// See [`PolicySet::mode`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<SetMode>,
    /// See [`PolicySet::exempt`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exempt: Option<String>,
    /// See [`PolicySet::traffic`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
    /// See [`PolicySet::actions`].
    pub actions: Vec<Action>,
    /// See [`PolicySet::entities`].
    pub entities: Vec<EntityDefinition>,
    /// See [`PolicySet::mitigations`].
    pub mitigations: Vec<Mitigation>,
    /// See [`PolicySet::policies`].
    pub policies: Vec<NamedPolicy>,
}

/// A policy that refers to other parts by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamedPolicy {
    /// See [`Policy::name`].
    pub name: String,
    /// See [`Policy::enabled`].
    #[serde(default = "yes")]
    pub enabled: bool,
    /// See [`Policy::priority`].
    #[serde(default = "usual_priority")]
    pub priority: u32,
    /// See [`Policy::expression`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// The names of the actions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<String>,
    /// The name of the entity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// The name of the mitigation.
    pub mitigation: String,
    /// See [`Policy::window`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
}

const fn yes() -> bool {
    true
}

const fn usual_priority() -> u32 {
    100
}

impl NamedPolicySet {
    /// The set that `old` becomes by the file: parts of the same name take what the file says and keep their ids, the
    /// others are added. What the file does not say stays, unless `prune` says that it goes.
    ///
    /// # Errors
    /// Everything that is wrong with the set, by the places of the file; of a part that the file does not have, by its
    /// name.
    pub fn apply(
        self,
        old: &PolicySet,
        prune: bool,
        mut new_id: impl FnMut() -> Uuid,
    ) -> Result<PolicySet, Vec<Fault>> {
        let mut faults = self.twice();
        let written = Written::of(&self);
        let mut set = if prune { PolicySet::default() } else { old.clone() };
        set.mode = self.mode.unwrap_or(set.mode);
        set.exempt = self.exempt.or(set.exempt);
        set.traffic = self.traffic.unwrap_or(set.traffic);
        merge(&mut set.actions, self.actions, |part| &part.name);
        merge(&mut set.entities, self.entities, |part| &part.name);
        merge(&mut set.mitigations, self.mitigations, |part| &part.name);
        let (policies, kept) = (self.policies, std::mem::take(&mut set.policies));
        let mut set = set.identified(old, &mut new_id);
        let names = Names::of(&set);
        let policies: Vec<Policy> =
            policies.into_iter().enumerate().map(|(at, policy)| names.resolve(at, policy, &mut faults)).collect();
        set.policies = kept;
        merge(&mut set.policies, policies, |part| &part.name);
        let set = set.identified(old, new_id);
        // References are named as the file has them.
        let is_reference = |fault: &Fault| REFERENCES.iter().any(|member| fault.path.contains(member));
        let more = compile(&set).err().unwrap_or_default().into_iter().filter(|fault| !is_reference(fault));
        faults.extend(more.map(|fault| written.place(&set, fault)));
        if faults.is_empty() { Ok(set) } else { Err(faults) }
    }

    /// Names that stand twice among the parts of a kind: one of the two would be lost.
    fn twice(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (kind, names) in Written::of(self).0 {
            let mut seen = HashSet::new();
            for (at, name) in names.iter().enumerate() {
                if !seen.insert(name) {
                    faults.push(Fault::new(format!("{kind}[{at}].name"), format!("{name} is declared already")));
                }
            }
        }
        faults
    }

    /// The file that says a set.
    pub fn of(set: &PolicySet) -> Self {
        let names = Names::of(set);
        Self {
            mode: Some(set.mode),
            exempt: set.exempt.clone(),
            traffic: Some(set.traffic.clone()),
            actions: set.actions.clone(),
            entities: set.entities.clone(),
            mitigations: set.mitigations.clone(),
            policies: set.policies.iter().map(|policy| names.policy(policy)).collect(),
        }
    }
}

/// Members by which policies refer to other parts.
const REFERENCES: [&str; 3] = ["mitigationId", "entityDefinitionId", "actionIds"];

/// The names of the parts of a file, by kind.
struct Written([(&'static str, Vec<String>); 4]);

impl Written {
    fn of(file: &NamedPolicySet) -> Self {
        Self([
            ("actions", file.actions.iter().map(|part| part.name.clone()).collect()),
            ("entities", file.entities.iter().map(|part| part.name.clone()).collect()),
            ("mitigations", file.mitigations.iter().map(|part| part.name.clone()).collect()),
            ("policies", file.policies.iter().map(|part| part.name.clone()).collect()),
        ])
    }

    /// A fault of a set, in the place that the part has in the file.
    fn place(&self, set: &PolicySet, fault: Fault) -> Fault {
        let Some((kind, rest)) = fault.path.split_once('[') else { return fault };
        let Some((number, member)) = rest.split_once(']') else { return fault };
        let name = number.parse().ok().and_then(|number: usize| match kind {
            "actions" => set.actions.get(number).map(|part| &part.name),
            "entities" => set.entities.get(number).map(|part| &part.name),
            "mitigations" => set.mitigations.get(number).map(|part| &part.name),
            "policies" => set.policies.get(number).map(|part| &part.name),
            _ => None,
        });
        let names = self.0.iter().find(|(known, _)| *known == kind).map(|(_, names)| names);
        let Some((name, names)) = name.zip(names) else { return fault };
        let path = match names.iter().position(|written| written == name) {
            Some(at) => format!("{kind}[{at}]{member}"),
            None => format!("{kind}[{name}]{member}"),
        };
        fault.at(path)
    }
}

/// Puts parts in the place of those with their names, and the others behind them.
fn merge<P>(parts: &mut Vec<P>, new: Vec<P>, name: impl Fn(&P) -> &String) {
    for part in new {
        match parts.iter_mut().find(|old| name(old) == name(&part)) {
            Some(old) => *old = part,
            None => parts.push(part),
        }
    }
}

/// What the parts of a set and the starters are called. Of a starter and a part with one name, the part.
struct Names {
    actions: Vec<(String, ActionId)>,
    entities: Vec<(String, EntityDefinitionId)>,
    mitigations: Vec<(String, MitigationId)>,
}

impl Names {
    fn of(set: &PolicySet) -> Self {
        macro_rules! names {
            ($list:expr, $starters:expr, $id:ident) => {
                $list.iter().chain(&$starters).filter_map(|part| Some((part.name.clone(), part.$id?))).collect()
            };
        }
        Self {
            actions: names!(set.actions, starters::actions(), action_id),
            entities: names!(set.entities, starters::entities(), entity_definition_id),
            mitigations: names!(set.mitigations, starters::mitigations(), mitigation_id),
        }
    }

    /// The policy with ids in place of names.
    fn resolve(&self, at: usize, policy: NamedPolicy, faults: &mut Vec<Fault>) -> Policy {
        let NamedPolicy { name, enabled, priority, expression, actions, entity, mitigation, window } = policy;
        let mut action_ids = Vec::new();
        for (place, action) in actions.iter().enumerate() {
            let path = format!("policies[{at}].actions[{place}]");
            action_ids.extend(find(&self.actions, action, "action", path, faults));
        }
        let path = format!("policies[{at}].entity");
        let entity_definition_id = entity.and_then(|entity| find(&self.entities, &entity, "entity", path, faults));
        let path = format!("policies[{at}].mitigation");
        let mitigation_id = find(&self.mitigations, &mitigation, "mitigation", path, faults);
        Policy {
            policy_id: None,
            name,
            enabled,
            priority,
            expression,
            action_ids,
            entity_definition_id,
            mitigation_id: mitigation_id.unwrap_or(MitigationId(Uuid::nil())),
            window,
        }
    }

    /// The policy with names in place of ids; an id that nothing has stands for itself.
    fn policy(&self, policy: &Policy) -> NamedPolicy {
        let policy = policy.clone();
        NamedPolicy {
            name: policy.name,
            enabled: policy.enabled,
            priority: policy.priority,
            expression: policy.expression,
            actions: policy.action_ids.iter().map(|id| name(&self.actions, *id)).collect(),
            entity: policy.entity_definition_id.map(|id| name(&self.entities, id)),
            mitigation: name(&self.mitigations, policy.mitigation_id),
            window: policy.window,
        }
    }
}

fn find<Id: Copy>(
    names: &[(String, Id)],
    wanted: &str,
    kind: &str,
    path: String,
    faults: &mut Vec<Fault>,
) -> Option<Id> {
    let found = names.iter().find(|(name, _)| name == wanted).map(|(_, id)| *id);
    if found.is_none() {
        let fault = Fault::new(path, format!("there is no {kind} named {wanted}"));
        let near = nearest(wanted, names.iter().map(|(name, _)| name.as_str()));
        faults.push(if near.is_empty() { fault } else { fault.hint(near.join(", ")) });
    }
    found
}

fn name<Id: Copy + PartialEq + ToString>(names: &[(String, Id)], id: Id) -> String {
    names.iter().find(|(_, known)| *known == id).map_or_else(|| id.to_string(), |(name, _)| name.clone())
}
