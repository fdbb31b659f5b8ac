//! Limits in a Redis that is reached over TLS: the certificate is checked, and a refusal is clear and quotes no
//! password.

use std::time::Duration;

use serde_json::json;

use crate::support::Process;
use crate::support::redis::TlsRedis;

/// Starts the real server with this Redis, makes two requests of a key that may make one, and gives their statuses, how
/// many of them were not counted in Redis, and the log, which is to contain `said`.
async fn two_requests(url: &str, ca: Option<&str>, roots: Option<&str>, said: &str) -> ([u16; 2], u64, String) {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    std::fs::create_dir(&store).unwrap();
    let mut options = vec!["--limits-redis-timeout", "3s"];
    options.extend(ca.iter().flat_map(|ca| ["--limits-redis-ca-file", ca]));
    let mut variables = vec![("KEYLOFT_LIMITS_REDIS", url)];
    variables.extend(roots.map(|roots| ("SSL_CERT_FILE", roots)));
    let server = Process::serve_with(&store, &options, &variables);
    let admin = server.admin(server.admin_token().unwrap());
    let limits = json!({"requests": {"perMinute": 1, "burst": 1}});
    let key = admin.issue_with("default", json!({"keyName": "k", "keyType": "query", "limits": limits})).await;
    let client = server.with_key(&key.api_key);
    let mut statuses = [0; 2];
    for status in &mut statuses {
        *status = client.get("/api/v1/whoami").await.status.as_u16();
    }
    let metrics = server.anonymous().get("/metrics").await.text().to_owned();
    let fallbacks = metrics.lines().find_map(|line| line.strip_prefix("keyloft_limits_fallbacks_total ")).unwrap();
    let (fallbacks, mut log) = (fallbacks.parse().unwrap(), String::new());
    for _ in 0..500 {
        log = std::fs::read_to_string(store.with_extension("log")).unwrap();
        if log.contains(said) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    (statuses, fallbacks, log)
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Redis: run scripts/test.sh")]
async fn a_redis_over_tls_counts_when_its_authority_is_trusted() {
    let redis = TlsRedis::start().await;
    let ca = redis.ca();
    let ca = ca.to_str().unwrap();
    // By the option, or by the store of the operating system.
    for (option, roots) in [(Some(ca), None), (None, Some(ca))] {
        let (statuses, fallbacks, log) = two_requests(&redis.url("localhost"), option, roots, "").await;
        assert_eq!((statuses, fallbacks), ([200, 429], 0), "{log}");
    }
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Redis: run scripts/test.sh")]
async fn a_certificate_that_cannot_be_trusted_is_refused_in_clear_words_without_the_password() {
    let redis = TlsRedis::start().await;
    let (ca, other) = (redis.ca(), redis.other_ca());
    let cases = [
        (redis.url("localhost"), Some(&other), "invalid peer certificate: "),
        (redis.url("localhost"), None, "invalid peer certificate: UnknownIssuer"),
        (redis.url("127.0.0.1"), Some(&ca), "invalid peer certificate: certificate not valid for name"),
    ];
    for (url, ca, expected) in cases {
        let ca = ca.map(|ca| ca.to_str().unwrap());
        let (statuses, fallbacks, log) = two_requests(&url, ca, None, expected).await;
        // The node counts for itself.
        assert_eq!((statuses, fallbacks), ([200, 429], 2));
        assert!(log.contains("Redis is unavailable") && log.contains(expected), "{expected}: {log}");
        assert!(!log.contains(TlsRedis::PASSWORD), "{log}");
    }
}
