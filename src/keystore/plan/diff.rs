//! The difference between declared keys and the keys that are there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::step::{Declared, Plan, Step};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{ApiKey, Digest, KeyName, KeyPatch};
use crate::keystore::{Change, Rotation};

impl Plan {
    /// Makes the named keys as they are declared, and with `prune` revokes the others. `held` are the live keys of the
    /// tenant; `owner` gives the key of a secret, revoked keys and other tenants included. A key that is declared
    /// to have expired already is not issued.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when a name or a secret is declared twice, or nothing at all and the others shall go;
    /// [`ErrorKind::DuplicateKeyName`] when a live key of that name has another type, or two have it;
    /// [`ErrorKind::DuplicateApiKey`] when another key has a declared secret. Nothing of such a declaration is done.
    pub fn diff(
        declared: Vec<Declared>,
        held: &[Arc<ApiKey>],
        owner: impl Fn(&Digest) -> Option<Arc<ApiKey>>,
        prune: bool,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        if declared.is_empty() && prune {
            return Err(Error::invalid("nothing is declared: that would revoke every key of the tenant"));
        }
        no_secret_twice(&declared)?;
        let mut by_name: BTreeMap<&KeyName, Vec<&Arc<ApiKey>>> = BTreeMap::new();
        held.iter().for_each(|key| by_name.entry(&key.name).or_default().push(key));
        let (mut names, mut steps) = (BTreeSet::new(), Vec::new());
        for declared in declared {
            let name = declared.new.name.clone();
            let key = match by_name.get(&name).map(Vec::as_slice) {
                None | Some([]) => None,
                Some([key]) => Some(*key),
                Some(_) => return Err(taken(format!("two live keys are named {name}: revoke one of them"))),
            };
            steps.extend(step(declared, key, &owner, now)?);
            if let Some(name) = names.replace(name) {
                return Err(Error::invalid(format!("{name} is declared twice")));
            }
        }
        if prune {
            let others = held.iter().filter(|key| !names.contains(&key.name));
            steps.extend(others.map(|key| Step::on(key, Some(Change::Revoke { id: key.key_id }))));
        }
        Ok(Self { steps })
    }

    /// Issues a key for each declared secret that no key has, under another name when a live key has the name; changes
    /// nothing else.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when a secret is declared twice, or a key without any.
    pub fn import(
        declared: Vec<Declared>,
        held: &[Arc<ApiKey>],
        owner: impl Fn(&Digest) -> Option<Arc<ApiKey>>,
    ) -> Result<Self> {
        no_secret_twice(&declared)?;
        let mut names: BTreeSet<KeyName> = held.iter().map(|key| key.name.clone()).collect();
        let mut steps = Vec::new();
        for mut declared in declared {
            let Some((secret, _)) = declared.secret.fixed() else {
                return Err(Error::invalid(format!("{} has no digest to import", declared.new.name)));
            };
            if let Some(key) = owner(&secret.digest) {
                steps.push(Step::on(&key, None));
                continue;
            }
            declared.new.name = free_name(declared.new.name, |name| !names.contains(name));
            names.insert(declared.new.name.clone());
            steps.push(Step::issue(declared));
        }
        Ok(Self { steps })
    }
}

fn step(
    declared: Declared,
    key: Option<&Arc<ApiKey>>,
    owner: impl Fn(&Digest) -> Option<Arc<ApiKey>>,
    now: DateTime<Utc>,
) -> Result<Option<Step>> {
    if let Some((secret, _)) = declared.secret.fixed()
        && let Some(found) = owner(&secret.digest)
        && key.is_none_or(|key| (&key.tenant, key.key_id) != (&found.tenant, found.key_id))
    {
        let message = format!("another key has the secret that is declared for {}", declared.new.name);
        return Err(Error::new(ErrorKind::DuplicateApiKey, message));
    }
    let Some(key) = key else {
        let expired = declared.expires_at.flatten().is_some_and(|end| end <= now);
        return Ok((!expired).then(|| Step::issue(declared)));
    };
    if key.key_type != declared.new.key_type {
        let (name, key_type) = (&key.name, key.key_type);
        return Err(taken(format!("{name} is of type {key_type}, which never changes: choose another name")));
    }
    let rotation = declared.secret.fixed().filter(|(secret, _)| secret.digest != key.digest);
    let patch = KeyPatch {
        settings: declared.new.settings.into(),
        active: declared.active,
        // One that the key has already may be past, or later than its tenant allows by now.
        expires_at: declared.expires_at.filter(|end| *end != key.expires_at),
        end_overlap: false,
    };
    let rotation = rotation.map(|(secret, overlap)| Rotation { secret, overlap });
    let (is_rotated, expected_rev) = (rotation.is_some(), Some(key.rev));
    let update = Change::Update { id: key.key_id, patch: Box::new(patch), rotation, expected_rev };
    let step = Step::on(key, Some(update));
    let differs = is_rotated || step.patched().is_some_and(|patched| patched != **key);
    Ok(differs.then_some(step))
}

fn taken(message: String) -> Error {
    Error::new(ErrorKind::DuplicateKeyName, message)
}

fn no_secret_twice(declared: &[Declared]) -> Result<()> {
    let mut seen = BTreeMap::new();
    for declared in declared {
        let Some((secret, _)) = declared.secret.fixed() else { continue };
        if let Some(first) = seen.insert(secret.digest.to_document(), &declared.new.name) {
            return Err(Error::invalid(format!("{first} and {} are declared with one secret", declared.new.name)));
        }
    }
    Ok(())
}

/// The name, or the first of `name (2)`, `name (3)` … that is free.
fn free_name(name: KeyName, free: impl Fn(&KeyName) -> bool) -> KeyName {
    if free(&name) {
        return name;
    }
    let numbered = |number: usize| {
        let suffix = format!(" ({number})");
        let head: String = name.as_str().chars().take(KeyName::MAX_CHARS - suffix.len()).collect();
        KeyName::parse(&format!("{head}{suffix}")).ok()
    };
    (2..usize::MAX).filter_map(numbered).find(|name| free(name)).unwrap_or(name)
}
