//! Parts of an object of events, as the Parquet reader asks for them.
//!
//! An error of the store stays one. An object that is shorter than its name was listed with, or than its manifest
//! says, and one with an absurd footer are damaged: no store that does not answer, and no panic of the library.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, TryStreamExt};
use object_store::{Error as StoreError, ObjectMeta, ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use super::{columns, footer};

/// An object whose size is known.
#[derive(Debug, Clone)]
pub struct ObjectReader {
    store: Arc<dyn ObjectStore>,
    meta: ObjectMeta,
    footer_bytes: Option<usize>,
    /// All of it, if it is short and was read.
    body: Option<Bytes>,
}

impl ObjectReader {
    /// A reader of an object.
    pub fn new(store: Arc<dyn ObjectStore>, meta: ObjectMeta) -> Self {
        Self { store, meta, footer_bytes: None, body: None }
    }

    /// The same with a guess how long the footer is. An object that is no longer than that is read with one request.
    #[must_use]
    pub fn with_footer_bytes(self, footer_bytes: Option<usize>) -> Self {
        Self { footer_bytes, ..self }
    }

    /// Its name and size.
    pub fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

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

    /// Reads all rows, to learn whether that is possible.
    ///
    /// # Errors
    /// Why it is not. The library may panic instead.
    pub async fn read_through(self) -> Result<()> {
        let mut reader = self;
        let footer = viewed(ArrowReaderMetadata::load_async(&mut reader, options()).await?)?;
        let mut rows = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, footer).build()?;
        while rows.try_next().await?.is_some() {}
        Ok(())
    }

    /// Reads all of a short object at once. What is asked of the reader and of its clones then comes from memory.
    ///
    /// # Errors
    /// When the store does not answer, or the object has another size.
    pub async fn read_if_short(&mut self) -> Result<()> {
        if self.body.is_none() && self.footer_bytes.is_some_and(|bytes| self.meta.size <= bytes as u64) {
            let whole = 0..self.meta.size;
            self.body = self.fetch(std::slice::from_ref(&whole)).await?.pop();
        }
        Ok(())
    }

    /// These ranges, which are inside of the object, with one request.
    async fn fetch(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let parts = match self.store.get_ranges(&self.meta.location, ranges).await {
            Ok(parts) => parts,
            Err(error) => return Err(self.explain(error).await),
        };
        // A store gives what there is of a range that goes beyond the end.
        let is_whole = |(part, range): (&Bytes, &Range<u64>)| part.len() as u64 == range.end - range.start;
        match parts.len() == ranges.len() && parts.iter().zip(ranges).all(is_whole) {
            true => Ok(parts),
            false => Err(ParquetError::General(format!("it has fewer bytes than {}", self.meta.size))),
        }
    }

    fn check_range(&self, range: &Range<u64>) -> Result<()> {
        if range.start <= range.end && range.end <= self.meta.size {
            return Ok(());
        }
        Err(ParquetError::General("it refers to bytes beyond its end".to_owned()))
    }
}

/// What the Parquet types say is what every reader goes by.
pub fn options() -> ArrowReaderOptions {
    ArrowReaderOptions::new().with_skip_arrow_metadata(true)
}

/// The same object, its texts read as views: one that repeats takes the memory that it takes in the object.
///
/// # Errors
/// When a column is of a type that cannot be read so.
pub fn viewed(object: ArrowReaderMetadata) -> Result<ArrowReaderMetadata> {
    let columns = columns::views(object.schema());
    ArrowReaderMetadata::try_new(object.metadata().clone(), options().with_schema(columns))
}

impl AsyncFileReader for ObjectReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        async move {
            let mut parts = self.get_byte_ranges(vec![range]).await?;
            parts.pop().ok_or_else(|| ParquetError::General("it has no bytes".to_owned()))
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        async move {
            ranges.iter().try_for_each(|range| self.check_range(range))?;
            self.read_if_short().await?;
            let Some(body) = &self.body else { return self.fetch(&ranges).await };
            let part = |range: &Range<u64>| body.slice(range.start as usize..range.end as usize);
            Ok(ranges.iter().map(part).collect())
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        let index = options.map_or(PageIndexPolicy::Skip, ArrowReaderOptions::column_index_policy);
        let reader = ParquetMetaDataReader::new().with_prefetch_hint(self.footer_bytes).with_page_index_policy(index);
        let size = self.meta.size;
        async move {
            let footer = reader.load_and_finish(self, size).await?;
            footer::check(&footer, size)?;
            Ok(Arc::new(footer))
        }
        .boxed()
    }
}
