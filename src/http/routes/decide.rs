//! `POST /api/v1/decide`: what to do with a request, by the policies of the tenant.

use std::time::Instant;

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::json;

use crate::decisions::NotReady;
use crate::http::app::App;
use crate::http::authorize::Authorized;
use crate::http::error::{Code, Problem};
use crate::http::extract::JsonBytes;
use crate::http::query_string::Query;
use crate::policy::event::{Arrival, Door, Event, InvalidEvent, Json, Text};

/// The events of one request at most.
const MAX_EVENTS: usize = 1000;
/// How many of them are counted before they are decided about: what all nodes have counted of them is held in memory.
const COUNTED_AT_ONCE: usize = 200;

/// The query string.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DecideQuery {
    /// Events that happened already are only counted.
    #[serde(default)]
    observe: bool,
    /// Waits until what is recorded is durable.
    #[serde(default)]
    durable: bool,
}

/// Decides about one event, or about each of `{"events": […]}` in order. Answers 200 whatever was decided.
///
/// # Errors
/// 400 `invalid_event`, 413; 403 `decide_not_allowed` for a key that may not ask; 503.
pub async fn decide(
    authorized: Authorized,
    app: web::Data<App>,
    Query(query): Query<DecideQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<HttpResponse, Problem> {
    let permit = authorized.permit();
    let key = permit.key();
    if !key.settings.may_decide() {
        let message = "The key may not ask for decisions: it has no sourceId, or its field decide is false.";
        return Err(Problem::new(Code::DecideNotAllowed, message));
    }
    let key_id = key.key_id.to_string();
    let arrival = Arrival {
        source_id: key.settings.source_id.as_ref().map(|source| source.as_str()),
        trust_level: Some(key.settings.trust_level.as_str()),
        key_id: Some(&key_id),
        ..Arrival::new(Door::Decide, app.decider.now().timestamp_millis())
    };
    let text = Text::new(&body);
    let (json, mended) = text.json().map_err(invalid)?;
    let (events, is_batch) = events(&json)?;
    // All of them are read before the first is counted: a request is judged whole or refused whole.
    let events: Vec<Event<'_>> = events
        .enumerate()
        .map(|(at, event)| match Event::of_decide(event, arrival) {
            Ok(event) => Ok(event.mended(mended)),
            Err(error) => Err(invalid_at(at, is_batch, error)),
        })
        .collect::<Result<_, _>>()?;
    let mut decisions = Vec::with_capacity(events.len());
    for events in events.chunks(COUNTED_AT_ONCE) {
        let counted = app.decider.count(&key.tenant, events).await;
        for (at, event) in events.iter().enumerate() {
            let start = Instant::now();
            let decision = app.decider.decide(&key.tenant, event, counted.of(at)).map_err(not_ready)?;
            let outcomes = decision.matched.iter().map(|matched| matched.outcome.as_str());
            app.metrics.decisions.count(decision.action.as_str(), Door::Decide.as_str(), outcomes, start.elapsed());
            if decision.challenge.is_some() && !query.observe {
                app.metrics.decisions.count_challenge("issued");
            }
            decisions.push(decision);
        }
    }
    if query.durable {
        app.decider.recorder().flush().await?;
        app.decider.traffic().flush().await?;
    }
    let mut answer = HttpResponse::Ok();
    answer.insert_header((header::CACHE_CONTROL, "no-store"));
    Ok(match decisions.first() {
        _ if query.observe => answer.json(json!({ "observed": decisions.len() })),
        Some(decision) if !is_batch => answer.json(decision),
        _ => answer.json(json!({ "decisions": decisions })),
    })
}

/// The events of a body, and whether it is a batch.
fn events<'j>(json: &'j Json<'j>) -> Result<(Box<dyn Iterator<Item = &'j Json<'j>> + 'j>, bool), Problem> {
    match json.get("events") {
        None => Ok((Box::new(std::iter::once(json)), false)),
        Some(Json::List(events)) if json.members().len() == 1 => {
            if events.len() > MAX_EVENTS {
                let message = format!("A request has at most {MAX_EVENTS} events.");
                return Err(Problem::new(Code::PayloadTooLarge, message));
            }
            Ok((Box::new(events.iter()), true))
        }
        Some(_) => Err(Problem::new(Code::InvalidEvent, "A batch is {\"events\": [...]}, and nothing else.")),
    }
}

pub(super) fn invalid(error: InvalidEvent) -> Problem {
    match error {
        InvalidEvent::TooLarge => Problem::new(Code::PayloadTooLarge, error.to_string()),
        error => Problem::new(Code::InvalidEvent, error.to_string()),
    }
}

fn invalid_at(at: usize, is_batch: bool, error: InvalidEvent) -> Problem {
    let problem = invalid(error);
    match is_batch {
        true => Problem::new(problem.code(), format!("events[{at}]: {}", problem.detail())),
        false => problem,
    }
}

pub(super) fn not_ready(NotReady: NotReady) -> Problem {
    Problem::new(Code::NotReady, "The policies are being loaded.")
}
