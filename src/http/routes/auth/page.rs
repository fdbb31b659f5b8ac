//! What people see when a sign-in ends here: one page, with fixed words only.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, HttpResponseBuilder};

use crate::operators::OperatorId;

/// The script of the page of `/auth/complete`: shows the handoff, or why there is none. It reads the fragment, which no
/// server sees, and writes text only.
const SCRIPT: &str = include_str!("complete.js");
const HEAD: &str = include_str!("head.html");

/// How a sign-in ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// There is no role for this operator.
    NotAllowed(OperatorId),
    /// The person or the provider said no.
    Denied,
    /// The provider does not answer.
    ProviderUnavailable,
    /// The store does not answer.
    StoreUnavailable,
    /// The answer belongs to no sign-in of this browser, or cannot be believed.
    Failed,
}

impl Ending {
    /// The code, which programs can rely on.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::NotAllowed(_) => "not_allowed",
            Self::Denied => "sign_in_denied",
            Self::ProviderUnavailable => "provider_unavailable",
            Self::StoreUnavailable => "store_unavailable",
            Self::Failed => "sign_in_failed",
        }
    }

    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::NotAllowed(_) | Self::Denied => StatusCode::FORBIDDEN,
            Self::ProviderUnavailable | Self::StoreUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed => StatusCode::BAD_REQUEST,
        }
    }

    /// Who it was, where that is certain.
    pub(super) const fn who(self) -> Option<OperatorId> {
        match self {
            Self::NotAllowed(id) => Some(id),
            _ => None,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::NotAllowed(_) => {
                "You are not allowed in: you have no role here. Give this id to an owner or an admin:"
            }
            Self::Denied => "The sign-in was cancelled.",
            Self::ProviderUnavailable => "The identity provider does not answer. Try again later.",
            Self::StoreUnavailable => "The store does not answer. Try again later.",
            Self::Failed => "The sign-in did not work, or took too long. Begin again.",
        }
    }

    /// The parameters of an address that a command line or a front end reads.
    pub(super) fn parameters(self) -> String {
        match self {
            Self::NotAllowed(id) => format!("error={}&operator={id}", self.code()),
            _ => format!("error={}", self.code()),
        }
    }

    /// The page. Its code stands in the header `X-Keyloft-Code` too.
    pub(super) fn page(self) -> HttpResponse {
        let id = match self {
            Self::NotAllowed(id) => format!("<code>{id}</code>"),
            _ => String::new(),
        };
        let body = format!("{HEAD}<p>{}</p>{id}<p><small>{}</small></p></main></html>", self.words(), self.code());
        let mut answer = HttpResponse::build(self.status());
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            answer.insert_header((header::RETRY_AFTER, "1"));
        }
        answer.insert_header(("x-keyloft-code", self.code()));
        html(answer, body)
    }
}

/// The page of `/auth/complete`.
pub(super) fn complete() -> HttpResponse {
    let noscript = "<noscript>What to copy stands in the address, after #handoff=.</noscript>";
    let words = "<p id=\"words\">You are signed in. You can close this page.</p><code id=\"handoff\" hidden></code>";
    let body = format!("{HEAD}{words}{noscript}</main><script>{SCRIPT}</script></html>");
    html(HttpResponse::Ok(), body)
}

fn html(mut answer: HttpResponseBuilder, body: String) -> HttpResponse {
    let hash = crate::key::Digest::of(SCRIPT).base64url();
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{hash}='; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    );
    answer
        .insert_header((header::CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        answer.insert_header((header::CONTENT_SECURITY_POLICY, policy));
    }
    answer.body(body)
}
