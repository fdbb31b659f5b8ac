//! What belongs to one tenant, or to the platform: the paths of its routes, and the tag of its revision.

use std::fmt::Display;
use std::str::FromStr;

use serde::Deserialize;

use crate::http::error::Problem;
use crate::key::{InvalidId, TenantId};
use crate::operators::Scope;

/// The path of a route of one tenant, or of the platform.
#[derive(Debug, Deserialize)]
pub struct Place {
    tenant: Option<String>,
    id: Option<String>,
}

impl Place {
    /// Where it is.
    ///
    /// # Errors
    /// 400 for what is no id of a tenant.
    pub fn scope(&self) -> Result<Scope, Problem> {
        Ok(match &self.tenant {
            Some(tenant) => Scope::Tenant(TenantId::parse(tenant)?),
            None => Scope::Platform,
        })
    }

    /// Which of the things there.
    ///
    /// # Errors
    /// 400 for what is no id of one.
    pub fn id<T: FromStr<Err = InvalidId>>(&self) -> Result<T, Problem> {
        Ok(self.id.as_deref().unwrap_or_default().parse()?)
    }
}

/// The `Location` of something in a collection.
pub fn location(scope: &Scope, collection: &str, id: &impl Display) -> String {
    match scope.tenant() {
        Some(tenant) => format!("/api/v1/tenants/{tenant}/{collection}/{id}"),
        None => format!("/api/v1/{collection}/{id}"),
    }
}

/// The `ETag` of a revision.
pub fn etag(rev: u64) -> String {
    format!("\"{rev}\"")
}
