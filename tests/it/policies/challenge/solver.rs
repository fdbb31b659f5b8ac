//! A client of ALTCHA v2 with its own PBKDF2, on the bare compression function of SHA-256: nothing of it is the
//! server's.

use serde_json::{Value, json};
use sha2::block_api::compress256;

const START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// Seeks the number that solves a challenge.
pub fn solve(challenge: &Value) -> Value {
    let parameters = &challenge["parameters"];
    let text = |name: &str| parameters[name].as_str().unwrap();
    assert_eq!((text("algorithm"), parameters["keyLength"].as_u64()), ("PBKDF2/SHA-256", Some(32)));
    let (nonce, salt) = (bytes(text("nonce")), bytes(text("salt")));
    let rounds = parameters["cost"].as_u64().unwrap();
    let found = (0u32..).find_map(|counter| {
        let password = [&nonce[..], &counter.to_be_bytes()].concat();
        let key = hex(&pbkdf2(&password, &salt, rounds));
        key.starts_with(text("keyPrefix")).then(|| json!({"counter": counter, "derivedKey": key, "time": 12.5}))
    });
    found.unwrap()
}

/// The first block of PBKDF2 with HMAC-SHA-256 (RFC 8018, section 5.2), for a short password and salt.
fn pbkdf2(password: &[u8], salt: &[u8], rounds: u64) -> [u8; 32] {
    let keyed = |pad: u8| {
        let mut block = [pad; 64];
        block.iter_mut().zip(password).for_each(|(byte, password)| *byte ^= password);
        let mut state = START;
        compress256(&mut state, &[block]);
        state
    };
    let (inner, outer) = (keyed(0x36), keyed(0x5c));
    let hash = |mut state: [u32; 8], message: &[u8]| {
        let mut block = [0; 64];
        block[..message.len()].copy_from_slice(message);
        block[message.len()] = 0x80;
        block[56..].copy_from_slice(&((64 + message.len() as u64) * 8).to_be_bytes());
        compress256(&mut state, &[block]);
        let mut digest = [0; 32];
        digest.chunks_mut(4).zip(state).for_each(|(bytes, word)| bytes.copy_from_slice(&word.to_be_bytes()));
        digest
    };
    let mut last = hash(outer, &hash(inner, &[salt, &[0, 0, 0, 1]].concat()));
    let mut key = last;
    for _ in 1..rounds {
        last = hash(outer, &hash(inner, &last));
        key.iter_mut().zip(last).for_each(|(byte, more)| *byte ^= more);
    }
    key
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_solver_knows_pbkdf2() {
    // RFC 7914, section 11.
    let key = hex(&pbkdf2(b"passwd", b"salt", 1));
    assert_eq!(key, "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc");
}
