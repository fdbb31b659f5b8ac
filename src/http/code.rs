//! The codes of refusals, with their statuses and titles.

use actix_web::http::StatusCode;

/// The reason of a refusal, which programs can rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // Each is documented by its title below and in docs/errors.md.
#[non_exhaustive]
pub enum Code {
    MissingApiKey,
    InvalidApiKey,
    InvalidAdminToken,
    InvalidHandoff,
    WrongKeyType,
    StreamNotAllowed,
    TenantMismatch,
    RoleNotAllowed,
    TenantSuspended,
    SessionClosed,
    NetworkNotAllowed,
    NotLocal,
    AmbiguousCredential,
    InvalidRequest,
    InvalidQuery,
    InvalidExpression,
    InvalidEvent,
    InvalidChallenge,
    ChallengeExpired,
    ChallengeRequired,
    ClearanceMissing,
    DecideNotAllowed,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    DuplicateKeyName,
    DuplicateApiKey,
    TooManySecrets,
    TooManyStreams,
    DuplicateTenant,
    TenantDeleted,
    TenantProtected,
    LastOwner,
    PolicyInUse,
    KeyRevoked,
    PreconditionFailed,
    PayloadTooLarge,
    HeadersTooLarge,
    UnsupportedMediaType,
    QueryTooLarge,
    TooManyQueries,
    TooManyChallenges,
    RateLimited,
    TooManyBulk,
    OutOfMemory,
    StoreUnavailable,
    StoreNotSafe,
    ClockWrong,
    NotBegun,
    NotReady,
    ShuttingDown,
    QueryTimeout,
    DocumentUnreadable,
    Internal,
}

impl Code {
    /// The code, the status and the title. A title is the usual phrase: for codes that only say what their status says,
    /// the reason phrase of HTTP.
    pub(super) const fn describe(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::MissingApiKey => ("missing_api_key", StatusCode::UNAUTHORIZED, "Missing API key"),
            Self::InvalidApiKey => ("invalid_api_key", StatusCode::UNAUTHORIZED, "Invalid API key"),
            Self::InvalidAdminToken => ("invalid_admin_token", StatusCode::UNAUTHORIZED, "Invalid admin token"),
            Self::InvalidHandoff => ("invalid_handoff", StatusCode::BAD_REQUEST, "Invalid handoff"),
            Self::WrongKeyType => ("wrong_key_type", StatusCode::FORBIDDEN, "Wrong key type"),
            Self::StreamNotAllowed => ("stream_not_allowed", StatusCode::FORBIDDEN, "Stream not allowed"),
            Self::TenantMismatch => ("tenant_mismatch", StatusCode::FORBIDDEN, "Tenant mismatch"),
            Self::RoleNotAllowed => ("role_not_allowed", StatusCode::FORBIDDEN, "Role not allowed"),
            Self::TenantSuspended => ("tenant_suspended", StatusCode::FORBIDDEN, "Tenant suspended"),
            Self::SessionClosed => ("session_closed", StatusCode::FORBIDDEN, "Session closed"),
            Self::NetworkNotAllowed => ("network_not_allowed", StatusCode::FORBIDDEN, "Network not allowed"),
            Self::NotLocal => ("not_local", StatusCode::FORBIDDEN, "Not local"),
            Self::AmbiguousCredential => ("ambiguous_credential", StatusCode::BAD_REQUEST, "Ambiguous credential"),
            Self::InvalidRequest => ("invalid_request", StatusCode::BAD_REQUEST, "Invalid request"),
            Self::InvalidEvent => ("invalid_event", StatusCode::BAD_REQUEST, "Invalid event"),
            Self::InvalidChallenge => ("invalid_challenge", StatusCode::BAD_REQUEST, "Invalid challenge"),
            Self::ChallengeExpired => ("challenge_expired", StatusCode::BAD_REQUEST, "Challenge expired"),
            Self::ChallengeRequired => ("challenge_required", StatusCode::FORBIDDEN, "Challenge required"),
            Self::ClearanceMissing => ("clearance_missing", StatusCode::CONFLICT, "Clearance missing"),
            Self::DecideNotAllowed => ("decide_not_allowed", StatusCode::FORBIDDEN, "Decide not allowed"),
            Self::InvalidExpression => ("invalid_expression", StatusCode::BAD_REQUEST, "Invalid expression"),
            Self::InvalidQuery => ("invalid_query", StatusCode::BAD_REQUEST, "Invalid query"),
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND, "Not found"),
            Self::MethodNotAllowed => ("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED, "Method not allowed"),
            Self::RequestTimeout => ("request_timeout", StatusCode::REQUEST_TIMEOUT, "Request timeout"),
            Self::DuplicateKeyName => ("duplicate_key_name", StatusCode::CONFLICT, "Duplicate key name"),
            Self::DuplicateApiKey => ("duplicate_api_key", StatusCode::CONFLICT, "Duplicate API key"),
            Self::TooManySecrets => ("too_many_secrets", StatusCode::CONFLICT, "Too many secrets"),
            // A shipper drops what a 400 or 403 refuses, and keeps what a 429 puts off until there is room.
            Self::TooManyStreams => ("too_many_streams", StatusCode::TOO_MANY_REQUESTS, "Too many streams"),
            Self::DuplicateTenant => ("duplicate_tenant", StatusCode::CONFLICT, "Duplicate tenant"),
            Self::TenantDeleted => ("tenant_deleted", StatusCode::GONE, "Tenant deleted"),
            Self::TenantProtected => ("tenant_protected", StatusCode::CONFLICT, "Tenant protected"),
            Self::PolicyInUse => ("policy_in_use", StatusCode::CONFLICT, "Policy in use"),
            Self::LastOwner => ("last_owner", StatusCode::CONFLICT, "Last owner"),
            Self::KeyRevoked => ("key_revoked", StatusCode::CONFLICT, "Key revoked"),
            Self::PreconditionFailed => ("precondition_failed", StatusCode::PRECONDITION_FAILED, "Precondition failed"),
            Self::PayloadTooLarge => ("payload_too_large", StatusCode::PAYLOAD_TOO_LARGE, "Payload too large"),
            Self::HeadersTooLarge => {
                ("headers_too_large", StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Request header fields too large")
            }
            Self::UnsupportedMediaType => {
                ("unsupported_media_type", StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported media type")
            }
            Self::QueryTooLarge => ("query_too_large", StatusCode::UNPROCESSABLE_ENTITY, "Query too large"),
            Self::TooManyQueries => ("too_many_queries", StatusCode::TOO_MANY_REQUESTS, "Too many queries"),
            Self::TooManyChallenges => ("too_many_challenges", StatusCode::TOO_MANY_REQUESTS, "Too many challenges"),
            Self::RateLimited => ("rate_limited", StatusCode::TOO_MANY_REQUESTS, "Rate limit exceeded"),
            Self::TooManyBulk => ("too_many_bulk", StatusCode::TOO_MANY_REQUESTS, "Too many bulk requests"),
            Self::OutOfMemory => ("out_of_memory", StatusCode::SERVICE_UNAVAILABLE, "Out of memory"),
            Self::StoreUnavailable => ("store_unavailable", StatusCode::SERVICE_UNAVAILABLE, "Store unavailable"),
            Self::StoreNotSafe => ("store_not_safe", StatusCode::SERVICE_UNAVAILABLE, "Store not safe"),
            Self::ClockWrong => ("clock_wrong", StatusCode::SERVICE_UNAVAILABLE, "Clock wrong"),
            Self::NotBegun => ("not_begun", StatusCode::SERVICE_UNAVAILABLE, "Change not started"),
            Self::NotReady => ("not_ready", StatusCode::SERVICE_UNAVAILABLE, "Not ready"),
            Self::ShuttingDown => ("shutting_down", StatusCode::SERVICE_UNAVAILABLE, "Shutting down"),
            Self::QueryTimeout => ("query_timeout", StatusCode::GATEWAY_TIMEOUT, "Query timeout"),
            Self::DocumentUnreadable => {
                ("document_unreadable", StatusCode::INTERNAL_SERVER_ERROR, "Unreadable document")
            }
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "Internal server error"),
        }
    }

    /// The code as it stands in answers.
    pub const fn as_str(self) -> &'static str {
        self.describe().0
    }

    /// The HTTP status.
    pub const fn status(self) -> StatusCode {
        self.describe().1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_the_phrases_of_http() {
        for code in [
            Code::NotFound,
            Code::MethodNotAllowed,
            Code::RequestTimeout,
            Code::PreconditionFailed,
            Code::PayloadTooLarge,
            Code::UnsupportedMediaType,
            Code::HeadersTooLarge,
            Code::Internal,
        ] {
            let (_, status, title) = code.describe();
            assert_eq!(Some(title.to_lowercase()), status.canonical_reason().map(str::to_lowercase), "{code:?}");
        }
    }
}
