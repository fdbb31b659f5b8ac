//! Bodies of `decide` are read, and every field of the event.
#![no_main]

use keyloft::policy::event::{Arrival, Door, Event, Text};
use keyloft::policy::{Field, MAX_VALUE_BYTES};

const NAMES: &[&str] = &[
    "client_ip", "client_network", "user_agent", "referer_host", "request_method", "request_host", "request_path",
    "request_path_raw", "request_query", "request_query_a", "request_header_a", "request_cookie_a", "payload_a",
    "payload_a_b", "payload_bytes", "payload_fields", "response_status", "observed_at", "hour_of_day", "day_of_week",
    "request_malformed",
];

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let text = Text::new(body);
    let Ok((json, mended)) = text.json() else { return };
    let Ok(event) = Event::of_decide(&json, Arrival::new(Door::Decide, 0)) else { return };
    let event = event.mended(mended);
    for name in NAMES {
        let field = Field::parse(name).unwrap();
        assert!(event.value(&field).text().len() <= MAX_VALUE_BYTES);
    }
});
