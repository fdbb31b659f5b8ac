//! What an API key is worth, with the real reason.

use std::net::IpAddr;

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::views::KeyView;
use crate::http::app::App;
use crate::http::error::Problem;
use crate::http::extract::{Json, Operator};
use crate::key::{Credential, KeyType, StreamName};
use crate::keystore::VerdictCode;

/// The body of a question.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Question {
    api_key: Zeroizing<String>,
    action: Option<KeyType>,
    address: Option<IpAddr>,
    stream: Option<StreamName>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    valid: bool,
    code: &'static str,
    #[serde(flatten)]
    key: Option<KeyView<'a>>,
}

/// Judges an API key for an action, an address and a stream. The answer is 200 whatever the verdict.
///
/// # Errors
/// 400; 503 when the key is not known here and the store cannot be asked.
pub async fn judge(_: Operator, app: web::Data<App>, Json(body): Json<Question>) -> Result<HttpResponse, Problem> {
    let judge = || app.keystore.verify(&body.api_key, body.action, body.address, body.stream.as_ref());
    let mut verdict = judge();
    if verdict.code == VerdictCode::NotFound
        && let Ok(credential) = Credential::parse(&body.api_key)
        && app.keystore.look_for(&credential.digest()).await?
    {
        verdict = judge();
    }
    let now = app.keystore.now();
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(Answer {
        valid: verdict.code == VerdictCode::Valid,
        code: verdict.code.as_str(),
        key: verdict.key.as_deref().map(|key| KeyView::new(key, now)),
    }))
}

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Question(..)")
    }
}
