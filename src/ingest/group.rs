//! One group of requests made durable, each with its own answer.

use std::sync::Arc;

use uuid::Uuid;

use super::lane::{Destination, Waiting};
use super::write::{Arrival, parquet};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::ObjectName;
use crate::store::Bucket;
use crate::stream::{StreamCatalog, StreamSchema};

/// Widens the stream, writes one object, and answers every member of the group.
pub(super) async fn commit(bucket: Bucket, catalog: Arc<StreamCatalog>, to: Destination, group: Vec<Waiting>) {
    let (schema, members) = fitting(&catalog, &to, group).await;
    let Some(schema) = schema else { return };
    match store(&bucket, &to, schema, members.iter().map(|member| member.arrival.clone()).collect()).await {
        Ok(()) => members.into_iter().for_each(|member| {
            let rows = member.arrival.batch.rows;
            member.answer(Ok(rows));
        }),
        Err(error) => fail(members, &error),
    }
}

/// The members that the stream can hold, and its schema then. Those it cannot are refused alone; when the store fails,
/// everyone is.
async fn fitting(
    catalog: &StreamCatalog,
    (tenant, stream): &Destination,
    group: Vec<Waiting>,
) -> (Option<Arc<StreamSchema>>, Vec<Waiting>) {
    let mut schema = None;
    let mut members = Vec::with_capacity(group.len());
    let mut group = group.into_iter();
    while let Some(waiting) = group.next() {
        match catalog.widen(tenant, stream, &waiting.arrival.batch.fields).await {
            Ok(wider) => {
                schema = Some(wider);
                members.push(waiting);
            }
            Err(error) if error.kind() == ErrorKind::Invalid => waiting.answer(Err(error)),
            Err(error) => {
                members.push(waiting);
                members.extend(group);
                fail(members, &error);
                return (None, Vec::new());
            }
        }
    }
    (schema, members)
}

/// Arrays are shared, so cloning an arrival copies no events.
#[allow(clippy::disallowed_methods)]
async fn store(
    bucket: &Bucket,
    (tenant, stream): &Destination,
    schema: Arc<StreamSchema>,
    arrivals: Vec<Arrival>,
) -> Result<()> {
    let Some(first) = arrivals.first() else { return Ok(()) };
    let date = first.arrived_at.date_naive();
    let encoding = tokio::task::spawn_blocking(move || parquet(&schema, &arrivals));
    let body =
        encoding.await.map_err(|error| Error::new(ErrorKind::Internal, "encoding failed").caused_by(error))??;
    let name = ObjectName::Events { tenant: tenant.clone(), stream: stream.clone(), date, id: Uuid::new_v4() };
    bucket.write_large(&name, body.into()).await
}

fn fail(members: Vec<Waiting>, error: &Error) {
    tracing::warn!(requests = members.len(), "a group of events could not be stored: {error:?}");
    members.into_iter().for_each(|member| member.answer(Err(Error::new(error.kind(), error.message()))));
}
