//! The README, SECURITY.md, CHANGELOG.md and `docs/`, held to the code.
//!
//! 1. `pages`: reading them, block by block.
//! 2. `tables`: options, codes, routes and metrics are those of the code.
//! 3. `links`: every internal link and anchor resolves.
//! 4. `commands`: every block of shell runs, or says why not.
//! 5. `tls`: the proxies of the README's TLS section.
//! 6. `style`: plain words, short lines.

mod commands;
mod links;
mod pages;
mod style;
mod tables;
mod tls;
