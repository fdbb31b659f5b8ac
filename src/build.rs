//! Tells the binary which cargo profile it is built with.

#![allow(clippy::print_stdout)] // cargo reads it

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=src/build.rs");
    println!("cargo::rustc-env=KEYLOFT_PROFILE={}", profile());
}

/// Cargo's own `PROFILE` knows debug and release alone; but the profile names the folder that everything is built in:
/// `target/<profile>/build/<package>/out`.
fn profile() -> String {
    let out = std::env::var("OUT_DIR").unwrap_or_default();
    let build = Path::new(&out).ancestors().find(|folder| folder.ends_with("build"));
    let named = build.and_then(|build| build.parent()?.file_name()?.to_str());
    named.map_or_else(|| std::env::var("PROFILE").unwrap_or_default(), str::to_owned)
}
