//! The audit: who did what, in one tenant or on the whole platform.

use std::collections::VecDeque;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::{BufMut, Bytes, BytesMut};
use serde::Deserialize;
use serde_json::json;

use super::place::Place;
use crate::audit::{AuditFilter, AuditId, AuditOutcome, AuditPage, AuditScope, Record};
use crate::error::ErrorKind;
use crate::http::app::App;
use crate::http::error::Problem;
use crate::http::media_type::preferred;
use crate::http::operator::Operator;
use crate::http::query_string::Query;
use crate::operators::{Permission, Scope};
use crate::serde_text::Rfc3339;

const MAX_PAGE: usize = 1000;
/// So many records of an export are read at once.
const PORTION: usize = 200;

/// The query string.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuditQuery {
    from: Option<Rfc3339>,
    to: Option<Rfc3339>,
    actor: Option<String>,
    action: Option<String>,
    target: Option<String>,
    outcome: Option<AuditOutcome>,
    cursor: Option<String>,
    limit: Option<usize>,
}

/// A page of the records, the newest first; with `Accept: application/x-ndjson` all of them, a line each, or as many as
/// `limit` says.
///
/// # Errors
/// 400, 404, 503; 410 when the tenant was deleted, unless the right is one of the platform.
pub async fn list(
    operator: Operator,
    app: web::Data<App>,
    place: web::Path<Place>,
    Query(query): Query<AuditQuery>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let scope = match place.scope()? {
        Scope::Platform => AuditScope::All,
        Scope::Tenant(tenant) => {
            match app.keystore.tenant_read_through(&tenant).await {
                // Nobody has a role there any more, and then above all the platform needs to know what happened.
                Err(error) if error.kind() == ErrorKind::TenantDeleted && reads_all(&operator) => {}
                found => drop(found?),
            }
            AuditScope::Tenant(tenant)
        }
    };
    let AuditQuery { from, to, actor, action, target, outcome, cursor, limit } = query;
    let (from, to) = (from.map(|at| at.0), to.map(|at| at.0));
    let filter = AuditFilter { from, to, actor, action, target, outcome };
    filter.check()?;
    let cursor = cursor.as_deref().map(str::parse::<AuditId>).transpose();
    let cursor = cursor.map_err(|_| Problem::invalid("The cursor was not issued for this list."))?;
    let is_export = preferred(&request, |range| match range {
        "application/json" | "*/*" | "application/*" => Some(false),
        "application/x-ndjson" | "application/jsonl" => Some(true),
        _ => None,
    });
    let is_export = is_export.unwrap_or_default();
    if limit.is_some_and(|limit| !(1..=MAX_PAGE).contains(&limit)) {
        return Err(Problem::invalid("limit must be from 1 to 1000."));
    }
    let portion = if is_export { PORTION.min(limit.unwrap_or(PORTION)) } else { limit.unwrap_or(100) };
    let end = app.keystore.replica().log_end();
    // Before the status: what fails at once is no answer of 200.
    let mut first = app.audit.page(&scope, &filter, end, cursor, portion).await?;
    first.items.iter_mut().for_each(|record| record.name_actor(&app.accounts));
    let mut answer = HttpResponse::Ok();
    answer.insert_header((header::CACHE_CONTROL, "no-store"));
    if !is_export {
        return Ok(answer.json(first));
    }
    let export = Export { app, scope, filter, end, next: Next::Page(first), left: limit };
    let lines = futures::stream::unfold(export, |mut export| async move {
        let piece = export.piece().await?;
        Some((Ok::<_, actix_web::Error>(piece), export))
    });
    Ok(answer.content_type("application/x-ndjson").streaming(lines))
}

/// Whether somebody reads the audit of all tenants.
fn reads_all(operator: &Operator) -> bool {
    operator.rights().may(Permission::ReadAudit, &Scope::Platform).is_ok()
}

/// All records that match, read as the client takes them.
struct Export {
    app: web::Data<App>,
    scope: AuditScope,
    filter: AuditFilter,
    end: u64,
    next: Next,
    /// How many more are wanted.
    left: Option<usize>,
}

/// What comes next.
enum Next {
    Page(AuditPage),
    Cursor(AuditId),
    Nothing,
}

impl Export {
    /// Some lines; `None` when nothing is left. When the store does not answer, the last line says so.
    async fn piece(&mut self) -> Option<Bytes> {
        loop {
            let page = match std::mem::replace(&mut self.next, Next::Nothing) {
                Next::Page(page) => page,
                Next::Cursor(cursor) => {
                    let Self { app, scope, filter, end, .. } = self;
                    match app.audit.page(scope, filter, *end, Some(cursor), PORTION).await {
                        Ok(mut page) => {
                            page.items.iter_mut().for_each(|record| record.name_actor(&app.accounts));
                            page
                        }
                        Err(error) => {
                            let problem = Problem::from(error);
                            let (code, detail) = (problem.code().as_str(), problem.detail());
                            let last = json!({"error": {"code": code, "detail": detail, "cursor": cursor}});
                            return Some(format!("{last}\n").into());
                        }
                    }
                }
                Next::Nothing => return None,
            };
            let mut items: VecDeque<Record> = page.items.into();
            items.truncate(self.left.unwrap_or(usize::MAX));
            self.left = self.left.map(|left| left - items.len());
            self.next = match page.next_cursor {
                Some(cursor) if self.left != Some(0) => Next::Cursor(cursor),
                _ => Next::Nothing,
            };
            if !items.is_empty() {
                let mut lines = BytesMut::new();
                for record in items {
                    let _ = serde_json::to_writer((&mut lines).writer(), &record);
                    lines.put_u8(b'\n');
                }
                return Some(lines.freeze());
            }
        }
    }
}
