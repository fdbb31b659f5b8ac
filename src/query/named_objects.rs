//! Names the object in what goes wrong while it is read, and notes it for `GET /api/v1/unreadable`. The scan itself is
//! DataFusion's, which says of few errors where they arose. No report upstream is known.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpener, FileScanConfig, FileSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::parquet::errors::ParquetError;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::filter_pushdown::FilterPushdownPropagation;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, SortOrderPushdownResult};
use datafusion_datasource::morsel::{Morsel, MorselPlan, MorselPlanner, Morselizer};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::ObjectStore;

use super::failure;
use super::kept::{Keeping, KeptScan};
use super::objects::external;
use crate::error::{Error, ErrorKind};
use crate::stream::damaged::{DAMAGED, caught, caught_later};
use crate::stream::object_reader::ObjectReader;
use crate::stream::objects::StreamFolder;

/// A scan whose errors name the object.
pub(super) struct NamedObjects {
    source: Arc<dyn FileSource>,
    folder: Arc<StreamFolder>,
    footers: Arc<FileMetadataCache>,
    keeping: Keeping,
}

impl NamedObjects {
    /// The scan of `source`, which reads objects of `folder` and keeps their `footers`. Objects that were read before
    /// are read through the columns that are kept.
    pub(super) fn over(
        source: Arc<dyn FileSource>,
        folder: &StreamFolder,
        footers: Arc<FileMetadataCache>,
        keeping: Keeping,
    ) -> Arc<dyn FileSource> {
        Arc::new(Self { source, folder: Arc::new(folder.clone()), footers, keeping })
    }

    fn with(&self, source: Arc<dyn FileSource>) -> Arc<dyn FileSource> {
        self.keeping(source, self.keeping.clone())
    }

    fn keeping(&self, source: Arc<dyn FileSource>, keeping: Keeping) -> Arc<dyn FileSource> {
        Arc::new(Self { source, folder: self.folder.clone(), footers: self.footers.clone(), keeping })
    }
}

impl FileSource for NamedObjects {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        self.source.create_file_opener(store, config, partition)
    }

    fn create_morselizer(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Box<dyn Morselizer>> {
        let morselizer = self.source.create_morselizer(store.clone(), config, partition)?;
        let kept = KeptScan::of(&*self.source, config, &store, &self.footers, &self.keeping)?;
        let (folder, footers) = (self.folder.clone(), self.footers.clone());
        Ok(Box::new(NamedMorselizer { morselizer, kept, store, folder, footers }))
    }

    fn table_schema(&self) -> &TableSchema {
        self.source.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        self.keeping(self.source.with_batch_size(batch_size), self.keeping.in_batches(batch_size))
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.source.filter()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.source.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.source.metrics()
    }

    fn file_type(&self) -> &str {
        self.source.file_type()
    }

    fn fmt_extra(&self, form: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        self.source.fmt_extra(form, f)
    }

    fn supports_repartitioning(&self) -> bool {
        self.source.supports_repartitioning()
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let FilterPushdownPropagation { filters, updated_node } = self.source.try_pushdown_filters(filters, config)?;
        Ok(FilterPushdownPropagation { filters, updated_node: updated_node.map(|source| self.with(source)) })
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
        properties: &EquivalenceProperties,
    ) -> Result<SortOrderPushdownResult<Arc<dyn FileSource>>> {
        let ordered = |source| self.keeping(source, self.keeping.in_order());
        Ok(self.source.try_pushdown_sort(order, properties)?.map(ordered))
    }

    fn reorder_files(&self, files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
        self.source.reorder_files(files)
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        Ok(self.source.try_pushdown_projection(projection)?.map(|source| self.with(source)))
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.source.apply_expressions(visit)
    }
}

/// One object that is being read.
#[derive(Clone)]
struct ReadObject {
    reader: ObjectReader,
    folder: Arc<StreamFolder>,
    footers: Arc<FileMetadataCache>,
}

impl ReadObject {
    /// The result of a step; `None` stands for a panic.
    async fn checked<T>(&self, read: Option<Result<T>>) -> Result<T> {
        let error = match read {
            Some(Ok(read)) => return Ok(read),
            Some(Err(error)) => error,
            None => DataFusionError::External(Box::new(failure::Panicked)),
        };
        let reason = match failure::of_object(&error) {
            // The library may have met damage, or may have a defect.
            None if failure::is_of_engine(&error) => self.damage().await,
            reason => reason,
        };
        Err(match reason {
            Some(reason) => self.unreadable(&reason, &error),
            None => error,
        })
    }

    async fn batch(self, read: Option<Result<RecordBatch>>) -> Result<RecordBatch> {
        self.checked(read).await
    }

    /// Reads all of the object, as it stands in the store; `None` stands for a panic.
    async fn read_through(&self) -> Option<Result<(), ParquetError>> {
        caught_later(self.reader.clone().read_through()).await
    }

    /// Why the object cannot be read, if so.
    async fn damage(&self) -> Option<String> {
        match self.read_through().await {
            Some(Ok(())) => None,
            Some(Err(error)) => failure::of_object(&error.into()),
            None => Some(DAMAGED.to_owned()),
        }
    }

    fn unreadable(&self, reason: &str, error: &DataFusionError) -> DataFusionError {
        let (name, tenant, stream) = (self.name(), self.folder.tenant(), self.folder.stream());
        tracing::warn!(%tenant, %stream, "the object {name} cannot be read: {reason}: {error}");
        self.folder.note_unreadable(name.to_owned(), reason.to_owned());
        // A good object may be restored in its place.
        self.footers.remove(&self.reader.meta().location);
        let message = format!("the object `{name}` cannot be read: {reason}");
        external(Error::new(ErrorKind::Corrupt, message))
    }

    /// Removes the object from the unreadable ones if all of it can be read: the query may have read only a part, from
    /// memory.
    async fn read_well(self) {
        if self.folder.is_unreadable(self.name()) && matches!(self.read_through().await, Some(Ok(()))) {
            self.folder.forget_unreadable(self.name());
        }
    }

    fn name(&self) -> &str {
        self.reader.meta().location.as_ref()
    }

    fn planner(&self, planner: Box<dyn MorselPlanner>) -> Box<dyn MorselPlanner> {
        Box::new(NamedPlanner { planner, object: self.clone() })
    }
}

impl fmt::Debug for ReadObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadObject({})", self.name())
    }
}

struct NamedMorselizer {
    morselizer: Box<dyn Morselizer>,
    kept: Option<KeptScan>,
    store: Arc<dyn ObjectStore>,
    folder: Arc<StreamFolder>,
    footers: Arc<FileMetadataCache>,
}

impl fmt::Debug for NamedMorselizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.morselizer.fmt(f)
    }
}

impl Morselizer for NamedMorselizer {
    fn plan_file(&self, file: PartitionedFile) -> Result<Box<dyn MorselPlanner>> {
        let reader = ObjectReader::new(self.store.clone(), file.object_meta.clone());
        let object = ReadObject { reader, folder: self.folder.clone(), footers: self.footers.clone() };
        // What goes wrong here goes wrong in the other reader too, which says so.
        let kept = self.kept.as_ref().and_then(|kept| caught(|| kept.plan(&file))?.ok()?);
        Ok(object.planner(match kept {
            Some(kept) => Box::new(kept),
            None => self.morselizer.plan_file(file)?,
        }))
    }
}

#[derive(Debug)]
struct NamedPlanner {
    planner: Box<dyn MorselPlanner>,
    object: ReadObject,
}

impl MorselPlanner for NamedPlanner {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        let Self { planner, object } = *self;
        let mut plan = match caught(|| planner.plan()) {
            Some(Ok(Some(plan))) => plan,
            Some(Ok(None)) => return Ok(None),
            failed => {
                let failed = failed.map(|failed| failed.map(drop));
                return Ok(Some(MorselPlan::new().with_pending_planner(async move {
                    object.checked(failed).await?;
                    Err(DataFusionError::External(Box::new(failure::Panicked)))
                })));
            }
        };
        let morsel = |morsel| Box::new(NamedMorsel { morsel, object: object.clone() }) as Box<dyn Morsel>;
        let morsels: Vec<_> = plan.take_morsels().into_iter().map(morsel).collect();
        let planners = plan.take_ready_planners().into_iter().map(|planner| object.planner(planner)).collect();
        let named = MorselPlan::new().with_morsels(morsels).with_planners(planners);
        Ok(Some(match plan.take_pending_planner() {
            None => named,
            Some(pending) => named.with_pending_planner(async move {
                let planner = object.checked(caught_later(pending).await).await?;
                Ok(object.planner(planner))
            }),
        }))
    }
}

#[derive(Debug)]
struct NamedMorsel {
    morsel: Box<dyn Morsel>,
    object: ReadObject,
}

impl Morsel for NamedMorsel {
    fn into_stream(self: Box<Self>) -> BoxStream<'static, Result<RecordBatch>> {
        let Self { morsel, object } = *self;
        let end = stream::once(object.clone().read_well()).filter_map(async |()| None);
        let batches = AssertUnwindSafe(morsel.into_stream()).catch_unwind();
        batches.then(move |batch| object.clone().batch(batch.ok())).chain(end).boxed()
    }
}
