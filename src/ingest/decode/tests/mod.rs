//! What decoding takes and refuses.

mod quarantine;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Float64Type, Int64Type};
use proptest::prelude::*;

use super::*;
use crate::error::{ErrorKind, Result};
use crate::ingest::budget::Reservation;
use crate::stream::{Field, FieldType, StreamSchema};

fn decode_texts(texts: &[Text<'_>]) -> Result<Decoded> {
    decode(texts, &CommonFields::default(), &mut Reservation::unlimited())
}

fn decode_as(body: &[u8], framing: Framing) -> Result<Batch> {
    decode_texts(&[Text::of_body(body, framing)]).map(|decoded| decoded.batch)
}

fn read(body: &str) -> Batch {
    decode_as(body.as_bytes(), Framing::Json).unwrap()
}

fn refused(body: impl AsRef<[u8]>) -> String {
    refused_as(body, Framing::Json)
}

fn refused_as(body: impl AsRef<[u8]>, framing: Framing) -> String {
    let error = decode_as(body.as_ref(), framing).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    error.to_string()
}

fn column(batch: &Batch, name: &str) -> (FieldType, ArrayRef) {
    let at = batch.fields.iter().position(|field| &*field.name == name).unwrap();
    (batch.fields[at].field_type, batch.columns[at].clone())
}

fn text(batch: &Batch, name: &str) -> Vec<Option<String>> {
    column(batch, name).1.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}

fn integers(batch: &Batch, name: &str) -> Vec<Option<i64>> {
    column(batch, name).1.as_primitive::<Int64Type>().iter().collect()
}

#[test]
fn an_object_an_array_and_a_line_each_are_events() {
    for (body, rows) in [
        (r#"{"a":1}"#, 1),
        ("\u{feff} \r\n{\n  \"a\": 1,\n  \"b\": {\n \"c\": 2 }\n}\n", 1),
        (r#"[{"a":1},{"a":2}]"#, 2),
        ("{\"a\":1}\n\n  {\"a\":2}\r\n{\"a\":\n3} {\"a\":4}", 4),
        ("{}", 1),
    ] {
        let batch = read(body);
        assert_eq!(batch.rows, rows, "{body}");
        assert!(batch.columns.iter().all(|column| column.len() == rows));
        if body.contains('a') {
            assert_eq!(integers(&batch, "a"), (1..=rows as i64).map(Some).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_body_without_events_is_an_empty_batch() {
    for body in ["", "  \n\r\n", "[]", "[ ]", "\u{feff}"] {
        for framing in [Framing::Json, Framing::Lines] {
            assert_eq!(decode_as(body.as_bytes(), framing).unwrap().rows, 0, "{body:?}");
        }
    }
}

#[test]
fn what_is_no_object_is_refused_with_its_place_and_without_its_value() {
    for body in ["{}\n\"secret\"", "{}\n[{}]", "{}\nnull", "{}\n-7.5e999"] {
        for framing in [Framing::Json, Framing::Lines] {
            assert_eq!(refused_as(body, framing), "line 2: an event must be a JSON object", "{body}");
        }
    }
    for body in ["[{},\n\"secret\"]", "[{},\n[{}]]", "[{},\n7]"] {
        assert_eq!(refused(body), "event 2 (line 2): an event must be a JSON object", "{body}");
    }
    for framing in [Framing::Json, Framing::Lines] {
        assert_eq!(refused_as("{}\n{}{}", framing), "line 2: something follows an event without a blank between");
    }
}

#[test]
fn broken_json_is_refused_with_its_place_and_without_its_value() {
    for body in [
        "{\"a\":1}\n{\"a\":secret}",
        "{\"a\":1}\n{\"a\":\"secret}",
        "{\"a\":1}\n{\"a\" 1}",
        "{\"a\":1}\n{\"a\":1,}",
        "{\"a\":1}\n{\"a\":01}",
        "{}\n{\"a\":\"\t\"}",
        "{}\nsecret",
        "{}\n,{}",
        "{}\n[{}",
    ] {
        for framing in [Framing::Json, Framing::Lines] {
            let message = refused_as(body, framing);
            assert!(message.starts_with("line 2: this is not JSON: "), "{body}: {message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }
    // A number that no float holds is JSON all the same.
    for (value, field) in [("1e999", "a"), ("[1,-1e999]", "a"), ("{\"b\":1e999}", "a_b"), ("1e999,\"c\":1", "a")] {
        let body = format!("{{}}\n{{\"a\":{value}}}");
        for framing in [Framing::Json, Framing::Lines] {
            let message = refused_as(&body, framing);
            assert_eq!(message, format!("line 2: the field `{field}` holds a number too large for a float"));
        }
    }
    assert!(refused("[{}\n] {}").starts_with("line 2: this is not JSON: "));
    assert!(refused("[{},1e999]").ends_with(": an event must be a JSON object"));
    // What is missing after an event is missing where the next one would begin.
    for (body, event) in [("[{\"a\":1},\n{\"a\":1}} ", 3), ("[{\"a\":1}\n {\"a\":1}]", 2), ("[{\"a\":1},\n]", 2)] {
        let message = refused(body);
        assert!(message.starts_with(&format!("event {event} (line 2): this is not JSON: ")), "{body}: {message}");
    }
}

#[test]
fn a_broken_line_is_named_by_its_own_number_and_swallows_no_other() {
    let good = "{\"a\":1}\n";
    for broken in ["{\"a\":", "{\"a\":\"x", "{\"a\":[", "{", "{\"a\":{\"b\":1}"] {
        let body = format!("{}{broken}\n{}", good.repeat(2), good.repeat(4));
        let message = refused_as(&body, Framing::Lines);
        assert!(message.starts_with("line 3: this is not JSON: "), "{broken}: {message}");
    }
    // A value that spans lines is JSON, and no line of NDJSON.
    let spanning = "{\n\"a\": 1\n}";
    assert_eq!(decode_as(spanning.as_bytes(), Framing::Json).unwrap().rows, 1);
    assert!(refused_as(spanning, Framing::Lines).starts_with("line 1: this is not JSON: "));
}

#[test]
fn the_event_at_fault_is_named_by_its_number_in_an_array_and_by_its_line_elsewhere() {
    let events = |separator: &str| {
        let event = |n| if n == 701 { "{\"a\":\"x\"}" } else { "{\"a\":1}" };
        (1..=1000).map(event).collect::<Vec<_>>().join(separator)
    };
    let (array, lines) = (format!("[{}]", events(",")), events("\n"));
    let message = "the field `a` is integer and text in one request";
    assert_eq!(refused(&array), format!("event 701: {message}"));
    assert_eq!(refused_as(&lines, Framing::Lines), format!("line 701: {message}"));
    assert_eq!(refused(format!("\n{lines}")), format!("line 702: {message}"));
}

/// The refusal of a batch that does not fit a stream of these fields.
fn conflict(body: &str, framing: Framing, stream: &[(&str, FieldType)]) -> String {
    let decoded = decode_texts(&[Text::of_body(body.as_bytes(), framing)]).unwrap();
    let fields = stream.iter().map(|(name, field_type)| Field { name: (*name).into(), field_type: *field_type });
    let conflict = StreamSchema::new(fields).widen(&decoded.batch.fields).unwrap_err();
    decoded.places.explain(conflict.into_error()).to_string()
}

#[test]
fn the_event_that_does_not_fit_the_stream_is_named() {
    use FieldType::{BigInteger, Boolean, Float, Integer, Text};
    let stream = [("a", Integer), ("b", Boolean), ("f", Float), ("g", BigInteger), ("t", Text)];
    let lines = |bad: &str| format!("{{\"z\":1}}\n\n{bad}\n{bad}");
    for (bad, why) in [
        ("{\"a\":\"x\"}", "the field `a` is integer in this stream, not text"),
        ("{\"b\":0}", "the field `b` is boolean in this stream, not integer"),
        ("{\"t\":true}", "the field `t` is text in this stream, not boolean"),
        (
            "{\"f\":9007199254740993}",
            "the field `f` holds floats in this stream, and floats cannot hold all of its whole numbers exactly",
        ),
        (
            "{\"g\":0.5}",
            "the field `g` holds whole numbers in this stream, and floats cannot hold all of its whole numbers exactly",
        ),
    ] {
        assert_eq!(conflict(&lines(bad), Framing::Lines, &stream), format!("line 3: {why}"));
        assert_eq!(conflict(&format!("[{{}},{bad}]"), Framing::Json, &stream), format!("event 2: {why}"));
    }
    // What came before and fits is not to blame.
    let widening = "[{\"g\":1,\"b\":null},{\"g\":2},{\"g\":2.5}]";
    assert!(conflict(widening, Framing::Json, &stream).starts_with("event 3: the field `g`"));
    let growing = "[{\"f\":1},{\"f\":9007199254740993}]";
    assert!(conflict(growing, Framing::Json, &stream).starts_with("event 2: the field `f`"));
    let full: Vec<String> = (0..1000).map(|n| format!("f{n}")).collect();
    let full: Vec<_> = full.iter().map(|name| (name.as_str(), Text)).collect();
    assert!(conflict("{}\n{\"x\":1}", Framing::Lines, &full).starts_with("line 2: a stream has at most 1000 fields"));
}

#[test]
fn lines_may_hold_several_objects_and_numbers_stay_as_they_were_written() {
    let body = "{\"a\":-0,\"l\":[1.50]} {\"a\":1}\r\n\r\n  {\"a\":2,\"l\":[99999999999999999999]}\r{\"a\":3}";
    let batch = decode_as(body.as_bytes(), Framing::Lines).unwrap();
    assert_eq!(integers(&batch, "a"), [Some(0), Some(1), Some(2), Some(3)]);
    assert_eq!(text(&batch, "l"), [Some("[1.50]".into()), None, Some("[99999999999999999999]".into()), None]);
    assert_eq!(decode_as(b"\xef\xbb\xbf [{}, {}]\n", Framing::Lines).unwrap().rows, 2);
}

#[test]
fn a_line_that_begins_like_an_array_takes_in_no_other() {
    assert_eq!(refused_as("[{}]\n{}", Framing::Lines), "line 1: an event must be a JSON object");
    for body in ["[2026-11-28] boom\n{\"a\":1}", "[{},\n{}]", "[\n{}\n]"] {
        let message = refused_as(body, Framing::Lines);
        assert!(message.starts_with("line 1: this is not JSON: "), "{body}: {message}");
    }
    assert_eq!(refused_as("{}\n[{}]", Framing::Lines), "line 2: an event must be a JSON object");
}

#[test]
fn several_texts_are_one_batch_and_their_records_are_named() {
    let texts = |bodies: &[&'static str]| {
        let texts = bodies.iter().zip(1..).map(|(body, record)| Text {
            bytes: body.as_bytes(),
            framing: Framing::Lines,
            record,
            broken: None,
        });
        decode_texts(&texts.collect::<Vec<_>>())
    };
    let batch = texts(&["{\"l\":[1e1]}\n{\"l\":[2e2]}", "", "[{\"l\":[3e3]}]"]).unwrap().batch;
    assert_eq!(text(&batch, "l"), [Some("[1e1]".into()), Some("[2e2]".into()), Some("[3e3]".into())]);
    for (bodies, place) in [
        (["{}", "{}\n7"], "record 2, line 2: an event"),
        (["{}", "[{},7]"], "record 2, event 2: an event"),
        (["{\"a\":1}", "{\"a\":\"x\"}"], "record 2, line 1: the field `a`"),
    ] {
        let message = texts(&bodies).unwrap_err().to_string();
        assert!(message.starts_with(place), "{message}");
    }
}

#[test]
fn a_lone_surrogate_and_what_is_not_utf8_are_refused() {
    for body in [r#"{"a":"\ud800"}"#, r#"{"a":"\udc00"}"#, r#"{"\ud800":1}"#, r#"{"a":[{"b":"\ud800x"}]}"#] {
        assert!(refused(body).starts_with("line 1: "), "{body}");
    }
    assert_eq!(refused(b"{}\n{\"a\":\"\xff\"}"), "line 2: the body is not UTF-8");
    assert_eq!(text(&read(r#"{"a":"\ud83d\ude00"}"#), "a"), [Some("😀".into())]);
}

#[test]
fn nesting_is_bounded_by_64_levels_in_objects_and_arrays() {
    let objects = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    let arrays = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert_eq!(read(&objects(64)).rows, 1);
    assert_eq!(read(&arrays(64)).rows, 1);
    for body in [objects(65), arrays(65), arrays(5000), objects(5000).replace("\"a\"", "\"\\u0061\"")] {
        assert_eq!(refused(body), "line 1: an event is nested deeper than 64 levels");
    }
}

#[test]
fn a_field_that_stands_twice_in_one_event_is_refused() {
    for body in [
        r#"{"a":1,"a":2}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"a":null,"a":1}"#,
        r#"{"a":{},"a":1}"#,
        r#"{"a":{"b":1},"a":{"c":2}}"#,
        r#"{"a":{"b":1},"a_b":2}"#,
        r#"{"a_b":null,"a":{"b":1}}"#,
        r#"{"x":[{"a":1,"a":2}]}"#,
        r#"{"x":[{"a":1,"\u0061":2}]}"#,
    ] {
        let message = refused(format!("{{\"a\":null}}\n{body}"));
        assert!(message.starts_with("line 2: the field `a") && message.ends_with("twice in one event"), "{message}");
    }
    assert_eq!(read("{\"a\":{\"b\":1}}\n{\"a_b\":2}").fields.len(), 1);
}

#[test]
fn names_are_checked_after_flattening_and_quoted_with_care() {
    assert!(refused(r#"{"p_time":1}"#).contains("`p_time` starts with p_"));
    assert!(refused(r#"{"p":{"time":1}}"#).contains("`p_time` starts with p_"));
    assert!(refused(r#"{"":1}"#).contains("an empty name"));
    assert!(refused(r#"{"a":{"":1}}"#).contains("an empty name"));
    assert!(refused(r#"{"a\u001b[1m":1}"#).contains(r"`a\u{1b}[1m`"));
    let long = refused(format!("{{\"{}\":1}}", "x".repeat(257)));
    assert!(long.contains("longer than 256 bytes") && long.len() < 200, "{long}");
    assert_eq!(read(&format!("{{\"{}\":1,\"p\":1}}", "x".repeat(256))).fields.len(), 2);
}

#[test]
fn integers_are_exact_and_minus_zero_is_zero() {
    let batch = read(r#"[{"n":-9223372036854775808},{"n":-0},{"n":9223372036854775807}]"#);
    assert_eq!(integers(&batch, "n"), [Some(i64::MIN), Some(0), Some(i64::MAX)]);
    assert_eq!(column(&batch, "n").0, FieldType::BigInteger);
    assert_eq!(column(&read(r#"{"n":9007199254740992}"#), "n").0, FieldType::Integer);
    assert_eq!(column(&read(r#"{"n":9007199254740993}"#), "n").0, FieldType::BigInteger);
    for literal in ["9223372036854775808", "-9223372036854775809", "99999999999999999999999"] {
        let message = refused(format!("{{}}\n{{\"n\":{literal}}}"));
        assert_eq!(message, "line 2: the field `n` holds an integer outside the range of 64 bits, signed");
    }
}

#[test]
fn floats_are_exact_whatever_their_size() {
    let literals = ["1.0", "-0.0", "1e30", "-9223372036854775809.0", "5e-324", "0.1", "1.7976931348623157e308"];
    let body: Vec<String> = literals.iter().map(|literal| format!("{{\"2\":[1],\"f\":{literal}}}")).collect();
    let (field_type, values) = column(&read(&body.join("\n")), "f");
    assert_eq!(field_type, FieldType::Float);
    let bits = literals.map(|literal| literal.parse::<f64>().unwrap().to_bits());
    assert_eq!(values.as_primitive::<Float64Type>().values().iter().map(|f| f.to_bits()).collect::<Vec<_>>(), bits);
}

#[test]
fn a_field_has_one_type_in_a_request_and_whole_numbers_join_floats_only_exactly() {
    assert_eq!(refused("{\"a\":1}\n{\"a\":\"x\"}"), "line 2: the field `a` is integer and text in one request");
    assert!(refused(r#"[{"a":true},{"a":1.5}]"#).contains("boolean and float"));
    assert!(refused(r#"[{"a":[]},{"a":false}]"#).contains("text and boolean"));
    let (field_type, values) = column(&read(r#"[{"a":1},{},{"a":null},{"a":0.5},{"a":-0}]"#), "a");
    assert_eq!(field_type, FieldType::Float);
    let values: Vec<_> = values.as_primitive::<Float64Type>().iter().collect();
    assert_eq!(values, [Some(1.0), None, None, Some(0.5), Some(0.0)]);
    for body in ["{\"a\":9007199254740993}\n{\"a\":0.5}", "{\"a\":0.5}\n{\"a\":9007199254740993}"] {
        assert!(refused(body).contains("cannot hold exactly"));
    }
}

#[test]
fn objects_are_flattened_arrays_stay_text_and_null_creates_nothing() {
    let batch = read(
        r#"{"a":{"b":{"c":true},"d":null},"e":[1, 1e+2 ,{"x" : [ ]}, "\u00e9\n", null, 99999999999999999999, -0]}"#,
    );
    let names: Vec<_> = batch.fields.iter().map(|field| &*field.name).collect();
    assert_eq!(names, ["a_b_c", "e"]);
    assert_eq!(text(&batch, "e"), [Some(r#"[1,1e+2,{"x":[]},"é\n",null,99999999999999999999,-0]"#.into())]);
}

#[test]
fn fields_events_and_cells_are_bounded() {
    let wide = |fields: usize| {
        let fields: Vec<String> = (0..fields).map(|n| format!("\"f{n}\":1")).collect();
        format!("{{{}}}", fields.join(","))
    };
    assert_eq!(read(&wide(1000)).fields.len(), 1000);
    assert!(refused(wide(1001)).contains("at most 1000 fields"));
    let kind = |body: String| decode_as(body.as_bytes(), Framing::Json).unwrap_err().kind();
    assert_eq!(read(&"{}\n".repeat(MAX_EVENTS)).rows, MAX_EVENTS);
    assert_eq!(kind("{}\n".repeat(MAX_EVENTS + 1)), ErrorKind::TooLarge);
    assert_eq!(kind(format!("{}\n{}", wide(1000), "{}\n".repeat(8000))), ErrorKind::TooLarge);
    assert_eq!(kind(format!("{}\n{}", "{}\n".repeat(8000), wide(1000))), ErrorKind::TooLarge);
}

/// JSON-like noise goes deeper into the decoder than bytes at random.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(","),
        Just(":"),
        Just("\"a\""),
        Just("\"b\""),
        Just("{\"a\":"),
        Just("-0"),
        Just("1"),
        Just("1.5"),
        Just("1e20"),
        Just("99999999999999999999"),
        Just("null"),
        Just("true"),
        Just("\n"),
        Just(" "),
        Just("\"\\u0061\""),
        Just("\"\\ud800\""),
        Just("é"),
    ];
    proptest::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat().into_bytes())
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop_oneof![any::<Vec<u8>>(), noise()]) {
        for framing in [Framing::Json, Framing::Lines] {
            if let Ok(batch) = decode_as(&bytes, framing) {
                prop_assert!(batch.columns.iter().all(|column| column.len() == batch.rows));
            }
        }
    }

    #[test]
    fn what_is_taken_as_one_object_is_json(bytes in noise()) {
        if bytes.first() == Some(&b'[') && decode_as(&bytes, Framing::Json).is_ok() {
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_ok());
        }
    }

    #[test]
    fn lines_and_json_agree_on_what_stands_on_one_line(bytes in noise()) {
        if !bytes.contains(&b'\n') {
            let [json, lines] = [Framing::Json, Framing::Lines].map(|framing| decode_as(&bytes, framing).ok());
            prop_assert_eq!(json.map(|batch| batch.columns), lines.map(|batch| batch.columns));
        }
    }
}
