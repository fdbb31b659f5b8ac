//! Fields that every event of a request has: its sender states them once for all events.

use super::names::check_path;
use super::refusal::EventRefusal;
use crate::error::{Error, Result};

/// How many bytes the common fields of a request may fill, over all its events.
pub(super) const MAX_COMMON_BYTES: usize = 32 << 20;

/// Texts that every event of a request gets as fields, unless it has a field of that name itself.
#[derive(Debug, Clone, Default)]
pub struct CommonFields(Vec<(Box<str>, Box<str>)>);

impl CommonFields {
    /// These names and texts.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] for a name that no field may have.
    pub fn new(fields: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let checked = fields.into_iter().map(|(name, text)| {
            let refused = |refusal: EventRefusal| Error::invalid(refusal.message);
            check_path(&name).map_err(refused)?;
            Ok((name.into(), text.into()))
        });
        checked.collect::<Result<_>>().map(Self)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, text)| (&**name, &**text))
    }
}
