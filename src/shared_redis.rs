//! The Redis in which nodes count together, limits as well as windows of policies: one connection, a bound on how long
//! anything waits, and a pause after a failure, in which no request waits at all.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, FromRedisValue, RedisError, Script, TlsCertificates, ToRedisArgs};
use tokio::runtime::{Builder, Runtime};

use crate::error::{self, Error, ErrorKind};

/// The pause after a failure of Redis; then one request tries it, while the others continue without.
const PAUSE: Duration = Duration::from_secs(1);

/// A Redis that all nodes share, and that may be away at any time.
pub struct SharedRedis {
    redis: ConnectionManager,
    /// How long a call waits for its answer.
    timeout: Duration,
    /// The runtime of its connection: a busy worker must not make Redis look slow.
    runtime: Option<Runtime>,
    start: Instant,
    /// Microseconds from `start`; 0 while Redis answers.
    paused_until: Arc<AtomicU64>,
}

/// A script that Redis runs as a whole, or not at all.
#[derive(Clone)]
pub struct SharedScript(Arc<Script>);

impl SharedScript {
    /// A script in Lua.
    pub fn new(source: &str) -> Self {
        Self(Arc::new(Script::new(source)))
    }
}

impl fmt::Debug for SharedScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedScript(..)")
    }
}

/// What a script is called with.
#[derive(Default)]
pub struct Call {
    keys: Vec<Vec<u8>>,
    arguments: Vec<Vec<u8>>,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({} keys)", self.keys.len())
    }
}

impl Call {
    /// Whether it is about no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Adds a key.
    pub fn key(&mut self, key: impl ToRedisArgs) -> &mut Self {
        key.write_redis_args(&mut self.keys);
        self
    }

    /// Adds an argument.
    pub fn arg(&mut self, argument: impl ToRedisArgs) -> &mut Self {
        argument.write_redis_args(&mut self.arguments);
        self
    }
}

impl SharedRedis {
    /// The Redis at `url`, which may start later, and which may take this long to answer. `ca` replaces the certificate
    /// authorities of the operating system, in PEM.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the URL or `ca` cannot be used, [`ErrorKind::Internal`] when the thread cannot be
    /// started.
    pub fn new(url: &str, ca: Option<&[u8]>, timeout: Duration) -> error::Result<Self> {
        // The cause is left out: it may quote the URL, which may hold a password.
        let unusable = |_| Error::invalid("the address of Redis cannot be used");
        let client = match ca {
            None => Client::open(url).map_err(unusable)?,
            Some(ca) => {
                let certificates = TlsCertificates { client_tls: None, root_cert: Some(ca.to_vec()) };
                let unusable = |_| Error::invalid("the URL or the certificate authority of Redis cannot be used");
                Client::build_with_tls(url, certificates).map_err(unusable)?
            }
        };
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("redis").enable_all().build();
        let runtime = runtime
            .map_err(|error| Error::new(ErrorKind::Internal, "cannot start the thread for Redis").caused_by(error))?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(PAUSE))
            .set_response_timeout(Some(timeout))
            .set_number_of_retries(0);
        let entered = runtime.enter();
        let redis = ConnectionManager::new_lazy_with_config(client, config).map_err(unusable)?;
        drop(entered);
        let shared =
            Self { redis, timeout, runtime: Some(runtime), start: Instant::now(), paused_until: Arc::default() };
        shared.connect();
        Ok(shared)
    }

    /// Connects ahead of the first request, and logs at the start what is wrong with the connection.
    fn connect(&self) {
        let (mut redis, paused_until) = (self.redis.clone(), Arc::clone(&self.paused_until));
        let until = self.micros() + micros(PAUSE);
        if let Some(runtime) = &self.runtime {
            runtime.spawn(async move {
                if let Err(error) = redis::cmd("PING").query_async::<()>(&mut redis).await {
                    pause(&paused_until, until, &Silence::because(&error));
                }
            });
        }
    }

    /// Runs a script, and gives its answer; `None` when Redis does not answer in time, or failed within the pause. The
    /// script may have run all the same. When the connection breaks, it is run once more, though it may have run
    /// before.
    pub async fn run<T>(&self, script: &SharedScript, call: Call) -> Option<T>
    where
        T: FromRedisValue + Send + 'static,
    {
        if !self.is_worth_asking() {
            return None;
        }
        match self.ask(script.clone(), call).await {
            Ok(answer) => {
                self.paused_until.store(0, Ordering::Relaxed);
                Some(answer)
            }
            Err(silence) => {
                pause(&self.paused_until, self.micros() + micros(PAUSE), &silence);
                None
            }
        }
    }

    fn is_worth_asking(&self) -> bool {
        let until = self.paused_until.load(Ordering::Relaxed);
        if until == 0 {
            return true;
        }
        let now = self.micros();
        let next = now + micros(PAUSE);
        // After the pause, one request tries.
        now >= until && self.paused_until.compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    async fn ask<T>(&self, SharedScript(script): SharedScript, call: Call) -> Result<T, Silence>
    where
        T: FromRedisValue + Send + 'static,
    {
        let mut redis = self.redis.clone();
        let Some(runtime) = &self.runtime else { return Err(Silence("no thread".to_owned())) };
        let asking = runtime.spawn(async move {
            let mut prepared = script.prepare_invoke();
            prepared.key(call.keys).arg(call.arguments);
            match prepared.invoke_async::<T>(&mut redis).await {
                // The connection had broken and is being made anew.
                Err(error) if error.is_io_error() && !error.is_timeout() => prepared.invoke_async(&mut redis).await,
                outcome => outcome,
            }
        });
        match tokio::time::timeout(self.timeout, asking).await {
            Ok(Ok(answer)) => answer.map_err(|error| Silence::because(&error)),
            Ok(Err(_)) => Err(Silence("no thread".to_owned())),
            Err(_) => Err(Silence("no answer in time".to_owned())),
        }
    }

    fn micros(&self) -> u64 {
        micros(self.start.elapsed()).max(1)
    }
}

/// Stops asking Redis until `until`, and logs the reason if Redis had answered before.
fn pause(paused_until: &AtomicU64, until: u64, Silence(reason): &Silence) {
    if paused_until.swap(until, Ordering::Relaxed) == 0 {
        tracing::warn!(reason, "Redis is unavailable: this node counts alone until it answers");
    }
}

/// Why Redis is unavailable, for the log.
struct Silence(String);

/// How rustls begins what it says of a certificate that it refuses. The rest names the fault and the names in the
/// certificate.
const REFUSED_CERTIFICATE: &str = "invalid peer certificate";

impl Silence {
    /// What is wrong with the certificate; else the kind of the error and the first word of what Redis said. The rest
    /// may quote names or a password.
    fn because(error: &RedisError) -> Self {
        let text = if error.is_io_error() { error.to_string() } else { String::new() };
        if let Some(at) = text.find(REFUSED_CERTIFICATE) {
            return Self(text[at..].to_owned());
        }
        let is_word = |code: &&str| code.len() <= 16 && code.bytes().all(|byte| byte.is_ascii_uppercase());
        let code = error.code().filter(is_word).map(|code| format!(" ({code})")).unwrap_or_default();
        Self(format!("{}{code}", error.category()))
    }
}

impl Drop for SharedRedis {
    fn drop(&mut self) {
        // Waiting for the thread, as a plain drop does, would panic inside an async context.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for SharedRedis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedRedis(..)")
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
