//! Whether an API key would be accepted, with the real reason.

use std::net::IpAddr;

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::views::KeyView;
use crate::access::{self, Action, ClientAddress, Denial, Verification, verify};
use crate::http::app::App;
use crate::http::error::Problem;
use crate::http::extract::Json;
use crate::http::operator::Operator;
use crate::http::query_string::{Nothing, Query};
use crate::key::{Credential, KeyType, StreamName};

/// The body of a verification.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerificationBody {
    api_key: Zeroizing<String>,
    action: Option<KeyType>,
    address: Option<IpAddr>,
    stream: Option<StreamName>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VerificationView<'a> {
    valid: bool,
    code: &'static str,
    #[serde(flatten)]
    key: Option<KeyView<'a>>,
}

/// Whether an API key would be accepted for an action, from an address and for a stream. The answer is 200 either way.
///
/// # Errors
/// 400; 503 when the key is not known here, and the store cannot be asked or this node still verifies its keys.
pub async fn judge(
    operator: Operator,
    app: web::Data<App>,
    _: Query<Nothing>,
    Json(body): Json<VerificationBody>,
) -> Result<HttpResponse, Problem> {
    let now = app.keystore.now();
    let question = access::Question {
        action: body.action.map(Action::from),
        address: body.address.map_or(ClientAddress::Unchecked, ClientAddress::Known),
        stream: body.stream.as_ref(),
        now,
    };
    let verify = || verify(app.keystore.cache(), &body.api_key, &question);
    let mut verified = verify();
    if matches!(verified.denial, Some(Denial::Unknown | Denial::Verifying))
        && let Ok(credential) = Credential::parse(&body.api_key)
    {
        app.keystore.look_up_if_needed(&credential.digest()).await?;
        verified = verify();
    }
    if let Some(denial @ Denial::Verifying) = verified.denial {
        return Err(denial.into());
    }
    if verified.key.as_ref().is_some_and(|key| !operator.covers(&key.tenant)) {
        verified = Verification { denial: Some(Denial::Unknown), key: None };
    }
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(VerificationView {
        valid: verified.is_valid(),
        code: verified.code(),
        key: verified.key.as_deref().map(|key| KeyView::new(key, now)),
    }))
}

impl std::fmt::Debug for VerificationBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("VerificationBody(..)")
    }
}
