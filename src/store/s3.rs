//! The clients of an S3 service, and how long each waits.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientOptions, RetryConfig};

use super::bucket::Bucket;
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

/// A bucket of which nothing is known yet.
pub(super) fn open(
    bucket: &str,
    prefix: &str,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Bucket> {
    let known = |(name, value): (String, String)| {
        let key = name.starts_with("AWS_").then(|| name.to_ascii_lowercase().parse().ok())??;
        Some((key, value))
    };
    let settings: Vec<(AmazonS3ConfigKey, String)> = variables.into_iter().filter_map(known).collect();
    let client = |pace| client(bucket, prefix, &settings, pace);
    Ok(Bucket::trusting(client(&DOCUMENTS)?, client(&DATA)?, None))
}

fn client(bucket: &str, prefix: &str, settings: &[(AmazonS3ConfigKey, String)], pace: &Pace) -> Result<Store> {
    let backoff =
        BackoffConfig { init_backoff: Duration::from_millis(50), max_backoff: Duration::from_millis(500), base: 2.0 };
    let options =
        ClientOptions::new().with_connect_timeout(pace.connect).with_timeout(pace.answer).with_allow_http(true);
    let builder = AmazonS3Builder::new().with_client_options(options).with_retry(RetryConfig {
        backoff,
        max_retries: 2,
        retry_timeout: pace.repeat,
    });
    let builder = settings.iter().fold(builder, |builder, (key, value)| builder.with_config(*key, value));
    let store = builder
        .with_bucket_name(bucket)
        .build()
        .map_err(|error| Error::invalid("the S3 settings are not complete").caused_by(error))?;
    Ok(if prefix.is_empty() { Arc::new(store) } else { Arc::new(PrefixStore::new(store, prefix)) })
}
