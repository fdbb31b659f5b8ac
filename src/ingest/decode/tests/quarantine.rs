//! Good events are taken, the others are set aside, and each event is in exactly one of the two places.

use arrow::array::{Array, AsArray};
use proptest::prelude::*;

use super::*;
use crate::ingest::decode::rejected::MAX_REJECTED_TEXT_BYTES;
use crate::stream::FieldType::{BigInteger, Boolean, Float, Integer, Text as TextType};

fn stream(fields: &[(&str, FieldType)]) -> StreamSchema {
    StreamSchema::new(fields.iter().map(|(name, field_type)| Field { name: (*name).into(), field_type: *field_type }))
}

fn sort_all(texts: &[Text<'_>], common: &CommonFields, stream: &StreamSchema) -> Result<Sorted> {
    sort(texts, common, stream, &mut Reservation::unlimited())
}

fn sort_as(body: &[u8], framing: Framing, stream: &StreamSchema) -> Sorted {
    sort_all(&[Text::of_body(body, framing)], &CommonFields::default(), stream).unwrap()
}

/// What was set aside: the place, the word for the fault, and the text.
fn aside(sorted: Sorted) -> Vec<(String, String, String)> {
    let count = sorted.rejected.count();
    let batch = sorted.rejected.into_batch("web");
    assert_eq!(batch.rows, count);
    let place = |at: usize| {
        let number = |name| {
            let values = integers(&batch, name);
            values[at].map_or(0, |number| usize::try_from(number).unwrap())
        };
        Place { record: number("record"), event: number("event"), line: number("line") }.to_string()
    };
    let word = |name: &str, at: usize| text(&batch, name)[at].clone().unwrap();
    (0..count).map(|at| (place(at), word("code", at), word("text", at))).collect()
}

fn said(rows: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    rows.iter().map(|(place, code, text)| ((*place).into(), (*code).into(), (*text).into())).collect()
}

#[test]
fn a_line_that_begins_like_an_array_is_set_aside_alone() {
    let sorted = sort_as(b"[2026] boom\n{\"a\":1}\n[{\"a\":2},\n{\"a\":3}\n", Framing::Lines, &stream(&[]));
    assert_eq!(integers(&sorted.decoded.batch, "a"), [Some(1), Some(3)]);
    let lines: Vec<_> = aside(sorted).into_iter().map(|(place, ..)| place).collect();
    assert_eq!((lines.first(), lines.last()), (Some(&"line 1".into()), Some(&"line 3".into())), "{lines:?}");
}

#[test]
fn every_kind_of_fault_sets_its_own_event_aside_and_no_other() {
    let deep = format!("{}1{}", "{\"a\":".repeat(65), "}".repeat(65));
    let wide: Vec<String> = (0..999).map(|n| format!("\"w{n}\":1")).collect();
    let wide = format!("{{{}}}", wide.join(","));
    let known = stream(&[("a", Integer), ("t", TextType)]);
    let faults = [
        ("not_json", "{\"a\":"),
        ("not_json", "{\"a\":1}}"),
        ("not_an_object", "7"),
        ("not_json", "secret"),
        ("too_deep", &deep),
        ("duplicate_field", "{\"a\":1,\"a\":2}"),
        ("duplicate_field", "{\"x\":{\"y\":1},\"x_y\":null}"),
        ("field_name", "{\"\":1}"),
        ("reserved_name", "{\"a\":1,\"p\":{\"value\":1}}"),
        ("number_range", "{\"a\":9232379236109516800}"),
        ("number_range", "{\"f\":1e400}"),
        ("number_range", "{\"f\":[-1e400]}"),
        ("type_conflict", "{\"new\":true,\"a\":\"x\"}"),
        ("type_conflict", "{\"t\":300}"),
        ("too_many_fields", &wide),
    ];
    for (code, bad) in faults {
        let body = format!("{{\"a\":1}}\n{bad}\n\n{{\"a\":2,\"new\":\"x\"}}");
        let sorted = sort_as(body.as_bytes(), Framing::Lines, &known);
        let batch = &sorted.decoded.batch;
        assert_eq!((batch.rows, integers(batch, "a")), (2, vec![Some(1), Some(2)]), "{bad}");
        assert_eq!(text(batch, "new"), [None, Some("x".into())], "{bad}");
        assert_eq!(batch.fields.len(), 2, "{bad}");
        let (place, found, kept) = aside(sorted).remove(0);
        assert_eq!((place.as_str(), found.as_str()), ("line 2", code), "{bad}");
        assert!(bad.ends_with(&kept), "{kept}");
        if !bad.contains("}}") && !matches!(bad, "{\"a\":" | "secret") {
            let body = format!("[{{\"a\":1}},{bad} , {{\"a\":2,\"new\":\"x\"}}]");
            let sorted = sort_as(body.as_bytes(), Framing::Json, &known);
            assert_eq!(integers(&sorted.decoded.batch, "a"), [Some(1), Some(2)], "{bad}");
            assert_eq!(aside(sorted), said(&[("event 2", code, bad)]));
        }
    }
}

#[test]
fn what_is_not_utf_8_is_kept_as_far_as_it_is_text() {
    let sorted = sort_as(b"{\"a\":1}\n{\"a\":\"\xff\"}\n{\"a\":2}", Framing::Lines, &stream(&[]));
    assert_eq!(integers(&sorted.decoded.batch, "a"), [Some(1), Some(2)]);
    assert_eq!(aside(sorted), said(&[("line 2", "not_utf8", "{\"a\":\"\u{fffd}\"}")]));
    let sorted = sort_as(b"[{\"a\":\"\xff\"},{\"a\":2}]", Framing::Json, &stream(&[]));
    assert_eq!(integers(&sorted.decoded.batch, "a"), [Some(2)]);
    assert_eq!(aside(sorted), said(&[("event 1", "not_utf8", "{\"a\":\"\u{fffd}\"}")]));
}

#[test]
fn what_cannot_be_told_apart_is_one_event_to_its_end() {
    let good = "{\"a\":1}";
    for (body, framing, rows, expected) in [
        (format!("{good} x {good}\n{good}"), Framing::Lines, 1, ("line 1", "not_json", "{\"a\":1} x {\"a\":1}")),
        (format!("{good}{good}\n{good}"), Framing::Lines, 1, ("line 1", "not_json", "{\"a\":1}{\"a\":1}")),
        (format!("{good} {{\"p_\":1}} {good}\n{good}"), Framing::Lines, 3, ("line 1", "reserved_name", "{\"p_\":1}")),
        (format!("{good}\n{{\"a\":\n{good}"), Framing::Json, 1, ("line 2", "not_json", "{\"a\":\n{\"a\":1}")),
        (format!("{good}{good}\n{good}"), Framing::Json, 2, ("line 1", "not_json", good)),
        (format!("{good}\nx {good}"), Framing::Json, 1, ("line 2", "not_json", "x {\"a\":1}")),
        (format!("[{good},{{\"a\" 1}},{good}]"), Framing::Json, 1, ("event 2", "not_json", "{\"a\" 1},{\"a\":1}]")),
        (format!("[{good} {good}]"), Framing::Json, 1, ("event 2", "not_json", "{\"a\":1}]")),
        (format!("[{good},]"), Framing::Json, 1, ("event 2", "not_json", "]")),
        (format!("[{good}"), Framing::Json, 1, ("event 2", "not_json", "")),
        (format!("[{good},"), Framing::Json, 1, ("event 2", "not_json", "")),
        (format!("[{good}]\n{good}"), Framing::Json, 1, ("line 2", "not_json", good)),
    ] {
        let sorted = sort_as(body.as_bytes(), framing, &stream(&[]));
        assert_eq!(sorted.decoded.batch.rows, rows, "{body}");
        assert_eq!(aside(sorted), said(&[expected]), "{body}");
    }
}

#[test]
fn an_event_that_is_set_aside_leaves_no_trace() {
    // Its types, its names, its numbers and its fields count for nothing.
    let many = |n: usize| format!("{{\"v\":1.5,\"x{n}\":{{\"y\":-0}},\"p_\":1}}");
    let bad: Vec<String> = (0..5000).map(many).collect();
    let body = format!("{{\"f\":1}}\n{}\n{{\"v\":-0,\"l\":[-0],\"f\":-0}}\n{{\"v\":true,\"z\":1}}", bad.join("\n"));
    let sorted = sort_as(body.as_bytes(), Framing::Lines, &stream(&[]));
    assert_eq!(sorted.rejected.count(), 5001);
    let batch = &sorted.decoded.batch;
    let names: Vec<_> = batch.fields.iter().map(|field| &*field.name).collect();
    assert_eq!(names, ["f", "v", "l"]);
    assert_eq!((integers(batch, "v"), integers(batch, "f")), (vec![None, Some(0)], vec![Some(1), Some(0)]));
    assert_eq!(text(batch, "l"), [None, Some("[-0]".into())]);
    let samples = sorted.rejected.samples();
    assert_eq!((samples.len(), samples[0].place, samples[0].fault), (5, Place::line(2), Fault::ReservedName));
    assert!(samples[0].reason.contains("`p_` starts with p_"), "{}", samples[0].reason);
}

#[test]
fn whole_numbers_and_floats_keep_their_rules() {
    let known = stream(&[("big", BigInteger), ("f", Float), ("b", Boolean)]);
    let body = "{\"big\":0.5}\n{\"f\":9007199254740993}\n{\"f\":1}\n{\"n\":1}\n{\"n\":0.5}\n{\"n\":9007199254740993}\n{\"b\":0}";
    let sorted = sort_as(body.as_bytes(), Framing::Lines, &known);
    assert_eq!(sorted.decoded.batch.rows, 3);
    let places: Vec<String> = aside(sorted).into_iter().map(|(place, _, _)| place).collect();
    assert_eq!(places, ["line 1", "line 2", "line 6", "line 7"]);
}

#[test]
fn a_good_request_is_read_as_ever_and_what_is_too_large_is_refused_whole() {
    let sorted = sort_as(b"{\"a\":1}\n{\"a\":2}", Framing::Lines, &stream(&[("a", Integer)]));
    assert_eq!((sorted.decoded.batch.rows, sorted.rejected.count()), (2, 0));
    let too_many = "7\n".repeat(MAX_EVENTS + 1);
    let error = sort_all(&[Text::of_body(too_many.as_bytes(), Framing::Lines)], &CommonFields::default(), &stream(&[]))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    assert_eq!(sort_as("7\n".repeat(MAX_EVENTS).as_bytes(), Framing::Lines, &stream(&[])).rejected.count(), MAX_EVENTS);
}

#[test]
fn a_long_text_is_cut_and_says_so() {
    let long = format!("{{\"p_x\":\"{}\"}}", "x".repeat(MAX_REJECTED_TEXT_BYTES));
    let sorted = sort_as(format!("{long}\n7").as_bytes(), Framing::Lines, &stream(&[]));
    let batch = sorted.rejected.into_batch("web");
    let kept: Vec<_> = text(&batch, "text").into_iter().flatten().map(|text| text.len()).collect();
    assert_eq!(kept, [MAX_REJECTED_TEXT_BYTES, 1]);
    assert_eq!(integers(&batch, "bytes"), [Some(long.len() as i64), Some(1)]);
    let truncated = column(&batch, "truncated").1;
    assert_eq!(truncated.as_boolean().iter().collect::<Vec<_>>(), [Some(true), Some(false)]);
    assert_eq!(text(&batch, "stream"), [Some("web".into()), Some("web".into())]);
}

#[test]
fn every_event_gets_the_common_fields_that_it_does_not_have_itself() {
    let common = [("site", "s1"), ("a_b", "common"), ("n", "text")].map(|(name, text)| (name.into(), text.into()));
    let common = CommonFields::new(common).unwrap();
    let body =
        "{\"x\":1,\"n\":\"own\"}\n{\"site\":\"own\",\"a\":{\"b\":\"own\"}}\n{\"n\":null}\n{\"n\":1}\n{\"p_\":1}\n{}";
    let texts = [Text::of_body(body.as_bytes(), Framing::Lines)];
    let sorted = sort_all(&texts, &common, &stream(&[("site", TextType)])).unwrap();
    let batch = &sorted.decoded.batch;
    let own = |words: [&str; 4]| words.map(|word| (word != "null").then(|| word.to_owned()));
    assert_eq!(text(batch, "site"), own(["s1", "own", "s1", "s1"]));
    assert_eq!(text(batch, "a_b"), own(["common", "own", "common", "common"]));
    assert_eq!(text(batch, "n"), own(["own", "text", "null", "text"]), "null is a value of its own");
    let codes: Vec<_> = aside(sorted).into_iter().map(|(place, code, _)| (place, code)).collect();
    let expected = [("line 4", "type_conflict"), ("line 5", "reserved_name")];
    assert_eq!(codes, expected.map(|(place, code)| (place.to_owned(), code.to_owned())));
    // Strictly read, the same good events are the same batch.
    let good = "{\"x\":1,\"n\":\"own\"}\n{\"site\":\"own\",\"a\":{\"b\":\"own\"}}\n{\"n\":null}\n{}";
    let strict = decode(&[Text::of_body(good.as_bytes(), Framing::Lines)], &common, &mut Reservation::unlimited())
        .unwrap()
        .batch;
    assert_eq!(text(&strict, "n"), own(["own", "text", "null", "text"]));
    for bad in ["", "p_key", "a\nb", &"x".repeat(257)] {
        assert!(CommonFields::new([(bad.to_owned(), String::new())]).is_err(), "{bad:?}");
    }
    let large = CommonFields::new([("big".to_owned(), "x".repeat(1 << 20))]).unwrap();
    let many = "{}\n".repeat(33);
    let error =
        decode(&[Text::of_body(many.as_bytes(), Framing::Lines)], &large, &mut Reservation::unlimited()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
}

#[test]
fn a_record_that_cannot_be_unpacked_is_one_event() {
    let text =
        |bytes: &'static str, record, broken| Text { bytes: bytes.as_bytes(), framing: Framing::Json, record, broken };
    let texts = [text("{\"a\":1}", 1, None), text("%%", 2, Some("this is no Base64")), text("{\"a\":3}", 3, None)];
    let error = decode_texts(&texts).unwrap_err();
    assert_eq!(error.to_string(), "record 2: this is no Base64");
    let sorted = sort_all(&texts, &CommonFields::default(), &stream(&[])).unwrap();
    assert_eq!(integers(&sorted.decoded.batch, "a"), [Some(1), Some(3)]);
    assert_eq!(aside(sorted), said(&[("record 2", "encoding", "%%")]));
}

fn event() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("1"),
        Just("-0"),
        Just("0.5"),
        Just("9007199254740993"),
        Just("99999999999999999999"),
        Just("true"),
        Just("\"x\""),
        Just("null"),
        Just("[1, -0]"),
        Just("{\"b\":1}"),
        Just("{\"b\":\"x\"}"),
        Just("x"),
        Just("{"),
    ];
    let key = prop_oneof![Just("a"), Just("b"), Just("a_b"), Just("p"), Just("p_b"), Just("\\u0061")];
    proptest::collection::vec((key, value), 0..4).prop_map(|fields| {
        let fields: Vec<String> = fields.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        format!("{{{}}}", fields.join(","))
    })
}

fn field_type() -> impl Strategy<Value = FieldType> {
    prop_oneof![Just(Integer), Just(Float), Just(BigInteger), Just(TextType), Just(Boolean)]
}

proptest! {
    #[test]
    fn an_event_is_taken_exactly_when_it_fits_the_stream_and_those_taken_before(
        events in proptest::collection::vec(event(), 1..12),
        fields in proptest::collection::vec((prop_oneof![Just("a"), Just("b"), Just("a_b")], field_type()), 0..3),
    ) {
        let known = stream(&fields);
        let (mut taken, mut aside_lines) = (Vec::new(), Vec::new());
        for (event, line) in events.iter().zip(1..) {
            taken.push(event.as_str());
            let fits = decode_as(taken.join("\n").as_bytes(), Framing::Lines)
                .is_ok_and(|batch| known.widen(&batch.fields).is_ok());
            if !fits {
                taken.pop();
                aside_lines.push((format!("line {line}"), event.clone()));
            }
        }
        let sorted = sort_as(events.join("\n").as_bytes(), Framing::Lines, &known);
        let expected = decode_as(taken.join("\n").as_bytes(), Framing::Lines).unwrap();
        prop_assert_eq!(&sorted.decoded.batch.fields, &expected.fields);
        prop_assert_eq!(sorted.decoded.batch.rows, expected.rows);
        prop_assert_eq!(&sorted.decoded.batch.columns, &expected.columns);
        let found: Vec<_> = aside(sorted).into_iter().map(|(place, _, text)| (place, text)).collect();
        prop_assert_eq!(found, aside_lines);
    }

    #[test]
    fn no_bytes_make_the_sorter_panic_or_lose_an_event(bytes in prop_oneof![any::<Vec<u8>>(), noise()]) {
        for framing in [Framing::Json, Framing::Lines] {
            let sorted = sort_as(&bytes, framing, &stream(&[("a", Integer)]));
            let batch = &sorted.decoded.batch;
            prop_assert!(batch.columns.iter().all(|column| column.len() == batch.rows));
            let is_blank = bytes.iter().all(|byte| byte.is_ascii_whitespace());
            let may_be_empty = is_blank || bytes.starts_with(b"[") || bytes.starts_with(b"\xef");
            prop_assert!(may_be_empty || batch.rows + sorted.rejected.count() > 0);
        }
    }
}
