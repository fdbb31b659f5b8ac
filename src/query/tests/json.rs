use super::*;

const DOCUMENT: &str = concat!(
    r#"{"a": {"b": [1, -2.0, "x\"y", null, true, {"k": 1e2}]}, "n": 12345678901234567890, "#,
    r#""" : "e", "s":"\u00e9", "i": 42}"#
);

async fn ask(house: &House, expression: &str) -> String {
    house.json(&format!("SELECT {expression} AS x FROM docs")).await
}

#[tokio::test]
async fn functions_read_what_a_path_leads_to() {
    let house = House::new();
    house.store("default", "docs", "2026-11-20T10:00:00Z", vec![("d", texts(&[DOCUMENT])), ("k", texts(&["i"]))]).await;
    let mut wrong = Vec::new();
    for (expression, expected) in [
        ("json_get(d, 'i')", r#""42""#),
        ("json_get(d, k)", r#""42""#),
        ("json_get(d, 'i')::bigint + 1", "43"),
        ("json_get(d, 's')", r#""\"\\u00e9\"""#),
        ("json_get_str(d, 's')", r#""é""#),
        ("json_get_str(d, '')", r#""e""#),
        ("json_get_str(d, 'i')", "null"),
        ("json_get_int(d, 'i')", "42"),
        ("json_get_int(d, 'n')", "null"),
        ("json_get_int(d, 'a', 'b', 1)", "-2"),
        ("json_get_int(d, 'a', 'b', -1, 'k')", "100"),
        ("json_get_float(d, 'n')", "1.2345678901234567e19"),
        ("json_get_float(d, 's')", "null"),
        ("json_get_bool(d, 'a', 'b', 4)", "true"),
        ("json_get_bool(d, 'a')", "null"),
        ("json_get_json(d, 'a', 'b', 5)", r#""{\"k\": 1e2}""#),
        ("json_get(d, 'a', 'b', 3)", "null"),
        ("json_contains(d, 'a', 'b', 3)", "true"),
        ("json_contains(d, 'a', 'c')", "false"),
        ("json_contains(NULL, 'a')", "null"),
        ("json_length(d)", "5"),
        ("json_length(d, 'a', 'b')", "6"),
        ("json_length(d, 'i')", "null"),
        ("json_get(d, 'a', 'b', 6)", "null"),
        ("json_get(d, 'a', 'b', -7)", "null"),
        ("json_get(d, 'i', 'b')", "null"),
        ("json_get(d, NULL)", "null"),
        ("d -> 'a' -> 'b' ->> 2", r#""x\"y""#),
        ("d ->> 'a'", r#""{\"b\": [1, -2.0, \"x\\\"y\", null, true, {\"k\": 1e2}]}""#),
        ("(d -> 'a' -> 'b' ->> 0)::bigint = 1", "true"),
        ("json_as_text(d, 'a', 'b', 3)", "null"),
        ("json_get('[1', 0)", "null"),
        ("json_get('[1] x', 0)", "null"),
        ("json_get('no', 'a')", "null"),
        ("json_length('[]')", "0"),
        ("json_length('{}')", "0"),
    ] {
        let found = ask(&house, expression).await;
        if found != format!(r#"[{{"x":{expected}}}]"#) {
            wrong.push(format!("{expression}: {found}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    house.refused("SELECT json_get(1, 'a')").await;
    house.refused("SELECT json_get()").await;
    house.refused("SELECT json_get(d, 1.5) FROM docs").await;
    house.refused(&format!("SELECT json_get(d{}) FROM docs", ", 0".repeat(33))).await;
}

#[tokio::test]
async fn nesting_is_no_danger_and_rows_are_filtered_and_grouped() {
    let house = House::new();
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let rows = [deep.as_str(), r#"{"t":"a","v":1}"#, r#"{"t":"a","v":2}"#, r#"{"t":"b","v":4}"#];
    house.store("default", "docs", "2026-11-20T10:00:00Z", vec![("d", texts(&rows))]).await;
    assert_eq!(ask(&house, "max(json_length(d, 0, 0))").await, r#"[{"x":1}]"#);
    assert_eq!(
        house.json("SELECT d ->> 't' AS t, sum(json_get_int(d, 'v')) AS n FROM docs WHERE json_contains(d, 't') GROUP BY d ->> 't' ORDER BY t").await,
        r#"[{"t":"a","n":3},{"t":"b","n":4}]"#
    );
}
