//! Setting, inviting and removing members.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;

use super::OperatorId;
use super::checks::{self, Revisions};
use super::id::{Email, InvitationId, MembershipId};
use super::members::{Invitation, MAX_INVITATIONS, MAX_MEMBERS, Members};
use super::rights::PersonRights;
use super::rules::{self, Caller, Change, Refusal};
use super::{Account, AccountState, Rights, Role, Scope};
use crate::documents::{Edit, Found, RequestContext};
use crate::error::{Error, ErrorKind, Result};
use crate::jitter;
use crate::keystore::{Changed, Keystore};
use crate::sync::{AuditAction, Held};

/// The pause before a removal is tried again that the store could not take.
const REMOVE_AGAIN: Duration = Duration::from_secs(1);

const GONE: &str = "there is no such member or invitation, or it is removed already";

/// The members of all tenants and of the platform, in memory; the documents in the bucket decide.
#[derive(Debug, Clone)]
pub struct Memberships {
    pub(super) keystore: Keystore,
    pub(super) held: Arc<Held<Members>>,
    accounts: Arc<Held<Account>>,
    /// Those who administer the platform by configuration.
    platform_admins: Arc<[OperatorId]>,
    /// Those whose removal the store could not take, and who asked for it. They have no role there on this node.
    refused: Arc<Mutex<BTreeMap<(Scope, OperatorId), MembersRequest>>>,
    /// Of these, one is removed at a time, and not while it gets a role again.
    removing: Arc<tokio::sync::Mutex<()>>,
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

impl Memberships {
    /// The members that `held` has, changed through `keystore`, which must hold the same and `accounts`.
    pub fn new(
        keystore: Keystore,
        held: Arc<Held<Members>>,
        accounts: Arc<Held<Account>>,
        platform_admins: &[OperatorId],
    ) -> Self {
        let platform_admins = platform_admins.into();
        Self { keystore, held, accounts, platform_admins, refused: Arc::default(), removing: Arc::default() }
    }

    /// The roles that documents give to somebody, on the platform and in tenants that exist. From memory.
    pub fn places(&self, id: &OperatorId) -> Vec<(Scope, Role)> {
        let refused = self.refused.lock();
        let exists = |scope: &Scope| scope.tenant().is_none_or(|tenant| self.keystore.tenant(tenant).is_ok());
        let found = self.held.find(id.table_hash()).into_iter();
        found
            .filter_map(|(scope, members)| Some((members.role(id)?, scope)))
            .filter(|(_, scope)| exists(scope) && !refused.contains_key(&(scope.clone(), *id)))
            .map(|(role, scope)| (scope, role))
            .collect()
    }

    /// The invitations to an address that can be accepted. From memory.
    pub(super) fn invited(&self, email: &Email) -> Vec<(Scope, InvitationId)> {
        let now = self.keystore.now();
        let open = |(scope, members): (Scope, Arc<Members>)| {
            let ids = members.invitations(now).filter(|(_, invitation)| invitation.email.is(email)).map(|(id, _)| id);
            ids.map(|id| (scope.clone(), id)).collect::<Vec<_>>()
        };
        self.held.all().into_iter().flat_map(open).collect()
    }

    /// Accepts an invitation for somebody whose verified address is the one that was invited. Nothing comes of one that
    /// is gone, or whose inviter could no longer give the role.
    ///
    /// # Errors
    /// As for [`Memberships::set`].
    pub(super) async fn accept(
        &self,
        context: &RequestContext,
        (scope, invitation): (Scope, InvitationId),
        email: Email,
        own: OperatorId,
    ) -> Result<()> {
        checks::tenant(&self.keystore, &scope).await?;
        let (context, now, this, place) = (context.clone(), self.keystore.now(), self.clone(), scope.clone());
        let by = context.clone();
        let change = move |found: Found<Members>| {
            let mut members = found.usable()?.unwrap_or_default();
            let open = members.invitations(now).find(|(id, _)| *id == invitation).map(|(_, open)| open.clone());
            let Some(open) = open.filter(|open| open.email.is(&email)) else { return Ok(Edit::Keep(())) };
            let role = members.role(&own).max(Some(open.role)).unwrap_or(open.role);
            // Nobody raises their own role, by their own invitation neither.
            let is_own = inviter(&open) == Some(own) && members.role(&own) != Some(role);
            if is_own || !this.may_still_invite(&members, &place, &open) {
                return Ok(Edit::Keep(()));
            }
            members.set(own, role, open.invited_by.as_ref().unwrap_or(&by.actor), now);
            members.remove(MembershipId::Invitation(invitation));
            if !members.is_bounded() {
                return Err(Error::invalid(format!("there are {MAX_MEMBERS} members already: remove some")));
            }
            members.attribute(&by, now);
            Ok(Edit::Write(members, ()))
        };
        self.keystore.change_held(&self.held, &context, AuditAction::MemberSet, scope, change).await.map(drop)
    }

    /// Whether the inviter could give the role now.
    fn may_still_invite(&self, members: &Members, place: &Scope, invitation: &Invitation) -> bool {
        let Some(id) = inviter(invitation) else { return true };
        let elsewhere = self.places(&id).into_iter().filter(|(scope, _)| scope != place);
        let granted = members.role(&id).map(|role| (place.clone(), role)).into_iter().chain(elsewhere).collect();
        let account = self.accounts.get(&id);
        let now = self.keystore.now();
        let logins = account.iter().flat_map(|account| account.logins(now));
        let mapped = logins.flat_map(|login| &login.mapped).map(|mapped| (mapped.scope(), mapped.role()));
        let configured = self.platform_admins.contains(&id).then_some((Scope::Platform, Role::PlatformAdmin));
        let rights = Rights::Person(PersonRights { id, granted, mapped: mapped.chain(configured).collect() });
        self.is_active(&id) && rights.ceiling(place).reaches(invitation.role)
    }

    /// Whether somebody may sign in, as far as is known: who never has, may.
    pub(super) fn is_active(&self, id: &OperatorId) -> bool {
        self.accounts.get(id).is_none_or(|account| account.state == AccountState::Active)
    }

    fn judge(&self, request: &MembersRequest, members: &Members, change: Change) -> Result<()> {
        let judged = rules::judge(members, request.caller, change, request.force, |id| self.is_active(id));
        judged.map_err(Refusal::into_error)
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
        let is_refused = match &grantee {
            Grantee::Operator(id) => self.refused.lock().contains_key(&(scope.clone(), *id)),
            Grantee::Email(_) => false,
        };
        // A removal that is being stored at this moment would come after this.
        let _turn = if is_refused { Some(self.removing.lock().await) } else { None };
        let (this, before) = (self.clone(), Arc::new(Mutex::new(None)));
        let (replaced, judged) = (before.clone(), request.clone());
        let edit = move |members: &mut Members, request: &MembersRequest, now: DateTime<Utc>| {
            let (member, from) = match &grantee {
                Grantee::Operator(id) => (Some(*id), members.role(id)),
                Grantee::Email(email) => (None, members.invited(email).map(|(_, invitation)| invitation.role).max()),
            };
            this.judge(request, members, Change { member, from, to: Some(role) })?;
            let by = &request.context.actor;
            let id = match &grantee {
                Grantee::Operator(id) => {
                    *replaced.lock() = members.member(id).cloned();
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
        let changed = self.change(request, scope, action, edit).await?;
        // Who gets a role again is not to be removed any more.
        if let MembershipId::Operator(id) = changed.value.id {
            self.refused.lock().remove(&(scope.clone(), id));
            if role != Role::Owner {
                let before = before.lock().take();
                self.keep_an_owner(judged, scope, id, before).await?;
            }
        }
        Ok(changed)
    }

    /// Removes a member or an invitation.
    ///
    /// # Errors
    /// As for [`Memberships::set`]; [`ErrorKind::NotFound`] when there is none. When the store does not answer:
    /// [`ErrorKind::RevokedHere`] when a member has no role on this node any more.
    pub async fn remove(
        &self,
        request: MembersRequest,
        scope: &Scope,
        id: MembershipId,
    ) -> Result<Changed<ChangedMembership>> {
        let error = match self.remove_now(request.clone(), scope, id).await {
            Err(error) if error.kind() == ErrorKind::Unavailable && request.revisions.is_none() => error,
            removed => return removed,
        };
        let (MembershipId::Operator(member), Some(members)) = (id, self.held.get(scope)) else { return Err(error) };
        let Some(from) = members.role(&member) else { return Err(error) };
        self.judge(&request, &members, Change { member: Some(member), from: Some(from), to: None })?;
        self.refused.lock().insert((scope.clone(), member), request);
        let message = "the store cannot be reached: the member has no role on this node, which goes on to remove it";
        Err(Error::new(ErrorKind::RevokedHere, message).caused_by(error))
    }

    /// Goes on to remove what the store could not take, until dropped.
    pub async fn follow(&self) {
        loop {
            tokio::time::sleep(jitter::around(REMOVE_AGAIN)).await;
            let refused: Vec<_> = self.refused.lock().clone().into_iter().collect();
            for ((scope, member), request) in refused {
                // The member may have got a role again meanwhile.
                let _turn = self.removing.lock().await;
                if !self.refused.lock().contains_key(&(scope.clone(), member)) {
                    continue;
                }
                match self.remove_now(request, &scope, MembershipId::Operator(member)).await {
                    Err(error) if error.kind() == ErrorKind::Unavailable => {
                        tracing::debug!(%scope, %member, "a member is refused, and not removed yet: {error:?}");
                        continue;
                    }
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        tracing::error!(%scope, %member, "a member was not removed, and has its role again: {error:?}");
                    }
                    _ => {}
                }
                self.refused.lock().remove(&(scope, member));
            }
        }
    }

    async fn remove_now(
        &self,
        request: MembersRequest,
        scope: &Scope,
        id: MembershipId,
    ) -> Result<Changed<ChangedMembership>> {
        let (this, before) = (self.clone(), Arc::new(Mutex::new(None)));
        let (replaced, judged) = (before.clone(), request.clone());
        let edit = move |members: &mut Members, request: &MembersRequest, _: DateTime<Utc>| {
            let (member, from) = match id {
                MembershipId::Operator(id) => (Some(id), members.role(&id)),
                MembershipId::Invitation(id) => (None, members.invitation(&id).map(|invitation| invitation.role)),
            };
            this.judge(request, members, Change { member, from, to: None })?;
            from.ok_or_else(|| Error::new(ErrorKind::NotFound, GONE))?;
            *replaced.lock() = member.and_then(|member| members.member(&member).cloned());
            members.remove(id);
            // What waits for the address of a member who is removed would bring them back.
            let account = member.and_then(|member| this.accounts.get(&member));
            if let Some(email) = account.and_then(|account| account.email.clone()) {
                members.forget_address(&email);
            }
            Ok((id, false))
        };
        let changed = self.change(request, scope, AuditAction::MemberRemove, edit).await?;
        if let MembershipId::Operator(id) = id {
            let before = before.lock().take();
            self.keep_an_owner(judged, scope, id, before).await?;
        }
        Ok(changed)
    }

    pub(super) async fn change(
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

/// The person who has invited; `None` for the admin token, and for an invitation that was written by hand.
fn inviter(invitation: &Invitation) -> Option<OperatorId> {
    OperatorId::parse(invitation.invited_by.as_ref()?.as_str()).ok()
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
