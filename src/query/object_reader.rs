//! How scans read objects: as DataFusion's own reader does, but for what [`ObjectReader`] says of damaged ones and of
//! stores that do not answer. DataFusion 55 makes a text of an error of the store when a footer is read, and panics on
//! an absurd footer (no report upstream is known).

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::Result;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::CachedParquetMetaData;
use datafusion::execution::cache::cache_manager::{CachedFileMetadataEntry, FileMetadataCache};
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::{ObjectMeta, ObjectStore};

use crate::stream::object_reader::ObjectReader;

/// A scan of at most this many columns needs little memory per row.
pub(super) const FEW_COLUMNS: usize = 16;
/// So much of the end of an object is read for its footer. A request to a store takes as long as some hundred KiB.
pub(super) const FOOTER_BYTES: usize = 512 * 1024;

/// Makes the readers of one scan. They share the footers that were read before.
#[derive(Debug)]
pub(super) struct ObjectReaders {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) footers: Arc<FileMetadataCache>,
}

impl ObjectReaders {
    /// A reader of one object.
    pub(super) fn reader(&self, object: ObjectMeta, footer_bytes: Option<usize>) -> CachingReader {
        let object = ObjectReader::new(self.store.clone(), object).with_footer_bytes(footer_bytes);
        CachingReader { object, footers: self.footers.clone() }
    }
}

impl ParquetFileReaderFactory for ObjectReaders {
    fn create_reader(
        &self,
        _: usize,
        file: PartitionedFile,
        footer_bytes: Option<usize>,
        _: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        Ok(Box::new(self.reader(file.object_meta, footer_bytes)))
    }
}

/// The footer of an object, if it was read before.
pub(super) fn known_footer(footers: &FileMetadataCache, object: &ObjectMeta) -> Option<Arc<ParquetMetaData>> {
    let known = Some(footers.get(&object.location)?).filter(|known| known.is_valid_for(object))?;
    Some(known.file_metadata.as_any().downcast_ref::<CachedParquetMetaData>()?.parquet_metadata().clone())
}

/// Reads an object, and keeps its footer.
#[derive(Debug)]
pub struct CachingReader {
    object: ObjectReader,
    footers: Arc<FileMetadataCache>,
}

impl CachingReader {
    /// The footer, if it was read before, with the index of its pages if that is wanted.
    fn known_footer(&self, options: Option<&ArrowReaderOptions>) -> Option<Arc<ParquetMetaData>> {
        let footer = known_footer(&*self.footers, self.object.meta())?;
        let has_index = footer.column_index().is_some() && footer.offset_index().is_some();
        let wants_index = options.is_some_and(|options| options.column_index_policy() != PageIndexPolicy::Skip);
        (has_index || !wants_index).then_some(footer)
    }
}

impl AsyncFileReader for CachingReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        self.object.get_bytes(range)
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        self.object.get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        async move {
            if let Some(footer) = self.known_footer(options) {
                return Ok(footer);
            }
            let footer = self.object.get_metadata(options).await?;
            let known = CachedFileMetadataEntry::new(
                self.object.meta().clone(),
                Arc::new(CachedParquetMetaData::new(footer.clone())),
            );
            self.footers.put(&self.object.meta().location, known);
            Ok(footer)
        }
        .boxed()
    }
}
