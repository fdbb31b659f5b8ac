//! What a row must know to be recorded.

use arrow::array::ArrayRef;

use crate::key::{KeyId, Label};
use crate::stream::Field;

/// A row of a stream that is recorded so.
pub trait Recorded: Sized + Send + Sync {
    /// The stream.
    const STREAM: &'static str;

    /// The key that it is about, and the source of that.
    fn about(&self) -> (Option<KeyId>, Option<Label>);

    /// About how many bytes it takes in memory.
    fn weight(&self) -> usize;

    /// The fields of the stream, and the columns of these rows.
    fn columns(rows: &[Self]) -> (Vec<Field>, Vec<ArrayRef>);
}
