//! Lines of logs are read, in each format; the first byte chooses it.
#![no_main]

use keyloft::policy::event::{Arrival, Door, LogFormat};

libfuzzer_sys::fuzz_target!(|input: (u8, &[u8])| {
    let (choice, line) = input;
    let format = ["combined", "nginx-json", "ecs", "ndjson"][usize::from(choice) % 4];
    let format = LogFormat::parse(format).unwrap();
    let _read_or_not = format.read(line, Arrival::new(Door::Ingest, 0), |event| event.observed_at_ms());
});
