//! Windows: how often entities did something lately, in bounded memory and without a clock.
//!
//! 1. [`state`]: the windows of all entities.  [`shard`]: a part of them, and who gives way when memory is short.
//! 2. [`entry`]: one entity in one window.  [`times`], [`slots`]: its events, exactly and in sixteenths.  [`distinct`]:
//!    its different values.
//! 3. [`list`], [`bloom`]: entries by age, and who came lately.
//! 4. [`Windows`]: what the engine asks, wherever events are counted.  [`kept`]: an entry that is counted elsewhere.

mod bloom;
mod distinct;
mod entry;
mod kept;
mod list;
mod shard;
mod slots;
mod state;
mod times;
mod windows;

#[cfg(test)]
mod tests;

pub use distinct::MAX_VALUES;
pub use kept::Kept;
pub use state::{MIN_POLICY_MEMORY, State, StateSize, WindowKey};
pub use times::EXACT;
pub use windows::Windows;
