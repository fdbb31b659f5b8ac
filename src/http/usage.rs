//! From an answered request to the counters of its key.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::dev::Extensions;
use actix_web::http::StatusCode;
use chrono::{DateTime, Utc};

use super::app::App;
use super::client;
use crate::auth::{Action, AnyUse, Ingestion, Permit, Query};
use crate::key::{ApiKey, Hint};
use crate::usage::Use;

/// A key that was recognised although it gave no permit, as an extension of its request.
#[derive(Debug, Clone)]
pub struct Recognised(pub Arc<ApiKey>);

/// What was accepted, as an extension of the answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Accepted {
    /// How many events.
    pub events: u64,
    /// The body they came in, in bytes as it was sent.
    pub bytes: u64,
}

/// The key that a request was made with, if one was recognised.
#[derive(Debug, Clone, Copy)]
pub(super) struct Presented<'a> {
    key: &'a ApiKey,
    /// The secret that was presented, when it was one that had been rotated away.
    older: Option<Hint>,
    /// When it was let in, if it was.
    permitted: Option<DateTime<Utc>>,
}

impl<'a> Presented<'a> {
    /// Finds what the middleware of the route has left in the request.
    pub(super) fn among(extensions: &'a Extensions) -> Option<Self> {
        Self::by::<Ingestion>(extensions)
            .or_else(|| Self::by::<Query>(extensions))
            .or_else(|| Self::by::<AnyUse>(extensions))
            .or_else(|| {
                let Recognised(key) = extensions.get()?;
                Some(Self { key, older: None, permitted: None })
            })
    }

    fn by<A: Action>(extensions: &'a Extensions) -> Option<Self> {
        let permit = extensions.get::<Permit<A>>()?;
        Some(Self { key: permit.key(), older: permit.older(), permitted: Some(permit.at()) })
    }

    /// The key, if it was let in.
    pub(super) fn permitted(self) -> Option<&'a ApiKey> {
        self.permitted.map(|_| self.key)
    }

    /// Counts the request by its answer.
    pub(super) fn count(self, app: &App, request: &HttpRequest, answer: &Answer) {
        let Accepted { events, bytes } = answer.accepted;
        // Whoever is turned away at the door, or by a limit, has not used the key.
        let turned_away =
            matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS);
        let used = Use {
            at: self.permitted.unwrap_or_else(|| app.keystore.now()),
            address: client::of(request),
            admitted: self.permitted.is_some() && !turned_away,
            older: self.older,
            refused: answer.refused,
            events,
            bytes,
        };
        app.usage.count(self.key, &used);
    }
}

/// What counts of an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// Why not, when the answer is a refusal.
    pub(super) refused: Option<&'static str>,
    pub(super) accepted: Accepted,
}
