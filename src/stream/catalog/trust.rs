//! When the schema in memory may be used without reading the store, and how long events are kept.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::NaiveDate;
use tokio::time::Instant;

use super::StreamCatalog;
use super::hooks::{InContact, Retention};
use crate::clock::Clock;
use crate::key::{RetentionDays, StreamName, TenantId};
use crate::stream::StreamSchema;

/// How long after a stream was widened from memory its events may still be written. Together with the minute of contact
/// for which memory is trusted, it stays below the three minutes after which other nodes count this one as dead and
/// free the fields of streams whose deletion it has not applied.
const ON_ITS_WAY: Duration = Duration::from_secs(60);

impl StreamCatalog {
    /// Trusts memory only while `in_contact` says that this node was in contact with others within a minute. Without
    /// this call, memory is always trusted. The first call counts.
    pub fn trust_while(&self, in_contact: impl Fn() -> bool + Send + Sync + 'static) {
        let _ = self.in_contact.set(InContact(Box::new(in_contact)));
    }

    /// Keeps events as long as `by_default` says, where a stream does not. Without, they are kept for ever. The first
    /// call counts.
    pub fn retain(
        &self,
        clock: Arc<dyn Clock>,
        by_default: impl Fn(&TenantId, &StreamName) -> Option<RetentionDays> + Send + Sync + 'static,
    ) {
        let _ = self.retention.set(Retention { clock, by_default: Box::new(by_default) });
    }

    /// The first day of a stream whose events are kept; `None` when all are.
    pub fn first_day(&self, tenant: &TenantId, stream: &StreamName) -> Option<NaiveDate> {
        let Retention { clock, by_default } = self.retention.get()?;
        let of_stream = self.known(tenant, stream).and_then(|schema| schema.settings().retention_days);
        of_stream.or_else(|| by_default(tenant, stream))?.first_day(clock.now().date_naive())
    }

    /// Another node has changed a stream: what memory holds of it is not trusted until it was read again.
    pub fn announced(&self, tenant: &TenantId, stream: &StreamName) {
        let number = self.announcements.fetch_add(1, Ordering::SeqCst) + 1;
        let mut streams = self.streams.write();
        if let Some(known) = streams.get_mut(tenant).and_then(|streams| streams.get_mut(stream)) {
            known.announced = number;
        }
    }

    /// The schema of a stream in use, if no other node can have deleted it.
    pub(super) fn trusted(&self, tenant: &TenantId, stream: &StreamName) -> Option<Arc<StreamSchema>> {
        let streams = self.streams.read();
        let known = streams.get(tenant)?.get(stream)?;
        let in_contact = || self.in_contact.get().is_none_or(|InContact(now)| now());
        let is_trusted = known.read >= known.announced && !known.schema.is_unused() && in_contact();
        is_trusted.then(|| known.schema.clone())
    }

    /// Stores a widened schema in memory, and returns one that holds the same. If memory holds a later deletion, it no
    /// longer has the fields: the caller checks this with [`StreamCatalog::is_still`].
    pub(super) fn remember_widened(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        schema: Arc<StreamSchema>,
        began: u64,
    ) -> Arc<StreamSchema> {
        let known = self.remember(tenant, stream, schema.clone(), None, began);
        if known.deletions() == schema.deletions() { known } else { schema }
    }

    /// Whether a stream has not been deleted since it was widened, at `since`, when `deletions` were known.
    pub fn is_still(&self, tenant: &TenantId, stream: &StreamName, deletions: u64, since: Instant) -> bool {
        since.elapsed() < ON_ITS_WAY
            && self.trusted(tenant, stream).is_some_and(|schema| schema.deletions() == deletions)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::documents::RequestContext;
    use crate::key::Actor;
    use crate::store::Bucket;
    use crate::stream::{Field, FieldType};

    #[tokio::test]
    async fn a_deletion_that_is_heard_of_while_a_stream_is_widened_takes_no_field_from_the_answer() {
        let catalog = StreamCatalog::new(Bucket::in_memory());
        let (tenant, stream) = (TenantId::default(), StreamName::parse("web").unwrap());
        let fields = [Field { name: "n".into(), field_type: FieldType::Integer }];
        let (widened, _) = catalog.widen_by_all(&tenant, &stream, &[&fields]).await.unwrap();
        let context = RequestContext::new(Actor::System, DateTime::UNIX_EPOCH);
        let deleted = catalog.begin_deletion(&context, &tenant, &stream, &[]).await.unwrap().unwrap();
        assert!(deleted.fields().is_empty());
        let schema = catalog.remember_widened(&tenant, &stream, widened, 0);
        assert_eq!(schema.fields(), fields);
        assert_eq!(catalog.known(&tenant, &stream).unwrap().deletions(), deleted.deletions(), "memory stays as it is");
        assert!(!catalog.is_still(&tenant, &stream, schema.deletions(), Instant::now()));
    }
}
