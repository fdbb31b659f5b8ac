//! The public client of ALTCHA, npm `altcha-lib`, which `scripts/with-stores.sh` makes ready.

use std::process::Command;

use serde_json::Value;

use super::process::run;
use super::stores::started;

/// Its solution of a challenge, with the challenge, as it sends both.
pub fn solve(challenge: &Value) -> Value {
    altcha(&["solve"], challenge)
}

/// What it says about a challenge and its solution when it is given the key that signs challenges.
pub fn verify(payload: &Value, key: &str) -> Value {
    altcha(&["verify", key], payload)
}

fn altcha(arguments: &[&str], input: &Value) -> Value {
    let mut command = Command::new(started("KEYLOFT_TEST_ALTCHA_NODE"));
    command.arg(started("KEYLOFT_TEST_ALTCHA")).args(arguments);
    let output = run(&mut command, &input.to_string());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
