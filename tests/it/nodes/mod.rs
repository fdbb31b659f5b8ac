//! Many nodes on one bucket.

mod clock;
mod compaction;
mod deletion;
mod fleet;
#[cfg(feature = "paused-time")]
mod history;
mod log_by_hand;
#[cfg(feature = "paused-time")]
mod maintenance;
mod outages;
mod propagation;
mod receipts;
mod shared_directory;
mod start;
