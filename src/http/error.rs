//! The one map from what went wrong to what a client is told: `application/problem+json` (RFC 9457).

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use bytes::Bytes;
use serde::Serialize;

use crate::access::limits::fields;
use crate::access::{Denial, Refusal, SessionEnd, TooManyQueries};
use crate::error::{Error, ErrorKind};
use crate::key::InvalidId;

const NOT_VALID: &str = "The API key is not valid.";
/// What strangers can ask for most often is not made anew each time.
const INVALID_API_KEY: &str = concat!(
    r#"{"type":"urn:keyloft:problem:invalid_api_key","title":"The API key is not valid","status":401,"#,
    r#""detail":"The API key is not valid.","code":"invalid_api_key"}"#
);

/// An answer that says no. Answers are made from it as actix makes them from errors, so that they keep it for logs, metrics
/// and counters.
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    retry_after_seconds: Option<u32>,
    applied_locally: bool,
    denial: Option<Denial>,
}

/// Why, in one word that programs can rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // Each is documented by its title below and in the README's table.
pub enum Code {
    MissingApiKey,
    InvalidApiKey,
    InvalidAdminToken,
    WrongKeyType,
    StreamNotAllowed,
    TenantMismatch,
    TenantSuspended,
    SessionClosed,
    NetworkNotAllowed,
    AmbiguousCredential,
    InvalidRequest,
    InvalidQuery,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    DuplicateKeyName,
    DuplicateApiKey,
    TooManySecrets,
    TooManyStreams,
    DuplicateTenant,
    TenantDeleted,
    TenantGone,
    TenantProtected,
    KeyRevoked,
    PreconditionFailed,
    PayloadTooLarge,
    HeadersTooLarge,
    UnsupportedMediaType,
    TooManyQueries,
    RateLimited,
    TooManyBulk,
    OutOfMemory,
    StoreUnavailable,
    StoreNotSafe,
    NotBegun,
    NotReady,
    ShuttingDown,
    QueryTimeout,
    DocumentUnreadable,
    Internal,
}

impl Code {
    /// The word, the status and the title of every code.
    const fn describe(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::MissingApiKey => ("missing_api_key", StatusCode::UNAUTHORIZED, "An API key is needed"),
            Self::InvalidApiKey => ("invalid_api_key", StatusCode::UNAUTHORIZED, "The API key is not valid"),
            Self::InvalidAdminToken => ("invalid_admin_token", StatusCode::UNAUTHORIZED, "The admin token is needed"),
            Self::WrongKeyType => ("wrong_key_type", StatusCode::FORBIDDEN, "The key is for another use"),
            Self::StreamNotAllowed => {
                ("stream_not_allowed", StatusCode::FORBIDDEN, "The key does not cover the stream")
            }
            Self::TenantMismatch => ("tenant_mismatch", StatusCode::FORBIDDEN, "The key belongs to another tenant"),
            Self::TenantSuspended => ("tenant_suspended", StatusCode::FORBIDDEN, "The tenant is suspended"),
            Self::SessionClosed => ("session_closed", StatusCode::FORBIDDEN, "The query was ended"),
            Self::NetworkNotAllowed => {
                ("network_not_allowed", StatusCode::FORBIDDEN, "The key may not be used from there")
            }
            Self::AmbiguousCredential => {
                ("ambiguous_credential", StatusCode::BAD_REQUEST, "Exactly one credential is needed")
            }
            Self::InvalidRequest => ("invalid_request", StatusCode::BAD_REQUEST, "The request is not valid"),
            Self::InvalidQuery => ("invalid_query", StatusCode::BAD_REQUEST, "The query is not valid"),
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND, "There is no such thing"),
            Self::MethodNotAllowed => {
                ("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED, "The route knows other methods")
            }
            Self::RequestTimeout => ("request_timeout", StatusCode::REQUEST_TIMEOUT, "The body came too slowly"),
            Self::DuplicateKeyName => ("duplicate_key_name", StatusCode::CONFLICT, "The name is taken"),
            Self::DuplicateApiKey => ("duplicate_api_key", StatusCode::CONFLICT, "The API key is taken"),
            Self::TooManySecrets => ("too_many_secrets", StatusCode::CONFLICT, "Too many older secrets still work"),
            // A shipper drops what a 400 or 403 refuses, and keeps what a 429 puts off until somebody has made room.
            Self::TooManyStreams => {
                ("too_many_streams", StatusCode::TOO_MANY_REQUESTS, "The tenant has too many streams")
            }
            Self::DuplicateTenant => ("duplicate_tenant", StatusCode::CONFLICT, "The tenant exists"),
            Self::TenantDeleted => ("tenant_deleted", StatusCode::CONFLICT, "The tenant was deleted"),
            Self::TenantGone => ("tenant_deleted", StatusCode::GONE, "The tenant was deleted"),
            Self::TenantProtected => ("tenant_protected", StatusCode::CONFLICT, "The tenant cannot be deleted"),
            Self::KeyRevoked => ("key_revoked", StatusCode::CONFLICT, "The key is revoked"),
            Self::PreconditionFailed => {
                ("precondition_failed", StatusCode::PRECONDITION_FAILED, "The key was changed meanwhile")
            }
            Self::PayloadTooLarge => ("payload_too_large", StatusCode::PAYLOAD_TOO_LARGE, "The body is too large"),
            Self::HeadersTooLarge => {
                ("headers_too_large", StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "The headers are too large")
            }
            Self::UnsupportedMediaType => {
                ("unsupported_media_type", StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is of an unknown kind")
            }
            Self::TooManyQueries => ("too_many_queries", StatusCode::TOO_MANY_REQUESTS, "Too many queries are running"),
            Self::RateLimited => ("rate_limited", StatusCode::TOO_MANY_REQUESTS, "A limit is used up for now"),
            Self::TooManyBulk => ("too_many_bulk", StatusCode::TOO_MANY_REQUESTS, "Bulk work is running already"),
            Self::OutOfMemory => {
                ("out_of_memory", StatusCode::SERVICE_UNAVAILABLE, "The query needs more memory than is left")
            }
            Self::StoreUnavailable => {
                ("store_unavailable", StatusCode::SERVICE_UNAVAILABLE, "The store cannot be used right now")
            }
            Self::StoreNotSafe => {
                ("store_not_safe", StatusCode::SERVICE_UNAVAILABLE, "The store cannot be relied on for changes")
            }
            Self::NotBegun => ("not_begun", StatusCode::SERVICE_UNAVAILABLE, "The change was not begun"),
            Self::NotReady => ("not_ready", StatusCode::SERVICE_UNAVAILABLE, "The keys are not loaded yet"),
            Self::ShuttingDown => ("shutting_down", StatusCode::SERVICE_UNAVAILABLE, "The server is shutting down"),
            Self::QueryTimeout => ("query_timeout", StatusCode::GATEWAY_TIMEOUT, "The query took too long"),
            Self::DocumentUnreadable => {
                ("document_unreadable", StatusCode::INTERNAL_SERVER_ERROR, "A stored document cannot be read")
            }
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "Something is wrong with the server"),
        }
    }

    /// The word.
    pub const fn as_str(self) -> &'static str {
        self.describe().0
    }

    /// The HTTP status.
    pub const fn status(self) -> StatusCode {
        self.describe().1
    }
}

impl Problem {
    /// A problem with a detail for people. Never put into it what a client presented as a credential.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        let retry_after_seconds = match code.status() {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => Some(1),
            _ => None,
        };
        Self { code, detail: detail.into(), retry_after_seconds, applied_locally: false, denial: None }
    }

    /// Says after how long the same may work; told in whole seconds, rounded up.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after_seconds = Some(u32::try_from(fields::whole_seconds(wait)).unwrap_or(u32::MAX));
        self
    }

    /// A 400 `invalid_request`.
    pub fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidRequest, detail)
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What it says to people.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Why a credential gave no permit, if that is what it is about. More than the client is told.
    pub fn denial(&self) -> Option<Denial> {
        self.denial
    }

    /// The word for those who count refusals: the denial, or else the code.
    pub(super) fn reason(&self) -> &'static str {
        self.denial.map_or(self.code.as_str(), |denial| denial.as_str())
    }

    fn body(&self) -> Bytes {
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
        // Of our refusals, these alone may be kept by a cache that was not told to (RFC 9110, section 15.1).
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
            ErrorKind::NotFound => Code::NotFound,
            ErrorKind::DuplicateKeyName => Code::DuplicateKeyName,
            ErrorKind::DuplicateApiKey => Code::DuplicateApiKey,
            ErrorKind::TooManySecrets => Code::TooManySecrets,
            ErrorKind::TooManyStreams => Code::TooManyStreams,
            ErrorKind::DuplicateTenant => Code::DuplicateTenant,
            ErrorKind::TenantDeleted => Code::TenantGone,
            ErrorKind::TenantProtected => Code::TenantProtected,
            ErrorKind::KeyRevoked => Code::KeyRevoked,
            ErrorKind::PreconditionFailed => Code::PreconditionFailed,
            ErrorKind::Unavailable | ErrorKind::RevokedHere => Code::StoreUnavailable,
            ErrorKind::StoreNotSafe => Code::StoreNotSafe,
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
            // One answer for all of these: what is wrong with a key is for its owner's admin to know.
            Denial::Malformed(_)
            | Denial::Unknown
            | Denial::Expired(_)
            | Denial::Rotated(_)
            | Denial::Disabled(_)
            | Denial::Revoked(_)
            | Denial::TenantDeleted(_) => Self::new(Code::InvalidApiKey, NOT_VALID),
            Denial::Ambiguous => Self::new(Code::AmbiguousCredential, "Present exactly one credential, once."),
            Denial::NotHydrated => Self::new(Code::NotReady, "The keys are not loaded yet."),
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
            Denial::StreamNotAllowed(_) => Self::new(Code::StreamNotAllowed, "The key does not cover this stream."),
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
            SessionEnd::TenantSuspended => Self::new(Code::SessionClosed, "The tenant was suspended."),
            SessionEnd::StreamWithdrawn => {
                Self::new(Code::SessionClosed, "The key no longer covers a stream that the query reads.")
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
    fn the_answer_kept_for_strangers_is_the_one_that_would_be_made() {
        let problem = Problem::from(Denial::Unknown);
        assert_eq!(problem.render(), INVALID_API_KEY);
        assert_eq!(Problem::from(SessionEnd::KeyWithdrawn).render(), problem.body());
    }
}
