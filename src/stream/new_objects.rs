//! The objects that this process writes: their names, and the days that they belong to.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use uuid::Uuid;

use super::{DayId, ObjectIds};
use crate::key::{StreamName, TenantId};
use crate::layout::ObjectName;

/// Names new objects, and remembers their days for the compactor.
#[derive(Debug, Default)]
pub struct NewObjects {
    ids: ObjectIds,
    days: Mutex<BTreeSet<DayId>>,
}

impl NewObjects {
    /// The id of a new object of a stream.
    pub fn id(&self, tenant: &TenantId, stream: &StreamName) -> Uuid {
        self.ids.next(tenant, stream)
    }

    /// The name of a new object whose events arrived in the minute of `arrived_at`.
    pub fn name(&self, tenant: TenantId, stream: StreamName, arrived_at: DateTime<Utc>) -> ObjectName {
        let id = self.id(&tenant, &stream);
        ObjectName::events(tenant, stream, arrived_at, id)
    }

    /// See [`ObjectIds::events`].
    pub fn events(&self, tenant: &TenantId, stream: &StreamName, count: usize) -> i64 {
        self.ids.events(tenant, stream, count)
    }

    /// Says that an object was written to a day.
    pub fn written(&self, name: &ObjectName) {
        if let ObjectName::Events { tenant, stream, arrived, .. } = name {
            let day = (tenant.clone(), stream.clone(), arrived.date());
            let mut days = self.days.lock();
            if !days.contains(&day) {
                days.insert(day);
            }
        }
    }

    /// The days that were written to since this was called last.
    pub fn take_days(&self) -> BTreeSet<DayId> {
        std::mem::take(&mut *self.days.lock())
    }
}
