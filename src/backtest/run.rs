//! A backtest from its start to its report.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::draft::Draft;
use super::order::{Ordered, Reading};
use super::parts::{Arrived, Part, Source};
use super::report::{Answers, PolicyItem, Progress, Report, instant};
use super::samples::Samples;
use crate::decisions::DecisionRow;
use crate::decisions::stored::{StoredStream, TrustLevels};
use crate::decisions::turns::Turn;
use crate::error::Result;
use crate::key::StreamName;
use crate::policy::entity::Pseudonyms;
use crate::policy::event::Event;
use crate::policy::tally::Tallies;
use crate::policy::trial::{Trial, shown};
use crate::query::Beside;
use crate::stream::objects::TimeRange;

/// How often it says how far it is.
const PROGRESS: Duration = Duration::from_secs(1);
/// For how long it judges before other work of its thread goes first.
const HOLD: Duration = Duration::from_millis(5);
/// After how many events it looks at the time.
const LOOK_AFTER: u64 = 256;
/// The least and the most memory for events that are waiting.
const WAITING_BYTES: std::ops::RangeInclusive<usize> = 4 << 20..=128 << 20;

/// A backtest.
pub struct Backtest {
    /// The one of its tenant, until it ends.
    pub turn: Turn,
    /// Where it runs.
    pub beside: Beside,
    /// The tenant's pseudonyms.
    pub pseudonyms: Arc<Pseudonyms>,
    /// What is tried.
    pub draft: Draft,
    /// What it is compared with.
    pub in_force: Draft,
    /// The streams, and how they are read.
    pub streams: Vec<(StreamName, StoredStream)>,
    /// What the version in force reads and streams have not.
    pub in_force_lacks: Vec<String>,
    /// The arrival times of events.
    pub range: TimeRange,
    /// How far the sources of keys are trusted.
    pub trust: Arc<TrustLevels>,
}

impl std::fmt::Debug for Backtest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backtest").field("streams", &self.streams.len()).finish_non_exhaustive()
    }
}

/// What a backtest counts.
struct Counts {
    tallies: Tallies,
    answers: Answers,
    samples: Samples,
    events: u64,
}

impl Backtest {
    /// Runs it. `progress` learns how far it is: once the objects are listed, then about every second.
    ///
    /// # Errors
    /// [`crate::ErrorKind::QueryTooLarge`], [`crate::ErrorKind::Exhausted`], [`crate::ErrorKind::Unavailable`];
    /// [`crate::ErrorKind::Corrupt`] names the object that cannot be read.
    pub async fn run(self, progress: mpsc::Sender<Progress>) -> Result<Report> {
        let start = Instant::now();
        let arrived = arrived(self.range);
        let sources = self.sources().await?;
        let objects = sources.iter().map(|source| source.listed.objects.len() as u64).sum();
        let _nobody_need_listen = progress.try_send(Progress::default());
        let mut parts: Vec<Part> = Vec::new();
        for (place, source) in sources.iter().enumerate() {
            parts.extend(source.parts(&self.beside, place, arrived, &*self.trust).await?);
        }
        let events_at_most = parts.iter().map(|part| part.rows).sum();
        let whole = self.beside.memory_bytes();
        let windows = self.turn.windows_bytes.min(whole / 8);
        let of_windows = self.beside.memory("backtest windows and held entities");
        let is_compared = self.draft.version.is_none();
        let tried = if is_compared { 2 } else { 1 };
        of_windows.resize(tried * (windows + Trial::held_bytes().min(whole / 16)))?;
        let of_counts = self.beside.memory("backtest counts");
        let reading = Reading { beside: &self.beside, sources: &sources, arrived, trust: &*self.trust };
        let budget = (whole / 8).clamp(*WAITING_BYTES.start(), *WAITING_BYTES.end());
        let mut ordered = Ordered::new(reading, parts, budget);
        let mut draft = Trial::new(&self.draft.set, windows);
        let mut in_force = is_compared.then(|| Trial::new(&self.in_force.set, windows));
        let mut counts =
            Counts { tallies: Tallies::default(), answers: Answers::default(), samples: Samples::default(), events: 0 };
        let (mut told, mut turn) = (start, Instant::now());
        while ordered.ready().await? {
            let both = (&mut draft, in_force.as_mut());
            let judged = ordered.next(|source, event| self.judge(&mut counts, both, source, event));
            if judged.is_none() || !counts.events.is_multiple_of(LOOK_AFTER) || turn.elapsed() < HOLD {
                continue;
            }
            of_counts.resize(counts.tallies.bytes())?;
            if told.elapsed() >= PROGRESS {
                told = Instant::now();
                let bytes_read = ordered.bytes_read;
                let _nobody_need_listen =
                    progress.try_send(Progress { events: counts.events, events_at_most, bytes_read });
            }
            tokio::task::yield_now().await;
            turn = Instant::now();
        }
        let forgotten = draft.forgotten() + in_force.as_ref().map_or(0, Trial::forgotten);
        let item = |policy| PolicyItem::new(policy, counts.tallies.of(policy.id));
        Ok(Report {
            policy_set_version: self.draft.version,
            in_force: self.in_force.version.unwrap_or_default(),
            from: self.range.start.map(instant).unwrap_or_default(),
            to: self.range.end.map(instant).unwrap_or_default(),
            streams: self.streams.iter().map(|(stream, _)| stream.to_string()).collect(),
            events: counts.events,
            objects,
            bytes_read: ordered.bytes_read,
            seconds: start.elapsed().as_secs_f64(),
            decisions: counts.answers.verdicts(),
            changed: counts.answers.changed(),
            in_force_lacks: self.in_force_lacks.clone(),
            forgotten,
            items: self.draft.set.policies.iter().map(item).collect(),
            samples: counts.samples.shown(),
        })
    }

    /// The objects of the streams.
    async fn sources(&self) -> Result<Vec<Source>> {
        let mut sources = Vec::new();
        for (stream, stored) in &self.streams {
            let listed = self.beside.list(stream, self.range).await?;
            let columns = stored.columns([&self.draft.set.fields, &self.in_force.set.fields]);
            sources.push(Source { stored: stored.clone(), listed, columns });
        }
        Ok(sources)
    }

    fn judge(
        &self,
        counts: &mut Counts,
        (draft, in_force): (&mut Trial<'_>, Option<&mut Trial<'_>>),
        source: usize,
        event: &Event<'_>,
    ) {
        let decision = draft.decide(&self.pseudonyms, event);
        let before = in_force.map_or(decision.verdict, |in_force| in_force.decide(&self.pseudonyms, event).verdict);
        counts.answers.add(before, decision.verdict);
        counts.tallies.add(shown(event), &decision.matches);
        if !decision.matches.is_empty() {
            counts.samples.offer(counts.events, || {
                let number = self.draft.version.unwrap_or_default();
                let mut row = DecisionRow::shown(number, &self.draft.set, &decision, event).into_iter().next()?;
                row["stream"] = self.streams.get(source).map(|(stream, _)| stream.as_str()).into();
                row["action_in_force"] = before.as_str().into();
                Some(row)
            });
        }
        counts.events += 1;
    }
}

/// Times of arrival are whole milliseconds: a bound between two of them means the later one.
fn arrived(range: TimeRange) -> Arrived {
    let up = |at: chrono::DateTime<chrono::Utc>| {
        let is_whole = at.timestamp_subsec_nanos().is_multiple_of(1_000_000);
        at.timestamp_millis() + i64::from(!is_whole)
    };
    Arrived { from_ms: range.start.map_or(i64::MIN, up), to_ms: range.end.map_or(i64::MAX, up) }
}
