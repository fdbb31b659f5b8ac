//! The secrets of identities, from standard input.

use std::io::{IsTerminal, Read};

use zeroize::Zeroizing;

use super::super::super::terminal::complain;
use super::super::super::{Failure, Outcome};
use super::config::Identity;

/// The largest input, in bytes.
const MAX_BYTES: usize = 1 << 20;
/// The most lines.
const MAX_LINES: usize = 1000;
/// What checking all of them may cost: the memory that is passed over, in bytes. A pass over 64 MiB takes a few tenths
/// of a second.
const MAX_WORK_BYTES: u64 = 128 << 30;

/// A secret, and the identity that it is said to be of.
pub(super) struct Line {
    number: usize,
    name: Option<String>,
    secret: Zeroizing<String>,
}

/// The secrets that are known, and the lines that are of no use.
pub(super) struct Checked {
    /// The secret of each identity, in their order.
    pub(super) secrets: Vec<Option<Zeroizing<String>>>,
    /// What is wrong with other lines: the place, and the reason.
    pub(super) refused: Vec<(String, &'static str)>,
}

/// The lines on standard input: a secret, or the name of an identity, a space, and a secret.
pub(super) fn read() -> Outcome<Vec<Line>> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        complain(&"paste the secrets, one on each line, and press Ctrl-D");
    }
    // As long as it may get: a buffer that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(MAX_BYTES + 1));
    let read = stdin.lock().take(MAX_BYTES as u64 + 1).read_to_string(&mut text);
    read.map_err(|error| Failure::usage(format!("cannot read the secrets from standard input: {error}")))?;
    lines(&text)
}

fn lines(text: &str) -> Outcome<Vec<Line>> {
    let full = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())).filter(|(_, line)| !line.is_empty());
    let lines: Vec<Line> = full
        .take(MAX_LINES + 1)
        .map(|(number, line)| {
            let (name, secret) = match line.rsplit_once([' ', '\t']) {
                Some((name, secret)) => (Some(name.trim_end().to_owned()), secret),
                None => (None, line),
            };
            Line { number, name, secret: Zeroizing::new(secret.to_owned()) }
        })
        .collect();
    if text.len() > MAX_BYTES || lines.len() > MAX_LINES {
        return Err(Failure::usage(format!("standard input holds more than {MAX_LINES} lines, or {MAX_BYTES} bytes")));
    }
    Ok(lines)
}

/// Finds the identity of each secret by its hash.
///
/// # Errors
/// When that could cost too much: then nothing is computed.
pub(super) fn check(identities: &[Identity], lines: Vec<Line>) -> Outcome<Checked> {
    let candidates = |line: &Line| -> Vec<usize> {
        let all = identities.iter().enumerate();
        all.filter(|(_, identity)| line.name.as_ref().is_none_or(|name| *name == identity.name))
            .map(|(at, _)| at)
            .collect()
    };
    let work = lines.iter().flat_map(|line| candidates(line).into_iter().map(|at| identities[at].hash.work_bytes()));
    if work.fold(0, u64::saturating_add) > MAX_WORK_BYTES {
        let message = "checking each secret against each hash takes too long: write the name of its identity and a \
                       space before each secret";
        return Err(Failure::usage(message));
    }
    let mut secrets: Vec<Option<Zeroizing<String>>> = identities.iter().map(|_| None).collect();
    let mut refused = Vec::new();
    for line in lines {
        let candidates = candidates(&line);
        let is_of = |at: usize| secrets[at].is_none() && identities[at].hash.is_of(&line.secret);
        let found = candidates.iter().copied().find(|&at| is_of(at));
        let why = match found {
            Some(at) => {
                secrets[at] = Some(line.secret);
                continue;
            }
            None if candidates.is_empty() => "it names no identity that can be imported",
            None if candidates.iter().all(|&at| secrets[at].is_some()) => "its identity has a secret already",
            None => "it belongs to no hash of the file",
        };
        refused.push((format!("standard input line {}", line.number), why));
    }
    Ok(Checked { secrets, refused })
}

#[cfg(test)]
mod tests {
    use super::super::super::super::key::hash::ScryptHash;
    use super::super::config;
    use super::*;

    const FILE: &str = include_str!("../../../../fixtures/import/ditto/auth.yaml");
    const SECRETS: &str = include_str!("../../../../fixtures/import/ditto/secrets.txt");

    fn identities() -> Vec<Identity> {
        config::read(FILE).unwrap().identities
    }

    fn checked(text: &str) -> (Vec<bool>, Vec<(String, &'static str)>) {
        let checked = check(&identities(), lines(text).unwrap()).unwrap();
        (checked.secrets.iter().map(Option::is_some).collect(), checked.refused)
    }

    #[test]
    fn a_secret_finds_its_identity_with_its_name_and_without() {
        let [kiosk, till] = SECRETS.lines().collect::<Vec<_>>()[..2] else { panic!() };
        assert_eq!(checked(SECRETS).0, [true, true]);
        assert_eq!(checked(&format!("\n  till\t{till}\r\nkiosk {kiosk}")), (vec![true, true], vec![]));
        assert_eq!(checked(till), (vec![false, true], vec![]));
    }

    #[test]
    fn lines_of_no_use_are_named_by_their_number_and_never_quoted() {
        let kiosk = SECRETS.lines().next().unwrap();
        let (found, refused) =
            checked(&format!("till {kiosk}\n\nother {kiosk}\nhunter2-hunter2\n{kiosk}\nkiosk {kiosk}\n"));
        assert_eq!(found, [true, false]);
        let reasons: Vec<_> = refused.iter().map(|(line, why)| (line.as_str(), *why)).collect();
        let no_hash = "it belongs to no hash of the file";
        let expected = [
            ("standard input line 1", no_hash),
            ("standard input line 3", "it names no identity that can be imported"),
            ("standard input line 4", no_hash),
            ("standard input line 6", "its identity has a secret already"),
        ];
        assert_eq!(reasons, expected);
    }

    #[test]
    fn what_would_take_too_long_is_not_begun() {
        let hash = ScryptHash::parse("$scrypt$ln=18,r=8,p=1$MDEyMzQ1Njc4OWFiY2RlZg$aGFzaCBvZiBub3RoaW5nIGF0IGFsbC4uLg");
        let hash = hash.unwrap();
        let identity = |at: usize| Identity { name: format!("a{at}"), id: None, hash: hash.clone() };
        let many: Vec<_> = (0..100).map(identity).collect();
        let failure = check(&many, lines(&"x\n".repeat(100)).unwrap()).err().unwrap();
        assert!(failure.to_string().contains("name of its identity"), "{failure}");
        assert!(lines(&"x\n".repeat(MAX_LINES + 1)).is_err() && lines(&"x".repeat(MAX_BYTES + 1)).is_err());
    }
}
