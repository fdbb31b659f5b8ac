//! Reads objects through the columns that are kept.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{ParquetAccessPlan, ParquetFileMetrics, RowGroupAccessPlanFilter};
use datafusion::datasource::physical_plan::{FileScanConfig, FileSource};
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::physical_expr::expressions::DynamicFilterTracking;
use datafusion::physical_expr::projection::{ProjectionExprs, Projector};
use datafusion::physical_expr::utils::reassign_expr_columns;
use datafusion::physical_expr::{PhysicalExpr, PhysicalExprSimplifier};
use datafusion::physical_expr_adapter::PhysicalExprAdapterFactory;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion_datasource::morsel::{Morsel, MorselPlan, MorselPlanner};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::ObjectStore;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;

use super::chunk::{self, Chunk};
use super::columns::KeptColumns;
use crate::query::object_reader::{FEW_COLUMNS, FOOTER_BYTES, known_footer};
use crate::stream::object_reader::{ObjectReader, options, viewed};

/// How many bytes the columns of a row group take at most that are decoded at once.
const MAX_GROUP_BYTES: usize = 16 * 1024 * 1024;

/// What a scan has to do with columns that are kept.
#[derive(Debug, Clone)]
pub(in crate::query) struct Keeping {
    columns: Arc<KeptColumns>,
    /// How many bytes of them the scan may still read or add.
    left: Arc<AtomicUsize>,
    /// Where the memory of what is read right now is counted, kept or not.
    pool: Arc<dyn MemoryPool>,
    batch_rows: Option<usize>,
    /// Whether an order is wanted, and with it the few rows that come first.
    is_ordered: bool,
}

impl Keeping {
    /// For a new scan of a query that has its memory from this pool.
    pub(in crate::query) fn new(columns: Arc<KeptColumns>, pool: Arc<dyn MemoryPool>) -> Self {
        let left = Arc::new(AtomicUsize::new(columns.share_bytes()));
        Self { columns, left, pool, batch_rows: None, is_ordered: false }
    }

    /// For the same scan in batches of so many rows.
    pub(in crate::query) fn in_batches(&self, rows: usize) -> Self {
        Self { batch_rows: Some(rows), ..self.clone() }
    }

    /// For the same scan, of which an order is wanted.
    pub(in crate::query) fn in_order(&self) -> Self {
        Self { is_ordered: true, ..self.clone() }
    }

    /// The memory for an object whose row groups take so many bytes each, of which one is read at a time; `None` where
    /// that is too much.
    pub(super) fn take(&self, groups: &[usize]) -> Option<MemoryReservation> {
        let largest = groups.iter().copied().max().unwrap_or(0);
        let memory = MemoryConsumer::new("columns that are read").register(&self.pool);
        if largest > MAX_GROUP_BYTES || memory.try_grow(largest).is_err() {
            return None;
        }
        let all = groups.iter().fold(0_usize, |sum, bytes| sum.saturating_add(*bytes));
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(all));
        taken.is_ok().then_some(memory)
    }
}

/// A scan that reads every row of the row groups that statistics do not rule out.
pub(in crate::query) struct KeptScan {
    keeping: Keeping,
    batch_rows: usize,
    store: Arc<dyn ObjectStore>,
    footers: Arc<FileMetadataCache>,
    stream: SchemaRef,
    output: SchemaRef,
    projection: ProjectionExprs,
    predicate: Option<Arc<dyn PhysicalExpr>>,
    adapters: Arc<dyn PhysicalExprAdapterFactory>,
}

impl fmt::Debug for KeptScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeptScan")
    }
}

impl KeptScan {
    /// `None` for a scan that DataFusion may end before it has read every row, or that reads too many columns.
    ///
    /// # Errors
    /// Those of the library, for a projection that does not fit the stream.
    pub(in crate::query) fn of(
        source: &dyn FileSource,
        config: &FileScanConfig,
        store: &Arc<dyn ObjectStore>,
        footers: &Arc<FileMetadataCache>,
        keeping: &Keeping,
    ) -> Result<Option<Self>> {
        let predicate = source.filter();
        let (Some(projection), Some(adapters), Some(batch_rows)) =
            (source.projection(), &config.expr_adapter_factory, keeping.batch_rows)
        else {
            return Ok(None);
        };
        let may_end = keeping.is_ordered || config.limit.is_some() || predicate.as_ref().is_some_and(is_dynamic);
        let columns = projection.column_indices().len();
        if may_end || columns == 0 || columns > FEW_COLUMNS {
            return Ok(None);
        }
        let stream = source.table_schema().file_schema().clone();
        Ok(Some(Self {
            keeping: keeping.clone(),
            batch_rows: batch_rows.max(1),
            store: store.clone(),
            footers: footers.clone(),
            output: Arc::new(projection.project_schema(&stream)?),
            stream,
            projection: projection.clone(),
            predicate,
            adapters: adapters.clone(),
        }))
    }

    /// How to read a file through the columns that are kept; `None` where it is read for the first time, or would take
    /// too much memory.
    ///
    /// # Errors
    /// When the object does not fit its stream, and those of the library.
    pub(in crate::query) fn plan(&self, file: &PartitionedFile) -> Result<Option<KeptObject>> {
        let Some(footer) = known_footer(&*self.footers, &file.object_meta) else { return Ok(None) };
        let footer = viewed(ArrowReaderMetadata::try_new(footer, options())?)?;
        let object = footer.schema().clone();
        if footer.parquet_schema().num_columns() != object.fields().len() {
            return Ok(None);
        }
        let adapter = self.adapters.create(self.stream.clone(), object.clone())?;
        let simplifier = PhysicalExprSimplifier::new(&object);
        let adapt = |expr| simplifier.simplify(adapter.rewrite(expr)?);
        let projection = self.projection.clone().try_map_exprs(adapt)?;
        let predicate = self.predicate.clone().map(adapt).transpose()?;
        let columns = projection.column_indices();
        if columns.is_empty() {
            return Ok(None);
        }
        let groups = groups(file, &footer, predicate);
        let bytes = |group: &usize| -> usize {
            let of = |column: &usize| {
                chunk::decoded_bytes(footer.metadata(), *group, *column, object.field(*column).data_type())
            };
            columns.iter().map(of).fold(0, usize::saturating_add)
        };
        let bytes: Vec<usize> = groups.iter().map(bytes).collect();
        let Some(memory) = self.keeping.take(&bytes) else { return Ok(None) };
        let read = Arc::new(Schema::new(columns.iter().map(|at| object.fields()[*at].clone()).collect::<Vec<_>>()));
        let projector = projection.try_map_exprs(|expr| reassign_expr_columns(expr, &read))?.make_projector(&read)?;
        Ok(Some(KeptObject {
            kept: self.keeping.columns.clone(),
            _memory: memory,
            reader: ObjectReader::new(self.store.clone(), file.object_meta.clone())
                .with_footer_bytes(Some(FOOTER_BYTES)),
            footer,
            groups,
            columns,
            read,
            projector,
            output: self.output.clone(),
            batch_rows: self.batch_rows,
        }))
    }
}

/// Whether a filter changes while the scan runs.
fn is_dynamic(predicate: &Arc<dyn PhysicalExpr>) -> bool {
    DynamicFilterTracking::classify(predicate).contains_dynamic_filter()
}

/// The row groups in the part of an object that a file stands for, but for those that statistics rule out.
fn groups(
    file: &PartitionedFile,
    footer: &ArrowReaderMetadata,
    predicate: Option<Arc<dyn PhysicalExpr>>,
) -> Vec<usize> {
    let all = footer.metadata().row_groups();
    let mut chosen = RowGroupAccessPlanFilter::new(ParquetAccessPlan::new_all(all.len()));
    if let Some(range) = &file.range {
        chosen.prune_by_range(all, range);
    }
    let predicate = predicate.and_then(|predicate| {
        PruningPredicateBuilder::new().with_file_schema(footer.schema().clone()).build(predicate)
    });
    if let Some(predicate) = predicate {
        let metrics = ParquetFileMetrics::new(0, "", &ExecutionPlanMetricsSet::new());
        chosen.prune_by_statistics(footer.schema(), footer.parquet_schema(), all, &predicate, &metrics);
    }
    chosen.row_group_indexes().collect()
}

/// An object that is read through the columns that are kept.
pub(in crate::query) struct KeptObject {
    kept: Arc<KeptColumns>,
    /// That of one row group.
    _memory: MemoryReservation,
    reader: ObjectReader,
    footer: ArrowReaderMetadata,
    groups: Vec<usize>,
    /// Which columns of the object are read, in ascending order.
    columns: Vec<usize>,
    read: SchemaRef,
    projector: Projector,
    output: SchemaRef,
    batch_rows: usize,
}

impl fmt::Debug for KeptObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeptObject({})", self.reader.meta().location)
    }
}

impl KeptObject {
    /// The columns of a row group, from memory as far as they are kept.
    async fn group(&mut self, group: usize) -> Result<Vec<Chunk>> {
        let footer = self.footer.metadata();
        let mut found: Vec<_> = self.columns.iter().map(|column| self.kept.get(footer, group, *column)).collect();
        let missing = self.columns.iter().zip(&found).filter(|(_, found)| found.is_none());
        let missing: Vec<usize> = missing.map(|(column, _)| *column).collect();
        if !missing.is_empty() {
            self.reader.read_if_short().await?;
            let chunks = chunk::read(self.reader.clone(), &self.footer, group, &missing).await?;
            for (column, chunk) in missing.iter().zip(&chunks) {
                self.kept.put(footer, group, *column, chunk.clone());
            }
            found
                .iter_mut()
                .filter(|found| found.is_none())
                .zip(chunks)
                .for_each(|(found, chunk)| *found = Some(chunk));
        }
        Ok(found.into_iter().flatten().collect())
    }

    fn batch(&self, chunks: &[Chunk], from: usize, rows: usize) -> Result<RecordBatch> {
        let columns = chunks.iter().map(|chunk| chunk.rows(from, rows)).collect::<Result<Vec<_>, _>>()?;
        let read = RecordBatch::try_new(self.read.clone(), columns)?;
        let (_, columns, rows) = self.projector.project_batch(&read)?.into_parts();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(self.output.clone(), columns, &options)?)
    }
}

impl MorselPlanner for KeptObject {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        Ok(Some(MorselPlan::new().with_morsels(vec![self])))
    }
}

impl Morsel for KeptObject {
    fn into_stream(self: Box<Self>) -> BoxStream<'static, Result<RecordBatch>> {
        let reading =
            Reading { left: self.groups.clone().into_iter(), object: *self, chunks: Vec::new(), rows: 0, next: 0 };
        stream::try_unfold(reading, Reading::next).boxed()
    }
}

/// How far an object has been read.
struct Reading {
    object: KeptObject,
    left: std::vec::IntoIter<usize>,
    /// The columns of the row group that is read.
    chunks: Vec<Chunk>,
    rows: usize,
    /// Its first row that was not yet read.
    next: usize,
}

impl Reading {
    /// The next rows, and how far that is.
    async fn next(mut self) -> Result<Option<(RecordBatch, Self)>> {
        while self.next >= self.rows {
            let Some(group) = self.left.next() else { return Ok(None) };
            self.chunks = self.object.group(group).await?;
            self.rows = self.chunks.first().map_or(0, Chunk::len);
            self.next = 0;
        }
        let rows = self.object.batch_rows.min(self.rows - self.next);
        let batch = self.object.batch(&self.chunks, self.next, rows)?;
        self.next += rows;
        Ok(Some((batch, self)))
    }
}
