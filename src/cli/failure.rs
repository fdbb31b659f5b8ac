//! Failures of commands, and the exit code of each.

use std::fmt;
use std::process::ExitCode;

use super::terminal::{complain, escaped};
use crate::config::InvalidConfig;
use crate::error::{Error, ErrorKind};

/// The outcome of a command.
pub type Outcome<T = ()> = Result<T, Failure>;

/// Why a command failed. Never contains a secret.
#[derive(Debug)]
pub struct Failure {
    kind: FailureKind,
    message: String,
    /// More of the same, a line each.
    more: Vec<String>,
}

/// What a script can do about a [`Failure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Any other failure.
    Failed = 1,
    /// The command is wrong: change it.
    Usage = 2,
    /// The server refused (4xx), or there is no such object.
    Refused = 3,
    /// The server cannot be reached, or cannot answer now (5xx): try again later.
    Unavailable = 4,
}

impl Failure {
    fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), more: Vec::new() }
    }

    /// Any other failure.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Failed, message)
    }

    /// The command is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Usage, message)
    }

    /// The server refused.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Refused, message)
    }

    /// There was no answer.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Unavailable, message)
    }

    /// The same with more text.
    #[must_use]
    pub fn and(self, more: &str) -> Self {
        Self { message: format!("{}; {more}", self.message), ..self }
    }

    /// The same with more of the same, a line each.
    #[must_use]
    pub fn with_lines(self, more: impl IntoIterator<Item = String>) -> Self {
        Self { more: more.into_iter().collect(), ..self }
    }

    /// The same with the place of the failure.
    #[must_use]
    pub fn at(self, place: &str) -> Self {
        Self { message: format!("{place}: {}", self.message), ..self }
    }

    /// What a script can do.
    pub fn kind(&self) -> FailureKind {
        self.kind
    }
}

impl fmt::Display for Failure {
    /// Escaped for a terminal, because it may quote the server.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escaped(&self.message))?;
        self.more.iter().try_for_each(|line| write!(f, "\n{}", escaped(line)))
    }
}

impl From<InvalidConfig> for Failure {
    fn from(error: InvalidConfig) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::Invalid | ErrorKind::TooLarge => FailureKind::Usage,
            ErrorKind::Unavailable
            | ErrorKind::StoreNotSafe
            | ErrorKind::ClockWrong
            | ErrorKind::RevokedHere
            | ErrorKind::NotBegun
            | ErrorKind::Exhausted => FailureKind::Unavailable,
            ErrorKind::Corrupt | ErrorKind::Internal => FailureKind::Failed,
            ErrorKind::NotFound
            | ErrorKind::QueryTooLarge
            | ErrorKind::DuplicateKeyName
            | ErrorKind::DuplicateApiKey
            | ErrorKind::TooManySecrets
            | ErrorKind::TooManyStreams
            | ErrorKind::DuplicateTenant
            | ErrorKind::TenantDeleted
            | ErrorKind::TenantProtected
            | ErrorKind::LastOwner
            | ErrorKind::PolicyInUse
            | ErrorKind::RoleNotAllowed
            | ErrorKind::KeyRevoked
            | ErrorKind::PreconditionFailed => FailureKind::Refused,
        };
        Self::new(kind, error.message())
    }
}

/// The exit code of a command; a failure is reported on standard error.
pub(super) fn exit_code(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure);
            ExitCode::from(failure.kind as u8)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_its_exit_code() {
        let code = |failure: Failure| failure.kind() as u8;
        assert_eq!(code(Failure::failed("")), 1);
        assert_eq!(code(Failure::usage("")), 2);
        assert_eq!(code(Failure::refused("")), 3);
        assert_eq!(code(Failure::unavailable("")), 4);
        assert_eq!(code(Error::new(ErrorKind::Unavailable, "").into()), 4);
        assert_eq!(code(Error::invalid("").into()), 2);
    }

    #[test]
    fn what_a_server_says_cannot_move_the_cursor() {
        assert_eq!(Failure::refused("no\u{1b}[2J").to_string(), "no\\u{1b}[2J");
    }
}
