//! The key that signs in this process, and the public halves of all.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::RwLock;
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::Signer;
use super::token::{self, Claims, TokenFault, TokenType};
use crate::documents::{Edit, Found, RequestContext};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{Actor, SignerId, secret};
use crate::keystore::Keystore;
use crate::sync::{AuditAction, Held};

/// How long a key signs.
const SIGNS_FOR: TimeDelta = TimeDelta::hours(24);

/// Signs tokens, and checks those that any node has signed.
#[derive(Clone)]
pub struct Signers {
    keystore: Keystore,
    held: Arc<Held<Signer>>,
    /// Who issues tokens.
    issuer: Arc<str>,
    /// The longest time that a token holds.
    longest: TimeDelta,
    own: Arc<RwLock<Option<SigningKey>>>,
    /// One key is made at a time.
    making: Arc<tokio::sync::Mutex<()>>,
}

/// The key that signs in this process, and goes on to do so whatever becomes of the store.
#[derive(Clone)]
pub(super) struct SigningKey {
    id: SignerId,
    pair: Arc<Ed25519KeyPair>,
    signs_until: DateTime<Utc>,
}

impl SigningKey {
    /// Signs a token.
    pub(super) fn sign(&self, kind: TokenType, claims: &impl Claims) -> String {
        token::sign(kind, &self.id, &self.pair, claims)
    }
}

impl Signers {
    /// The signers that `held` has, changed through `keystore`, which must hold the same. Tokens name `issuer`, and
    /// hold no longer than `longest`.
    pub fn new(keystore: Keystore, held: Arc<Held<Signer>>, issuer: &str, longest: TimeDelta) -> Self {
        Self { keystore, held, issuer: issuer.into(), longest, own: Arc::default(), making: Arc::default() }
    }

    /// Who issues tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// All signers that this node knows, in order of id.
    pub fn list(&self) -> Vec<(SignerId, Arc<Signer>)> {
        self.held.all()
    }

    /// The key that signs, to be had before something is changed that a token must follow. The first one, and the first
    /// one after a day, is made here, and its public half is durable then.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when there is no key yet and the store does not answer.
    pub(super) async fn key(&self) -> Result<SigningKey> {
        match self.own() {
            Some(own) => Ok(own),
            None => self.make().await,
        }
    }

    /// Signs a token with the key that [`Signers::key`] gives.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when there is no key yet and the store does not answer.
    pub async fn sign(&self, kind: TokenType, claims: &impl Claims) -> Result<String> {
        Ok(self.key().await?.sign(kind, claims))
    }

    /// Checks a token.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn verify<C: Claims>(&self, kind: TokenType, text: &str) -> Result<C, TokenFault> {
        self.verify_signed(kind, text).map(|(_, claims)| claims)
    }

    /// The same, with the signer.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub(super) fn verify_signed<C: Claims>(&self, kind: TokenType, text: &str) -> Result<(SignerId, C), TokenFault> {
        token::verify(kind, text, &self.issuer, self.keystore.now(), |id| self.held.get(id))
    }

    /// Whether what a signer has signed holds.
    pub(super) fn hold(&self, id: &SignerId) -> bool {
        self.held.get(id).is_some()
    }

    /// Drops a signer: nothing that it has signed holds any more.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn drop_signer(&self, context: &RequestContext, id: SignerId) -> Result<u64> {
        let is_stored = !matches!(self.held.documents().read(&id).await?.found, Found::Absent);
        if !is_stored && self.held.get(&id).is_none() {
            return Err(Error::new(ErrorKind::NotFound, "there is no such signer, or it is dropped already"));
        }
        self.keystore.remove_held(&self.held, context, AuditAction::SignerDrop, id).await
    }

    /// The key of this process, unless it has signed long enough, or somebody has dropped it.
    fn own(&self) -> Option<SigningKey> {
        let own = self.own.read().clone()?;
        (self.keystore.now() < own.signs_until && self.held.get(&own.id).is_some()).then_some(own)
    }

    async fn make(&self) -> Result<SigningKey> {
        let _turn = self.making.lock().await;
        if let Some(own) = self.own() {
            return Ok(own);
        }
        let pair = generate()?;
        let (now, public) = (self.keystore.now(), pair.public_key().as_ref());
        let (id, signs_until) = (SignerId::of(public), now + SIGNS_FOR);
        let context = RequestContext::new(Actor::System, now);
        let node_id = self.keystore.replica().node_id();
        let signer = Signer::new(public, node_id, now, [signs_until, signs_until + self.longest], &context);
        let create = move |found| match found {
            Found::Absent => Ok(Edit::Write(signer.clone(), ())),
            Found::Usable(_) | Found::Unusable(_) => Err(Error::new(ErrorKind::Internal, "the id is taken")),
        };
        self.keystore.change_held(&self.held, &context, AuditAction::SignerAdd, id, create).await?;
        let own = SigningKey { id, pair: Arc::new(pair), signs_until };
        *self.own.write() = Some(own.clone());
        self.forget_expired(&context).await;
        Ok(own)
    }

    /// Removes the signers that nothing depends on any more.
    async fn forget_expired(&self, context: &RequestContext) {
        for (id, signer) in self.held.all() {
            if signer.expires_at <= context.at
                && let Err(error) = self.keystore.remove_held(&self.held, context, AuditAction::SignerDrop, id).await
            {
                tracing::debug!(%id, "an expired signer is not removed yet: {error:?}");
            }
        }
    }
}

fn generate() -> Result<Ed25519KeyPair> {
    let seed = secret::seed().map_err(|error| Error::new(ErrorKind::Internal, "no randomness").caused_by(error))?;
    Ed25519KeyPair::from_seed_unchecked(&*seed).map_err(|_| Error::new(ErrorKind::Internal, "no key could be made"))
}

impl fmt::Debug for Signers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signers({})", self.issuer)
    }
}
