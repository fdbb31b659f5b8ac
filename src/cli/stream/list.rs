//! `keyloft stream list`: the streams of a tenant, and how much each holds.

use bytesize::ByteSize;
use serde_json::{Value, json};

use crate::cli::key::list::{all, items};
use crate::cli::output::{self, Column};
use crate::cli::{ClientArgs, Outcome};

const COLUMNS: &[Column] = &[
    ("STREAM", "stream"),
    ("ROWS", "rows"),
    ("SIZE", "size"),
    ("OBJECTS", "objects"),
    ("FIRST EVENT", "firstEventAt"),
    ("LAST EVENT", "lastEventAt"),
];

pub(super) fn run(args: &ClientArgs) -> Outcome {
    let client = args.connect()?;
    let statistics = [("statistics", "true".to_owned())];
    let page = all(&client, &["tenants", args.tenant().as_str(), "logstream"], &statistics, None)?;
    if args.json {
        return output::print(&output::json(&page));
    }
    let rows: Vec<Value> = items(&page).iter().map(row).collect();
    output::print(&output::table(COLUMNS, &rows))
}

/// What a line of the table shows of a stream.
fn row(item: &Value) -> Value {
    let mut row = item["statistics"].clone();
    if !row["unreadable"].is_null() {
        row = json!({ "rows": "cannot be read" });
    }
    row["stream"] = item["stream"].clone();
    row["size"] = row["bytes"].as_u64().map(|bytes| ByteSize::b(bytes).to_string()).into();
    row
}
