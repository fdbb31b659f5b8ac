//! The streams of a tenant, for its admins and for a key that reads: their settings, and how much they hold.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use super::keys::parse_tenant;
use crate::documents::instant::rfc3339;
use crate::error::ErrorKind;
use crate::http::app::App;
use crate::http::authorize::Authorized;
use crate::http::error::Problem;
use crate::http::operator::Operator;
use crate::http::query_string::Query;
use crate::key::{RetentionDays, StreamName, TenantId};
use crate::stream::objects::StreamFolder;
use crate::stream::statistics::StreamStatistics;
use crate::stream::{OnInvalid, StreamSchema};

const MAX_PAGE: usize = 1000;
/// A page with statistics ends early after this time: each stream costs two requests for each of its days.
const PATIENCE: Duration = Duration::from_secs(5);

/// The query string of the list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListQuery {
    limit: Option<usize>,
    cursor: Option<String>,
    #[serde(default)]
    statistics: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StreamItem<'a> {
    tenant_id: &'a TenantId,
    stream: &'a StreamName,
    fields: usize,
    on_invalid: OnInvalid,
    retention_days: Option<RetentionDays>,
    #[serde(skip_serializing_if = "Option::is_none")]
    statistics: Option<StatisticsView>,
}

/// How much a stream holds, or why that is not known.
#[derive(Serialize)]
#[serde(rename_all = "camelCase", untagged)]
enum StatisticsView {
    #[serde(rename_all = "camelCase")]
    Known {
        rows: Option<u64>,
        bytes: u64,
        objects: u64,
        #[serde(serialize_with = "rfc3339")]
        first_event_at: Option<DateTime<Utc>>,
        #[serde(serialize_with = "rfc3339")]
        last_event_at: Option<DateTime<Utc>>,
    },
    Unreadable {
        unreadable: String,
    },
}

impl From<StreamStatistics> for StatisticsView {
    fn from(found: StreamStatistics) -> Self {
        let StreamStatistics { rows, bytes, objects, first, last } = found;
        Self::Known { rows, bytes, objects, first_event_at: first, last_event_at: last }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StreamPage<'a> {
    items: Vec<StreamItem<'a>>,
    next_cursor: Option<&'a StreamName>,
}

/// A page of the streams of a tenant, as this node knows them, by name; with `statistics=true` how much each holds.
///
/// # Errors
/// 400, 404, 410, 503.
pub async fn list(
    _: Operator,
    app: web::Data<App>,
    tenant: web::Path<String>,
    Query(query): Query<ListQuery>,
) -> Result<HttpResponse, Problem> {
    let (start, tenant) = (Instant::now(), parse_tenant(&tenant)?);
    let limit = query.limit.unwrap_or(100);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::invalid("limit must be from 1 to 1000."));
    }
    let after = query.cursor.as_deref().map(StreamName::parse).transpose()?;
    app.keystore.tenant_read_through(&tenant).await?;
    let mut streams = app.catalog.list(&tenant);
    streams.retain(|(stream, _)| after.as_ref().is_none_or(|after| stream > after));
    let mut items: Vec<StreamItem<'_>> = Vec::new();
    for (stream, schema) in streams.iter().take(limit) {
        if query.statistics && !items.is_empty() && start.elapsed() >= PATIENCE {
            break;
        }
        let statistics = if query.statistics { Some(statistics(&app, &tenant, stream).await?) } else { None };
        items.push(item(&tenant, stream, schema, statistics));
    }
    let next_cursor = items.last().map(|last| last.stream).filter(|_| items.len() < streams.len());
    Ok(HttpResponse::Ok().json(StreamPage { items, next_cursor }))
}

/// The query string of the list for a key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadableQuery {
    #[serde(default)]
    statistics: bool,
}

#[derive(Serialize)]
struct ReadableStream<'a> {
    name: &'a StreamName,
    #[serde(skip_serializing_if = "Option::is_none")]
    statistics: Option<Option<StatisticsView>>,
}

/// The streams that a key may read, from memory; with `statistics=true` how much each holds, or `null` for those that
/// are not known within five seconds. A node works on few such requests at once: the others wait.
///
/// # Errors
/// 400, 503.
pub async fn readable(
    authorized: Authorized,
    app: web::Data<App>,
    Query(query): Query<ReadableQuery>,
) -> Result<HttpResponse, Problem> {
    let (deadline, tenant) = (Instant::now() + PATIENCE, authorized.tenant());
    let turn = if query.statistics { timeout_at(deadline, app.statistics.acquire()).await.ok() } else { None };
    let streams = app.catalog.list(tenant);
    let mut readable: Vec<ReadableStream<'_>> = Vec::new();
    for (name, _) in streams.iter().filter(|(name, _)| authorized.key().covers(name)) {
        let statistics = match query.statistics {
            false => None,
            true if turn.is_none() || Instant::now() >= deadline => Some(None),
            true => Some(timeout_at(deadline, statistics(&app, tenant, name)).await.ok().transpose()?),
        };
        readable.push(ReadableStream { name, statistics });
    }
    Ok(HttpResponse::Ok().json(readable))
}

fn item<'a>(
    tenant_id: &'a TenantId,
    stream: &'a StreamName,
    schema: &StreamSchema,
    statistics: Option<StatisticsView>,
) -> StreamItem<'a> {
    StreamItem {
        tenant_id,
        stream,
        fields: schema.fields().len(),
        on_invalid: schema.settings().on_invalid,
        retention_days: schema.settings().retention_days,
        statistics,
    }
}

async fn statistics(app: &App, tenant: &TenantId, stream: &StreamName) -> Result<StatisticsView, Problem> {
    let unreadable = app.catalog.unreadable_objects();
    let folder = StreamFolder::new(app.bucket.clone(), unreadable, tenant.clone(), stream.clone())
        .since(app.catalog.first_day(tenant, stream));
    match folder.statistics().await {
        Ok(found) => Ok(found.into()),
        // The other streams are listed all the same.
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            Ok(StatisticsView::Unreadable { unreadable: error.message().to_owned() })
        }
        Err(error) => Err(error.into()),
    }
}
