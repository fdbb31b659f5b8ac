//! Expressions are checked, compiled, evaluated and explained; the first byte chooses the value of every field.
#![no_main]

use keyloft::policy::{MAX_COST, Value, stages};

libfuzzer_sys::fuzz_target!(|input: (u8, &str)| {
    let (choice, source) = input;
    if let Ok(cost) = stages::program(source) {
        assert!(cost <= MAX_COST);
    }
    let value = match choice % 6 {
        0 => Value::Absent,
        1 => Value::Bool(choice >= 128),
        2 => Value::Int(i64::MAX),
        3 => Value::Int(i64::from(choice)),
        4 => Value::Text("".into()),
        _ => Value::Text("/login?a=\u{202e}%2F10.0.0.1".into()),
    };
    let _true_false_or_faulty = stages::truth(source, &value);
});
