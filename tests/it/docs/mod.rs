//! The README, SECURITY.md, CHANGELOG.md and `docs/`, held to the code.
//!
//! 1. `pages`: reading them, block by block.
//! 2. `tables`: options, codes, routes and metrics are those of the code.
//! 3. `names`: commands, flags, variables and metrics that are mentioned exist.
//! 4. `links`: every internal link and anchor resolves.
//! 5. `commands`: every block of shell runs, or says why not.
//! 6. `tls`: the proxies of the README's TLS section.
//! 7. `style`: plain words, short lines.
//! 8. `surface`: the public items of the crate.
//! 9. `threats`: what the threat model names.

mod commands;
mod links;
mod names;
mod pages;
mod style;
mod surface;
mod tables;
mod threats;
mod tls;
