//! What a full reconcile has found and the log does not say: changes made by hand, and changes of a node that ended
//! before it could log them. Those say themselves who asked for them.

use super::{AuditAction, ChangedObject, LoggedChange};
use crate::documents::{Audited, LastWrite};
use crate::key::{ApiKey, Tenant};

/// A key. A write of a node has a higher revision than the one before, and another time: nobody needs either to change
/// a file by hand.
pub(super) fn key(before: Option<&ApiKey>, after: &ApiKey, last: Option<LastWrite>) -> LoggedChange {
    let is_later = before.is_none_or(|before| before.rev < after.rev && before.modified_at != after.modified_at);
    let last = last.filter(|last| last.write_id.is_some() && is_later);
    let written = last.map(|last| (last, AuditAction::of_key(before, after)));
    let object = ChangedObject::Key { tenant: after.tenant.clone(), key_id: after.key_id };
    attributed(object, written).named(after.name.to_string()).between(before, Some(after))
}

/// A tenant. A write of a node has a later time than the one before.
pub(super) fn tenant(before: Option<&Tenant>, after: &Tenant, last: LastWrite) -> LoggedChange {
    let is_later = before.is_none_or(|before| before.modified_at < after.modified_at);
    let action = match before {
        None => AuditAction::TenantCreate,
        Some(before) if after.deleted && !before.deleted => AuditAction::TenantDelete,
        Some(_) => AuditAction::TenantUpdate,
    };
    let written = (last.write_id.is_some() && is_later).then_some((last, Some(action)));
    let change = attributed(ChangedObject::Tenant { tenant: after.id.clone() }, written);
    change.named(after.name.as_ref().map(ToString::to_string)).between(before, Some(after))
}

/// An object that is gone.
pub(super) fn gone<T: Audited>(object: ChangedObject, name: Option<String>, before: Option<&T>) -> LoggedChange {
    attributed(object, None).named(name).between(before, None)
}

/// A change of those who asked for the last write of the object, if a node has made that; else one by hand.
pub(crate) fn attributed(object: ChangedObject, written: Option<(LastWrite, Option<AuditAction>)>) -> LoggedChange {
    match written {
        // A change that does not say by whom was none of a node.
        Some((LastWrite { by, at, .. }, action)) if by.modified_by.is_some() && at.is_some() => {
            LoggedChange { by, action, changed_at: at, ..object.by_unknown() }
        }
        _ => object.by_unknown().doing(AuditAction::ByHand),
    }
}
