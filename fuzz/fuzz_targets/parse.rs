//! Expressions are parsed, within the depth that is allowed.
#![no_main]

use keyloft::policy::{MAX_DEPTH, stages};

libfuzzer_sys::fuzz_target!(|source: &str| {
    if let Ok(depth) = stages::tree(source) {
        assert!(depth <= MAX_DEPTH);
    }
});
