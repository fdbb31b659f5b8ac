//! A real listening server, real clients, and the real binary.

pub mod altcha;
pub mod bad_provider;
pub mod browser;
pub mod client;
pub mod command;
#[cfg(feature = "paused-time")]
pub mod dated;
pub mod dice;
pub mod events;
pub mod faults;
pub mod faulty;
pub mod fleet;
pub mod gateway;
pub mod github;
pub mod guarded;
pub mod key_files;
pub mod ledger;
pub mod line;
pub mod oidc;
pub mod pair;
pub mod people;
pub mod process;
pub mod raw;
pub mod redis;
pub mod scene;
pub mod server;
pub mod stores;
pub mod tap;
pub mod webdriver;

pub use browser::Browser;
pub use client::{Answer, Client, Issued, gzip};
pub use command::{Ended, typed, typed_with};
pub use dice::Dice;
pub use faults::{Call, Fault, Faults, Kind, Odds};
pub use faulty::Faulty;
pub use fleet::Fleet;
pub use gateway::Gateway;
pub use guarded::Guarded;
pub use ledger::Ledger;
pub use line::Line;
pub use process::Process;
pub use raw::Raw;
pub use scene::Scene;
pub use server::TestServer;
pub use stores::{TestStore, Victim};
pub use tap::Tap;

/// A runtime in which nobody waits, if time can stand still: it passes as soon as there is nothing else to do. For one,
/// the first change of a node waits for others for three seconds.
pub fn impatient() -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    #[cfg(feature = "paused-time")]
    runtime.start_paused(true);
    runtime.enable_all().build().unwrap()
}

/// The context of the admin token, for tests that do not check who made a change.
pub fn context() -> keyloft::RequestContext {
    keyloft::RequestContext::new(keyloft::key::Actor::AdminToken, chrono::DateTime::UNIX_EPOCH)
}
