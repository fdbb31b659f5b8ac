//! `keyloft stream objects`: the objects of a stream, and the statement with which another engine reads them.

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::cli::connection::Parameter;
use crate::cli::key::list::items;
use crate::cli::when::Moment;
use crate::cli::{Client, ClientArgs, Failure, Outcome, output};
use crate::clock::{Clock as _, SystemClock};
use crate::key::StreamName;

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// One address per line
    Urls,
    /// A query for DuckDB
    Duckdb,
    /// An expression for `PySpark`
    Spark,
    /// Everything that the server says
    Json,
}

/// Which objects, and how they are printed.
#[derive(Debug, Args)]
pub struct ObjectsArgs {
    /// The stream
    #[arg(value_name = "STREAM", value_parser = StreamName::parse)]
    name: StreamName,
    /// Only events that arrived at this time or later: an instant, a date, or a duration before now
    #[arg(long, value_name = "WHEN")]
    from: Option<Moment>,
    /// Only events that arrived before this time
    #[arg(long, value_name = "WHEN")]
    to: Option<Moment>,
    /// How to print them: addresses, a query for DuckDB, an expression for `PySpark`, or JSON
    #[arg(long, value_name = "FORM", default_value = "urls")]
    output: Form,
}

pub(super) fn run(args: &ClientArgs, objects: &ObjectsArgs) -> Outcome {
    let client = args.connect()?;
    let now = SystemClock.now();
    let range = Range { from: objects.from.map(|from| from.past(now)), to: objects.to.map(|to| to.past(now)) };
    let parameters = [("from", range.from.clone()), ("to", range.to.clone())];
    let parameters: Vec<_> = parameters.into_iter().filter_map(|(name, at)| Some((name, at?))).collect();
    let tenant = args.tenant();
    let path = ["tenants", tenant.as_str(), "logstream", objects.name.as_str(), "objects"];
    let page = all(&client, &path, &parameters)?;
    if args.json || objects.output == Form::Json {
        return output::print(&output::json(&page));
    }
    let url = |item: &Value| item["url"].as_str().map(str::to_owned);
    let urls: Option<Vec<String>> = items(&page).iter().map(url).collect();
    let urls = urls.ok_or_else(|| Failure::failed("the store of this server has no address for other programs"))?;
    if urls.is_empty() {
        return Err(Failure::failed("the stream has no objects in this range"));
    }
    let held = format!("The objects are there until {} at least.", page["heldUntil"].as_str().unwrap_or("-"));
    output::print(&match objects.output {
        Form::Urls | Form::Json => urls.join("\n"),
        Form::Duckdb => format!("-- {held}\n{}", duckdb(&urls, &range)),
        Form::Spark => format!("# {held}\n{}", spark(&urls, &range)),
    })
}

/// All pages as one. What the first one says of its objects holds for all: later pages were listed later.
fn all(client: &Client, path: &[&str], parameters: &[Parameter]) -> Outcome<Value> {
    let mut whole = client.get(path, parameters)?;
    while let Some(cursor) = whole["nextCursor"].as_str().map(str::to_owned) {
        let mut parameters = parameters.to_vec();
        parameters.push(("cursor", cursor));
        let mut page = client.get(path, &parameters)?;
        whole["nextCursor"] = page["nextCursor"].take();
        match (&mut whole["items"], page["items"].take()) {
            (Value::Array(items), Value::Array(more)) if !more.is_empty() => items.extend(more),
            _ => return Err(Failure::failed("the answer is no list: is this a Keyloft server?")),
        }
    }
    Ok(whole)
}

/// A range of arrival times, as instants.
struct Range {
    from: Option<String>,
    to: Option<String>,
}

impl Range {
    /// The condition on rows, each instant written by `literal`. An object may hold rows outside of the range too.
    fn condition(&self, literal: fn(&str) -> String) -> Option<String> {
        let from = self.from.as_deref().map(|from| format!("p_timestamp >= {}", literal(from)));
        let to = self.to.as_deref().map(|to| format!("p_timestamp < {}", literal(to)));
        let parts: Vec<String> = from.into_iter().chain(to).collect();
        (!parts.is_empty()).then(|| parts.join(" AND "))
    }
}

/// The folder `date=…` in each name is no column of the stream, and objects lack the columns that their events lack.
fn duckdb(urls: &[String], range: &Range) -> String {
    let list = list(urls, |url| format!("'{}'", url.replace('\'', "''")));
    let condition = range.condition(|at| format!("TIMESTAMPTZ '{at}'"));
    let condition = condition.map_or_else(String::new, |condition| format!("\nWHERE {condition}"));
    format!("SELECT * FROM read_parquet([{list}], union_by_name = true, hive_partitioning = false){condition};")
}

/// Files of a directory get a scheme, because Spark may take another file system for its own; S3 is `s3a` there.
fn spark(urls: &[String], range: &Range) -> String {
    let list = list(urls, |url| {
        let url = match url.strip_prefix("s3://") {
            Some(rest) => format!("s3a://{rest}"),
            None => format!("file://{url}"),
        };
        serde_json::Value::from(url).to_string() // Python reads a string of JSON as it is meant.
    });
    let condition = range.condition(|at| format!("timestamp'{at}'"));
    let condition = condition.map_or_else(String::new, |condition| format!(".where(\"{condition}\")"));
    format!("spark.read.option(\"mergeSchema\", \"true\").parquet({list}){condition}")
}

/// One item per line.
fn list(urls: &[String], item: impl Fn(&str) -> String) -> String {
    let lines: Vec<String> = urls.iter().map(|url| format!("\n  {}", item(url))).collect();
    lines.join(",") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: &str = "2026-11-27T10:00:00.000Z";

    #[test]
    fn statements_name_every_object_once_and_the_range() {
        let urls = ["/data/it's/a.parquet".to_owned(), "/data/b \"2\".parquet".to_owned()];
        let all = Range { from: None, to: None };
        let expected = "SELECT * FROM read_parquet([\n  '/data/it''s/a.parquet',\n  '/data/b \"2\".parquet'\n], \
                        union_by_name = true, hive_partitioning = false);";
        assert_eq!(duckdb(&urls, &all), expected);
        let some = Range { from: Some(FROM.to_owned()), to: Some("2026-11-28T00:00:00.000Z".to_owned()) };
        let query = duckdb(&urls[..1], &some);
        assert!(query.ends_with(
            "\nWHERE p_timestamp >= TIMESTAMPTZ '2026-11-27T10:00:00.000Z' \
             AND p_timestamp < TIMESTAMPTZ '2026-11-28T00:00:00.000Z';"
        ));
        let odd = spark(&["/a\nb\\c".to_owned()], &all);
        assert!(odd.contains(r#""file:///a\nb\\c""#), "{odd}");
        let since = Range { from: Some(FROM.to_owned()), to: None };
        let read = spark(&["s3://b/p/a.parquet".to_owned(), urls[1].clone()], &since);
        let expected = "spark.read.option(\"mergeSchema\", \"true\").parquet(\n  \"s3a://b/p/a.parquet\",\n  \
                        \"file:///data/b \\\"2\\\".parquet\"\n)\
                        .where(\"p_timestamp >= timestamp'2026-11-27T10:00:00.000Z'\")";
        assert_eq!(read, expected);
    }
}
