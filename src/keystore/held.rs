//! Changing documents of the kinds that every node holds in memory.

use std::sync::Arc;

use super::{Changed, Keystore};
use crate::documents::{Edit, Found, RequestContext};
use crate::error::Result;
use crate::sync::{AuditAction, Held, HeldKind};

impl Keystore {
    /// Changes a document by compare-and-swap, then in the memory of this node, then in the change log. `change` may be
    /// called several times, each time with the latest document.
    ///
    /// # Errors
    /// Those of `change`; [`crate::ErrorKind::Unavailable`] when the store does not answer.
    #[doc(hidden)]
    pub async fn change_held<T: HeldKind + Clone, R: Send + Sync + 'static>(
        &self,
        held: &Arc<Held<T>>,
        context: &RequestContext,
        action: impl Into<Option<AuditAction>>,
        id: T::Id,
        mut change: impl FnMut(Found<T>) -> Result<Edit<T, R>> + Send + 'static,
    ) -> Result<Changed<R>> {
        let (this, held, context, action) = (self.clone(), held.clone(), context.clone(), action.into());
        self.run_to_completion(async move {
            let mut written = None;
            let edit = |found| {
                let edit = change(found)?;
                written = match &edit {
                    Edit::Write(document, _) => Some(document.clone()),
                    Edit::Keep(_) => None,
                };
                Ok(edit)
            };
            let before = held.before(&id);
            let value = Arc::new(held.documents().update(&id, edit).await?);
            let Some(written) = written else {
                return Ok(Changed { value, change_seq: this.replica.applied_seq() });
            };
            let name = written.name();
            // What is stored counts: another change may have come after ours.
            if held.refresh(&id).await.is_err() {
                held.put(&id, written, &before);
            }
            let change_seq = this.log_held::<T>(&context, action, &id, name).await?;
            this.replica.introduce(change_seq).await; // A secret may work by it.
            Ok(Changed { value, change_seq })
        })
        .await
    }

    /// Removes a document, then from the memory of this node, and logs it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer.
    #[doc(hidden)]
    pub async fn remove_held<T: HeldKind>(
        &self,
        held: &Arc<Held<T>>,
        context: &RequestContext,
        action: AuditAction,
        id: T::Id,
    ) -> Result<u64> {
        let (this, held, context) = (self.clone(), held.clone(), context.clone());
        self.run_to_completion(async move {
            this.bucket.remove(&T::object(&id)).await?;
            let name = held.get(&id).and_then(|document| document.name());
            held.forget(&id);
            this.log_held::<T>(&context, Some(action), &id, name).await
        })
        .await
    }

    async fn log_held<T: HeldKind>(
        &self,
        context: &RequestContext,
        action: Option<AuditAction>,
        id: &T::Id,
        name: Option<String>,
    ) -> Result<u64> {
        self.replica.append(vec![T::changed(id).by(context).doing(action).named(name)]).await
    }
}
