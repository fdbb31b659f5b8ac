//! Challenges without a server: their format, and what they cost.

use std::time::Instant;

use serde_json::{Value, json};

use super::*;
use crate::policy::set::Level;

const NOW: i64 = 1_795_935_600;

fn keys() -> Keys {
    Keys::new(b"a secret of at least thirty-two bytes", None)
}

fn order(level: Level) -> Order<'static> {
    Order {
        tenant: "acme",
        level,
        ttl_seconds: 3600,
        accept_weak: true,
        definition: None,
        binding: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        decision_id: "d",
        return_path: "/a?b=\"ä\"&c".to_owned(),
        replayable: true,
        now: NOW,
        lifetime_seconds: 600,
    }
}

fn challenge(level: Level) -> Challenge {
    Challenge::new(&keys(), order(level), &[7; 32])
}

/// JSON with the members of every object in the order of their names, without spaces, as ALTCHA signs it.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| name.encode_utf16().collect::<Vec<_>>());
            let members = members.iter().map(|(name, value)| format!("{}:{}", json!(name), canonical(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

#[test]
fn a_challenge_is_that_of_altcha_and_signed_as_altcha_signs() {
    let challenge = challenge(Level::Low);
    let wire = json!(challenge);
    let parameters = &wire["parameters"];
    assert_eq!(serde_json::to_string(&challenge.parameters).unwrap(), canonical(parameters));
    assert_eq!(
        parameters,
        &json!({
            "algorithm": "PBKDF2/SHA-256", "cost": 1000, "expiresAt": NOW + 600, "keyLength": 32, "keyPrefix": "00",
            "nonce": "07".repeat(16), "salt": "07".repeat(16),
            "data": {"acceptWeak": true, "binding": "AAAAAAAAAAAAAAAAAAAAAA", "decisionId": "d", "definition": null,
                "issuedAt": NOW, "key": keys().id(), "level": "low", "replayable": true,
                "returnPath": "/a?b=\"ä\"&c", "tenant": "acme", "ttlSeconds": 3600},
        })
    );
    let code = keys().signing(keys::Purpose::Challenge, "acme").sign(canonical(parameters).as_bytes());
    assert_eq!(challenge.signature, hex::encode(&code));
    assert_eq!(serde_json::from_value::<Challenge>(wire).unwrap(), challenge);
}

#[test]
fn a_clearance_is_a_function_of_its_challenge_alone() {
    let verified = |at| challenge(Level::Low).verified(&keys(), at).unwrap();
    let of = |at, is_weak| verified(at).clearance(is_weak, at).unwrap().text(&keys()).unwrap();
    assert_eq!(of(NOW, false), of(NOW + 500, false));
    assert_ne!(of(NOW, false), of(NOW, true));
    let read = |text: &str, at| ClearanceToken::read(text, &keys(), at);
    let (strong, weak) = (of(NOW, false), of(NOW, true));
    assert_eq!(read(&strong, NOW).unwrap(), verified(NOW).clearance(false, NOW).unwrap());
    assert!(read(&strong, NOW + 3659).is_some() && read(&strong, NOW + 3660).is_none());
    assert!(read(&weak, NOW + 659).is_some() && read(&weak, NOW + 660).is_none());
    assert!(read(&strong, NOW - 60).is_some() && read(&strong, NOW - 61).is_none(), "from the future");
    let names = [&strong, &weak].map(|text| read(text, NOW).unwrap().cookie_name(&keys()).unwrap());
    assert_ne!(names[0], names[1], "they stand side by side");
    assert!(strong.len() < 512 && names[0].len() == "__Host-keyloft_".len() + 8);
}

#[test]
fn times_are_good_to_a_minute() {
    for (at, expected) in [(-61, false), (-60, true), (0, true), (659, true), (660, false)] {
        assert_eq!(challenge(Level::Low).verified(&keys(), NOW + at).is_ok(), expected, "{at}");
    }
    let expired = challenge(Level::Low).verified(&keys(), NOW + 660).unwrap_err();
    assert_eq!(expired, Refused::Expired { return_path: "/a?b=\"ä\"&c".to_owned() });
    let other = Keys::new(b"another secret", None);
    assert_eq!(challenge(Level::Low).verified(&other, NOW).unwrap_err(), Refused::Invalid);
}

#[test]
fn a_wait_takes_ten_seconds_where_it_is_enough() {
    let left = |at, accept_weak| {
        let order = Order { accept_weak, ..order(Level::Low) };
        let verified = Challenge::new(&keys(), order, &[7; 32]).verified(&keys(), NOW).unwrap();
        verified.wait_seconds(NOW + at)
    };
    assert_eq!([-60, 0, 1, 9, 10, 500].map(|at| left(at, true)), [70, 10, 9, 1, 0, 0].map(Some));
    assert_eq!(left(500, false), None);
}

/// What it costs: printed, because it depends on the machine.
#[test]
fn figures() {
    let keys = keys();
    let rounds = 2000;
    let each = |name: &str, run: &mut dyn FnMut()| {
        let start = Instant::now();
        (0..rounds).for_each(|_| run());
        eprintln!("{name}: {:.1} us", start.elapsed().as_secs_f64() * 1e6 / f64::from(rounds));
    };
    each("make", &mut || drop(Challenge::new(&keys, order(Level::Low), &[7; 32])));
    let good = challenge(Level::Low);
    each("verify a signature", &mut || assert!(good.clone().verified(&keys, NOW).is_ok()));
    let bad = Challenge { signature: "0".repeat(64), ..good.clone() };
    each("refuse a signature", &mut || assert!(bad.clone().verified(&keys, NOW).is_err()));
    let text = good.verified(&keys, NOW).unwrap().clearance(false, NOW).unwrap().text(&keys).unwrap();
    each("read a clearance", &mut || assert!(ClearanceToken::read(&text, &keys, NOW).is_some()));
    let solution: Solution = serde_json::from_value(json!({"counter": 7, "derivedKey": "00".repeat(32)})).unwrap();
    for level in [Level::Low, Level::Medium, Level::High] {
        let verified = challenge(level).verified(&keys, NOW).unwrap();
        let start = Instant::now();
        (0..50).for_each(|_| assert!(!verified.is_solved_by(&solution)));
        eprintln!("verify a solution, {level:?}: {:.3} ms", start.elapsed().as_secs_f64() * 1e3 / 50.0);
    }
}
