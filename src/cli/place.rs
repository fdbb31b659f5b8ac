//! `--platform`: what belongs to the platform, and not to one tenant.

use clap::Args;

use super::ClientArgs;

/// Where something belongs.
#[derive(Debug, Args)]
pub struct PlaceArgs {
    /// Of the whole platform, not of one tenant
    #[arg(long, conflicts_with = "tenant")]
    platform: bool,
}

impl PlaceArgs {
    /// The path of a collection there, and of what is in it.
    pub(super) fn path(&self, args: &ClientArgs, collection: &str, rest: &[&str]) -> Vec<String> {
        let tenant = args.tenant();
        let place: &[&str] = if self.platform { &[] } else { &["tenants", tenant.as_str()] };
        [place, &[collection], rest].concat().into_iter().map(str::to_owned).collect()
    }
}

/// A path as requests take it.
pub(super) fn borrowed(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}
