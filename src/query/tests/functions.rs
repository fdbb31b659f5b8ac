//! Every function that is offered, with arguments that nobody meant: whatever comes of it is an answer or the client's
//! fault.

use std::time::Duration;

use super::super::functions;
use super::differential::random::Random;
use super::*;

const ARGUMENTS: &[&str] = &[
    "NULL",
    "''",
    "'('",
    "'a'",
    "'%Q'",
    "'%'",
    "'[a'",
    "'\u{10FFFF}é'",
    "'2026-02-30'",
    "'9999999999999999999999'",
    "'{\"a\":[1'",
    "0",
    "-1",
    "9223372036854775807",
    "(-9223372036854775807 - 1)",
    "0.0",
    "-1.5e308",
    "CAST('NaN' AS DOUBLE)",
    "CAST('Infinity' AS DOUBLE)",
    "true",
    "now()",
    "to_timestamp_nanos(9223372036854775807)",
    "to_timestamp_seconds(-9223372036854775807)",
    "DATE '2026-01-01'",
    "INTERVAL '1 month'",
    "INTERVAL '-178000000 years'",
    "t",
    "i",
    "f",
    "p_timestamp",
    "named_struct('a', 1)",
];

async fn house() -> House {
    let house = House::new();
    let columns = vec![
        ("t", texts(&["", "(", "é%\\", "2026-01-01"])),
        ("i", ints(&[i64::MIN, -1, 0, i64::MAX])),
        ("f", floats(&[f64::MIN, -0.0, 1e-300, f64::MAX])),
    ];
    house.store("default", "v", "2026-11-20T10:00:00Z", columns).await;
    house
}

async fn is_never_our_fault(house: &House, expression: &str) -> Option<String> {
    let sql = format!("SELECT {expression} AS x FROM v");
    let asked = house.ask(everything("default"), request(&sql), Format::JsonArray);
    match tokio::time::timeout(Duration::from_secs(20), asked).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) if matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Exhausted) => None,
        other => Some(format!("{sql}: {other:?}")),
    }
}

#[tokio::test]
async fn no_argument_of_a_function_is_an_error_of_ours() {
    let house = house().await;
    let seed = std::env::var("KEYLOFT_TEST_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed = seed.unwrap_or_else(|| fresh().as_u128() as u64);
    eprintln!("KEYLOFT_TEST_SEED={seed}");
    let mut wrong = Vec::new();
    for expression in [
        "regexp_replace('a', '(', 'b')",
        "regexp_like(t, t)",
        "to_char(now(), '%Q')",
        "to_char(p_timestamp, t)",
        "date_bin(INTERVAL '0 seconds', p_timestamp)",
        "chr(-1)",
        "i / 0",
        "i % 0",
        "CAST(t AS BIGINT)",
        "p_timestamp + INTERVAL '178000000 years'",
    ] {
        wrong.extend(is_never_our_fault(&house, expression).await);
    }
    let mut random = Random::new(seed);
    for function in functions::scalar() {
        for arguments in [0, 1, 1, 1, 2, 2, 2, 3, 3, 4] {
            let given: Vec<_> = (0..arguments).map(|_| random.pick(ARGUMENTS)).collect();
            wrong.extend(is_never_our_fault(&house, &format!("{}({})", function.name(), given.join(", "))).await);
        }
    }
    let aggregates = functions::aggregate().into_iter().map(|function| (function.name().to_owned(), ""));
    let windows = functions::window().into_iter().map(|function| (function.name().to_owned(), " OVER (ORDER BY i)"));
    for (name, over) in aggregates.chain(windows) {
        for arguments in [0, 1, 1, 1, 2, 2, 3] {
            let given: Vec<_> = (0..arguments).map(|_| random.pick(ARGUMENTS)).collect();
            wrong.extend(is_never_our_fault(&house, &format!("{name}({}){over}", given.join(", "))).await);
        }
    }
    assert!(wrong.is_empty(), "seed {seed}\n{}", wrong.join("\n"));
}

#[tokio::test]
async fn other_spellings_and_times_are_understood() {
    let house = house().await;
    let mut wrong = Vec::new();
    for (expression, expected) in [
        ("mod(7, 3)", "1"),
        ("mod(mod(17, 10), 4) + 1", "4"),
        ("date('2026-03-04T05:06:07Z')", r#""2026-03-04""#),
        ("strftime(to_timestamp('2026-03-04T05:06:07Z'), '%d.%m.%Y')", r#""04.03.2026""#),
        ("'50%' LIKE '50!%' ESCAPE '!'", "true"),
        ("'50x' LIKE '50!%' ESCAPE '!'", "false"),
        ("'a!b' LIKE 'a!!_' ESCAPE '!'", "true"),
        ("'a\\b' LIKE 'a\\b' ESCAPE '!'", "true"),
        ("'A_' ILIKE 'a#_' ESCAPE '#'", "true"),
        ("to_timestamp('2018-03-24T17:15:20.866586Z')", r#""2018-03-24T17:15:20.866586Z""#),
        ("to_timestamp('2018-03-24T17:15:20.000000001Z')", r#""2018-03-24T17:15:20.000000001Z""#),
        ("to_timestamp_seconds('2018-03-24T17:15:20Z')", r#""2018-03-24T17:15:20Z""#),
        ("to_timestamp('2018-03-24T17:15:20.5+02:00')", r#""2018-03-24T15:15:20.500Z""#),
        ("named_struct('t', to_timestamp('2018-03-24T17:15:20.866586Z'))", r#"{"t":"2018-03-24T17:15:20.866586Z"}"#),
        ("array_agg(p_timestamp)", r#"["2026-11-20T10:00:00.000Z"]"#),
    ] {
        let sql = format!("SELECT {expression} AS x FROM (SELECT * FROM v LIMIT 1)");
        let found = house.ask(everything("default"), request(&sql), Format::JsonArray).await;
        if !found.as_ref().is_ok_and(|found| *found == format!(r#"[{{"x":{expected}}}]"#)) {
            wrong.push(format!("{expression}: {found:?}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let csv = request("SELECT to_timestamp('2018-03-24T17:15:20.866586Z') AS t, p_timestamp AS p FROM v LIMIT 1");
    let csv = house.ask(everything("default"), csv, Format::Csv).await.unwrap();
    assert_eq!(csv, "t,p\n2018-03-24T17:15:20.866586Z,2026-11-20T10:00:00.000Z\n");
    for (expression, words) in [
        ("to_char(now(), 'YYYY-MM-DD')", "%Y-%m-%d"),
        ("strftime(now(), 'x')", "%Y-%m-%d"),
        ("age(now(), now())", "subtract"),
        ("'a' LIKE t ESCAPE '!'", "literal"),
        ("'a' LIKE 'a!' ESCAPE '!'", "ESCAPE"),
        ("regexp_replace('a', '(', 'b')", "not a regular expression: unclosed group"),
    ] {
        let error = house.refused(&format!("SELECT {expression} AS x FROM v")).await;
        assert!(error.message().contains(words), "{expression}: {error}");
    }
}
