use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{Set, faults, values};
use crate::policy::{ActionBits, MAX_BYTES, MAX_COST, Value, stages};

/// Debug builds of busy machines are slow; what has no bound takes for ever.
const SOON: Duration = Duration::from_secs(5);

#[test]
fn hostile_sources_end_soon_with_a_fault() {
    let cases = [
        vec!["1"; 2_000].join("+") + " == 0",
        vec!["1"; 200].join("%") + " == 0",
        "(".repeat(4_000),
        "(".repeat(10_000) + "true" + &")".repeat(10_000),
        "(".repeat(33) + "true" + &")".repeat(33),
        "!".repeat(4_000) + "true",
        "-".repeat(4_000) + "1 == 1",
        "true ? ".repeat(500) + "true",
        "user_agent".to_owned() + &".lowerAscii()".repeat(300) + " == ''",
        "[".repeat(2_000),
        "size(".repeat(800) + "'a'",
        "user_agent.matches(r'\\pL{1000}')".to_owned(),
        "user_agent.matches('((((a{90}){90}){90}){90})')".to_owned(),
        format!("user_agent.matches('{}')", "(".repeat(3_000)),
        "'".repeat(4_001),
        "\u{0}".repeat(1_000),
        "\u{202e}".repeat(1_000),
        "zebra && ".repeat(400) + "true",
        "1 == 'a' && ".repeat(300) + "true",
        "a".repeat(4_096),
        "true".to_owned() + &" ".repeat(MAX_BYTES),
    ];
    for source in &cases {
        let start = Instant::now();
        let stages = [stages::tokens(source).is_ok(), stages::tree(source).is_ok(), stages::program(source).is_ok()];
        assert!(stages.is_sorted_by(|before, after| before >= after), "a stage that fails ends the later ones");
        let found = faults(source);
        let shown: String = source.chars().take(40).collect();
        assert!(!found.is_empty() && found.len() <= 64, "{shown}…: {} faults", found.len());
        assert!(start.elapsed() < SOON, "{shown}… took {:?}", start.elapsed());
    }
}

#[test]
fn the_bounds_are_where_they_are_said_to_be() {
    let deep = |depth: usize| "(".repeat(depth - 1) + "true" + &")".repeat(depth - 1);
    assert_eq!(faults(&deep(32)), Vec::<String>::new());
    assert_eq!(
        faults(&deep(33)),
        ["1:33+4 the expression nests deeper than 32 (split it: into actions, or into several policies)"]
    );
    let nots = |depth: usize| "!".repeat(depth - 1) + "true";
    assert_eq!(faults(&nots(32)), Vec::<String>::new());
    assert_eq!(faults(&nots(33)).len(), 1);
    // The comparison, the sum, the literal on its right, and the parts of the sum.
    let chain = |parts: usize| vec!["1"; parts].join("+") + " == 5";
    assert_eq!(faults(&chain(253)), Vec::<String>::new());
    assert_eq!(faults(&chain(254)).len(), 1);
    let padded = |bytes: usize| "true".to_owned() + &" ".repeat(bytes - 4);
    assert_eq!(faults(&padded(MAX_BYTES)), Vec::<String>::new());
    assert_eq!(faults(&padded(MAX_BYTES + 1)), ["1:1+0 the expression has 4097 bytes, and at most 4096"]);
    let list = (0..700).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
    assert_eq!(faults(&format!("request_bytes in [{list}]")), Vec::<String>::new());
}

#[test]
fn an_expression_costs_what_it_can_take_at_most() {
    let cost = |source: &str| Set::default().compile(source).unwrap().cost();
    assert!(cost("request_method == 'POST'") < 10);
    assert!(cost("user_agent.matches('bot')") < 1_100);
    assert!(cost("user_agent.contains('bot')") < cost("user_agent.matches('bot')"));
    let many = |count: usize| vec!["user_agent.matches('b')"; count].join("||");
    assert!(cost(&many(9)) < MAX_COST);
    let found = faults(&many(10));
    assert!(found.len() == 1 && found[0].contains("units, and at most 10000"), "{found:?}");
}

/// What expressions are made of, in any order.
fn words() -> impl Strategy<Value = String> {
    const WORDS: [&str; 48] = [
        "request_path",
        "user_agent",
        "response_status",
        "client_ip",
        "payload_a",
        "duration_ms",
        "request_malformed",
        "observed_at",
        "'a'",
        "'/a'",
        "\"5m\"",
        "r'\\d+'",
        "'10.0.0.0/8'",
        "0",
        "1",
        "-9223372036854775808",
        "0xff",
        "true",
        "false",
        "&&",
        "||",
        "!",
        "==",
        "!=",
        "<",
        ">=",
        "in",
        "[",
        "]",
        "(",
        ")",
        ",",
        ".",
        "+",
        "-",
        "%",
        "?",
        ":",
        "startsWith(",
        "matches(",
        "lowerAscii()",
        "size(",
        "has(",
        "ip_in(",
        "action('login')",
        "duration('5s')",
        " ",
        "\n",
    ];
    proptest::collection::vec(proptest::sample::select(&WORDS[..]), 0..60).prop_map(|words| words.concat())
}

fn anything() -> impl Strategy<Value = String> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..200);
    prop_oneof![bytes.prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()), any::<String>(), words()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_compiled_is_refused_with_places_or_evaluated(
        source in anything(),
        text in any::<String>(),
        number: i64,
    ) {
        let mut set = Set::default();
        match set.compile(&source) {
            Ok(program) => {
                let some = |value: &Value<'static>| [("payload_a", value.clone()), ("user_agent", value.clone())];
                for value in [Value::Text(text.clone().into()), Value::Int(number), Value::Bool(true), Value::Absent] {
                    let values = values(&set.fields, &some(&value));
                    let truth = program.eval(&values, &ActionBits::default());
                    let steps = program.explain(&values, &ActionBits::default(), &set.fields);
                    prop_assert_eq!(steps[0].truth, truth);
                }
                prop_assert!(program.cost() <= MAX_COST);
                if !source.contains("action") {
                    prop_assert!(stages::truth(&source, &Value::Text(text.as_str().into())).is_some(), "{source}");
                }
            }
            Err(faults) => {
                prop_assert!(!faults.is_empty());
                let lines: Vec<&str> = source.split('\n').flat_map(|line| line.split('\r')).collect();
                for fault in faults {
                    let place = fault.place.unwrap();
                    prop_assert!(place.line >= 1 && place.line as usize <= lines.len());
                    prop_assert!(place.column >= 1 && place.column as usize <= source.chars().count() + 1);
                }
            }
        }
    }
}
