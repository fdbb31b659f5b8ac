//! The real events of `fixtures/events`.

/// Earthquakes of January and February 2018 (USGS), one JSON object a line.
pub const EARTHQUAKES: &str = include_str!("../../../fixtures/events/earthquakes.ndjson");

/// How many there are.
pub fn earthquakes() -> usize {
    EARTHQUAKES.lines().count()
}
