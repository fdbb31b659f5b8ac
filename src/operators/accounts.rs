//! Those who have signed in: who presents a token, and what they may do now.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

use super::account::{AccountState, End};
use super::id::LoginId;
use super::rights::PersonRights;
use super::token::{SessionClaims, TokenFault, TokenType};
use super::{Account, Mapping, Memberships, OperatorId, Role, Scope, Signers};
use crate::documents::RequestContext;
use crate::error::{Error, ErrorKind, Result};
use crate::key::SignerId;
use crate::keystore::Keystore;
use crate::sync::Held;

/// Who is let in without a document that says so, and for how long.
#[derive(Debug, Clone)]
pub struct SignInPolicy {
    /// Roles by groups of providers.
    pub mappings: Vec<Mapping>,
    /// Those who administer the platform.
    pub platform_admins: Vec<OperatorId>,
    /// How long a sign-in lasts.
    pub lasts: TimeDelta,
}

/// What ends, and who asked for it.
type Pending = BTreeMap<OperatorId, Vec<(End, RequestContext)>>;

/// Those who have signed in, in memory; the documents in the bucket decide.
#[derive(Clone)]
pub struct Accounts {
    pub(super) keystore: Keystore,
    pub(super) held: Arc<Held<Account>>,
    pub(super) memberships: Memberships,
    pub(super) signers: Signers,
    pub(super) policy: Arc<SignInPolicy>,
    /// What the store could not take yet. It holds on this node.
    pub(super) pending: Arc<Mutex<Pending>>,
    /// Of that, one is stored at a time, and not while somebody is let in again.
    pub(super) storing: Arc<tokio::sync::Mutex<()>>,
}

/// Who presents a token.
#[derive(Debug, Clone)]
pub struct Person {
    /// Who.
    pub id: OperatorId,
    /// By which sign-in.
    pub sid: LoginId,
    /// The roles.
    pub rights: PersonRights,
    /// The document.
    pub account: Arc<Account>,
    /// The token.
    pub token: KnownToken,
}

/// What a good token says, without the token.
#[derive(Debug, Clone)]
pub struct KnownToken {
    id: OperatorId,
    sid: LoginId,
    signer: SignerId,
    /// The first instant at which it is no good.
    pub until: DateTime<Utc>,
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotIn {
    /// Another node may know it: look at the log, and ask again.
    Unseen,
    /// It is no good.
    Refused,
}

impl Accounts {
    /// The accounts that `held` has, changed through `keystore`, which must hold the same.
    pub fn new(
        keystore: Keystore,
        held: Arc<Held<Account>>,
        memberships: Memberships,
        signers: Signers,
        policy: SignInPolicy,
    ) -> Self {
        let policy = Arc::new(policy);
        Self { keystore, held, memberships, signers, policy, pending: Arc::default(), storing: Arc::default() }
    }

    /// What signs tokens.
    pub fn signers(&self) -> &Signers {
        &self.signers
    }

    /// Who presents a token that comes in `Authorization`. From memory.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn recognise(&self, token: &str) -> Result<Person, NotIn> {
        self.recognise_as(TokenType::Operator, token)
    }

    fn recognise_as(&self, kind: TokenType, token: &str) -> Result<Person, NotIn> {
        let verified = self.signers.verify_signed(kind, token).map_err(|fault| match fault {
            TokenFault::Signer => NotIn::Unseen,
            _ => NotIn::Refused,
        });
        let (signer, SessionClaims { sub, sid, exp, .. }) = verified?;
        let until = DateTime::from_timestamp(exp, 0).ok_or(NotIn::Refused)?;
        self.recognise_again(KnownToken { id: sub, sid, signer, until })
    }

    /// Who has presented a token that was good when it was presented, if it still is. From memory.
    ///
    /// # Errors
    /// Why it is refused now.
    pub fn recognise_again(&self, token: KnownToken) -> Result<Person, NotIn> {
        let (id, sid, now) = (token.id, token.sid, self.keystore.now());
        if token.until <= now || !self.signers.hold(&token.signer) {
            return Err(NotIn::Refused);
        }
        let account = self.held.get(&id).ok_or(NotIn::Unseen)?;
        if account.state == AccountState::Disabled {
            return Err(NotIn::Refused);
        }
        let login = account.login(&sid, now).ok_or(NotIn::Unseen)?;
        if self.is_ended(&id, login) {
            return Err(NotIn::Refused);
        }
        let mapped = login.mapped.iter().map(|mapped| (mapped.scope(), mapped.role())).collect();
        let rights = self.rights(id, mapped);
        Ok(Person { id, sid, rights, account, token })
    }

    pub(super) fn rights(&self, id: OperatorId, mut mapped: Vec<(Scope, Role)>) -> PersonRights {
        if self.policy.platform_admins.contains(&id) {
            mapped.push((Scope::Platform, Role::PlatformAdmin));
        }
        mapped.retain(|(scope, _)| scope.tenant().is_none_or(|tenant| self.keystore.tenant(tenant).is_ok()));
        PersonRights { id, granted: self.memberships.places(&id), mapped }
    }

    /// All who have signed in, in order of id.
    pub fn list(&self) -> Vec<(OperatorId, Arc<Account>)> {
        self.held.all()
    }

    /// Somebody who has signed in, also on another node a moment ago.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Unavailable`] when it is not known here and the store does not answer.
    pub async fn show(&self, id: &OperatorId) -> Result<Arc<Account>> {
        if self.held.get(id).is_none() {
            self.keystore.catch_up().await?;
        }
        self.held.get(id).ok_or_else(gone)
    }

    /// Somebody who has signed in, as this node knows it.
    pub fn known(&self, id: &OperatorId) -> Option<Arc<Account>> {
        self.held.get(id)
    }

    /// The roles that hold for somebody without a sign-in of their own: those of documents and of the configuration.
    pub fn lasting_rights(&self, id: OperatorId) -> PersonRights {
        self.rights(id, Vec::new())
    }
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts").field("policy", &self.policy).finish_non_exhaustive()
    }
}

pub(super) fn gone() -> Error {
    Error::new(ErrorKind::NotFound, "there is no such operator, or it has never signed in")
}
