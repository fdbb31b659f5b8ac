//! How scans read objects: as DataFusion's own reader does, but for two things. An error of the store stays one, also
//! when a footer is read, where DataFusion 55 makes a text of it (no report upstream is known). And an object that is
//! shorter than its manifest says is damaged, and no store that does not answer.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::metadata::ParquetMetaData;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::{Error as StoreError, ObjectMeta, ObjectStore, ObjectStoreExt};

/// Makes the readers of one scan. They share the footers that were read before.
#[derive(Debug)]
pub(super) struct ObjectReaders {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) footers: Arc<FileMetadataCache>,
}

impl ParquetFileReaderFactory for ObjectReaders {
    fn create_reader(
        &self,
        _: usize,
        file: PartitionedFile,
        footer_bytes: Option<usize>,
        _: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let (store, footers) = (self.store.clone(), self.footers.clone());
        Ok(Box::new(ObjectReader { store, footers, meta: file.object_meta, footer_bytes }))
    }
}

struct ObjectReader {
    store: Arc<dyn ObjectStore>,
    footers: Arc<FileMetadataCache>,
    meta: ObjectMeta,
    /// A guess how long the footer is.
    footer_bytes: Option<usize>,
}

impl ObjectReader {
    /// What an error of the store is to the one who asked for bytes of this object.
    async fn explain(&self, error: StoreError) -> ParquetError {
        if matches!(error, StoreError::Generic { .. } | StoreError::NotSupported { .. })
            && let Ok(is) = self.store.head(&self.meta.location).await
            && is.size != self.meta.size
        {
            return ParquetError::General(format!("it has {} bytes and not {}", is.size, self.meta.size));
        }
        ParquetError::External(Box::new(error))
    }
}

impl AsyncFileReader for ObjectReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        async move {
            match self.store.get_range(&self.meta.location, range).await {
                Ok(bytes) => Ok(bytes),
                Err(error) => Err(self.explain(error).await),
            }
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        async move {
            match self.store.get_ranges(&self.meta.location, &ranges).await {
                Ok(parts) => Ok(parts),
                Err(error) => Err(self.explain(error).await),
            }
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        async move {
            let read = DFParquetMetadata::new(&self.store, &self.meta)
                .with_file_metadata_cache(Some(self.footers.clone()))
                .with_metadata_size_hint(self.footer_bytes)
                .with_page_index_policy(options.map(ArrowReaderOptions::column_index_policy))
                .fetch_metadata()
                .await;
            match read {
                Ok(footer) => Ok(footer),
                Err(DataFusionError::ParquetError(error)) => Err(match *error {
                    ParquetError::External(cause) => match cause.downcast::<StoreError>() {
                        Ok(error) => self.explain(*error).await,
                        Err(cause) => ParquetError::External(cause),
                    },
                    error => error,
                }),
                Err(DataFusionError::ObjectStore(error)) => Err(self.explain(*error).await),
                Err(error) => Err(ParquetError::External(Box::new(error))),
            }
        }
        .boxed()
    }
}
