//! The keys of a tenant, for its admins.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::receipt::{ReceiptView, Wait};
use super::views::KeyView;
use crate::http::app::App;
use crate::http::error::Problem;
use crate::http::extract::Json;
use crate::http::if_match::if_match;
use crate::http::imported_secret::{DigestText, HintText, PlainText, imported_secret};
use crate::http::operator::Operator;
use crate::http::query_string::{Nothing, Query};
use crate::http::settings::{with_settings, with_settings_patch};
use crate::key::{ApiKey, KeyId, KeyName, KeyPatch, KeyState, KeyType, NewKey, TenantId};
use crate::keystore::{self, Cursor, Filter, SuppliedSecret};
use crate::serde_text::{Empty, Rfc3339, given, nullable};
use crate::usage::Totals;

/// How long a view waits for usage.
const USAGE_PATIENCE: Duration = Duration::from_secs(2);

with_settings! {
    /// The body of an issue. Fields that only the server sets are unknown here, and so refused.
    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub struct Issue {
        key_name: KeyName,
        key_type: KeyType,
        #[serde(default, deserialize_with = "nullable")]
        expires_at: Option<Option<Rfc3339>>,
        #[serde(default, deserialize_with = "nullable")]
        expires_in_seconds: Option<Option<NonZeroU32>>,
        api_key: Option<PlainText>,
        digest: Option<DigestText>,
        hint: Option<HintText>,
        own_secret: Option<bool>,
    }
}

impl Issue {
    /// The requested key, and its imported secret if there is one.
    ///
    /// # Errors
    /// 400 when two fields contradict each other, or the secret is not accepted.
    pub(super) fn read(mut self, app: &App) -> Result<(NewKey, Option<SuppliedSecret>), Problem> {
        let mut secret = imported_secret(app, self.key_type, self.api_key.as_ref(), self.digest, self.hint)?;
        match (self.own_secret, &self.digest, &mut secret) {
            (Some(own), Some(_), Some(secret)) => secret.own = own,
            (Some(_), ..) => return Err(Problem::invalid("ownSecret requires a digest.")),
            (None, ..) => {}
        }
        let expires_at = end(self.expires_at, self.expires_in_seconds, app.keystore.now())?;
        let settings = self.take_settings();
        let new = NewKey { settings, expires_at, ..NewKey::new(self.key_name, self.key_type) };
        Ok((new, secret))
    }
}

with_settings_patch! {
    /// The body of a PATCH; a field that is not there stays, `null` clears it.
    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub struct KeyPatchBody {
        #[serde(default, deserialize_with = "given")]
        state: Option<Switch>,
        #[serde(default, deserialize_with = "nullable")]
        expires_at: Option<Option<Rfc3339>>,
        #[serde(default, deserialize_with = "nullable")]
        expires_in_seconds: Option<Option<NonZeroU32>>,
        #[serde(default, deserialize_with = "given")]
        older_secrets: Option<Empty>,
    }
}

impl KeyPatchBody {
    /// The requested changes, with expiry counted from `now`.
    ///
    /// # Errors
    /// 400 when two fields contradict each other.
    pub(super) fn read(mut self, now: DateTime<Utc>) -> Result<KeyPatch, Problem> {
        Ok(KeyPatch {
            settings: self.take_settings(),
            active: self.state.map(|state| state == Switch::Active),
            expires_at: end(self.expires_at, self.expires_in_seconds, now)?,
            end_overlap: self.older_secrets.is_some(),
        })
    }
}

/// The states a PATCH may set: revoking is DELETE, because it is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Switch {
    Active,
    Disabled,
}

/// The query string of a list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListQuery {
    limit: Option<usize>,
    cursor: Option<String>,
    key_type: Option<KeyType>,
    state: Option<KeyState>,
    name: Option<String>,
    expires_before: Option<Rfc3339>,
    unused_since: Option<Rfc3339>,
}

/// The answer to a change of one key.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChangedKey<'a> {
    #[serde(flatten)]
    pub(super) key: KeyView<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) api_key: Option<&'a str>,
    pub(super) receipt: ReceiptView,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyPage<'a> {
    items: Vec<KeyView<'a>>,
    next_cursor: Option<String>,
}

/// Issues a key, and shows its secret once unless it was imported.
///
/// # Errors
/// 400, 404, 409 `duplicate_key_name` or `duplicate_api_key`, 410, 503.
pub async fn issue(
    operator: Operator,
    app: web::Data<App>,
    tenant: web::Path<String>,
    Query(wait): Query<Wait>,
    Json(body): Json<Issue>,
) -> Result<HttpResponse, Problem> {
    let (start, tenant, patience) = (Instant::now(), parse_tenant(&tenant)?, wait.patience()?);
    let (key, shown, change_seq) = match body.read(&app)? {
        (new, Some(own)) => {
            let issued = app.keystore.issue_with_secret(operator.context(), &tenant, new, own).await?;
            (issued.value, None, issued.change_seq)
        }
        (new, None) => {
            let issued = app.keystore.issue(operator.context(), &tenant, new).await?;
            (issued.key, Some(issued.secret), issued.change_seq)
        }
    };
    let location = format!("/api/v1/tenants/{tenant}/apikeys/{}", key.key_id);
    let body = ChangedKey {
        key: KeyView::new(&key, app.keystore.now()),
        api_key: shown.as_ref().map(|secret| secret.expose()),
        receipt: ReceiptView::of(&app, change_seq, patience, start).await.0,
    };
    Ok(HttpResponse::Created()
        .insert_header((header::LOCATION, location))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::ETAG, etag(&key)))
        .json(body))
}

/// A page of keys, without the revoked ones unless asked for.
///
/// # Errors
/// 400, 404, 410; 503 when unused ones are asked for and the store does not answer.
pub async fn list(
    _: Operator,
    app: web::Data<App>,
    tenant: web::Path<String>,
    Query(query): Query<ListQuery>,
) -> Result<HttpResponse, Problem> {
    let tenant = parse_tenant(&tenant)?;
    let after = query.cursor.map(|cursor| Cursor::decode(&cursor, &tenant)).transpose()?;
    let filter = Filter {
        key_type: query.key_type,
        state: query.state,
        name: query.name,
        expires_before: query.expires_before.map(|bound| bound.0),
    };
    let limit = query.limit.unwrap_or(100);
    let page = match query.unused_since {
        Some(Rfc3339(since)) => {
            let uses = app.usage.last_used(&tenant, since).await?;
            app.keystore.list_where(&tenant, &filter, |key| uses.is_unused_since(key, since), after, limit).await?
        }
        None => app.keystore.list(&tenant, &filter, after, limit).await?,
    };
    let now = app.keystore.now();
    let ids: Vec<_> = page.keys.iter().map(|key| key.key_id).collect();
    let totals = totals(&app, &tenant, &ids).await;
    let tally = |key: &ApiKey| totals.as_ref().map(|totals| totals.of(key.key_id));
    Ok(HttpResponse::Ok().json(KeyPage {
        items: page.keys.iter().map(|key| KeyView::new(key, now).used(tally(key))).collect(),
        next_cursor: page.next.map(|cursor| cursor.encode(&tenant)),
    }))
}

/// One key, with its revision as `ETag`.
///
/// # Errors
/// 400, 404, 410.
pub async fn show(
    _: Operator,
    app: web::Data<App>,
    path: web::Path<(String, String)>,
    _: Query<Nothing>,
) -> Result<HttpResponse, Problem> {
    let (tenant, id) = parse_key(&path)?;
    let key = app.keystore.find_read_through(&tenant, id).await?;
    let tally = totals(&app, &tenant, &[id]).await.map(|totals| totals.of(id));
    let view = KeyView::new(&key, app.keystore.now()).used(tally);
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(&key))).json(view))
}

/// The usage of some keys on all nodes; `None` when it cannot be read in time, and the answer is given without it.
async fn totals(app: &App, tenant: &TenantId, ids: &[KeyId]) -> Option<Totals> {
    let totals = tokio::time::timeout(USAGE_PATIENCE, app.usage.totals(tenant, ids)).await.ok()?;
    totals.inspect_err(|error| tracing::debug!("views show no usage: {error:?}")).ok()
}

/// Changes a key; with `If-Match` only a revision that it names.
///
/// # Errors
/// 400, 404, 409 `key_revoked`, 410, 412, 503.
pub async fn update(
    operator: Operator,
    app: web::Data<App>,
    path: web::Path<(String, String)>,
    Query(wait): Query<Wait>,
    request: HttpRequest,
    Json(patch): Json<KeyPatchBody>,
) -> Result<HttpResponse, Problem> {
    let start = Instant::now();
    let ((tenant, id), patience) = (parse_key(&path)?, wait.patience()?);
    let patch = patch.read(app.keystore.now())?;
    let revision = if_match(&app, &request, &tenant, id).await?;
    let done = app.keystore.update(operator.context(), &tenant, id, patch, revision).await?;
    Ok(changed(&app, &done, patience, start).await)
}

/// Revokes a key for ever. Repeating it is no error.
///
/// # Errors
/// 400, 404, 410, 412, 503; with `appliedLocally` when this node refuses the key although the store does not answer.
pub async fn revoke(
    operator: Operator,
    app: web::Data<App>,
    path: web::Path<(String, String)>,
    Query(wait): Query<Wait>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let start = Instant::now();
    let ((tenant, id), patience) = (parse_key(&path)?, wait.patience()?);
    let revision = if_match(&app, &request, &tenant, id).await?;
    let done = app.keystore.revoke(operator.context(), &tenant, id, revision).await?;
    Ok(changed(&app, &done, patience, start).await)
}

async fn changed(
    app: &App,
    done: &keystore::Changed<ApiKey>,
    patience: Option<Duration>,
    start: Instant,
) -> HttpResponse {
    let (receipt, status) = ReceiptView::of(app, done.change_seq, patience, start).await;
    let body = ChangedKey { key: KeyView::new(&done.value, app.keystore.now()), api_key: None, receipt };
    HttpResponse::build(status).insert_header((header::ETAG, etag(&done.value))).json(body)
}

/// Reads a tenant id out of a path.
pub(super) fn parse_tenant(text: &str) -> Result<TenantId, Problem> {
    Ok(TenantId::parse(text)?)
}

pub(super) fn parse_key((tenant, id): &(String, String)) -> Result<(TenantId, KeyId), Problem> {
    Ok((TenantId::parse(tenant)?, KeyId::parse(id)?))
}

/// The requested expiry, as an instant or in seconds from now; `None` when the request sets none, `Some(None)` for
/// never.
fn end(
    at: Option<Option<Rfc3339>>,
    in_seconds: Option<Option<NonZeroU32>>,
    now: DateTime<Utc>,
) -> Result<Option<Option<DateTime<Utc>>>, Problem> {
    let later = |seconds: NonZeroU32| now + TimeDelta::seconds(seconds.get().into());
    match (at, in_seconds) {
        (Some(_), Some(_)) => Err(Problem::invalid("Send expiresAt or expiresInSeconds, not both.")),
        (Some(at), None) => Ok(Some(at.map(|at| at.0))),
        (None, Some(seconds)) => Ok(Some(seconds.map(later))),
        (None, None) => Ok(None),
    }
}

pub(super) fn etag(key: &ApiKey) -> String {
    format!("\"{}\"", key.rev)
}
