use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{Set, faults, holds_for, values};
use crate::policy::{ActionBits, Value};

#[track_caller]
fn matches(pattern: &str, text: &str) -> bool {
    holds_for(&format!("user_agent.matches(r'{pattern}')"), &[("user_agent", Value::Text(text.into()))])
}

#[test]
fn classes_and_boundaries_know_ascii_only() {
    for (pattern, text) in [
        (r"^\d+$", "0123"),
        (r"^\D$", "٣"),
        (r"^\w+$", "aZ_9"),
        (r"^\W$", "ü"),
        (r"^\s+$", " \t\n"),
        (r"^\S$", "\u{a0}"),
        (r"\bfoo\b", "üfooü"),
        (r"o\Bo", "foo"),
        (r"^[\w-]+$", "a-b"),
        (r"^[^\d\s]+$", "aü"),
        (r"(?x) ^ [\s\d]+ $", "1 2"),
        (r"(?i)^\w+$", "AbC"),
        (r"^\pL+$", "üÄß"),
        ("(?i)ü", "Ü"),
        ("^.$", "😀"),
        ("^...$", "aü😀"),
        (r"\<foo\>|\b{start}bar\b{end}", "a bar"),
    ] {
        assert!(matches(pattern, text), "{pattern} on {text:?}");
    }
    for (pattern, text) in [
        (r"\d", "٣"),
        (r"^\w$", "ü"),
        (r"\s", "\u{a0}"),
        (r"^\D$", "5"),
        (r"^[^\W]$", "ü"),
        ("^..$", "ü"),
        ("a$", "a\n"),
        ("^b", "a\nb"),
        ("a.b", "a\nb"),
    ] {
        assert!(!matches(pattern, text), "{pattern} on {text:?}");
    }
}

/// Engines that build their automaton as they go take milliseconds for these, on texts made for them.
#[test]
fn a_pattern_that_could_take_long_is_refused() {
    for pattern in ["union.{1,100}select", "a[ab]{100}c", r"(a|b)*a(a|b){16}c", r"(?:a{9}){9}{9}{9}", r"\pL{1000}"] {
        let found = faults(&format!("user_agent.matches(r'{pattern}')"));
        assert!(found.len() == 1 && found[0].contains("the pattern is too large"), "{pattern}: {found:?}");
    }
    for pattern in ["union.*select", "(?i)union.{1,8}select", "^/api/[^/]{1,60}/[0-9]{1,19}$", r"\bselect\b", r"^\pL+$"]
    {
        assert_eq!(faults(&format!("user_agent.matches(r'{pattern}')")), Vec::<String>::new(), "{pattern}");
    }
}

#[test]
fn the_time_of_a_match_depends_on_the_length_of_the_text_alone() {
    let texts = ["a".repeat(1_024), "ü".repeat(512), "ab".repeat(512), "union".repeat(204), "a ".repeat(512)];
    for pattern in
        [r"(?i)[a-zü]{3,40}(?:é|ß)\b", "(?:a?){20}a{20}b", r"(\w+\s)+x", "(?:x+x+)+y", r"\b\w{5,30}\b\W+\b\d"]
    {
        for text in &texts {
            let start = Instant::now();
            matches(pattern, text);
            assert!(start.elapsed() < Duration::from_secs(5), "{pattern}: {:?}", start.elapsed());
        }
    }
}

#[test]
fn the_patterns_of_a_set_have_a_bound_together() {
    let mut set = Set::default();
    let mut fault = |number: usize| {
        let source = format!("user_agent.matches('(?:a{{{number}}}){{1000}}')");
        set.compile(&source).err().map(|mut faults| faults.remove(0).message)
    };
    // Each is refused, and has taken its time all the same.
    let too_large = (100..1_000).take_while(|number| fault(*number).unwrap().starts_with("the pattern is too large"));
    assert_eq!(too_large.count(), 64);
    assert_eq!(fault(999).unwrap(), "the patterns of the set take more than 16 MiB together");
    assert!(fault(100).unwrap().starts_with("the pattern is too large"), "what is known takes no time");
    let mut set = Set::default();
    let many = (0..1_000).take_while(|number| set.compile(&format!("user_agent.matches('{number}')")).is_ok());
    assert_eq!(many.count(), 100);
}

/// Parts of patterns, in an order that often makes one.
fn patterns() -> impl Strategy<Value = String> {
    const PARTS: [&str; 30] = [
        "a", "b", "c", "ab", ".", "[ab]", "[^a]", r"\d", r"\w", r"\W", r"\s", r"\b", r"\B", "^", "$", "*", "+", "?",
        "{2}", "{0,3}", "(", ")", "(?:", "|", "(?i)", "(?s)", "(?m)", "[a-c0-9]", "*?", r"\.",
    ];
    proptest::collection::vec(proptest::sample::select(&PARTS[..]), 1..9).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// On ASCII, where both know the same classes.
    #[test]
    fn a_pattern_matches_what_the_crate_regex_matches(
        pattern in patterns(),
        texts in proptest::collection::vec("[abcABC0. \n_]{0,12}", 6),
    ) {
        let mut set = Set::default();
        let program = set.compile(&format!("user_agent.matches(r'{pattern}')"));
        let regex = regex::Regex::new(&pattern);
        match (program, regex) {
            (Ok(program), Ok(regex)) => for text in texts {
                let values = values(&set.fields, &[("user_agent", Value::Text(text.as_str().into()))]);
                let ours = program.eval(&values, &ActionBits::default());
                prop_assert_eq!(ours, regex.is_match(&text), "{} on {:?}", pattern, text);
            },
            (Err(faults), Ok(_)) => prop_assert!(faults[0].message.contains("too large"), "{pattern}: {faults:?}"),
            (program, Err(error)) => prop_assert!(program.is_err(), "{pattern}: {error}"),
        }
    }
}
