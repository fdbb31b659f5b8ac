//! What somebody may do, from the roles that they have at this moment.

use super::rules::Caller;
use super::{OperatorId, Permission, Role, Scope};
use crate::key::TenantId;

/// The roles that count for one request.
#[derive(Debug, Clone)]
pub enum Rights {
    /// The admin token may do everything.
    Everything,
    /// A machine: one role, and never what is [for people](Permission::is_for_people).
    Machine(Scope, Role),
    /// A person.
    Person(PersonRights),
}

/// The roles of a person.
#[derive(Debug, Clone)]
pub struct PersonRights {
    /// Who.
    pub id: OperatorId,
    /// The roles that documents give.
    pub granted: Vec<(Scope, Role)>,
    /// Those by groups of the provider or by the configuration, which no document has.
    pub mapped: Vec<(Scope, Role)>,
}

/// Up to which role somebody gives roles to machines, and takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ceiling {
    /// Any.
    Everything,
    /// This one.
    Role(Role),
    /// None.
    Nothing,
}

impl PersonRights {
    fn roles(&self) -> impl Iterator<Item = (&Scope, Role)> {
        self.granted.iter().chain(&self.mapped).map(|(scope, role)| (scope, *role))
    }

    fn mapped_in(&self, scope: &Scope) -> Option<Role> {
        self.mapped.iter().filter(|(place, _)| place == scope).map(|(_, role)| *role).max()
    }
}

impl Rights {
    /// The roles that hold in a place: its own, and those of the platform.
    fn roles_in<'a>(&'a self, place: &'a Scope) -> impl Iterator<Item = Role> + 'a {
        let holds = move |scope: &Scope| *scope == Scope::Platform || scope == place;
        self.roles().filter(move |(scope, _)| holds(scope)).map(|(_, role)| role)
    }

    fn roles(&self) -> impl Iterator<Item = (&Scope, Role)> {
        let (machine, person) = match self {
            Self::Everything => (None, None),
            Self::Machine(scope, role) => (Some((scope, *role)), None),
            Self::Person(person) => (None, Some(person.roles())),
        };
        machine.into_iter().chain(person.into_iter().flatten())
    }

    fn allows(&self, role: Role, permission: Permission) -> bool {
        role.may(permission) && !(matches!(self, Self::Machine(..)) && permission.is_for_people())
    }

    /// Whether there is any role in a tenant. To others it is as if the tenant did not exist.
    pub fn know(&self, tenant: &TenantId) -> bool {
        matches!(self, Self::Everything) || self.roles().any(|(scope, _)| scope.covers(tenant))
    }

    /// Whether something is allowed in a place; `Err` with the highest role there, which does not go so far.
    ///
    /// # Errors
    /// That role, if there is one.
    pub fn may(&self, permission: Permission, place: &Scope) -> Result<Option<Role>, Option<Role>> {
        if matches!(self, Self::Everything) {
            return Ok(None);
        }
        let allowed = self.roles_in(place).filter(|role| self.allows(*role, permission)).max();
        allowed.map(Some).ok_or_else(|| self.roles_in(place).max())
    }

    /// The same for a route that shows each operator what belongs to the tenants of its roles.
    ///
    /// # Errors
    /// The highest role, if there is one.
    pub fn may_somewhere(&self, permission: Permission) -> Result<Option<Role>, Option<Role>> {
        if matches!(self, Self::Everything) {
            return Ok(None);
        }
        let roles = || self.roles().map(|(_, role)| role);
        let allowed = roles().filter(|role| self.allows(*role, permission)).max();
        allowed.map(Some).ok_or_else(|| roles().max())
    }

    /// Whose rights count when the members of a place are changed; `None` for machines, which manage no people.
    pub fn caller(&self, place: &Scope) -> Option<Caller> {
        match self {
            Self::Everything => Some(Caller::Platform(None)),
            Self::Machine(..) => None,
            Self::Person(person) => {
                let is_admin = |(scope, role): (&Scope, Role)| *scope == Scope::Platform && role == Role::PlatformAdmin;
                Some(if *place != Scope::Platform && person.roles().any(is_admin) {
                    Caller::Platform(Some(person.id))
                } else {
                    Caller::Member { id: person.id, mapped: person.mapped_in(place) }
                })
            }
        }
    }

    /// Up to which role machines of a place are managed.
    pub fn ceiling(&self, place: &Scope) -> Ceiling {
        match self {
            Self::Everything => Ceiling::Everything,
            Self::Machine(..) => Ceiling::Nothing,
            Self::Person(_) if self.roles_in(place).any(|role| role == Role::PlatformAdmin) => Ceiling::Everything,
            Self::Person(_) => {
                self.roles_in(place).filter_map(Role::ceiling).max().map_or(Ceiling::Nothing, Ceiling::Role)
            }
        }
    }

    /// Whether e-mail addresses of members of a place are shown.
    pub fn see_addresses(&self, place: &Scope) -> bool {
        matches!(self, Self::Everything) || self.roles_in(place).any(Role::sees_addresses)
    }
}

impl Ceiling {
    /// Whether it reaches a role.
    pub fn reaches(self, role: Role) -> bool {
        match self {
            Self::Everything => true,
            Self::Role(ceiling) => role <= ceiling && role.is_of_platform() == ceiling.is_of_platform(),
            Self::Nothing => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Scope {
        text.parse().unwrap()
    }

    fn person(granted: &[(&str, Role)], mapped: &[(&str, Role)]) -> Rights {
        let roles = |roles: &[(&str, Role)]| roles.iter().map(|(scope, role)| (place(scope), *role)).collect();
        let id = OperatorId::of("https://id.example", "1").unwrap();
        Rights::Person(PersonRights { id, granted: roles(granted), mapped: roles(mapped) })
    }

    #[test]
    fn roles_of_the_platform_and_of_the_tenant_add_up_and_those_of_others_do_not_count() {
        let (acme, other) = (place("tenants/acme"), place("tenants/other"));
        let rights = person(&[("tenants/acme", Role::Admin), ("platform", Role::PlatformViewer)], &[]);
        assert_eq!(rights.may(Permission::ManageKeys, &acme), Ok(Some(Role::Admin)));
        assert_eq!(rights.may(Permission::ManageKeys, &other), Err(Some(Role::PlatformViewer)));
        assert_eq!(rights.may(Permission::ReadPlatform, &Scope::Platform), Ok(Some(Role::PlatformViewer)));
        assert_eq!(rights.may_somewhere(Permission::VerifyKeys), Ok(Some(Role::Admin)));
        let rights = person(&[("tenants/acme", Role::Owner)], &[]);
        assert!(rights.know(acme.tenant().unwrap()) && !rights.know(other.tenant().unwrap()));
        assert_eq!(rights.may(Permission::ReadTenants, &Scope::Platform), Err(None));
    }

    #[test]
    fn a_mapped_role_counts_and_machines_never_manage_people() {
        let acme = place("tenants/acme");
        let rights = person(&[("tenants/acme", Role::Viewer)], &[("tenants/acme", Role::Admin)]);
        assert_eq!(rights.ceiling(&acme), Ceiling::Role(Role::Analyst));
        assert!(matches!(rights.caller(&acme), Some(Caller::Member { mapped: Some(Role::Admin), .. })));
        let machine = Rights::Machine(Scope::Platform, Role::PlatformAdmin);
        assert_eq!(machine.may(Permission::ManageMembers, &acme), Err(Some(Role::PlatformAdmin)));
        assert_eq!((machine.caller(&acme), machine.ceiling(&acme)), (None, Ceiling::Nothing));
    }

    #[test]
    fn a_ceiling_reaches_no_role_of_another_kind() {
        assert!(
            Ceiling::Role(Role::Analyst).reaches(Role::Viewer) && !Ceiling::Role(Role::Analyst).reaches(Role::Admin)
        );
        assert!(!Ceiling::Role(Role::PlatformAdmin).reaches(Role::Admin) && !Ceiling::Nothing.reaches(Role::Viewer));
        let admin = person(&[("platform", Role::PlatformAdmin)], &[]);
        assert_eq!(
            admin.caller(&place("tenants/acme")),
            Some(Caller::Platform(Some(OperatorId::of("https://id.example", "1").unwrap())))
        );
        assert!(matches!(admin.caller(&Scope::Platform), Some(Caller::Member { .. })));
    }
}
