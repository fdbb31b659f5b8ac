//! Bulk work: lines are parsed in batches, run in order, and answered as they are done.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::mpsc;

use super::super::receipt::ReceiptView;
use super::answer::{AnswerLines, LineCounts, NamedKey};
use super::line::{BulkLine, KeyChange, LineChange};
use crate::documents::RequestContext;
use crate::error::ErrorKind;
use crate::http::app::App;
use crate::http::error::{Code, Problem};
use crate::key::{ApiKey, KeyId, TenantId};
use crate::keystore::{Change, Done, DryRun, Selection, Unused};
use crate::sync::log::LogEntry;

/// No line starts after this long.
const DEADLINE: Duration = Duration::from_secs(600);
/// How often the work checks whether to stop.
const LOOK: Duration = Duration::from_millis(100);

/// The client has hung up.
struct ClientGone;

/// The work of one request.
pub(super) struct BulkRun {
    app: Arc<App>,
    tenant: TenantId,
    context: RequestContext,
    dry_run: Option<DryRun>,
    answer: AnswerLines,
    sender: mpsc::Sender<Bytes>,
    /// Why no further line starts.
    stopped: Option<Problem>,
    last_seq: u64,
}

/// A line and what became of reading it.
type ReadLine = (usize, Result<Change, Problem>);

impl BulkRun {
    pub(super) async fn new(
        app: Arc<App>,
        tenant: TenantId,
        context: RequestContext,
        dry_run: bool,
        sender: mpsc::Sender<Bytes>,
    ) -> Result<Self, Problem> {
        let dry_run = match dry_run {
            true => {
                app.keystore.catch_up().await?;
                Some(app.keystore.dry_run(&context, &tenant).await?)
            }
            false => None,
        };
        let (answer, stopped, last_seq) = (AnswerLines::default(), None, 0);
        Ok(Self { app, tenant, context, dry_run, answer, sender, stopped, last_seq })
    }

    /// Runs all lines, then waits up to `patience` for the receipt.
    pub(super) async fn run(mut self, lines: Vec<BulkLine>, patience: Option<Duration>, start: Instant) {
        self.answer = AnswerLines::new(LineCounts::of(lines.len()));
        let app = self.app.clone();
        let mut stop = Box::pin(async move { stop(&app).await });
        if self.all(lines, stop.as_mut()).await.is_err() {
            tracing::info!("the client of bulk work has disconnected: started lines have finished");
            return;
        }
        let receipt = match self.last_seq {
            0 => None,
            seq => Some(ReceiptView::of(&self.app, seq, patience, start).await.0),
        };
        let counts = self.answer.counts();
        tracing::info!(tenant = %self.tenant, dry_run = self.dry_run.is_some(), ?counts, "bulk work is done");
        self.answer.end(receipt);
        let _ = self.send().await;
    }

    async fn all(
        &mut self,
        lines: Vec<BulkLine>,
        mut stop: Pin<&mut impl Future<Output = Problem>>,
    ) -> Result<(), ClientGone> {
        for lines in lines.chunks(LogEntry::MAX_CHANGES) {
            let mut read: Vec<ReadLine> = Vec::with_capacity(lines.len());
            for line in lines {
                match line.read(&self.app) {
                    Ok(LineChange::One(change)) => read.push((line.number, Ok(change))),
                    Err(problem) => read.push((line.number, Err(problem))),
                    Ok(LineChange::Each(selection, every)) => {
                        self.batch(std::mem::take(&mut read), stop.as_mut()).await?;
                        self.each(line.number, &selection, &every, stop.as_mut()).await?;
                    }
                }
            }
            self.batch(read, stop.as_mut()).await?;
        }
        Ok(())
    }

    /// Applies one change to every key that is selected once all lines before are done.
    async fn each(
        &mut self,
        line: usize,
        selection: &Selection,
        every: &KeyChange,
        mut stop: Pin<&mut impl Future<Output = Problem>>,
    ) -> Result<(), ClientGone> {
        let ids = match self.select(selection).await {
            Ok(ids) => ids,
            Err(problem) => {
                self.answer.refused(line, &NamedKey::default(), &problem);
                return self.send().await;
            }
        };
        for part in ids.chunks(LogEntry::MAX_CHANGES) {
            let changes = part.iter().map(|id| (line, Ok(every.of(*id)))).collect();
            self.batch(changes, stop.as_mut()).await?;
        }
        self.answer.matched(line, ids.len());
        self.send().await
    }

    async fn select(&self, selection: &Selection) -> Result<Vec<KeyId>, Problem> {
        if let Some(stopped) = &self.stopped {
            return Err(stopped.clone());
        }
        if self.dry_run.is_none() {
            self.app.keystore.catch_up().await?; // Select keys too that another node has just issued.
        }
        let uses = match selection.unused_since {
            Some(since) => Some(self.app.usage.last_used(&self.tenant, since).await?),
            None => None,
        };
        let is_unused = |key: &ApiKey, since| uses.as_ref().is_some_and(|uses| uses.is_unused_since(key, since));
        let unused = uses.is_some().then_some(&is_unused as Unused<'_>);
        Ok(match &self.dry_run {
            Some(dry_run) => dry_run.select(selection, unused).await?,
            None => self.app.keystore.select(&self.tenant, selection, unused).await?,
        })
    }

    /// Makes the changes of a batch, and answers for each line in order.
    async fn batch(
        &mut self,
        read: Vec<ReadLine>,
        stop: Pin<&mut impl Future<Output = Problem>>,
    ) -> Result<(), ClientGone> {
        if self.dry_run.is_some() {
            return self.check_only(read).await;
        }
        let (changes, lines): (Vec<_>, Vec<_>) = read
            .into_iter()
            .map(|(line, read)| match read {
                Ok(change) => {
                    let subject = subject(&change);
                    (Some(change), (line, subject, None))
                }
                Err(problem) => (None, (line, NamedKey::default(), Some(problem))),
            })
            .unzip();
        let changes: Vec<Change> = match self.stopped {
            None => changes.into_iter().flatten().collect(),
            Some(_) => Vec::new(),
        };
        let mut outcomes = self.app.keystore.change_many(&self.context, &self.tenant, changes);
        let mut stop = stop;
        for (line, subject, problem) in lines {
            if let Some(problem) = problem {
                self.answer.refused(line, &subject, &problem);
            } else {
                let outcome = loop {
                    tokio::select! {
                        biased;
                        outcome = outcomes.next() => break outcome,
                        problem = stop.as_mut(), if self.stopped.is_none() => {
                            self.stopped = Some(problem);
                            outcomes.begin_no_more();
                        }
                        () = self.sender.closed() => return Err(ClientGone),
                    }
                };
                self.note(line, &subject, outcome);
            }
            if self.answer.is_full() {
                self.send().await?;
            }
        }
        self.send().await
    }

    fn note(&mut self, line: usize, subject: &NamedKey, outcome: Option<crate::Result<Done>>) {
        let not_begun = || Problem::new(Code::NotBegun, "Not started: send the line again.");
        match outcome {
            Some(Ok(done)) => {
                self.last_seq = self.last_seq.max(done.change_seq);
                self.answer.done(line, &done, false);
            }
            Some(Err(error)) if error.kind() == ErrorKind::NotBegun => {
                // The store has stopped answering, unless there is another reason.
                let problem = self.stopped.get_or_insert_with(|| Problem::new(Code::NotBegun, NO_STORE)).clone();
                self.answer.refused(line, subject, &problem);
            }
            Some(Err(error)) => self.answer.refused(line, subject, &error.into()),
            None => {
                let problem = self.stopped.clone().unwrap_or_else(not_begun);
                self.answer.refused(line, subject, &problem);
            }
        }
    }

    async fn check_only(&mut self, read: Vec<ReadLine>) -> Result<(), ClientGone> {
        for (line, read) in read {
            let about = read.as_ref().map(subject).unwrap_or_default();
            let judged = match (&mut self.dry_run, read) {
                (Some(dry_run), Ok(change)) => dry_run.check(change).map_err(Problem::from),
                (_, Err(problem)) => Err(problem),
                (None, Ok(_)) => return Ok(()),
            };
            match judged {
                Ok(done) => self.answer.done(line, &done, true),
                Err(problem) => self.answer.refused(line, &about, &problem),
            }
            if self.answer.is_full() {
                self.send().await?;
            }
        }
        tokio::task::yield_now().await; // A hundred thousand lines must not hold up other requests.
        self.send().await
    }

    async fn send(&mut self) -> Result<(), ClientGone> {
        match self.answer.take() {
            Some(piece) => self.sender.send(piece).await.map_err(|_| ClientGone),
            None => Ok(()),
        }
    }
}

const NO_STORE: &str = "Not started: the store has stopped answering. Send the line again.";

/// The key that a change names.
fn subject(change: &Change) -> NamedKey {
    match change {
        Change::Issue { new, .. } => NamedKey { key_name: Some(new.name.to_string()), ..NamedKey::default() },
        Change::Update { id, .. } | Change::Revoke { id } => {
            NamedKey { key_id: Some(id.to_string()), ..NamedKey::default() }
        }
    }
}

/// Waits until no further line may start, and returns the reason.
async fn stop(app: &App) -> Problem {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        tokio::time::sleep(LOOK).await;
        if app.is_draining() {
            return Problem::new(Code::NotBegun, "Not started: the server is shutting down. Send the line again.");
        }
        if tokio::time::Instant::now() >= deadline {
            return Problem::new(Code::NotBegun, "Not started: ten minutes had passed. Send the line again.");
        }
    }
}
