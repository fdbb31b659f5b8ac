//! Events from each of their forms.

mod crs;
mod decide;
mod json;
mod log;
mod names;

use super::{Arrival, Door, Event, InvalidEvent, Text};
use crate::policy::Field;

/// 29 November 2026, 07:00 UTC: a Sunday.
const NOW_MS: i64 = 1_795_935_600_000;

fn arrival() -> Arrival<'static> {
    Arrival {
        source_id: Some("web-1"),
        trust_level: Some("high"),
        key_id: Some("key"),
        ..Arrival::new(Door::Decide, NOW_MS)
    }
}

/// Reads an event of `decide`, and asks it.
fn decide<R>(text: &str, ask: impl FnOnce(&Event<'_>) -> R) -> Result<R, InvalidEvent> {
    let text = Text::new(text.as_bytes());
    let (json, _) = text.json()?;
    Event::of_decide(&json, arrival()).map(|event| ask(&event))
}

/// A field as text; `None` when it is absent.
fn field(event: &Event<'_>, name: &str) -> Option<String> {
    let value = event.value(&Field::parse(name).unwrap());
    value.is_present().then(|| value.text().into_owned())
}

/// Fields of an event of `decide`.
fn fields<const N: usize>(text: &str, names: [&str; N]) -> [Option<String>; N] {
    decide(text, |event| names.map(|name| field(event, name))).unwrap()
}

fn some<const N: usize>(texts: [&str; N]) -> [Option<String>; N] {
    texts.map(|text| Some(text.to_owned()))
}
