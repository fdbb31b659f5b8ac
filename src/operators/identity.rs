//! What a provider says about somebody who signs in, and the roles that follow from it.

use std::collections::BTreeMap;

use super::OperatorId;
use super::id::Email;
use super::{Role, Scope};
use crate::key::{InvalidId, Label};

/// Who somebody is, in the words of an identity provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// What the configuration calls the provider.
    pub provider: Label,
    /// The provider's own name for itself.
    pub issuer: String,
    /// The provider's name for the person. It is never given to another one.
    pub subject: String,
    /// What people call the person.
    pub display_name: Option<String>,
    /// An address that the provider has verified. It accepts invitations, and never says who somebody is.
    pub email: Option<Email>,
    /// The groups, organisations (`org`) and teams (`org/team`) that the person belongs to.
    pub groups: Vec<String>,
}

/// A rule of the configuration: who belongs to a group of a provider has a role for as long as a session lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// What the configuration calls the provider.
    pub provider: Label,
    /// The group, the organisation (`org`) or the team (`org/team`).
    pub group: String,
    /// Where the role holds.
    pub scope: Scope,
    /// The role. Nobody becomes an owner by a group.
    pub role: Role,
}

impl Identity {
    /// The id that follows from issuer and subject.
    ///
    /// # Errors
    /// As for [`OperatorId::of`].
    pub fn id(&self) -> Result<OperatorId, InvalidId> {
        OperatorId::of(&self.issuer, &self.subject)
    }

    /// The roles that the groups give; the highest where several do.
    pub fn mapped<'a>(&self, mappings: impl IntoIterator<Item = &'a Mapping>) -> BTreeMap<Scope, Role> {
        let mut roles = BTreeMap::new();
        for mapping in mappings {
            if mapping.provider == self.provider && self.groups.contains(&mapping.group) {
                let role = roles.entry(mapping.scope.clone()).or_insert(mapping.role);
                *role = mapping.role.max(*role);
            }
        }
        roles
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::TenantId;

    #[test]
    fn a_group_gives_its_highest_role_at_its_own_provider_only() {
        let label = |text| Label::parse(text).unwrap();
        let tenant = Scope::Tenant(TenantId::default());
        let mapping = |provider, group: &str, role| Mapping {
            provider: label(provider),
            group: group.to_owned(),
            scope: tenant.clone(),
            role,
        };
        let identity = Identity {
            provider: label("corp"),
            issuer: "https://corp.example".to_owned(),
            subject: "1".to_owned(),
            display_name: None,
            email: None,
            groups: vec!["dev".to_owned(), "ops".to_owned()],
        };
        let mappings = [
            mapping("corp", "dev", Role::Admin),
            mapping("corp", "ops", Role::Viewer),
            mapping("corp", "root", Role::Admin),
            mapping("github", "dev", Role::Admin),
        ];
        assert_eq!(identity.mapped(&mappings[..2]), BTreeMap::from([(tenant.clone(), Role::Admin)]));
        assert_eq!(identity.mapped(&mappings[1..2]), BTreeMap::from([(tenant, Role::Viewer)]));
        assert_eq!(identity.mapped(&mappings[2..]), BTreeMap::new());
    }
}
