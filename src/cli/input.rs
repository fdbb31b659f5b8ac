//! Standard input: answers to questions, and an API key. And files, for which `-` is standard input.

use std::io::{BufRead, IsTerminal, Read};
use std::path::Path;

use zeroize::Zeroizing;

use super::terminal::complain;
use super::{Failure, Outcome};

/// The longest API key that is read, in bytes: Keyloft's own have 56.
const MAX_API_KEY_BYTES: u64 = 4096;

/// The API key on standard input, without its final newline; from a terminal, one line.
pub(super) fn api_key() -> Outcome<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(MAX_API_KEY_BYTES as usize));
    let stdin = std::io::stdin();
    let mut input = stdin.lock().take(MAX_API_KEY_BYTES);
    let read = if stdin.is_terminal() {
        complain(&"paste the API key and press Enter");
        input.read_line(&mut text)
    } else {
        input.read_to_string(&mut text)
    };
    read.map_err(|error| Failure::usage(format!("cannot read an API key from standard input: {error}")))?;
    let end = text.strip_suffix('\n').map_or(text.len(), |line| line.strip_suffix('\r').unwrap_or(line).len());
    text.truncate(end);
    Ok(text)
}

/// Reads a whole file of at most `max` bytes; `-` is standard input.
///
/// # Errors
/// Usage, when it cannot be read or is larger.
pub(super) fn file(path: &Path, max: u64) -> Outcome<Vec<u8>> {
    let shown = path.display();
    let input: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(path).map_err(|error| Failure::usage(format!("cannot open {shown}: {error}")))?)
    };
    let mut bytes = Vec::new();
    let read = input.take(max.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|error| Failure::usage(format!("cannot read {shown}: {error}")))?;
    if bytes.len() as u64 > max {
        return Err(Failure::usage(format!("{shown} is larger than {max} bytes")));
    }
    Ok(bytes)
}

/// Whether there is a terminal to ask a question on.
pub(super) fn is_terminal() -> bool {
    std::io::stdin().is_terminal()
}

/// Asks on the terminal, and reads the answer: only `y` and `yes` agree.
pub(super) fn agrees(question: &str) -> Outcome<bool> {
    complain(&format!("{question} [y/N]"));
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.map_err(|error| Failure::failed(format!("cannot read the answer: {error}")))?;
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
