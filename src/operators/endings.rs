//! Ending sign-ins, and disabling people.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::account::{AccountState, End, Login};
use super::accounts::gone;
use super::{Account, Accounts, OperatorId};
use crate::documents::{Edit, Found, RequestContext};
use crate::error::{Error, ErrorKind, Result};
use crate::jitter;
use crate::keystore::Changed;
use crate::sync::AuditAction;

/// The pause before something is ended again that the store could not take.
const END_AGAIN: Duration = Duration::from_secs(1);

impl Accounts {
    /// Ends sign-ins, or disables. It holds on this node at once, also when the store does not answer, and elsewhere
    /// within a poll.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::LastOwner`] unless `force` is given; [`ErrorKind::RevokedHere`] when the
    /// store does not answer.
    pub async fn end(&self, context: &RequestContext, id: OperatorId, end: End, force: bool) -> Result<u64> {
        self.show(&id).await?;
        if end == End::Disabled && !force {
            let mut places = self.memberships.places(&id).into_iter();
            if let Some((place, _)) = places.find(|(place, _)| self.memberships.is_last_owner(place, &id)) {
                let message = format!("{place} would be left without an owner who may sign in");
                return Err(Error::new(ErrorKind::LastOwner, message));
            }
        }
        match self.end_now(context, id, end).await {
            Ok(changed) if end == End::Disabled && !force => {
                self.check_owners_again(context, id).await?;
                Ok(changed.change_seq)
            }
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                let mut pending = self.pending.lock();
                let ends = pending.entry(id).or_default();
                // One of each, however often it is asked for.
                ends.retain(|(other, _)| *other != end);
                ends.push((end, context.clone()));
                drop(pending);
                let message = "the store cannot be reached: it holds on this node, which goes on to store it";
                Err(Error::new(ErrorKind::RevokedHere, message).caused_by(error))
            }
            ended => ended.map(|changed| changed.change_seq),
        }
    }

    /// Lets somebody in again if a tenant has no other owner who may sign in: another node may have disabled the other
    /// one at the same time. Of two such changes, the one that stands later in the log sees the other.
    async fn check_owners_again(&self, context: &RequestContext, id: OperatorId) -> Result<()> {
        // Without the store nothing is learned; what was decided from memory stays.
        if self.keystore.catch_up().await.is_err() {
            return Ok(());
        }
        let mut places = self.memberships.places(&id).into_iter();
        if let Some((place, _)) = places.find(|(place, _)| self.memberships.is_last_owner(place, &id)) {
            self.enable(context, id).await?;
            return Err(Error::new(
                ErrorKind::LastOwner,
                format!("{place} would be left without an owner who may sign in"),
            ));
        }
        Ok(())
    }

    /// Lets somebody in again who was disabled. The sign-ins that had ended by that, or were to end, stay so.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn enable(&self, context: &RequestContext, id: OperatorId) -> Result<u64> {
        let is_pending = self.is_pending(&id, |end| end == End::Disabled);
        // What is being stored at this moment would disable them again.
        let _turn = if is_pending { Some(self.storing.lock().await) } else { None };
        let disabled_at = self.pending.lock().get(&id).and_then(|ends| {
            let disabled = ends.iter().find(|(end, _)| *end == End::Disabled);
            disabled.map(|(_, context)| context.at)
        });
        let (by, now) = (context.clone(), self.keystore.now());
        let change = move |found: Found<Account>| {
            let mut account = found.usable()?.ok_or_else(gone)?;
            let was_disabled = std::mem::replace(&mut account.state, AccountState::Active) == AccountState::Disabled;
            // The store may not know yet that they were disabled, which ends sign-ins too.
            let is_ended = disabled_at.is_some_and(|at| account.end_begun_by(at));
            if !was_disabled && !is_ended {
                return Ok(Edit::Keep(()));
            }
            account.attribute(&by, now);
            Ok(Edit::Write(account, ()))
        };
        let changed = self.keystore.change_held(&self.held, context, AuditAction::OperatorEnable, id, change).await?;
        if let Some(at) = disabled_at {
            self.settle(&id, End::Disabled, at);
        }
        Ok(changed.change_seq)
    }

    /// Forgets what was stored, unless it was asked for again since.
    fn settle(&self, id: &OperatorId, end: End, asked_at: DateTime<Utc>) {
        let mut pending = self.pending.lock();
        if let Some(ends) = pending.get_mut(id) {
            ends.retain(|(other, context)| *other != end || context.at != asked_at);
        }
        pending.retain(|_, ends| !ends.is_empty());
    }

    /// Goes on to store what the store could not take, until dropped.
    pub async fn follow(&self) {
        loop {
            tokio::time::sleep(jitter::around(END_AGAIN)).await;
            let pending: Vec<_> = self.pending.lock().clone().into_iter().collect();
            for (id, (end, context)) in
                pending.into_iter().flat_map(|(id, ends)| ends.into_iter().map(move |e| (id, e)))
            {
                // Somebody may have been let in again meanwhile.
                let _turn = self.storing.lock().await;
                if !self.is_pending(&id, |other| other == end) {
                    continue;
                }
                match self.end_now(&context, id, end).await {
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        tracing::debug!(operator = %id, "sign-ins are refused, and not ended yet: {error:?}");
                    }
                    _ => self.settle(&id, end, context.at),
                }
            }
        }
    }

    async fn end_now(&self, context: &RequestContext, id: OperatorId, end: End) -> Result<Changed<()>> {
        let action = match end {
            End::Login(_) => AuditAction::OperatorSignOut,
            End::All => AuditAction::OperatorEndSessions,
            End::Disabled => AuditAction::OperatorDisable,
        };
        let (by, now) = (context.clone(), self.keystore.now());
        let change = move |found: Found<Account>| {
            let mut account = found.usable()?.ok_or_else(gone)?;
            let is_other = match end {
                End::Login(sid) => account.end(Some(&sid)),
                End::All => account.end_begun_by(by.at),
                End::Disabled => {
                    let was_active = std::mem::replace(&mut account.state, AccountState::Disabled);
                    account.end(None) || was_active == AccountState::Active
                }
            };
            if !is_other {
                return Ok(Edit::Keep(()));
            }
            account.attribute(&by, now);
            Ok(Edit::Write(account, ()))
        };
        self.keystore.change_held(&self.held, context, action, id, change).await
    }

    pub(super) fn is_ended(&self, id: &OperatorId, login: &Login) -> bool {
        let pending = self.pending.lock();
        let ends = |(end, context): &(End, RequestContext)| match end {
            End::Login(sid) => *sid == login.sid,
            End::All => login.created_at <= context.at,
            End::Disabled => true,
        };
        pending.get(id).is_some_and(|pending| pending.iter().any(ends))
    }

    pub(super) fn is_pending(&self, id: &OperatorId, is: impl Fn(End) -> bool) -> bool {
        self.pending.lock().get(id).is_some_and(|ends| ends.iter().any(|(end, _)| is(*end)))
    }
}
