//! Setting, inviting and removing members.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::checks::{self, Revisions};
use super::id::{Email, MembershipId, OperatorId};
use super::members::{MAX_INVITATIONS, MAX_MEMBERS, Members};
use super::rules::{self, Caller, Change, Refusal};
use super::{Role, Scope};
use crate::documents::{Edit, Found, RequestContext};
use crate::error::{Error, ErrorKind, Result};
use crate::keystore::{Changed, Keystore};
use crate::sync::{AuditAction, Held};

/// The members of all tenants and of the platform, in memory; the documents in the bucket decide.
#[derive(Debug, Clone)]
pub struct Memberships {
    keystore: Keystore,
    held: Arc<Held<Members>>,
}

/// Who asks for a change, and on which terms.
#[derive(Debug, Clone)]
pub struct MembersRequest {
    /// What the document and the change log record.
    pub context: RequestContext,
    /// Whose rights count.
    pub caller: Caller,
    /// Whether the last owner may go, if the caller may insist.
    pub force: bool,
    /// The revisions of the document that the change is for.
    pub revisions: Revisions,
}

/// Who gets a role.
#[derive(Debug, Clone)]
pub enum Grantee {
    /// This operator, who need not have signed in yet.
    Operator(OperatorId),
    /// The person who accepts an invitation to this address.
    Email(Email),
}

/// A membership that was just changed.
#[derive(Debug)]
pub struct ChangedMembership {
    /// Which.
    pub id: MembershipId,
    /// Whether there was none before.
    pub is_new: bool,
    /// All of them, as they are now.
    pub members: Members,
}

/// Which membership is changed, and whether there was none before.
type Edited = (MembershipId, bool);

impl MembersRequest {
    fn judge(&self, members: &Members, change: Change) -> Result<()> {
        rules::judge(members, self.caller, change, self.force).map_err(Refusal::into_error)
    }
}

impl Memberships {
    /// The members that `held` has, changed through `keystore`, which must hold the same.
    pub fn new(keystore: Keystore, held: Arc<Held<Members>>) -> Self {
        Self { keystore, held }
    }

    /// The members there, from memory.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] without such a tenant, [`ErrorKind::TenantDeleted`]; [`ErrorKind::Unavailable`] when the
    /// tenant is not known here and the store does not answer.
    pub async fn list(&self, scope: &Scope) -> Result<Arc<Members>> {
        checks::tenant(&self.keystore, scope).await?;
        Ok(self.held.get(scope).unwrap_or_default())
    }

    /// Gives a role to an operator, in place of the one that it has, or to the person who accepts an invitation.
    ///
    /// # Errors
    /// As for [`Memberships::list`]; [`ErrorKind::Invalid`] for a role that does not fit, or when there are as many
    /// already as there may be; [`ErrorKind::RoleNotAllowed`] and [`ErrorKind::LastOwner`] by the [rules];
    /// [`ErrorKind::PreconditionFailed`] for another revision; [`ErrorKind::Corrupt`] when the document cannot be read;
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn set(
        &self,
        request: MembersRequest,
        scope: &Scope,
        grantee: Grantee,
        role: Role,
    ) -> Result<Changed<ChangedMembership>> {
        check_role(role, scope)?;
        let action = match grantee {
            Grantee::Operator(_) => AuditAction::MemberSet,
            Grantee::Email(_) => AuditAction::MemberInvite,
        };
        let edit = move |members: &mut Members, request: &MembersRequest, now: DateTime<Utc>| {
            let (member, from) = match &grantee {
                Grantee::Operator(id) => (Some(*id), members.role(id)),
                Grantee::Email(email) => (None, members.invited(email).map(|(_, invitation)| invitation.role).max()),
            };
            request.judge(members, Change { member, from, to: Some(role) })?;
            let by = &request.context.actor;
            let id = match &grantee {
                Grantee::Operator(id) => {
                    members.set(*id, role, by, now);
                    MembershipId::Operator(*id)
                }
                Grantee::Email(email) => MembershipId::Invitation(members.invite(email.clone(), role, by, now)),
            };
            if !members.is_bounded() {
                let most = format!("there are {MAX_MEMBERS} members or {MAX_INVITATIONS} invitations: remove some");
                return Err(Error::invalid(most));
            }
            Ok((id, from.is_none()))
        };
        self.change(request, scope, action, edit).await
    }

    /// Removes a member or an invitation.
    ///
    /// # Errors
    /// As for [`Memberships::set`]; [`ErrorKind::NotFound`] when there is none. When the store does not answer, nothing
    /// is removed.
    pub async fn remove(
        &self,
        request: MembersRequest,
        scope: &Scope,
        id: MembershipId,
    ) -> Result<Changed<ChangedMembership>> {
        let edit = move |members: &mut Members, request: &MembersRequest, _: DateTime<Utc>| {
            let (member, from) = match id {
                MembershipId::Operator(id) => (Some(id), members.role(&id)),
                MembershipId::Invitation(id) => (None, members.invitation(&id).map(|invitation| invitation.role)),
            };
            request.judge(members, Change { member, from, to: None })?;
            from.ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such member or invitation"))?;
            members.remove(id);
            Ok((id, false))
        };
        self.change(request, scope, AuditAction::MemberRemove, edit).await
    }

    async fn change(
        &self,
        request: MembersRequest,
        scope: &Scope,
        action: AuditAction,
        mut edit: impl FnMut(&mut Members, &MembersRequest, DateTime<Utc>) -> Result<Edited> + Send + 'static,
    ) -> Result<Changed<ChangedMembership>> {
        checks::tenant(&self.keystore, scope).await?;
        let (context, now) = (request.context.clone(), self.keystore.now());
        let change = move |found: Found<Members>| {
            let stored = found.usable()?.unwrap_or_default();
            checks::revision(stored.rev, request.revisions.as_deref(), "these members")?;
            let mut members = stored.clone();
            members.forget_expired(now);
            let (id, is_new) = edit(&mut members, &request, now)?;
            if members == stored {
                return Ok(Edit::Keep(ChangedMembership { id, is_new, members }));
            }
            members.attribute(&request.context, now);
            Ok(Edit::Write(members.clone(), ChangedMembership { id, is_new, members }))
        };
        self.keystore.change_held(&self.held, &context, action, scope.clone(), change).await
    }
}

fn check_role(role: Role, scope: &Scope) -> Result<()> {
    if role.fits(scope) {
        return Ok(());
    }
    let message = match scope {
        Scope::Platform => "a member of the platform is platform_viewer or platform_admin",
        Scope::Tenant(_) => "a member of a tenant is viewer, analyst, admin or owner",
    };
    Err(Error::invalid(message))
}
