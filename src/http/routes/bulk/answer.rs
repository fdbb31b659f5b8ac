//! The answer: a line for each line of the body, and counts at the end.

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;

use super::super::receipt::ReceiptView;
use crate::http::error::Problem;
use crate::keystore::{Done, Effect};

/// About how many bytes a piece of an answer has.
const PIECE: usize = 16 * 1024;

/// The counts of outcomes.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LineCounts {
    lines: usize,
    issued: usize,
    updated: usize,
    revoked: usize,
    unchanged: usize,
    refused: usize,
    failed: usize,
}

impl LineCounts {
    /// Zero counts for so many lines.
    pub(super) fn of(lines: usize) -> Self {
        Self { lines, ..Self::default() }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DoneLine<'a> {
    line: usize,
    status: u16,
    change: &'static str,
    /// None in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    key_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RefusedLine<'a> {
    line: usize,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_name: Option<&'a str>,
    code: &'static str,
    detail: &'a str,
}

#[derive(Serialize)]
struct MatchedLine {
    line: usize,
    status: u16,
    matched: usize,
}

#[derive(Serialize)]
struct LastLine {
    summary: LineCounts,
    receipt: Option<ReceiptView>,
}

/// The key that a refused line names, as far as it does.
#[derive(Debug, Default, Clone)]
pub(super) struct NamedKey {
    pub(super) key_id: Option<String>,
    pub(super) key_name: Option<String>,
}

/// An answer as it grows.
#[derive(Debug, Default)]
pub(super) struct AnswerLines {
    text: BytesMut,
    counts: LineCounts,
}

impl AnswerLines {
    pub(super) fn new(counts: LineCounts) -> Self {
        Self { text: BytesMut::new(), counts }
    }

    /// A line was done, or would be.
    pub(super) fn done(&mut self, line: usize, done: &Done, is_dry_run: bool) {
        let (count, status) = match done.effect {
            Effect::Issued => (&mut self.counts.issued, 201),
            Effect::Updated | Effect::Rotated => (&mut self.counts.updated, 200),
            Effect::Revoked => (&mut self.counts.revoked, 200),
            Effect::Unchanged => (&mut self.counts.unchanged, 200),
        };
        *count += 1;
        let is_new = is_dry_run && done.effect == Effect::Issued;
        self.push(&DoneLine {
            line,
            status,
            change: done.effect.as_str(),
            key_id: (!is_new).then(|| done.key.key_id.to_string()),
            key_name: done.key.name.as_str(),
            api_key: done.secret.as_ref().map(|secret| secret.expose()),
        });
    }

    /// A line was not done.
    pub(super) fn refused(&mut self, line: usize, subject: &NamedKey, problem: &Problem) {
        let status = problem.code().status();
        *(if status.is_server_error() { &mut self.counts.failed } else { &mut self.counts.refused }) += 1;
        self.push(&RefusedLine {
            line,
            status: status.as_u16(),
            key_id: subject.key_id.clone(),
            key_name: subject.key_name.as_deref(),
            code: problem.code().as_str(),
            detail: problem.detail(),
        });
    }

    /// How many keys a filter selected.
    pub(super) fn matched(&mut self, line: usize, matched: usize) {
        self.push(&MatchedLine { line, status: 200, matched });
    }

    /// The counts so far.
    pub(super) fn counts(&self) -> LineCounts {
        self.counts
    }

    /// The last line.
    pub(super) fn end(&mut self, receipt: Option<ReceiptView>) {
        let last = LastLine { summary: self.counts, receipt };
        self.push(&last);
    }

    fn push(&mut self, line: &impl Serialize) {
        let _ = serde_json::to_writer((&mut self.text).writer(), line);
        self.text.put_u8(b'\n');
    }

    /// Whether there is enough to be sent.
    pub(super) fn is_full(&self) -> bool {
        self.text.len() >= PIECE
    }

    /// The bytes that were not sent yet.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        (!self.text.is_empty()).then(|| self.text.split().freeze())
    }
}
