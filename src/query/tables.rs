//! The permitted streams as tables, and the files behind them.
//!
//! A name is looked up in memory, in the scope's tenant only. What lies behind a table is listed anew by every query, so
//! an event is visible to each query that starts after it was acknowledged, and nothing of a listing outlives its query.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{Days, NaiveDate};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProviderList, SchemaProvider, Session, TableProvider,
};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue, TableReference};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, TableProviderFilterPushDown, TableType, ident, lit};
use datafusion::physical_plan::ExecutionPlan;
use futures::TryStreamExt;
use object_store::ObjectMeta;
use relative_path::RelativePath;

use super::request::{Scope, TimeRange};
use crate::key::{StreamName, TenantId};
use crate::layout::{self, ObjectName};
use crate::store::Bucket;
use crate::store::bucket::location;
use crate::stream::StreamCatalog;
use crate::stream::schema::TIMESTAMP;

/// The one catalog and the one schema that exist.
pub(super) const CATALOG: &str = "keyloft";
/// See [`CATALOG`].
pub(super) const SCHEMA: &str = "public";
/// What scans call the bucket. No SQL can name it: tables are found by stream name only.
pub(super) const BUCKET_URL: &str = "keyloft://bucket";

/// The tables of one query.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) bucket: Bucket,
    pub(super) streams: Arc<StreamCatalog>,
    pub(super) scope: Scope,
    pub(super) range: TimeRange,
}

impl Tables {
    /// The permitted stream of this name as a table; `None` when there is none, or it is not permitted.
    pub(super) fn find(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Ok(stream) = StreamName::parse(name) else { return Ok(None) };
        let Some(schema) = self.streams.get(&self.scope.tenant, &stream) else { return Ok(None) };
        if !self.scope.access.touch(&stream) {
            return Ok(None);
        }
        let events = Arc::new(Events {
            bucket: self.bucket.clone(),
            tenant: self.scope.tenant.clone(),
            stream,
            schema: schema.arrow(),
            range: self.range,
        });
        match within(self.range) {
            None => Ok(Some(events)),
            // The filter is part of what the name stands for, so no SQL can read around it.
            Some(filter) => {
                let plan = LogicalPlanBuilder::scan(TableReference::bare(name), provider_as_source(events), None)?;
                Ok(Some(Arc::new(ViewTable::new(plan.filter(filter)?.build()?, None))))
            }
        }
    }

    /// A list of catalogs with these tables and no others.
    pub(super) fn into_catalogs(self: Arc<Self>) -> Arc<dyn CatalogProviderList> {
        let catalogs = MemoryCatalogProviderList::new();
        catalogs.register_catalog(CATALOG.to_owned(), Arc::new(OneSchema(self)));
        Arc::new(catalogs)
    }
}

#[derive(Debug)]
struct OneSchema(Arc<Tables>);

impl CatalogProvider for OneSchema {
    fn schema_names(&self) -> Vec<String> {
        vec![SCHEMA.to_owned()]
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        (name == SCHEMA).then(|| self.0.clone() as Arc<dyn SchemaProvider>)
    }
}

#[async_trait]
impl SchemaProvider for Tables {
    fn table_names(&self) -> Vec<String> {
        let streams = self.streams.list(&self.scope.tenant).into_iter().map(|(name, _)| name);
        streams.filter(|name| self.scope.access.allows(name)).map(|name| name.as_str().to_owned()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        self.find(name)
    }

    fn table_exist(&self, name: &str) -> bool {
        matches!(self.find(name), Ok(Some(_)))
    }
}

fn within(range: TimeRange) -> Option<Expr> {
    let at = |time: chrono::DateTime<chrono::Utc>| {
        lit(ScalarValue::TimestampMillisecond(Some(time.timestamp_millis()), Some("UTC".into())))
    };
    // Times are stored in whole milliseconds: a bound between two of them means the later one.
    let up = |time: chrono::DateTime<chrono::Utc>| {
        if time.timestamp_subsec_nanos().is_multiple_of(1_000_000) {
            time
        } else {
            time + chrono::TimeDelta::milliseconds(1)
        }
    };
    let start = range.start.map(|time| ident(TIMESTAMP).gt_eq(at(up(time))));
    let end = range.end.map(|time| ident(TIMESTAMP).lt(at(up(time))));
    conjunction(start.into_iter().chain(end))
}

/// All events of one stream that may lie in a range.
#[derive(Debug)]
struct Events {
    bucket: Bucket,
    tenant: TenantId,
    stream: StreamName,
    schema: SchemaRef,
    range: TimeRange,
}

impl Events {
    async fn files(&self) -> Result<Vec<PartitionedFile>> {
        let mut found = Vec::new();
        if self.range == TimeRange::default() {
            self.list(&layout::stream_folder(&self.tenant, &self.stream), &mut found).await?;
        } else {
            let folder = layout::stream_folder(&self.tenant, &self.stream);
            for day in self.bucket.folders(&folder).await.map_err(external)? {
                if layout::parse_day(&day).is_some_and(|date| self.may_hold(date)) {
                    self.list(&folder.join(day), &mut found).await?;
                }
            }
        }
        Ok(found)
    }

    async fn list(&self, folder: &RelativePath, found: &mut Vec<PartitionedFile>) -> Result<()> {
        let folder = location(folder).map_err(external)?;
        let store = self.bucket.object_store();
        let mut listing = store.list(Some(&folder));
        while let Some(object) = listing.try_next().await? {
            if self.owns(&object) {
                found.push(PartitionedFile::new_from_meta(object));
            }
        }
        Ok(())
    }

    fn owns(&self, object: &ObjectMeta) -> bool {
        match ObjectName::parse(RelativePath::new(object.location.as_ref())) {
            Some(ObjectName::Events { tenant, stream, .. }) => tenant == self.tenant && stream == self.stream,
            _ => false,
        }
    }

    /// A batch that was received around midnight may stand in the folder of either day.
    fn may_hold(&self, date: NaiveDate) -> bool {
        let day = Days::new(1);
        let early = |start: chrono::DateTime<chrono::Utc>| start.date_naive().checked_sub_days(day);
        let late = |end: chrono::DateTime<chrono::Utc>| end.date_naive().checked_add_days(day);
        self.range.start.and_then(early).is_none_or(|first| date >= first)
            && self.range.end.and_then(late).is_none_or(|last| date <= last)
    }
}

#[async_trait]
impl TableProvider for Events {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // Files never change and their names are never used again, so what the footers say can be kept for long.
        let footers = state.runtime_env().cache_manager.get_file_metadata_cache();
        let reader = CachedParquetFileReaderFactory::new(self.bucket.object_store(), footers);
        let mut source = ParquetSource::new(self.schema.clone())
            .with_table_parquet_options(state.default_table_options().parquet)
            .with_parquet_file_reader_factory(Arc::new(reader));
        if let Some(filter) = conjunction(filters.iter().cloned()) {
            let schema = DFSchema::try_from(self.schema.clone())?;
            source = source.with_predicate(state.create_physical_expr(filter, &schema)?);
        }
        let groups = FileGroup::new(self.files().await?).split_files(state.config().target_partitions());
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::parse(BUCKET_URL)?, Arc::new(source))
            .with_file_groups(groups)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    /// Filters choose files and row groups here; what is left of them is filtered above.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}

fn external(error: crate::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
