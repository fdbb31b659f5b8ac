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
                let stored = if let Found::Usable(stored) = &found { Some(T::clone(stored)) } else { None };
                let edit = change(found)?;
                written = match &edit {
                    Edit::Write(document, _) => Some((stored, document.clone())),
                    Edit::Keep(_) => None,
                };
                Ok(edit)
            };
            let before = held.before(&id);
            let value = Arc::new(held.documents().update(&id, edit).await?);
            let Some((stored, written)) = written else {
                return Ok(Changed { value, change_seq: this.replica.applied_seq() });
            };
            let logged = T::changed(&id).by(&context).doing(action).named(written.name());
            let logged = logged.between(stored.as_ref(), Some(&written));
            // What is stored counts: another change may have come after ours.
            if held.refresh(&id).await.is_err() {
                held.put(&id, written, &before);
            }
            let change_seq = this.replica.append(vec![logged]).await?;
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
            let before = held.get(&id);
            held.forget(&id);
            let name = before.as_ref().and_then(|document| document.name());
            let logged = T::changed(&id).by(&context).doing(action).named(name).between(before.as_deref(), None);
            this.replica.append(vec![logged]).await
        })
        .await
    }
}
