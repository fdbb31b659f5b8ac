//! Imported secrets: which are accepted, and which are too easy to guess.

use super::credential::{Credential, PREFIX_LEN};
use super::{Digest, Hint, InvalidId, KeyType};

/// The shortest secret, in characters.
#[cfg(feature = "server")]
pub const MIN_LEN: usize = *super::credential::OWN_LEN.start();

/// The fewest different characters of a secret. Thirty-two random digits miss this about once in a thousand.
const MIN_DISTINCT: usize = 8;
/// The fewest pieces of a secret: see [`pieces`]. Thirty-two random digits have about thirty.
const MIN_PIECES: usize = 16;
/// The shortest piece that counts as a run or a repetition.
const MIN_PIECE: usize = 3;

/// Checks a secret that is imported for a key of `key_type`, and returns its digest and hint.
///
/// It is 32-128 visible ASCII characters without a comma, or an API key that Keyloft made for the same type; nothing
/// else starts with `kl_`. It is not repetitive.
///
/// ```
/// use keyloft::key::KeyType;
/// use keyloft::testing::own;
/// assert!(own::judge("8Jq2-vT9x_mW4c.Zr7Kd0pLs6YhNf3Be", KeyType::Query).is_ok());
/// assert!(own::judge("changeme", KeyType::Query).is_err());
/// assert!(own::judge("hunter2hunter2hunter2hunter2hunter2", KeyType::Query).is_err());
/// ```
///
/// # Errors
/// [`InvalidId`] states the rule that it breaks, never the text.
pub fn judge(text: &str, key_type: KeyType) -> Result<(Digest, Hint), InvalidId> {
    const SHAPE: InvalidId = InvalidId::new(
        "apiKey",
        "32-128 visible ASCII characters without a comma that do not start with kl_, or a whole API key of Keyloft",
    );
    const OTHER_TYPE: InvalidId = InvalidId::new("apiKey", "an API key for the keyType of the key");
    const REPETITIVE: InvalidId = InvalidId::new(
        "apiKey",
        "hard to guess: at least 8 different characters, and neither repeated pieces nor runs such as abcdef",
    );
    let credential = Credential::parse(text).map_err(|_| SHAPE)?;
    if credential.key_type().is_some_and(|claimed| claimed != key_type) {
        return Err(OTHER_TYPE);
    }
    let random = if credential.key_type().is_some() { &text[PREFIX_LEN..] } else { text };
    if is_repetitive(random.as_bytes()) { Err(REPETITIVE) } else { Ok((credential.digest(), Hint::of(text))) }
}

fn is_repetitive(text: &[u8]) -> bool {
    let mut seen = [false; 256];
    text.iter().for_each(|byte| seen[usize::from(*byte)] = true);
    seen.iter().filter(|seen| **seen).count() < MIN_DISTINCT || pieces(text) < MIN_PIECES
}

/// The number of pieces of a text, each a run (`abc`, `321`, `xxx`), something that stood before, or one character.
fn pieces(text: &[u8]) -> usize {
    let (mut at, mut count) = (0, 0);
    while at < text.len() {
        let piece = run(&text[at..]).max(repeat(text, at));
        at += if piece >= MIN_PIECE { piece } else { 1 };
        count += 1;
    }
    count
}

/// The length of the run at the start: counting up, down, or repeating one character.
fn run(text: &[u8]) -> usize {
    let step = |pair: &[u8]| i16::from(pair[1]) - i16::from(pair[0]);
    let Some(first) = text.get(..2).map(step).filter(|first| first.abs() <= 1) else { return 1 };
    1 + text.windows(2).take_while(|pair| step(pair) == first).count()
}

/// How many characters from `at` repeat an earlier part, which may overlap them.
fn repeat(text: &[u8], at: usize) -> usize {
    let common = |start: usize| text[start..].iter().zip(&text[at..]).take_while(|(a, b)| a == b).count();
    (0..at).map(common).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::PlainSecret;
    use super::*;

    const GOOD: &str = "8Jq2-vT9x_mW4c.Zr7Kd0pLs6YhNf3Be";

    #[test]
    fn what_other_systems_give_out_is_taken() {
        for text in [
            GOOD,
            "c0ffee12-9b7d-4e31-8a56-2f0d9b8e7c64",
            "9f86d081884c7d659a2feaa0c55ad015",
            "4815162342091837465029384756102938",
            "correct-horse/battery:staple=2024!",
            "glsa_HOruNAb7SOiCdshU8algkrq7F8qyfLTP_1b2f3c4d",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZ2VudCJ9.dBjftJeZ4CVP-mB92K27uhbUJU1p1r",
        ] {
            let (digest, hint) = judge(text, KeyType::Ingestion).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert!(digest.verify(&Digest::of(text)) && text.ends_with(hint.as_str()));
        }
    }

    #[test]
    fn what_is_easy_to_guess_is_not() {
        for text in [
            &"a".repeat(32),
            &"ab".repeat(64),
            &"password".repeat(4),
            "passwordpasswordpasswordpassword1!X",
            "0123456789abcdef0123456789abcdef",
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJ",
            "zyxwvutsrqponmlkjihgfedcba9876543210",
            "00000000-0000-4000-8000-000000000001",
            "aaaabbbbccccddddeeeeffffgggghhhhiiii",
            "changemechangemechangeme-12345678",
            "1231231231231231231231231231231234567",
        ] {
            assert!(judge(text, KeyType::Query).is_err(), "{text}");
        }
    }

    #[test]
    fn the_shape_is_checked_and_a_key_of_keyloft_keeps_its_type() {
        let ours = PlainSecret::generate(KeyType::Query).unwrap();
        assert!(judge(ours.expose(), KeyType::Query).is_ok());
        assert!(judge(ours.expose(), KeyType::Ingestion).is_err());
        let long = GOOD.repeat(5);
        for bad in [
            "",
            &GOOD[1..],
            &long[..129],
            &format!("kl_{GOOD}"),
            &format!("kl_adm_{GOOD}"),
            &ours.expose()[..55],
            &format!("{GOOD},"),
            &format!("{GOOD} x"),
            &format!("{GOOD}\u{fc}"),
            &format!("{GOOD}\n"),
        ] {
            let error = judge(bad, KeyType::Query).unwrap_err().to_string();
            assert!(error.starts_with("apiKey must be ") && !error.contains("8Jq2"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn random_secrets_are_taken(text in "[0-9a-f]{40}|[A-Za-z0-9+/]{43}=|[0-9a-z]{32}|[!-+\\--~]{64}") {
            prop_assume!(!text.starts_with("kl_"));
            prop_assert!(judge(&text, KeyType::Query).is_ok());
        }

        #[test]
        fn whatever_is_repeated_is_not(text in "[!-+\\--~]{2,12}") {
            let repeated: String = text.chars().cycle().take(64).collect();
            prop_assert!(judge(&repeated, KeyType::Query).is_err());
        }

        #[test]
        fn any_text_is_judged_without_a_panic(text in ".{0,140}") {
            let _ = judge(&text, KeyType::Query);
        }
    }
}
