//! Tables for people, JSON for programs. The only place that writes to standard output.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use super::terminal::escaped;
use super::{Failure, Outcome};

/// Writes `text` and a newline to standard output. A reader that hung up (`| head`) is no failure.
pub(super) fn print(text: &str) -> Outcome {
    match write(text) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::failed(format!("cannot write to standard output: {error}"))),
        Ok(()) => Ok(()),
    }
}

/// Like [`print`] for what is shown only once: here a reader that hung up is a failure too.
pub(super) fn print_once(text: &str) -> Outcome {
    write(text).map_err(|error| Failure::failed(format!("cannot write to standard output: {error}")))
}

/// Fails when standard output would lose what [`print_once`] writes, so that no secret is made and then lost.
pub(super) fn require_output() -> Outcome {
    if is_discarded() {
        let message = "standard output is closed or /dev/null, and an API key is shown only once: nothing was done";
        return Err(Failure::failed(message));
    }
    Ok(())
}

/// Whether standard output is `/dev/null`. A closed one is as well: Rust opens `/dev/null` in its place at start.
pub(super) fn is_discarded() -> bool {
    let Ok(stdout) = std::io::stdout().as_fd().try_clone_to_owned() else { return true };
    match (File::from(stdout).metadata(), std::fs::metadata("/dev/null")) {
        (Ok(stdout), Ok(null)) => stdout.file_type().is_char_device() && stdout.rdev() == null.rdev(),
        _ => false,
    }
}

fn write(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    // In one write: the reader may hang up after the last line.
    stdout.write_all(format!("{text}\n").as_bytes())?;
    stdout.flush()
}

/// JSON for programs.
pub(super) fn json(value: &Value) -> String {
    format!("{value:#}")
}

/// A column: its heading, and the field of an item that it shows.
pub(super) type Column = (&'static str, &'static str);

/// One row for each item, without borders: easy to read, easy to cut.
pub(super) fn table(columns: &[Column], items: &[Value]) -> String {
    let mut table = blank();
    table.set_header(columns.iter().map(|(heading, _)| *heading));
    for item in items {
        table.add_row(columns.iter().map(|(_, field)| cell(&item[*field])));
    }
    finished(&table)
}

/// One line for each column of a single item.
pub(super) fn card(columns: &[Column], item: &Value) -> String {
    let mut table = blank();
    for (heading, field) in columns {
        table.add_row([(*heading).to_owned(), cell(&item[*field])]);
    }
    finished(&table)
}

fn blank() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table
}

fn finished(table: &Table) -> String {
    // comfy-table pads every cell by one space on both sides.
    let lines: Vec<String> =
        table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned()).collect();
    lines.join("\n")
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => escaped(text).into_owned(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(","),
        other => escaped(&other.to_string()).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const COLUMNS: &[Column] = &[("NAME", "keyName"), ("STREAMS", "streams"), ("EXPIRES", "expiresAt")];

    #[test]
    fn a_table_has_a_heading_a_row_each_and_no_trailing_space() {
        let items = [
            json!({"keyName": "checkout", "streams": ["web-*", "audit"], "expiresAt": null}),
            json!({"keyName": "ci", "streams": [], "expiresAt": "2027-01-01T00:00:00.000Z"}),
        ];
        let expected = "\
NAME      STREAMS      EXPIRES
checkout  web-*,audit  -
ci        -            2027-01-01T00:00:00.000Z";
        assert_eq!(table(COLUMNS, &items), expected);
    }

    #[test]
    fn a_card_has_a_line_for_each_field() {
        assert_eq!(card(&COLUMNS[..1], &json!({"keyName": "checkout"})), "NAME  checkout");
    }

    #[test]
    fn a_name_cannot_act_on_the_terminal() {
        let items = [json!({"keyName": "a\u{1b}[31m\nb\u{202e}c"})];
        assert_eq!(table(&COLUMNS[..1], &items), "NAME\na\\u{1b}[31m\\nb\\u{202e}c");
    }
}
