//! What keys were used for, over `/api/v1/tenants/{tenant}/usage`.

mod archive;
mod counts;
mod histories;
mod memory;
mod stream;
mod unwritten_rows;
