//! A tenant that has an owner keeps one who may sign in, also when another node disables the other one at that moment.

use super::members::Member;
use super::memberships::{MembersRequest, Memberships};
use super::rules::Caller;
use super::{MembershipId, OperatorId, Role, Scope};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::AuditAction;

impl Memberships {
    /// Whether an owner of a tenant is the only one who may sign in.
    pub(super) fn is_last_owner(&self, scope: &Scope, id: &OperatorId) -> bool {
        let members = self.held.get(scope).unwrap_or_default();
        members.role(id) == Some(Role::Owner) && !members.owners().any(|owner| owner != *id && self.is_active(&owner))
    }

    /// Gives somebody back what they were before this request, if that was an owner, and no other one may sign in:
    /// another node may have disabled the others since this one was judged. Members and accounts are documents of their
    /// own, so no single write decides. Of two such changes, the one that stands later in the log sees the other.
    ///
    /// # Errors
    /// [`ErrorKind::LastOwner`] when it did.
    pub(super) async fn keep_an_owner(
        &self,
        request: MembersRequest,
        scope: &Scope,
        id: OperatorId,
        before: Option<Member>,
    ) -> Result<()> {
        let is_insisted_on = request.force && matches!(request.caller, Caller::Platform(_));
        let Some(owner) = before.filter(|before| before.role == Role::Owner && !is_insisted_on) else { return Ok(()) };
        // Without the store nothing is learned; what was decided from memory stays.
        if scope.tenant().is_none() || !self.is_active(&id) || self.keystore.catch_up().await.is_err() {
            return Ok(());
        }
        if self.held.get(scope).unwrap_or_default().owners().any(|owner| self.is_active(&owner)) {
            return Ok(());
        }
        let request = MembersRequest { revisions: None, ..request };
        self.change(request, scope, AuditAction::MemberSet, move |members, _, _| {
            members.restore(id, owner.clone());
            Ok((MembershipId::Operator(id), false))
        })
        .await?;
        Err(Error::new(ErrorKind::LastOwner, "the tenant would be left without an owner who may sign in"))
    }
}
