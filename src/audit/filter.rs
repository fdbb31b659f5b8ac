//! Which records are wanted.

use chrono::{DateTime, TimeDelta, Utc};

use super::record::Record;
use crate::error::{Error, Result};
use crate::key::TenantId;
use crate::sync::log::LogEntry;
use crate::sync::{AuditAction, AuditOutcome};

/// Clocks of nodes differ: entries of one time stand no farther apart in the log.
const DISORDER: TimeDelta = TimeDelta::hours(1);
/// The longest word of a filter, in bytes.
const MAX_WORD: usize = 256;

/// Whose records are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditScope {
    /// All there are.
    All,
    /// Those of what belongs to one tenant.
    Tenant(TenantId),
}

/// Which records of those are wanted: without anything, all.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Of this instant and later.
    pub from: Option<DateTime<Utc>>,
    /// Before this instant.
    pub to: Option<DateTime<Utc>>,
    /// Of the actor with this id, or of actors of this kind.
    pub actor: Option<String>,
    /// Of this action, or of this family: `key` is every `key.…`.
    pub action: Option<String>,
    /// About the object with this id or name, or about objects of this kind.
    pub target: Option<String>,
    /// With this outcome.
    pub outcome: Option<AuditOutcome>,
}

impl AuditFilter {
    /// Refuses what matches nothing, or is too long.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] says what.
    pub fn check(&self) -> Result<()> {
        if self.from.zip(self.to).is_some_and(|(from, to)| from > to) {
            return Err(Error::invalid("from must not be after to"));
        }
        let words = [&self.actor, &self.action, &self.target].into_iter().flatten();
        if words.into_iter().any(|word| word.is_empty() || word.len() > MAX_WORD) {
            return Err(Error::invalid("actor, action and target have 1 to 256 bytes"));
        }
        let is_known = |word: &String| AuditAction::ALL.iter().any(|action| is_of(action.as_str(), word));
        if self.action.as_ref().is_some_and(|word| !is_known(word)) {
            return Err(Error::invalid("action is an action such as key.issue, or a family such as key"));
        }
        Ok(())
    }

    /// Whether a record is wanted.
    pub fn matches(&self, scope: &AuditScope, record: &Record) -> bool {
        let is_in_scope = match scope {
            AuditScope::All => true,
            AuditScope::Tenant(tenant) => record.target.tenant.as_ref() == Some(tenant),
        };
        let Record { at, actor, action, target, outcome, .. } = record;
        let wants = |word: &Option<String>, is: &dyn Fn(&str) -> bool| word.as_deref().is_none_or(is);
        is_in_scope
            && self.from.is_none_or(|from| *at >= from)
            && self.to.is_none_or(|to| *at < to)
            && self.outcome.is_none_or(|wanted| wanted == *outcome)
            && wants(&self.actor, &|word| actor.kind.as_str() == word || actor.id.as_deref() == Some(word))
            && wants(&self.action, &|word| action.is_some_and(|action| is_of(action.as_str(), word)))
            && wants(&self.target, &|word| {
                let is_target = target.kind == word || target.id == word || target.name.as_deref() == Some(word);
                is_target || names_member(record, word)
            })
    }

    /// Whether no older entry can have a record that is wanted.
    pub(super) fn ends_at(&self, entry: &LogEntry) -> bool {
        self.from.is_some_and(|from| entry.at < from - DISORDER)
    }
}

/// Whether an action is this one, or of this family.
fn is_of(action: &str, word: &str) -> bool {
    action.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
/// Whether a change of members is about this member or invitation: one document holds them all.
fn names_member(record: &Record, id: &str) -> bool {
    let mut states = [&record.before, &record.after].into_iter().flatten();
    record.target.kind == "members" && states.any(|fields| fields.contains_key(id))
}
