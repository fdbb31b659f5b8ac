//! Many nodes on one bucket.

mod deletion;
mod fleet;
#[cfg(feature = "paused-time")]
mod history;
#[cfg(feature = "paused-time")]
mod maintenance;
mod propagation;
mod shared_directory;
mod start;
