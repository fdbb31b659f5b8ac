//! The reader of JSON.

use proptest::prelude::*;
use serde_json::{Value as Reference, json};

use crate::policy::event::{Json, Text};

fn reference(json: &Json<'_>) -> Reference {
    match json {
        Json::Null => Reference::Null,
        Json::Bool(truth) => json!(truth),
        Json::Int(number) => json!(number),
        Json::Float(number) => json!(number),
        Json::Text(text) => json!(text),
        Json::List(items) => items.iter().map(reference).collect(),
        Json::Object(members) => members.iter().map(|(name, value)| (name.to_string(), reference(value))).collect(),
    }
}

fn read(text: &str) -> Option<(Reference, bool)> {
    Text::new(text.as_bytes()).json().ok().map(|(json, mended)| (reference(&json), mended))
}

fn any_json() -> impl Strategy<Value = Reference> {
    let leaf = prop_oneof![
        Just(Reference::Null),
        any::<bool>().prop_map(Reference::from),
        any::<i64>().prop_map(Reference::from),
        "\\PC{0,8}".prop_map(Reference::from),
    ];
    leaf.prop_recursive(8, 64, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Reference::from),
            prop::collection::btree_map("[a-z\"\\\\é]{0,3}", inner, 0..4).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn valid_json_is_read_as_it_is(value in any_json()) {
        prop_assert_eq!(read(&value.to_string()), Some((value, false)));
    }

    #[test]
    fn mending_changes_nothing_that_needs_none(value in any_json()) {
        let broken = format!("[{value}, 1e999]");
        prop_assert_eq!(read(&broken), Some((json!([value, null]), true)));
    }

    #[test]
    fn no_bytes_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Text::new(&bytes).json();
    }
}

#[test]
fn what_others_write_is_mended_and_nothing_else() {
    for (text, value) in [
        (r#"[NaN, Infinity, -Infinity, 1e400, -1E+999]"#, json!([null, null, null, null, null])),
        (r#"["\ud800", "\udc00x", "\ud83e\udd80", "\\ud800"]"#, json!(["\u{fffd}", "\u{fffd}x", "🦀", "\\ud800"])),
        (r#"["NaN, 1e999 \" [", 1e999]"#, json!(["NaN, 1e999 \" [", null])),
    ] {
        assert_eq!(read(text), Some((value, true)), "{text}");
    }
    let deep = |levels: usize| format!("{}7{}", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(read(&deep(32)).map(|(_, mended)| mended), Some(false));
    for levels in [33, 200, 30_000] {
        let (value, mended) = read(&format!("{{\"a\": {}, \"b\": 1}}", deep(levels))).unwrap();
        assert!(mended && value["b"] == 1, "{levels}");
    }
    for broken in ["", "{", "[1,]", "[1] 2", "nul", "{\"a\" 1}", "[NaN", "\"\\u12\"", "\u{feff}{}"] {
        assert_eq!(read(broken), None, "{broken}");
    }
}

#[test]
fn a_body_is_one_event_or_a_list_of_them() {
    let events = |text: &str| Text::new(text.as_bytes()).json().unwrap().0.events().len();
    assert_eq!(events(r#"{"events": [{}, {}, 1]}"#), 3);
    assert_eq!(events(r#"{"events": []}"#), 0);
    for one in ["{}", "7", r#"{"events": [], "clientIp": null}"#, r#"{"events": {}}"#, r#"[{}]"#] {
        assert_eq!(events(one), 1, "{one}");
    }
}

#[test]
fn sizes_are_those_of_compact_json() {
    for text in [r#"{}"#, r#"[]"#, r#"{"a":[1,-20,true,false,null,"xy",1.5],"b":{}}"#, r#"[[],[1]]"#] {
        let text = Text::new(text.as_bytes());
        let (json, _) = text.json().unwrap();
        assert_eq!(json.bytes(), reference(&json).to_string().len());
    }
}
