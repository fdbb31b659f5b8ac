//! The clients of an S3 service, and how long each waits.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::SpawnedReqwestConnector;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use tokio::runtime::Handle;

use super::object::Store;
use crate::error::{Error, Result};

/// How long a client waits. The library's own defaults take three minutes to report a store that hangs.
struct Pace {
    /// For a connection.
    connect: Duration,
    /// For a whole answer.
    answer: Duration,
    /// After this no request is repeated.
    repeat: Duration,
}

/// A hung store is reported in about four seconds.
const DOCUMENTS: Pace =
    Pace { connect: Duration::from_millis(500), answer: Duration::from_secs(2), repeat: Duration::from_secs(4) };

/// Tens of megabytes over a slow line.
const DATA: Pace =
    Pace { connect: Duration::from_secs(2), answer: Duration::from_secs(30), repeat: Duration::from_secs(30) };

/// What clients are made of.
pub(super) struct Settings {
    bucket: String,
    prefix: String,
    values: Vec<(AmazonS3ConfigKey, String)>,
}

impl fmt::Debug for Settings {
    /// Secrets are among the values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

impl Settings {
    /// The settings of a bucket: `variables` hold those whose names begin with `AWS_`.
    pub(super) fn new(bucket: &str, prefix: &str, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let known = |(name, value): (String, String)| {
            let key = name.starts_with("AWS_").then(|| name.to_ascii_lowercase().parse().ok())??;
            Some((key, value))
        };
        let values = variables.into_iter().filter_map(known).collect();
        Self { bucket: bucket.to_owned(), prefix: prefix.to_owned(), values }
    }

    /// The URL of an object.
    pub(super) fn address(&self, location: &str) -> String {
        let folder = if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix) };
        format!("s3://{}/{folder}{location}", self.bucket)
    }

    /// A client for documents and one for data, each with connections of its own: these are served on `runtime`, or on
    /// that of the caller.
    pub(super) fn clients(&self, runtime: Option<&Handle>) -> Result<(Store, Store)> {
        Ok((self.client(&DOCUMENTS, runtime)?, self.client(&DATA, runtime)?))
    }

    fn client(&self, pace: &Pace, runtime: Option<&Handle>) -> Result<Store> {
        let backoff = BackoffConfig {
            init_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_millis(500),
            base: 2.0,
        };
        let options =
            ClientOptions::new().with_connect_timeout(pace.connect).with_timeout(pace.answer).with_allow_http(true);
        let mut builder = AmazonS3Builder::new().with_client_options(options).with_retry(RetryConfig {
            backoff,
            max_retries: 2,
            retry_timeout: pace.repeat,
        });
        if let Some(runtime) = runtime {
            builder = builder.with_http_connector(SpawnedReqwestConnector::new(runtime.clone()));
        }
        let builder = self.values.iter().fold(builder, |builder, (key, value)| builder.with_config(*key, value));
        let store = builder
            .with_bucket_name(&self.bucket)
            .build()
            .map_err(|error| Error::invalid("the S3 settings are not complete").caused_by(error))?;
        let prefix = self.prefix.as_str();
        Ok(if prefix.is_empty() { Arc::new(store) } else { Arc::new(PrefixStore::new(store, prefix)) })
    }
}
