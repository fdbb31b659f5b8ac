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
#[non_exhaustive]
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
    /// Opens the store. A directory is created when it does not exist; of a bucket nothing is read yet. S3 settings
    /// come from the usual `AWS_*` variables of this process.
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
                let (root, store) = (store.root(), Arc::new(store));
                Ok(Bucket::over(store.clone(), store, Some(StoreMode::Local)).of_directory(root))
            }
            #[cfg(feature = "s3")]
            Self::S3 { bucket, prefix } => Bucket::of_s3(super::s3::Settings::new(bucket, prefix, variables)),
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
        if text.trim().is_empty() {
            return Err(Error::invalid("a store must be named"));
        }
        if text.starts_with('~') {
            return Err(Error::invalid("a store that begins with ~ is not expanded here: write the whole path"));
        }
        if ["s3//", "file//"].iter().any(|start| text.starts_with(start)) {
            return Err(Error::invalid("the colon of the URL is missing: s3://bucket/prefix or file:///path"));
        }
        if text.trim() != text || text.starts_with(['"', '\'']) {
            return Err(Error::invalid("remove the quotes or spaces around the store"));
        }
        let Some(scheme) = scheme(text) else {
            if text.contains("://") {
                return Err(Error::invalid("a store URL must be file:///path or s3://bucket/prefix"));
            }
            return directory(text.into());
        };
        match scheme.to_ascii_lowercase().as_str() {
            "file" => {
                // One slash or three: RFC 8089, appendix B.
                let url = Url::parse(text).ok().filter(|url| url.query().is_none() && url.fragment().is_none());
                let path = url.and_then(|url| url.to_file_path().ok());
                let path = path.filter(|_| text[scheme.len()..].starts_with(":/"));
                let advice = "a file: store must be an absolute path without a host, such as file:///srv/keys";
                path.ok_or_else(|| Error::invalid(advice)).and_then(directory)
            }
            "s3" if text[scheme.len()..].starts_with("://") => {
                let url = Url::parse(text).map_err(|_| Error::invalid("the store is not a URL"))?;
                let bucket = url.host_str().filter(|host| !host.is_empty());
                let bucket = bucket.ok_or_else(|| Error::invalid("an s3:// store must name a bucket"))?.to_owned();
                Ok(Self::S3 { bucket, prefix: url.path().trim_matches('/').to_owned() })
            }
            "s3" => Err(Error::invalid("an s3 store has two slashes: s3://bucket/prefix")),
            letter if letter.len() == 1 => {
                Err(Error::invalid("drive letters are not known here: a store is a path such as /srv/keys or ./C:"))
            }
            _ => Err(Error::invalid(
                "a store is a path, file:///path, or s3://bucket/prefix (a path whose first name has a colon: ./a:b)",
            )),
        }
    }
}

/// A directory, but for the root of the file system: that is what is left of `file://$DIR` when `DIR` is not set.
fn directory(path: PathBuf) -> Result<StoreUrl> {
    if path.has_root() && path.parent().is_none() {
        return Err(Error::invalid(
            "the root of the file system is no store: name a directory, such as file:///srv/keys",
        ));
    }
    Ok(StoreUrl::Directory(path))
}

/// What stands before the first colon, where that is a scheme (RFC 3986, section 3.1).
fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once(':')?;
    let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    (scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(letters)).then_some(scheme)
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_programs_find_an_object_by_its_address() {
        let object = object_store::ObjectMeta {
            location: "streams/web/date=2026-11-27/a.parquet".into(),
            last_modified: Default::default(),
            size: 1,
            e_tag: None,
            version: None,
        };
        let path = object.location.as_ref();
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let directory = StoreUrl::Directory(root.clone()).open().unwrap();
        assert_eq!(directory.address(&object).unwrap(), root.join(path).to_str().unwrap());
        assert_eq!(Bucket::in_memory().address(&object), None);
        #[cfg(feature = "s3")]
        for (url, expected) in [("s3://b/p/q", "s3://b/p/q/"), ("s3://b", "s3://b/")] {
            let variables = [("AWS_REGION".to_owned(), "us-east-1".to_owned())];
            let bucket = url.parse::<StoreUrl>().unwrap().open_with(variables).unwrap();
            assert_eq!(bucket.address(&object).unwrap(), format!("{expected}{path}"));
        }
    }

    #[test]
    fn a_store_is_a_path_a_file_url_or_a_bucket() {
        let directory = |path: &str| StoreUrl::Directory(path.into());
        for (text, expected) in [
            ("keyloft-data", directory("keyloft-data")),
            ("./a:b", directory("./a:b")),
            ("/srv/a:b", directory("/srv/a:b")),
            ("file:///srv/k", directory("/srv/k")),
            ("file:/srv/k", directory("/srv/k")),
            ("FILE:///srv/k", directory("/srv/k")),
            ("file://localhost/srv/k", directory("/srv/k")),
            ("s3://bucket/x/", StoreUrl::S3 { bucket: "bucket".to_owned(), prefix: "x".to_owned() }),
        ] {
            assert_eq!(text.parse::<StoreUrl>().ok(), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_mistyped_store_is_refused_with_advice_and_never_becomes_a_folder() {
        for (text, advice) in [
            ("", "must be named"),
            (" ", "must be named"),
            ("/", "root of the file system"),
            ("file://", "root of the file system"),
            ("file:///", "root of the file system"),
            ("file:///srv/k?x=1", "absolute path"),
            ("s3//bucket/x", "colon"),
            ("s3:/bucket/x", "s3://bucket/prefix"),
            ("s3:bucket", "s3://bucket/prefix"),
            ("s3://", "must name a bucket"),
            ("C:\\data", "drive letters"),
            ("c:/data", "drive letters"),
            ("~/k", "whole path"),
            ("~", "whole path"),
            ("file:srv/k", "absolute path"),
            ("file://host/srv/k", "absolute path"),
            ("http://example/x", "s3://bucket/prefix"),
            ("gs:/bucket", "s3://bucket/prefix"),
            ("minio:9000/x", "s3://bucket/prefix"),
            ("\"s3://bucket/x\"", "quotes"),
            ("'/srv/k'", "quotes"),
            (" s3://bucket/x", "spaces"),
            ("s3://bucket/x\n", "spaces"),
            ("/srv/k ", "spaces"),
            ("://bucket/x", "s3://bucket/prefix"),
            ("s3_x://bucket", "s3://bucket/prefix"),
            ("/s3://bucket", "s3://bucket/prefix"),
        ] {
            let error = text.parse::<StoreUrl>().unwrap_err();
            assert!(error.kind() == ErrorKind::Invalid && error.message().contains(advice), "{text}: {error}");
        }
    }
}
