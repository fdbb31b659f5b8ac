//! The one map from errors to answers: `application/problem+json` (RFC 9457).

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use bytes::Bytes;
use serde::Serialize;

pub use super::code::Code;
use crate::access::limits::fields;
use crate::access::{Denial, Refusal, SessionEnd, TooManyQueries};
use crate::error::{Error, ErrorKind};
use crate::key::InvalidId;
use crate::policy::Fault;

const NOT_VALID: &str = "The API key is not valid.";
/// The refusal of an unknown key is rendered once: clients without a credential can cause it most often.
const INVALID_API_KEY: &str = concat!(
    r#"{"type":"urn:keyloft:problem:invalid_api_key","title":"Invalid API key","status":401,"#,
    r#""detail":"The API key is not valid.","code":"invalid_api_key"}"#
);

/// A refusal. Its response keeps it as actix keeps an error, for the request log, the metrics and the usage counters.
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    retry_after_seconds: Option<u32>,
    applied_locally: bool,
    denial: Option<Denial>,
    faults: Vec<Fault>,
}

impl Problem {
    /// A problem with a detail for people. Never put into it what a client presented as a credential.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        let retry_after_seconds = match code.status() {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => Some(1),
            _ => None,
        };
        Self {
            code,
            detail: detail.into(),
            retry_after_seconds,
            applied_locally: false,
            denial: None,
            faults: Vec::new(),
        }
    }

    /// Sets `Retry-After`, in whole seconds, rounded up.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after_seconds = Some(u32::try_from(fields::whole_seconds(wait)).unwrap_or(u32::MAX));
        self
    }

    /// A 400 `invalid_request`.
    pub fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidRequest, detail)
    }

    /// A 400 `invalid_expression` with everything that is wrong.
    pub(super) fn faulty(faults: Vec<Fault>) -> Self {
        let detail = match faults.as_slice() {
            [] => "The policy set is not valid.".to_owned(),
            [only] => only.to_string(),
            [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
        };
        Self { faults, ..Self::new(Code::InvalidExpression, detail) }
    }

    /// The code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The explanation for people.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Why a credential gave no permit, if that is the reason. The client gets less: see [`Code::InvalidApiKey`].
    pub fn denial(&self) -> Option<Denial> {
        self.denial
    }

    /// The label of metrics and counters: the denial, or else the code.
    pub(super) fn reason(&self) -> &'static str {
        self.denial.map_or(self.code.as_str(), |denial| denial.as_str())
    }

    /// The label under which it counts as denied: that of a denial, or the code where somebody who administers is not
    /// known, or may not do what they ask for.
    pub(super) fn denied(&self) -> Option<&'static str> {
        let is_denied = matches!(
            self.code,
            Code::InvalidAdminToken | Code::RoleNotAllowed | Code::NetworkNotAllowed | Code::LastOwner
        );
        (is_denied || self.denial.is_some()).then(|| self.reason())
    }

    /// What is answered.
    pub(super) fn body(&self) -> Bytes {
        if self.code == Code::InvalidApiKey { Bytes::from_static(INVALID_API_KEY.as_bytes()) } else { self.render() }
    }

    fn render(&self) -> Bytes {
        #[derive(Serialize)]
        struct Body<'a> {
            r#type: fmt::Arguments<'a>,
            title: &'static str,
            status: u16,
            detail: &'a str,
            code: &'static str,
            #[serde(rename = "appliedLocally", skip_serializing_if = "std::ops::Not::not")]
            applied_locally: bool,
            #[serde(skip_serializing_if = "<[Fault]>::is_empty")]
            errors: &'a [Fault],
        }
        let (code, status, title) = self.code.describe();
        let mut body = Vec::with_capacity(384);
        let _ = serde_json::to_writer(
            &mut body,
            &Body {
                r#type: format_args!("urn:keyloft:problem:{code}"),
                title,
                status: status.as_u16(),
                detail: &self.detail,
                code,
                applied_locally: self.applied_locally,
                errors: &self.faults,
            },
        );
        body.into()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.code.status()
    }

    fn error_response(&self) -> HttpResponse {
        let status = self.status_code();
        let mut response = HttpResponse::with_body(status, self.body().boxed());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        // Caches may keep answers with these statuses unless `no-store` forbids it (RFC 9110, section 15.1).
        if matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::GONE) {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        match self.code {
            Code::MissingApiKey | Code::InvalidApiKey => {
                let schemes = HeaderValue::from_static(r#"Bearer realm="keyloft", ApiKey realm="keyloft""#);
                headers.insert(header::WWW_AUTHENTICATE, schemes);
            }
            Code::InvalidAdminToken => {
                let scheme = HeaderValue::from_static(r#"Bearer realm="keyloft-admin""#);
                headers.insert(header::WWW_AUTHENTICATE, scheme);
            }
            _ => {}
        }
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let code = match error.kind() {
            ErrorKind::Invalid => Code::InvalidRequest,
            ErrorKind::TooLarge => Code::PayloadTooLarge,
            ErrorKind::Exhausted => Code::OutOfMemory,
            ErrorKind::QueryTooLarge => Code::QueryTooLarge,
            ErrorKind::NotFound => Code::NotFound,
            ErrorKind::DuplicateKeyName => Code::DuplicateKeyName,
            ErrorKind::DuplicateApiKey => Code::DuplicateApiKey,
            ErrorKind::TooManySecrets => Code::TooManySecrets,
            ErrorKind::TooManyStreams => Code::TooManyStreams,
            ErrorKind::DuplicateTenant => Code::DuplicateTenant,
            ErrorKind::TenantDeleted => Code::TenantDeleted,
            ErrorKind::TenantProtected => Code::TenantProtected,
            ErrorKind::LastOwner => Code::LastOwner,
            ErrorKind::RoleNotAllowed => Code::RoleNotAllowed,
            ErrorKind::PolicyInUse => Code::PolicyInUse,
            ErrorKind::KeyRevoked => Code::KeyRevoked,
            ErrorKind::PreconditionFailed => Code::PreconditionFailed,
            ErrorKind::Unavailable | ErrorKind::RevokedHere => Code::StoreUnavailable,
            ErrorKind::StoreNotSafe => Code::StoreNotSafe,
            ErrorKind::ClockWrong => Code::ClockWrong,
            ErrorKind::NotBegun => Code::NotBegun,
            ErrorKind::Corrupt => Code::DocumentUnreadable,
            ErrorKind::Internal => Code::Internal,
        };
        if code.status().is_server_error() {
            tracing::error!("{error:?}");
        }
        let mut problem = Self::new(code, error.message().to_owned());
        problem.applied_locally = error.kind() == ErrorKind::RevokedHere;
        match error.wait() {
            Some(wait) => problem.retry_after(wait),
            None => problem,
        }
    }
}

impl From<InvalidId> for Problem {
    fn from(error: InvalidId) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<Denial> for Problem {
    fn from(denial: Denial) -> Self {
        let problem = match denial {
            Denial::Missing => Self::new(Code::MissingApiKey, "Present an API key in X-API-KEY or Authorization."),
            // One answer for all of these: only admins may learn what is wrong with a key.
            Denial::Malformed(_)
            | Denial::Unknown
            | Denial::Expired(_)
            | Denial::Rotated(_)
            | Denial::Disabled(_)
            | Denial::Revoked(_)
            | Denial::TenantDeleted(_) => Self::new(Code::InvalidApiKey, NOT_VALID),
            Denial::Ambiguous => Self::new(Code::AmbiguousCredential, "Present exactly one credential, once."),
            Denial::NotHydrated => Self::new(Code::NotReady, "The keys are not loaded yet."),
            Denial::Verifying => {
                Self::new(Code::NotReady, "The key is not known here, and this node still verifies its keys.")
            }
            Denial::Unverifiable => {
                Self::new(Code::StoreUnavailable, "The key is not known here, and the store cannot be asked.")
            }
            Denial::Stale => Self::new(Code::StoreUnavailable, "This node has been out of contact for too long."),
            Denial::WrongKeyType { needed, .. } => {
                Self::new(Code::WrongKeyType, format!("This route needs a key of type {needed}."))
            }
            Denial::TenantMismatch(_) => {
                Self::new(Code::TenantMismatch, "The tenant stated in the header is not the tenant of the key.")
            }
            Denial::TenantUnreadable(_) => Self::invalid("The tenant stated in the header cannot be read."),
            Denial::NetworkNotAllowed(_) => {
                Self::new(Code::NetworkNotAllowed, "The key may not be used from this address.")
            }
            Denial::TenantSuspended(_) => Self::new(Code::TenantSuspended, "The tenant is suspended for this use."),
            Denial::StreamNotAllowed(_) => Self::new(
                Code::StreamNotAllowed,
                "The key does not cover this stream, or it is a system stream, which is read-only.",
            ),
        };
        Self { denial: Some(denial), ..problem }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let problem = |code| Self::new(code, refusal.to_string());
        match refusal {
            Refusal::Rate { wait, .. } => problem(Code::RateLimited).retry_after(wait),
            Refusal::Never { .. } => problem(Code::PayloadTooLarge),
        }
    }
}

impl From<TooManyQueries> for Problem {
    fn from(refusal: TooManyQueries) -> Self {
        Self::new(Code::TooManyQueries, format!("{refusal}."))
    }
}

impl From<SessionEnd> for Problem {
    fn from(end: SessionEnd) -> Self {
        match end {
            SessionEnd::Deadline => Self::new(Code::QueryTimeout, "The query took longer than a session lasts."),
            SessionEnd::KeyWithdrawn => Self::new(Code::InvalidApiKey, NOT_VALID),
            SessionEnd::OperatorWithdrawn => {
                Self::new(Code::SessionClosed, "The right to query the tenant, or the credential, has ended.")
            }
            SessionEnd::TenantSuspended => Self::new(Code::SessionClosed, "The tenant was suspended."),
            SessionEnd::TenantDeleted => Self::new(Code::SessionClosed, "The tenant was deleted."),
            SessionEnd::StreamWithdrawn => {
                Self::new(Code::SessionClosed, "A stream that the query reads is no longer covered.")
            }
            SessionEnd::Closed => Self::new(Code::SessionClosed, "The query was ended."),
            SessionEnd::Admin => Self::new(Code::SessionClosed, "An admin ended the query."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prepared_answer_is_the_rendered_one() {
        let problem = Problem::from(Denial::Unknown);
        assert_eq!(problem.render(), INVALID_API_KEY);
        assert_eq!(Problem::from(SessionEnd::KeyWithdrawn).render(), problem.body());
    }
}
