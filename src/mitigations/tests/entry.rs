//! Entries as they are stored.

use chrono::DateTime;
use uuid::Uuid;

use super::{entity, hold, key};
use crate::key::{NodeId, TenantId};
use crate::mitigations::entry::{Entry, MAX_ROWS, Row};
use crate::mitigations::hold::max_hold_ms;
use crate::store::types::MAX_DOCUMENT_BYTES;

const GOLDEN: &str = include_str!("../../../fixtures/mitigations/v1/entry.json");

#[test]
fn golden_entries_parse_for_ever_and_are_written_as_they_were_read() {
    let entry = Entry::parse(7, GOLDEN.as_bytes()).unwrap();
    assert_eq!(entry.rows.len(), 3);
    let node = NodeId::parse("5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10").unwrap();
    let written = entry.to_bytes(7, node, "2026-11-29T12:00:01Z".parse().unwrap());
    let without_id = |text: &str| text.split("\"writeId\"").next().unwrap().to_owned();
    assert_eq!(without_id(std::str::from_utf8(&written).unwrap()), without_id(GOLDEN));
    assert_ne!(written, entry.to_bytes(7, node, "2026-11-29T12:00:01Z".parse().unwrap()), "each write is unique");
    assert_eq!(entry.until_ms(), "2026-11-29T12:10:00Z".parse::<DateTime<chrono::Utc>>().unwrap().timestamp_millis());
}

#[test]
fn what_is_no_entry_is_told_why() {
    let parse = |text: &str| Entry::parse(7, text.as_bytes()).unwrap_err();
    assert!(parse("{").contains("no entry"));
    assert!(Entry::parse(8, GOLDEN.as_bytes()).unwrap_err().contains("its seq is 7"), "a copy under another name");
    assert!(parse(&GOLDEN.replace("\"version\":1", "\"version\":2")).contains("version 2"));
    for (from, to) in [
        ("\"block\"", "\"monitor\""),
        ("2026-11-29T12:10:00", "2026-11-29T11:10:00"),
        ("e_ivgj", "e_IVGJ"),
        (",\"decisionId\":\"7d0e6c1a-52b3-4f0d-9a64-0c2b1e8f7a95\"", ""),
    ] {
        assert_eq!(parse(&GOLDEN.replace(from, to)), "rows[0] is neither a hold nor a release", "{from}");
    }
    assert!(Entry::parse(7, GOLDEN.replace("\"mode\"", "\"later\":1,\"mode\"").as_bytes()).is_ok(), "unknown fields");
}

#[test]
fn nobody_is_held_for_longer_than_30_days_whatever_an_entry_says() {
    let entry = Entry::parse(7, GOLDEN.replace("2026-11-29T12:10:00", "2999-11-29T12:10:00").as_bytes()).unwrap();
    let Row::Held { hold, .. } = &entry.rows[0] else { panic!("a hold") };
    assert_eq!(hold.until_ms - hold.since_ms, max_hold_ms());
    assert!(!hold.is_active(hold.since_ms - 1), "of a clock that is ahead");
    assert!(hold.is_active(hold.since_ms) && !hold.is_active(hold.until_ms));
}

#[test]
fn the_longest_entry_is_a_document() {
    let row = |number| Row::Held {
        tenant: TenantId::parse(&"t".repeat(63)).unwrap(),
        key: key(number),
        hold: super::Hold { decision: Uuid::max(), version: u64::MAX, ..hold(0, max_hold_ms()) },
    };
    let entry = Entry { rows: (0..MAX_ROWS as u64).map(row).collect() };
    let bytes = entry.to_bytes(u64::MAX, NodeId::random(), DateTime::UNIX_EPOCH);
    assert!((bytes.len() as u64) < MAX_DOCUMENT_BYTES / 2, "{}", bytes.len());
    assert_eq!(Entry::parse(u64::MAX, &bytes).unwrap(), entry);
    let one = Row::Released { tenant: TenantId::default(), entity: entity(1), policy: None };
    let more = Entry { rows: vec![one; MAX_ROWS + 1] };
    let bytes = more.to_bytes(1, NodeId::random(), DateTime::UNIX_EPOCH);
    assert!(Entry::parse(1, &bytes).unwrap_err().contains("more than 1000 rows"));
}
