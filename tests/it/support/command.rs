//! A command as an operator types it, and what it ended with.

use std::process::Command;

use serde_json::Value;

use super::TestServer;
use super::process::{keyloft, run};
use super::server::ADMIN_TOKEN;

/// What a command ended with.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn of(command: &mut Command, input: &str) -> Self {
        let output = run(command, input);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    #[track_caller]
    pub fn done(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""), "{}", self.stdout);
        self.stdout
    }

    #[track_caller]
    pub fn json(self) -> Value {
        serde_json::from_str(&self.done()).unwrap()
    }

    /// Asserts the exit code, silence on standard output, and a word of the reason.
    #[track_caller]
    pub fn failed(self, code: i32, reason: &str) {
        assert_eq!((self.code, self.stdout.as_str()), (code, ""), "{}", self.stderr);
        assert!(self.stderr.contains(reason), "{}", self.stderr);
    }
}

/// Types a line for a server; words are separated by single spaces.
pub fn typed(server: &TestServer, line: &str) -> Ended {
    typed_with(server, line, "")
}

/// The same with something on standard input.
pub fn typed_with(server: &TestServer, line: &str, input: &str) -> Ended {
    let mut command = keyloft();
    command.env("KEYLOFT_URL", server.url()).env("KEYLOFT_ADMIN_TOKEN", ADMIN_TOKEN);
    Ended::of(command.args(line.split(' ')), input)
}
