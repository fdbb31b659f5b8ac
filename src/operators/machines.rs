//! Making, changing and recognising machines.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

use super::checks::{self, Revisions};
use super::machine::MachinePlace;
use super::{Ceiling, Machine, Role, Scope};
use crate::documents::{Edit, Found, RequestContext};
use crate::error::{Error, ErrorKind, Result};
use crate::jitter;
use crate::key::{Digest, Label, MachineId, Networks, PlainSecret};
use crate::keystore::{Changed, Keystore};
use crate::sync::{AuditAction, Held};

/// How long a machine lasts unless its maker says otherwise.
const DEFAULT_LIFETIME: TimeDelta = TimeDelta::days(90);
/// How long a machine lasts at most.
const MAX_LIFETIME: TimeDelta = TimeDelta::days(400);
/// The pause before a removal is tried again that the store could not take.
const REMOVE_AGAIN: Duration = Duration::from_secs(1);
/// How many machines a tenant may have, and the platform.
const MAX_MACHINES: usize = 1000;

/// All machines, in memory; the documents in the bucket decide.
#[derive(Debug, Clone)]
pub struct Machines {
    keystore: Keystore,
    held: Arc<Held<Machine>>,
    /// Those whose removal the store could not take, and who asked for it. They are refused here.
    refused: Arc<Mutex<BTreeMap<MachinePlace, MachineRequest>>>,
    /// One name is given at a time.
    naming: Arc<tokio::sync::Mutex<()>>,
}

/// Who asks for a change, and on which terms.
#[derive(Debug, Clone)]
pub struct MachineRequest {
    /// What the document and the change log record.
    pub context: RequestContext,
    /// Up to which role the caller manages machines.
    pub ceiling: Ceiling,
    /// The revisions of the document that the change is for.
    pub revisions: Revisions,
}

/// A machine that is to be made.
#[derive(Debug, Clone)]
pub struct NewMachine {
    /// What people call it; unique among the machines there that this node knows.
    pub name: Label,
    /// What it may do.
    pub role: Role,
    /// The networks from which it is accepted.
    pub allowed_cidrs: Networks,
    /// How long it lasts; 90 days by default, 400 at most.
    pub lifetime: Option<TimeDelta>,
}

/// What is changed of a machine; `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct MachinePatch {
    /// What people call it.
    pub name: Option<Label>,
    /// What it may do.
    pub role: Option<Role>,
    /// The networks from which it is accepted.
    pub allowed_cidrs: Option<Networks>,
    /// How long it lasts from now.
    pub lifetime: Option<TimeDelta>,
}

/// A machine with the token that was just made for it.
#[derive(Debug)]
pub struct WithToken {
    /// The machine.
    pub machine: Arc<Machine>,
    /// Its token, to be shown once.
    pub token: PlainSecret,
    /// The number of the change in the log.
    pub change_seq: u64,
}

impl Machines {
    /// The machines that `held` has, changed through `keystore`, which must hold the same.
    pub fn new(keystore: Keystore, held: Arc<Held<Machine>>) -> Self {
        Self { keystore, held, refused: Arc::default(), naming: Arc::default() }
    }

    /// The machine that has a token at an instant. From memory. A token that two machines have is accepted of neither.
    pub fn recognise(&self, token: &Digest, now: DateTime<Utc>) -> Option<(MachinePlace, Arc<Machine>)> {
        let found = self.held.find(token.table_hash()).into_iter();
        let mut found = found.filter_map(|(place, machine)| Some((machine.accepted_until(token)?, place, machine)));
        let (until, place, machine) = found.next()?;
        let is_good = found.next().is_none() && now < until && !self.refused.lock().contains_key(&place);
        is_good.then_some((place, machine))
    }

    /// The machines there, in order of id.
    pub fn list(&self, scope: &Scope) -> Vec<(MachineId, Arc<Machine>)> {
        let all = self.held.all().into_iter();
        all.filter(|(place, _)| place.scope == *scope).map(|(place, machine)| (place.id, machine)).collect()
    }

    /// A machine, also one that another node made a moment ago.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::TenantDeleted`]; [`ErrorKind::Unavailable`] when it is not known here and
    /// the store does not answer.
    pub async fn show(&self, scope: &Scope, id: MachineId) -> Result<Arc<Machine>> {
        checks::tenant(&self.keystore, scope).await?;
        let place = MachinePlace { scope: scope.clone(), id };
        if self.held.get(&place).is_none() {
            self.keystore.catch_up().await?;
        }
        self.held.get(&place).ok_or_else(gone)
    }

    /// Makes a machine, and its token. It works once this returns, and not before it is durable.
    ///
    /// # Errors
    /// [`ErrorKind::RoleNotAllowed`] for a role above the caller's ceiling; [`ErrorKind::Invalid`] for one that does
    /// not fit, a lifetime beyond the longest or a name that is taken,
    /// [`ErrorKind::NotFound`] without such a tenant, [`ErrorKind::Unavailable`] when the store does not answer: the
    /// machine may then exist, but its token is lost.
    pub async fn create(
        &self,
        MachineRequest { context, ceiling, .. }: &MachineRequest,
        scope: Scope,
        new: NewMachine,
    ) -> Result<(MachineId, WithToken)> {
        checks::tenant(&self.keystore, &scope).await?;
        check_role(new.role, &scope)?;
        check_reach(*ceiling, new.role)?;
        let _turn = self.naming.lock().await;
        let known = self.list(&scope);
        if known.len() >= MAX_MACHINES {
            return Err(Error::invalid(format!("there are {MAX_MACHINES} machines already: remove some")));
        }
        check_name(&known, &new.name, None)?;
        let now = self.keystore.now();
        let token = generate()?;
        let expires_at = now + lifetime(new.lifetime.unwrap_or(DEFAULT_LIFETIME))?;
        let mut machine = Machine::new(new.name, new.role, (token.digest(), token.hint()), expires_at);
        machine.allowed_cidrs = new.allowed_cidrs;
        machine.created_by = Some(context.actor.clone());
        machine.created_at = Some(now);
        machine.attribute(context, now);
        let id = MachineId::random();
        let place = MachinePlace { scope, id };
        let created = self.change(context, AuditAction::MachineCreate, place, move |found| match found {
            Found::Absent => Ok(machine.clone()),
            Found::Usable(_) | Found::Unusable(_) => Err(Error::new(ErrorKind::Internal, "the id is taken")),
        });
        let Changed { value, change_seq } = created.await?;
        Ok((id, WithToken { machine: value, token, change_seq }))
    }

    /// Changes a machine. Its token stays.
    ///
    /// # Errors
    /// As for [`Machines::create`]; [`ErrorKind::Corrupt`] when its document cannot be read;
    /// [`ErrorKind::PreconditionFailed`] when it has another revision.
    pub async fn update(
        &self,
        request: &MachineRequest,
        scope: &Scope,
        id: MachineId,
        patch: MachinePatch,
    ) -> Result<Changed<Machine>> {
        self.show(scope, id).await?;
        if let Some(role) = patch.role {
            check_role(role, scope)?;
            check_reach(request.ceiling, role)?;
        }
        let _turn = self.naming.lock().await;
        if let Some(name) = &patch.name {
            check_name(&self.list(scope), name, Some(id))?;
        }
        let now = self.keystore.now();
        let expires_at = patch.lifetime.map(lifetime).transpose()?.map(|lifetime| now + lifetime);
        let asked = request.clone();
        let place = MachinePlace { scope: scope.clone(), id };
        self.change(&request.context, AuditAction::MachineUpdate, place, move |found| {
            let mut machine = asked.usable(found)?;
            if let Some(name) = patch.name.clone() {
                machine.name = name;
            }
            machine.role = patch.role.unwrap_or(machine.role);
            if let Some(networks) = patch.allowed_cidrs.clone() {
                machine.allowed_cidrs = networks;
            }
            machine.expires_at = expires_at.unwrap_or(machine.expires_at);
            machine.attribute(&asked.context, now);
            Ok(machine)
        })
        .await
    }

    /// Gives a machine a new token. The one that it has works until `overlap` has passed.
    ///
    /// # Errors
    /// As for [`Machines::update`]; [`ErrorKind::TooManySecrets`]; [`ErrorKind::Invalid`] for an overlap beyond the
    /// longest lifetime.
    pub async fn rotate(
        &self,
        request: &MachineRequest,
        scope: &Scope,
        id: MachineId,
        overlap: TimeDelta,
    ) -> Result<WithToken> {
        self.show(scope, id).await?;
        if !(TimeDelta::zero()..=MAX_LIFETIME).contains(&overlap) {
            return Err(Error::invalid("the overlap must be between 0 and 400 days"));
        }
        let token = generate()?;
        let (digest, hint, now, asked) = (token.digest(), token.hint(), self.keystore.now(), request.clone());
        let place = MachinePlace { scope: scope.clone(), id };
        let rotated = self.change(&request.context, AuditAction::MachineRotate, place, move |found| {
            let mut machine = asked.usable(found)?;
            if !machine.rotate((digest, hint), now, now + overlap) {
                let message = "four older tokens of the machine still work: rotate with an overlap of 0, or wait";
                return Err(Error::new(ErrorKind::TooManySecrets, message));
            }
            machine.attribute(&asked.context, now);
            Ok(machine)
        });
        let Changed { value, change_seq } = rotated.await?;
        Ok(WithToken { machine: value, token, change_seq })
    }

    /// Removes a machine, also one whose document cannot be read: its tokens are refused here at once, and on other
    /// nodes within a poll.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::TenantDeleted`], [`ErrorKind::PreconditionFailed`],
    /// [`ErrorKind::RoleNotAllowed`]. When the store does not answer: [`ErrorKind::RevokedHere`] when this node refuses
    /// it already, [`ErrorKind::Unavailable`] when it does not know it, or was given a revision.
    pub async fn remove(&self, request: &MachineRequest, scope: &Scope, id: MachineId) -> Result<u64> {
        checks::tenant(&self.keystore, scope).await?;
        let place = MachinePlace { scope: scope.clone(), id };
        let known = self.held.get(&place);
        match self.remove_now(request, &place).await {
            // What is not known, or has perhaps another revision, is not refused on suspicion.
            Err(error) if error.kind() == ErrorKind::Unavailable && request.revisions.is_none() && known.is_some() => {
                known.map_or(Ok(()), |machine| check_reach(request.ceiling, machine.role))?;
                self.refused.lock().insert(place, request.clone());
                let message = "the store cannot be reached: this node refuses the machine, and goes on to remove it";
                Err(Error::new(ErrorKind::RevokedHere, message).caused_by(error))
            }
            removed => removed,
        }
    }

    /// Goes on to remove what the store could not take, until dropped.
    pub async fn follow(&self) {
        loop {
            tokio::time::sleep(jitter::around(REMOVE_AGAIN)).await;
            let refused: Vec<_> = self.refused.lock().clone().into_iter().collect();
            for (place, request) in refused {
                match self.remove_now(&request, &place).await {
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        tracing::debug!(machine = %place, "a machine is refused, and not removed yet: {error:?}");
                    }
                    _ => _ = self.refused.lock().remove(&place),
                }
            }
        }
    }

    async fn remove_now(&self, request: &MachineRequest, place: &MachinePlace) -> Result<u64> {
        let known = self.held.get(place);
        match self.held.documents().read(place).await?.found {
            // Removed by hand, or by a node that was killed before it had logged that: other nodes have it too.
            Found::Absent => request.check_known(known.ok_or_else(removed)?.role)?,
            Found::Usable(machine) => request.check(&machine)?,
            // What it may do is not known.
            Found::Unusable(_) => request.check_known(known.map_or(Role::Admin, |machine| machine.role))?,
        }
        self.keystore.remove_held(&self.held, &request.context, AuditAction::MachineRevoke, place.clone()).await
    }

    async fn change(
        &self,
        context: &RequestContext,
        action: AuditAction,
        place: MachinePlace,
        mut change: impl FnMut(Found<Machine>) -> Result<Machine> + Send + 'static,
    ) -> Result<Changed<Machine>> {
        let edit = move |found| {
            let machine = change(found)?;
            Ok(Edit::Write(machine.clone(), machine))
        };
        self.keystore.change_held(&self.held, context, action, place, edit).await
    }
}

impl MachineRequest {
    fn usable(&self, found: Found<Machine>) -> Result<Machine> {
        let machine = found.usable()?.ok_or_else(gone)?;
        self.check(&machine)?;
        Ok(machine)
    }

    fn check(&self, machine: &Machine) -> Result<()> {
        self.check_known(machine.role)?;
        checks::revision(machine.rev, self.revisions.as_deref(), "this machine")
    }

    fn check_known(&self, role: Role) -> Result<()> {
        check_reach(self.ceiling, role)
    }
}

fn check_reach(ceiling: Ceiling, role: Role) -> Result<()> {
    if ceiling.reaches(role) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::RoleNotAllowed, format!("your role does not manage machines with the role {role}")))
}

fn check_role(role: Role, scope: &Scope) -> Result<()> {
    if role.fits_machine(scope) {
        return Ok(());
    }
    let message = match scope {
        Scope::Platform => "a machine of the platform is platform_viewer or platform_admin",
        Scope::Tenant(_) => "a machine of a tenant is viewer, analyst or admin",
    };
    Err(Error::invalid(message))
}

/// Names are for people: two that are given on two nodes at once may be the same.
fn check_name(known: &[(MachineId, Arc<Machine>)], name: &Label, own: Option<MachineId>) -> Result<()> {
    if known.iter().any(|(id, machine)| machine.name == *name && own != Some(*id)) {
        return Err(Error::new(ErrorKind::DuplicateKeyName, "another machine there has this name"));
    }
    Ok(())
}

fn lifetime(lifetime: TimeDelta) -> Result<TimeDelta> {
    if lifetime > TimeDelta::zero() && lifetime <= MAX_LIFETIME {
        Ok(lifetime)
    } else {
        Err(Error::invalid("a machine lasts between 1 second and 400 days"))
    }
}

fn generate() -> Result<PlainSecret> {
    PlainSecret::generate_machine().map_err(|error| Error::new(ErrorKind::Internal, "no randomness").caused_by(error))
}

fn gone() -> Error {
    Error::new(ErrorKind::NotFound, "there is no such machine")
}

fn removed() -> Error {
    Error::new(ErrorKind::NotFound, "there is no such machine, or it is removed already")
}
