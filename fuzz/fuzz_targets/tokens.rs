//! Expressions are cut into tokens.
#![no_main]

libfuzzer_sys::fuzz_target!(|source: &str| {
    let _tokens_or_faults = keyloft::policy::stages::tokens(source);
});
