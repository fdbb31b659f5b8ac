//! Which store a URL names.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use url::Url;

use super::Bucket;
use super::local::LocalStore;
use super::mode::StoreMode;
use crate::error::{Error, ErrorKind, Result};

/// Where a store is: `file:///path`, a plain path, or `s3://bucket/prefix`.
///
/// ```
/// use keyloft::store::StoreUrl;
/// assert!("file:///var/lib/keyloft".parse::<StoreUrl>().is_ok());
/// assert!("ftp://example".parse::<StoreUrl>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// A local directory.
    Directory(PathBuf),
    /// A bucket of an S3 service, and the folder in it that is ours.
    S3 {
        /// The bucket.
        bucket: String,
        /// The folder; empty for the whole bucket.
        prefix: String,
    },
}

impl StoreUrl {
    /// Opens the store. A directory is created when it does not exist; of a bucket nothing is read yet. S3 settings come
    /// from the usual `AWS_*` variables of this process.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the directory cannot be used, [`ErrorKind::Invalid`] when the S3 settings are
    /// not complete or this build has no `s3` feature.
    pub fn open(&self) -> Result<Bucket> {
        let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        self.open_with(std::env::vars_os().filter_map(text))
    }

    /// The same with these variables in place of those of the process.
    ///
    /// # Errors
    /// As for [`StoreUrl::open`].
    pub fn open_with(&self, variables: impl IntoIterator<Item = (String, String)>) -> Result<Bucket> {
        match self {
            Self::Directory(path) => {
                let store = LocalStore::open(path.clone()).map_err(|error| {
                    Error::new(ErrorKind::Unavailable, format!("cannot use {}: {error}", path.display()))
                })?;
                let store = Arc::new(store);
                Ok(Bucket::trusting(store.clone(), store, Some(StoreMode::Local)))
            }
            #[cfg(feature = "s3")]
            Self::S3 { bucket, prefix } => super::s3::open(bucket, prefix, variables),
            #[cfg(not(feature = "s3"))]
            Self::S3 { .. } => {
                let _ = variables;
                Err(Error::invalid("this build of keyloft has no S3 support"))
            }
        }
    }
}

impl FromStr for StoreUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::invalid("a store must be named"));
        }
        if !text.contains("://") {
            return Ok(Self::Directory(text.into()));
        }
        let url = Url::parse(text).map_err(|_| Error::invalid("the store is not a URL"))?;
        match url.scheme() {
            "file" => {
                let path = url.to_file_path();
                path.map(Self::Directory).map_err(|()| Error::invalid("a file:// store must be an absolute path"))
            }
            "s3" => {
                let bucket = url.host_str().filter(|host| !host.is_empty());
                let bucket = bucket.ok_or_else(|| Error::invalid("an s3:// store must name a bucket"))?.to_owned();
                Ok(Self::S3 { bucket, prefix: url.path().trim_matches('/').to_owned() })
            }
            _ => Err(Error::invalid("a store is file:///path, a path, or s3://bucket/prefix")),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}
