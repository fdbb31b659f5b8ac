//! Probes what a store really does: many accept a condition and ignore it, or check it and are not atomic. A probe
//! sends some hundred small requests on objects of its own, which it removes.

use std::time::Duration;

use bytes::Bytes;
use chrono::TimeDelta;
use futures::TryStreamExt;
use futures::future::{join_all, try_join_all};
use object_store::path::Path;
use object_store::{Error as StoreError, GetOptions, ObjectStoreExt};
use uuid::Uuid;

use super::mode::Property;
use super::object::{self, Condition, Store, unavailable};
use super::report::{CheckOutcome, Finding, Report};
use super::types::{MAX_DOCUMENT_BYTES, Stored, Tag, Version, Written, object_path};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{self, ObjectName};

const CREATORS: usize = 16;
const ROUNDS: usize = 3;
const REPLACERS: usize = 8;
/// A probe takes seconds: older objects were left behind by one that was killed.
const LEFT_BEHIND: TimeDelta = TimeDelta::hours(1);

const CLEANING: Duration = Duration::from_secs(5);

/// The outcome of a check, and what was observed.
type Observed = (CheckOutcome, String);

/// Probes a store, and removes the objects of the probe.
///
/// # Errors
/// [`ErrorKind::Unavailable`] when it does not answer: then nothing is known.
pub(super) async fn run(store: Store) -> Result<Report> {
    let probe = Probe { store, single: fresh()?, raced: (0..ROUNDS).map(|_| fresh()).collect::<Result<_>>()? };
    // First a read: if the store hangs, there is nothing to remove yet.
    object::read(&probe.store, &probe.single, MAX_DOCUMENT_BYTES).await?;
    // A task of its own: the objects are removed even if the caller stops waiting.
    let outcome = tokio::spawn(async move {
        let report = probe.ask().await;
        // Objects that are not removed in time are removed by a later probe.
        let _ = tokio::time::timeout(CLEANING, probe.clean_up()).await;
        report
    });
    outcome.await.map_err(|error| Error::new(ErrorKind::Internal, "the probe of the store failed").caused_by(error))?
}

#[allow(clippy::disallowed_methods)] // A name that no other probe has.
fn fresh() -> Result<Path> {
    object_path(&ObjectName::Probe { id: Uuid::new_v4() }.path())
}

fn body(text: &str, number: usize) -> Bytes {
    format!("{text} {number}").into()
}

fn observed(outcome: CheckOutcome, detail: impl Into<String>) -> Observed {
    (outcome, detail.into())
}

fn checked(good: bool, detail: impl Into<String>) -> Observed {
    observed(if good { CheckOutcome::Ok } else { CheckOutcome::Failed }, detail)
}

fn not_there() -> Observed {
    observed(CheckOutcome::NotThere, "the store knows no such condition")
}

struct Probe {
    store: Store,
    single: Path,
    raced: Vec<Path>,
}

impl Probe {
    async fn ask(&self) -> Result<Report> {
        let mut findings = Vec::new();
        let mut note = |property, (outcome, detail): Observed| findings.push(Finding { property, outcome, detail });
        note(Property::CreateOnce, self.create_once().await?);
        note(Property::RacingCreates, self.racing_creates().await?);
        let before = self.current().await?.version;
        let (unquoted, replaced) = self.replace(&before).await?;
        note(Property::Replace, replaced);
        note(Property::StaleReplace, self.stale_replace(&before, unquoted).await?);
        note(Property::RacingReplaces, self.racing_replaces(unquoted).await?);
        note(Property::ConditionalRead, self.conditional_read().await?);
        note(Property::ListedTags, self.listed_tags().await?);
        Ok(Report { findings, unquoted })
    }

    async fn clean_up(&self) {
        let left = self.left_behind().await.unwrap_or_default();
        let paths = self.raced.iter().chain([&self.single]).chain(&left);
        join_all(paths.map(|path| self.store.delete(path))).await;
    }

    async fn left_behind(&self) -> Result<Vec<Path>> {
        let listed = self.listed().await?;
        let newest = listed.iter().map(|meta| meta.last_modified).max().unwrap_or_default();
        let old = listed.into_iter().filter(|meta| newest - meta.last_modified > LEFT_BEHIND);
        Ok(old.map(|meta| meta.location).collect())
    }

    async fn listed(&self) -> Result<Vec<object_store::ObjectMeta>> {
        let folder = object_path(&layout::probes())?;
        self.store.list(Some(&folder)).try_collect().await.map_err(unavailable)
    }

    async fn write(&self, path: &Path, body: Bytes, condition: &Condition) -> Result<Option<Written>> {
        object::write(&self.store, path, &body, condition, MAX_DOCUMENT_BYTES).await
    }

    /// The object for the checks of replacing, whether or not the creates succeeded.
    async fn current(&self) -> Result<Stored> {
        if let Some(stored) = object::read(&self.store, &self.single, MAX_DOCUMENT_BYTES).await? {
            return Ok(stored);
        }
        self.store.put(&self.single, body("put", 0).into()).await.map_err(unavailable)?;
        let stored = object::read(&self.store, &self.single, MAX_DOCUMENT_BYTES).await?;
        stored.ok_or_else(|| Error::new(ErrorKind::Unavailable, "the store does not show what was written to it"))
    }

    async fn create_once(&self) -> Result<Observed> {
        let Some(first) = self.write(&self.single, body("create", 1), &Condition::Absent).await? else {
            return Ok(not_there());
        };
        let again = self.write(&self.single, body("create", 2), &Condition::Absent).await?;
        Ok(match (first, again) {
            (Written::Done, Some(Written::Conflict)) => checked(true, "a second create was refused"),
            (Written::Done, _) => checked(false, "a second create took the place of the first"),
            (Written::Conflict, _) => checked(false, "a create was refused although there was nothing"),
        })
    }

    async fn racing_creates(&self) -> Result<Observed> {
        let mut winners = Vec::new();
        for path in &self.raced {
            let race = (0..CREATORS).map(|number| self.write(path, body("race", number), &Condition::Absent));
            winners.push(self.winners(race).await?);
        }
        Ok(race(CREATORS, &winners))
    }

    /// Whether the store accepts only an `ETag` without quotes, and what was observed.
    async fn replace(&self, version: &Version) -> Result<(bool, Observed)> {
        for (quoted, detail) in [
            (true, "the ETag that was read is accepted"),
            (false, "the ETag that was read is accepted without its quotes only"),
        ] {
            match self.write(&self.single, body("replace", quoted.into()), &version.condition(quoted)).await? {
                None => return Ok((false, not_there())),
                Some(Written::Done) => return Ok((!quoted, checked(true, detail))),
                Some(Written::Conflict) => {}
            }
        }
        Ok((false, checked(false, "the ETag that was read is refused")))
    }

    async fn stale_replace(&self, stale: &Version, unquoted: bool) -> Result<Observed> {
        Ok(match self.write(&self.single, body("stale", 0), &stale.condition(!unquoted)).await? {
            None => not_there(),
            Some(Written::Conflict) => checked(true, "an older ETag was refused"),
            Some(Written::Done) => checked(false, "an older ETag was accepted: the change before was lost"),
        })
    }

    async fn racing_replaces(&self, unquoted: bool) -> Result<Observed> {
        let condition = self.current().await?.version.condition(!unquoted);
        let race = (0..REPLACERS).map(|number| self.write(&self.single, body("swap", number), &condition));
        Ok(self::race(REPLACERS, &[self.winners(race).await?]))
    }

    /// How many of these writes report success; `None` when the store does not support the condition.
    async fn winners(
        &self,
        race: impl Iterator<Item = impl Future<Output = Result<Option<Written>>>>,
    ) -> Result<Option<usize>> {
        let outcomes: Option<Vec<Written>> = try_join_all(race).await?.into_iter().collect();
        Ok(outcomes.map(|outcomes| outcomes.into_iter().filter(|written| *written == Written::Done).count()))
    }

    async fn conditional_read(&self) -> Result<Observed> {
        let Some(e_tag) = self.current().await?.version.e_tag().map(str::to_owned) else {
            return Ok(observed(CheckOutcome::NotThere, "the store gives no ETag"));
        };
        let options = GetOptions { if_none_match: Some(e_tag), ..GetOptions::default() };
        match self.store.get_opts(&self.single, options).await {
            Err(StoreError::NotModified { .. }) => Ok(checked(true, "what is known is answered with 304")),
            Ok(_) => Ok(checked(false, "what is known is sent again")),
            Err(error) => Err(unavailable(error)),
        }
    }

    async fn listed_tags(&self) -> Result<Observed> {
        let read = self.current().await?.tag;
        let listed = self.listed().await?.into_iter().find(|meta| meta.location == self.single);
        Ok(match listed.map(|meta| Tag::of(meta.e_tag.as_deref())) {
            None => checked(false, "an object that is there was not listed"),
            Some(None) => observed(CheckOutcome::NotThere, "lists show no ETag"),
            Some(tag) => checked(tag == read, if tag == read { "as in reads" } else { "another one than in reads" }),
        })
    }
}

fn race(runners: usize, winners: &[Option<usize>]) -> Observed {
    let Some(winners) = winners.iter().copied().collect::<Option<Vec<_>>>() else { return not_there() };
    let rounds = winners.len();
    match winners.into_iter().find(|winners| *winners != 1) {
        None if rounds == 1 => checked(true, format!("{runners} at once: one winner")),
        None => checked(true, format!("{runners} at once, {rounds} times: one winner each")),
        Some(other) => checked(false, format!("{runners} at once: {other} winners")),
    }
}
