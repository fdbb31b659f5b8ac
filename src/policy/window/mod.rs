//! Windows: how often entities did something lately, in bounded memory and without a clock.
//!
//! 1. [`state`]: the windows of all entities.  [`shard`]: a part of them, and who gives way when memory is short.
//! 2. [`entry`]: one entity in one window.  [`times`], [`slots`]: its events, exactly and in sixteenths.  [`distinct`]:
//!    its different values.
//! 3. [`list`], [`bloom`]: entries by age, and who came lately.

mod bloom;
mod distinct;
mod entry;
mod list;
mod shard;
mod slots;
mod state;
mod times;

#[cfg(test)]
mod tests;

pub use distinct::MAX_VALUES;
pub use state::{MIN_POLICY_MEMORY, State, StateSize, WindowKey};
pub use times::EXACT;
