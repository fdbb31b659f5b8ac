//! Signing in, and exchanging a handoff for a token.

use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::account::{AccountState, End, HANDOFF_LASTS, NewLogin};
use super::id::LoginId;
use super::token::{AUDIENCE, SessionClaims, TokenFault, TokenType};
use super::{Account, Accounts, Identity, OperatorId};
use crate::documents::{Edit, Found, RequestContext};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{Actor, Digest, Label};
use crate::sync::AuditAction;

/// Who has signed in, and how it goes on.
#[derive(Debug)]
pub struct SignedIn {
    /// Who.
    pub id: OperatorId,
    /// What the browser gets: the cookie of the console, or a handoff.
    pub token: String,
    /// The first instant at which the sign-in has ended.
    pub expires_at: DateTime<Utc>,
    /// The number of the change in the log.
    pub change_seq: u64,
}

/// Where somebody signs in from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The address, where it is known.
    pub address: Option<IpAddr>,
    /// The program, in its own words.
    pub user_agent: Option<String>,
    /// What must be presented with a handoff; nothing for the console, whose cookie is the token.
    pub proof: Option<Digest>,
}

/// Whether somebody is let in.
#[derive(Debug)]
pub enum Entry {
    /// Yes.
    In(SignedIn),
    /// No: there is no role, no invitation and no group for this operator, or it is disabled.
    NotAllowed(OperatorId),
}

impl Accounts {
    /// Lets somebody in whom a provider has recognised, if there is a reason to: accepts the invitations to the
    /// verified address, and begins a sign-in.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for an identity that is none, [`ErrorKind::Corrupt`] when the document cannot be read,
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn sign_in(&self, context: &RequestContext, identity: Identity, origin: Origin) -> Result<Entry> {
        let id = identity.id().map_err(|error| Error::invalid(error.to_string()))?;
        let mut context = context.clone();
        context.actor = Actor::Named(Label::parse(&id.to_string()).map_err(|error| Error::invalid(error.to_string()))?);
        // A role or an invitation may be a moment old, and an operator may just have been disabled.
        self.keystore.catch_up().await?;
        let is_disabled = |account: Arc<Account>| account.state == AccountState::Disabled;
        if self.held.get(&id).is_some_and(is_disabled) || self.is_pending(&id, |end| end == End::Disabled) {
            return Ok(Entry::NotAllowed(id));
        }
        if let Some(email) = &identity.email {
            for invitation in self.memberships.invited(email) {
                match self.memberships.accept(&context, invitation, email.clone(), id).await {
                    Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
                    Err(error) => tracing::warn!(operator = %id, "an invitation cannot be accepted: {error:?}"),
                    Ok(()) => {}
                }
            }
        }
        let mapped = identity.mapped(&self.policy.mappings);
        let rights = self.rights(id, mapped.clone().into_iter().collect());
        if rights.granted.is_empty() && rights.mapped.is_empty() {
            return Ok(Entry::NotAllowed(id));
        }
        let key = self.signers.key().await?;
        let (now, lasts) = (self.keystore.now(), self.policy.lasts);
        let kind = if origin.proof.is_some() { TokenType::Handoff } else { TokenType::Console };
        let new =
            NewLogin { lasts, address: origin.address, user_agent: origin.user_agent, mapped, proof: origin.proof };
        let by = context.clone();
        let change = move |found: Found<Account>| {
            let mut account = found.usable()?.unwrap_or_else(|| Account::new(&identity));
            if account.state == AccountState::Disabled {
                return Ok(Edit::Keep(None));
            }
            let sid = account.sign_in(&identity, new.clone(), now);
            account.attribute(&by, now);
            Ok(Edit::Write(account, Some(sid)))
        };
        let changed = self.keystore.change_held(&self.held, &context, AuditAction::OperatorSignIn, id, change).await?;
        let Some(sid) = *changed.value else { return Ok(Entry::NotAllowed(id)) };
        let ends = if kind == TokenType::Handoff { now + HANDOFF_LASTS } else { now + lasts };
        let token = key.sign(kind, &self.claims(id, sid, now, ends));
        Ok(Entry::In(SignedIn { id, token, expires_at: now + lasts, change_seq: changed.change_seq }))
    }

    /// Exchanges a handoff for a token, once.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for one that is no good, any more or with this proof; [`ErrorKind::Unavailable`] when
    /// the store does not answer.
    pub async fn exchange(
        &self,
        context: &RequestContext,
        handoff: &str,
        proofs: &[Digest],
    ) -> Result<(SignedIn, Arc<Account>)> {
        let gone = || Error::new(ErrorKind::NotFound, "the handoff is not valid, or no longer");
        let claims = match self.signers.verify::<SessionClaims>(TokenType::Handoff, handoff) {
            Err(TokenFault::Signer) => {
                self.keystore.catch_up().await?; // Another node has made it.
                self.signers.verify(TokenType::Handoff, handoff).map_err(|_| gone())?
            }
            verified => verified.map_err(|_| gone())?,
        };
        let (id, sid, now) = (claims.sub, claims.sid, self.keystore.now());
        let mut context = context.clone();
        context.actor = Actor::Named(Label::parse(&id.to_string()).map_err(|error| Error::invalid(error.to_string()))?);
        // A handoff that is used up without a token would be lost.
        let key = self.signers.key().await?;
        let (by, proofs) = (context.clone(), proofs.to_vec());
        let change = move |found: Found<Account>| {
            let mut account = found.usable()?.ok_or_else(gone)?;
            if !proofs.iter().any(|proof| account.take_handoff(&sid, proof, now)) {
                return Err(gone());
            }
            account.attribute(&by, now);
            Ok(Edit::Write(account.clone(), account))
        };
        // Signing in is logged already; this tells the other nodes that the handoff is used.
        let changed = self.keystore.change_held(&self.held, &context, None, id, change).await?;
        let expires_at = changed.value.login(&sid, now).ok_or_else(gone)?.expires_at;
        let token = key.sign(TokenType::Operator, &self.claims(id, sid, now, expires_at));
        Ok((SignedIn { id, token, expires_at, change_seq: changed.change_seq }, changed.value))
    }

    fn claims(&self, sub: OperatorId, sid: LoginId, now: DateTime<Utc>, ends: DateTime<Utc>) -> SessionClaims {
        let (iss, aud, iat) = (self.signers.issuer().to_owned(), AUDIENCE.to_owned(), now.timestamp());
        SessionClaims { iss, aud, sub, sid, iat, nbf: iat, exp: ends.timestamp() }
    }
}
