//! A real listening server, real clients, and the real binary.

pub mod client;
pub mod events;
pub mod faulty;
pub mod process;
pub mod raw;
pub mod scene;
pub mod server;

pub use client::{Answer, Client, Issued};
pub use faulty::{Faults, Faulty};
pub use process::Process;
pub use raw::Raw;
pub use scene::Scene;
pub use server::TestServer;
