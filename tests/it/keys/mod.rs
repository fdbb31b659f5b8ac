//! Keys over `/api/v1/tenants/{tenant}/apikeys`: their life, changes in bulk, files that declare them.

mod apply;
mod apply_crash;
mod attribution;
mod bulk;
mod bulk_crash;
mod changes;
mod duplicate_secrets;
mod expiry;
mod life;
mod limits;
mod own_secrets;
mod rotation;
mod rotation_model;
