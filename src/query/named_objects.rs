//! Names the object in what goes wrong while it is read, and notes it for `GET /api/v1/unreadable`. The scan itself is
//! DataFusion's, which says of few errors where they arose. No report upstream is known.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpener, FileScanConfig, FileSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::filter_pushdown::FilterPushdownPropagation;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, SortOrderPushdownResult};
use datafusion_datasource::morsel::{Morsel, MorselPlan, MorselPlanner, Morselizer};
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::ObjectStore;

use super::failure;
use super::objects::external;
use crate::error::{Error, ErrorKind};
use crate::stream::objects::StreamFolder;

/// A scan whose errors name the object.
pub(super) struct NamedObjects {
    source: Arc<dyn FileSource>,
    folder: Arc<StreamFolder>,
}

impl NamedObjects {
    /// The scan of `source`, which reads objects of `folder`.
    pub(super) fn over(source: Arc<dyn FileSource>, folder: &StreamFolder) -> Arc<dyn FileSource> {
        Arc::new(Self { source, folder: Arc::new(folder.clone()) })
    }

    fn with(&self, source: Arc<dyn FileSource>) -> Arc<dyn FileSource> {
        Arc::new(Self { source, folder: self.folder.clone() })
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
        let morselizer = self.source.create_morselizer(store, config, partition)?;
        Ok(Box::new(NamedMorselizer { morselizer, folder: self.folder.clone() }))
    }

    fn table_schema(&self) -> &TableSchema {
        self.source.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        self.with(self.source.with_batch_size(batch_size))
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
        Ok(self.source.try_pushdown_sort(order, properties)?.map(|source| self.with(source)))
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
#[derive(Debug, Clone)]
struct ReadObject {
    name: String,
    folder: Arc<StreamFolder>,
}

impl ReadObject {
    fn checked<T>(&self, read: Result<T>) -> Result<T> {
        read.map_err(|error| match failure::of_object(&error) {
            Some(reason) => self.unreadable(&reason, &error),
            None => error,
        })
    }

    fn unreadable(&self, reason: &str, error: &DataFusionError) -> DataFusionError {
        let (name, tenant, stream) = (&self.name, self.folder.tenant(), self.folder.stream());
        tracing::warn!(%tenant, %stream, "the object {name} cannot be read: {reason}: {error}");
        self.folder.note_unreadable(name.clone(), reason.to_owned());
        let message = format!("the object `{name}` cannot be read: {reason}");
        external(Error::new(ErrorKind::Corrupt, message))
    }

    fn planner(&self, planner: Box<dyn MorselPlanner>) -> Box<dyn MorselPlanner> {
        Box::new(NamedPlanner { planner, object: self.clone() })
    }
}

#[derive(Debug)]
struct NamedMorselizer {
    morselizer: Box<dyn Morselizer>,
    folder: Arc<StreamFolder>,
}

impl Morselizer for NamedMorselizer {
    fn plan_file(&self, file: PartitionedFile) -> Result<Box<dyn MorselPlanner>> {
        let object = ReadObject { name: file.object_meta.location.to_string(), folder: self.folder.clone() };
        let planner = object.checked(self.morselizer.plan_file(file))?;
        Ok(object.planner(planner))
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
        let Some(mut plan) = object.checked(planner.plan())? else { return Ok(None) };
        let morsel = |morsel| Box::new(NamedMorsel { morsel, object: object.clone() }) as Box<dyn Morsel>;
        let morsels: Vec<_> = plan.take_morsels().into_iter().map(morsel).collect();
        if !morsels.is_empty() {
            object.folder.forget_missing(&object.name);
        }
        let planners = plan.take_ready_planners().into_iter().map(|planner| object.planner(planner)).collect();
        let named = MorselPlan::new().with_morsels(morsels).with_planners(planners);
        Ok(Some(match plan.take_pending_planner() {
            None => named,
            Some(pending) => named.with_pending_planner(async move {
                let planner = object.checked(pending.await)?;
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
        morsel.into_stream().map(move |batch| object.checked(batch)).boxed()
    }
}
