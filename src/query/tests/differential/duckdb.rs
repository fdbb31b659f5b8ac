//! Another engine to compare with, in one Python process for all queries of a test.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Deserialize;
use serde_json::{Value, json};

/// An answer of the other engine, or what it complained of.
#[derive(Debug, Deserialize)]
pub(in crate::query::tests) struct Answer {
    #[serde(default)]
    pub(in crate::query::tests) names: Vec<String>,
    #[serde(default)]
    pub(in crate::query::tests) rows: Vec<Vec<Value>>,
    pub(in crate::query::tests) error: Option<String>,
}

pub(in crate::query::tests) struct DuckDb {
    process: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl DuckDb {
    /// Starts it with the Python that `scripts/duckdb.sh` installed.
    pub(in crate::query::tests) fn start() -> Self {
        let python = std::env::var("KEYLOFT_TEST_DUCKDB").expect(
            "KEYLOFT_TEST_DUCKDB names a Python that has DuckDB: run the tests under scripts/with-stores.sh, or source \
             what scripts/duckdb.sh writes",
        );
        let mut process = Command::new(python)
            .args(["-u", "-c", include_str!("duckdb.py")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let asks = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Self { process, asks, answers }
    }

    pub(in crate::query::tests) fn ask(&mut self, sql: &str) -> Answer {
        self.send(&json!({ "sql": sql }))
    }

    /// The same without its optimizer, which is a second opinion.
    pub(in crate::query::tests) fn ask_plainly(&mut self, sql: &str) -> Answer {
        self.send(&json!({ "sql": sql, "plain": true }))
    }

    /// Runs a statement that must work.
    pub(in crate::query::tests) fn run(&mut self, sql: &str, values: &[Value]) {
        let answer = self.send(&json!({ "sql": sql, "values": values }));
        assert!(answer.error.is_none(), "{sql}: {answer:?}");
    }

    fn send(&mut self, request: &Value) -> Answer {
        writeln!(self.asks, "{request}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for DuckDb {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
