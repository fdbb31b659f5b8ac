//! The objects that a stream consists of, for other engines that read the same bucket.

use actix_web::{HttpResponse, web};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::keys::parse_tenant;
use crate::documents::instant::rfc3339;
use crate::http::app::App;
use crate::http::error::{Code, Problem};
use crate::http::operator::Operator;
use crate::http::query_string::Query;
use crate::key::{StreamName, TenantId};
use crate::serde_text::Rfc3339;
use crate::store::Bucket;
use crate::stream::objects::{EventObject, StreamFolder, TimeRange};

/// The most objects that a page asks for.
const MAX_PAGE: usize = 10_000;
/// The most objects of one day: a page has whole days.
const MAX_DAY: usize = 100_000;

/// The query string.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectsQuery {
    from: Option<Rfc3339>,
    to: Option<Rfc3339>,
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ObjectItem {
    /// Where other programs find it.
    url: Option<String>,
    /// Its name in the store.
    object: String,
    rows: Option<u64>,
    bytes: u64,
    #[serde(serialize_with = "rfc3339")]
    first_event_at: Option<DateTime<Utc>>,
    #[serde(serialize_with = "rfc3339")]
    last_event_at: Option<DateTime<Utc>>,
}

impl ObjectItem {
    fn new(bucket: &Bucket, object: &EventObject) -> Self {
        let EventObject { meta, times, rows, .. } = object;
        Self {
            url: bucket.address(meta),
            object: meta.location.to_string(),
            rows: *rows,
            bytes: meta.size,
            first_event_at: times.start,
            last_event_at: times.end.map(|end| end - TimeDelta::milliseconds(1)),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ObjectPage<'a> {
    tenant_id: &'a TenantId,
    stream: &'a StreamName,
    #[serde(serialize_with = "rfc3339")]
    held_until: Option<DateTime<Utc>>,
    items: Vec<ObjectItem>,
    next_cursor: Option<NaiveDate>,
}

/// A page of the objects that hold the events of a stream, or those of a time range. Each day is in one page, as it was
/// at one instant.
///
/// # Errors
/// 400, 404, 410, 422 `query_too_large` when a day has too many objects, 500 `document_unreadable` when a manifest
/// cannot be read, 503.
pub async fn list(
    _: Operator,
    app: web::Data<App>,
    path: web::Path<(String, String)>,
    Query(query): Query<ObjectsQuery>,
) -> Result<HttpResponse, Problem> {
    let (tenant, stream) = (parse_tenant(&path.0)?, StreamName::parse(&path.1)?);
    let limit = query.limit.unwrap_or(1000);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::invalid("limit must be from 1 to 10000."));
    }
    let range = TimeRange { start: query.from.map(|at| at.0), end: query.to.map(|at| at.0) };
    if range.start.zip(range.end).is_some_and(|(from, to)| from > to) {
        return Err(Problem::invalid("from must not be after to."));
    }
    let after = query.cursor.as_deref().map(str::parse::<NaiveDate>).transpose();
    let after = after.map_err(|_| Problem::invalid("The cursor was not issued for this list."))?;
    app.keystore.tenant_read_through(&tenant).await?;
    if app.catalog.get(&tenant, &stream).is_none() {
        // Another node may have created it a moment ago.
        app.catalog.reload(&tenant, &stream).await?;
        if app.catalog.get(&tenant, &stream).is_none() {
            return Err(Problem::new(Code::NotFound, "There is no such stream."));
        }
    }
    let unreadable = app.catalog.unreadable_objects();
    let folder = StreamFolder::new(app.bucket.clone(), unreadable, tenant.clone(), stream.clone())
        .since(app.catalog.first_day(&tenant, &stream));
    // What is replaced from now on stays for longer than a query may last.
    let held_until = app.keystore.now() + TimeDelta::from_std(app.sessions.ttl).unwrap_or_default();
    let mut days = folder.days().await?;
    days.retain(|date| range.overlaps(TimeRange::of_day(*date)) && after.is_none_or(|after| *date > after));
    let in_range = |times: &[TimeRange]| Ok(times.iter().map(|times| range.overlaps(*times)).collect());
    let (mut items, mut next_cursor) = (Vec::new(), None);
    for (place, date) in days.iter().enumerate() {
        let day = folder.choose(&[*date], MAX_DAY, &in_range).await?;
        if day.is_cut {
            let why = format!("The day {date} has more than {MAX_DAY} objects in this range: narrow it.");
            return Err(Problem::new(Code::QueryTooLarge, why));
        }
        items.extend(day.objects.iter().map(|object| ObjectItem::new(&app.bucket, object)));
        if items.len() >= limit && place + 1 < days.len() {
            next_cursor = Some(*date);
            break;
        }
    }
    let held_until = Some(held_until);
    let page = ObjectPage { tenant_id: &tenant, stream: &stream, held_until, items, next_cursor };
    Ok(HttpResponse::Ok().json(page))
}
