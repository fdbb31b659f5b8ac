//! The permitted streams as tables, and the files behind them.
//!
//! A name is looked up in memory, in the scope's tenant only. Nothing of a listing outlives its query.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProviderList, SchemaProvider, Session, TableProvider,
};
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, Result, ScalarValue, Statistics, TableReference, project_schema};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, TableProviderFilterPushDown, TableType, ident, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;

use super::columns::{StreamColumns, Widened};
use super::kept::{Keeping, KeptColumns};
use super::named_objects::NamedObjects;
use super::object_reader::{FEW_COLUMNS, FOOTER_BYTES, ObjectReaders, known_footer};
use super::objects::{StreamObjects, files};
use super::reads::{ReadDepth, Reads};
use super::request::{Scope, TimeRange};
use crate::error::{Error, ErrorKind};
use crate::key::StreamName;
use crate::store::Bucket;
use crate::stream::StreamCatalog;
use crate::stream::objects::{EventObject, StreamFolder};
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
    pub(super) reads: Arc<Reads>,
    pub(super) columns: Arc<KeptColumns>,
}

impl Tables {
    /// Refuses a permitted stream whose schema is not known because it is missing or damaged.
    pub(super) fn check_readable(&self, name: &str) -> Result<(), Error> {
        let Ok(stream) = StreamName::parse(name) else { return Ok(()) };
        if self.streams.is_unreadable(&self.scope.tenant, &stream) && self.scope.access.touch(&stream) {
            let message = format!("the schema of the stream `{stream}` cannot be read");
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        Ok(())
    }

    /// The permitted stream of this name as a table; `None` when there is none, or it is not permitted.
    pub(super) fn find(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Ok(stream) = StreamName::parse(name) else { return Ok(None) };
        let Some(schema) = self.streams.get(&self.scope.tenant, &stream) else { return Ok(None) };
        if !self.scope.access.touch(&stream) {
            return Ok(None);
        }
        let first_day = self.streams.first_day(&self.scope.tenant, &stream);
        let objects = StreamObjects {
            bucket: self.bucket.clone(),
            streams: self.streams.clone(),
            folder: StreamFolder::new(
                self.bucket.clone(),
                self.streams.unreadable_objects(),
                self.scope.tenant.clone(),
                stream,
            )
            .since(first_day),
            range: self.range,
            reads: self.reads.clone(),
        };
        let events = Arc::new(Events { objects, schema: schema.arrow(), columns: self.columns.clone() });
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

/// Rows of a batch that is read from an object. Larger batches amortise the cost per batch, such as finding repeated
/// texts; only scans of few columns use them, to bound memory.
fn batch_rows(state: &dyn Session, columns: usize) -> usize {
    let least = state.config().batch_size();
    if columns <= FEW_COLUMNS { least * 4 } else { least }
}

/// How many events some objects hold together, if manifests or footers that were read before say so of each. Nothing of
/// an object that was not listed, which may be gone.
fn known_rows(objects: &[EventObject], footers: &FileMetadataCache) -> Option<usize> {
    objects.iter().try_fold(0_usize, |sum, object| {
        let known = || known_footer(footers, &object.meta).map(|footer| footer.file_metadata().num_rows());
        let rows = match object.rows {
            Some(rows) => usize::try_from(rows).ok(),
            None => known().and_then(|rows| usize::try_from(rows).ok()),
        };
        rows.filter(|_| object.is_listed).and_then(|rows| sum.checked_add(rows))
    })
}

/// All events of one stream that may lie in a range.
#[derive(Debug)]
struct Events {
    objects: StreamObjects,
    schema: SchemaRef,
    columns: Arc<KeptColumns>,
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
        let predicate = match conjunction(filters.iter().cloned()) {
            Some(filter) => {
                let schema = DFSchema::try_from(self.schema.clone())?;
                Some(state.create_physical_expr(filter, &schema)?)
            }
            None => None,
        };
        let reads_columns = predicate.is_some() || projection.is_none_or(|columns| !columns.is_empty());
        let depth = if reads_columns { ReadDepth::Columns } else { ReadDepth::Footers };
        let objects = self.objects.list(predicate.as_ref(), &self.schema, depth).await?;
        let folder = &self.objects.folder;
        if let Some(now) = self.objects.streams.get(folder.tenant(), folder.stream()) {
            Widened::check(&self.schema, &now.arrow())?;
        }
        // Files never change and their names are never used again, so what the footers say can be kept for long.
        let footers = state.runtime_env().cache_manager.get_file_metadata_cache();
        for object in objects.iter().filter(|object| !object.is_listed) {
            footers.remove(&object.meta.location); // It may be gone: then the query fails and names it.
        }
        let reader = ObjectReaders { store: self.objects.bucket.object_store(), footers: footers.clone() };
        let mut source = ParquetSource::new(self.schema.clone())
            .with_table_parquet_options(state.default_table_options().parquet)
            .with_parquet_file_reader_factory(Arc::new(reader))
            .with_metadata_size_hint(FOOTER_BYTES);
        if let Some(predicate) = predicate {
            source = source.with_predicate(predicate);
        }
        let rows = if limit.is_none() { known_rows(&objects, &*footers) } else { None };
        let files = files(objects, &self.schema)?;
        if files.is_empty() {
            // A scan of no file has no part, and nothing above it could be sorted.
            return Ok(Arc::new(EmptyExec::new(project_schema(&self.schema, projection)?)));
        }
        let groups = FileGroup::new(files).split_files(state.config().target_partitions());
        let keeping = Keeping::new(self.columns.clone(), state.runtime_env().memory_pool.clone());
        let source = NamedObjects::over(Arc::new(source), folder, footers, keeping);
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::parse(BUCKET_URL)?, source)
            .with_file_groups(groups)
            .with_statistics(Statistics {
                num_rows: rows.map_or(Precision::Absent, Precision::Exact), // Of count(*), the answer.
                ..Statistics::new_unknown(&self.schema)
            })
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .with_batch_size(Some(batch_rows(state, projection.map_or(self.schema.fields().len(), Vec::len))))
            .with_expr_adapter(Some(Arc::new(StreamColumns::new(&self.schema)?)))
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    /// Filters choose files and row groups here; what is left of them is filtered above.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}
