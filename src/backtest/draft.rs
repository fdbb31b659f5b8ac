//! What is tried, on what.

use std::collections::BTreeSet;
use std::sync::Arc;

use uuid::Uuid;

use crate::decisions::stored::{Lack, StoredStream};
use crate::error::{Error, Result};
use crate::key::{StreamName, StreamPattern, Streams, TenantId};
use crate::policy::Fault;
use crate::policy::set::{CompiledSet, NamedPolicySet, PolicySet, Record, Traffic, compile};
use crate::policy_book::Version;
use crate::stream::StreamCatalog;
use crate::stream::system::{ALL, TRAFFIC};

/// How many streams one backtest reads.
pub const MAX_STREAMS: usize = 64;

/// A set that is tried: a draft, or the version in force.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The set.
    pub set: Arc<CompiledSet>,
    /// Which events it judges, and how they are read.
    pub traffic: Traffic,
    /// Its number, if it is a version.
    pub version: Option<u64>,
}

impl Draft {
    /// A set as a file declares it. Parts of the same name as in the version in force are the same, so that their
    /// entities are; the others have ids that depend on nothing but the file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn new(named: NamedPolicySet, in_force: Option<&Version>) -> Result<Self, Vec<Fault>> {
        const FIRST: u128 = 0x6472_6166_7400_8000_8000_0000_0000_0000; // A UUID of the version for one's own use.
        let old = in_force.map_or_else(PolicySet::default, |version| version.document.clone().into_set());
        let mut ids = (1_u128..).map(|number| Uuid::from_u128(FIRST | number));
        let set = named.apply(&old, true, || ids.next().unwrap_or_default())?;
        Ok(Self { set: Arc::new(compile(&set)?), traffic: set.traffic, version: None })
    }

    /// The version in force; one that decides nothing when there is none.
    pub fn of_version(version: Option<&Version>) -> Self {
        let Some(version) = version else {
            return Self { set: Arc::default(), traffic: Traffic::default(), version: Some(0) };
        };
        let (set, number) = (Arc::new(version.compiled.clone()), version.document.policy_set_version);
        Self { set, traffic: version.document.traffic.clone(), version: Some(number) }
    }

    /// The streams that are read: those that are `named`, else those that the set judges, with `keyloft_traffic` if it
    /// records all requests.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when one does not exist, when none does, or when there are too many.
    pub fn streams(
        &self,
        catalog: &StreamCatalog,
        tenant: &TenantId,
        named: Option<Vec<StreamName>>,
    ) -> Result<Vec<StreamName>> {
        let streams: BTreeSet<StreamName> = match named {
            Some(named) => {
                let named: BTreeSet<StreamName> = named.into_iter().collect();
                let has_traffic = |stream: &StreamName| catalog.get(tenant, stream).is_some();
                if let Some(other) = named.iter().find(|stream| is_of_server(stream) || !has_traffic(stream)) {
                    return Err(Error::invalid(format!("there is no stream `{other}` of traffic")));
                }
                named
            }
            None => {
                let patterns = self.traffic.streams.iter().filter_map(|name| StreamPattern::parse(name).ok());
                let patterns = Streams::Matching(patterns.collect());
                let records = self.traffic.record == Record::All;
                let is_judged = |stream: &StreamName| {
                    !is_of_server(stream) && patterns.allow(stream) || records && stream.as_str() == TRAFFIC
                };
                catalog.list(tenant).into_iter().map(|(stream, _)| stream).filter(is_judged).collect()
            }
        };
        if streams.is_empty() {
            let message = "the set names no stream that exists: name some in streams, or in traffic.streams of the set";
            return Err(Error::invalid(message));
        }
        if streams.len() > MAX_STREAMS {
            return Err(Error::invalid(format!("a backtest reads at most {MAX_STREAMS} streams")));
        }
        Ok(streams.into_iter().collect())
    }
}

/// Whether the server writes a stream about something else than traffic.
fn is_of_server(stream: &StreamName) -> bool {
    stream.as_str() != TRAFFIC && (stream.is_system() || ALL.contains(&stream.as_str()))
}

/// Why policies cannot be tried on a stream: each field that it lacks, with the stream.
pub fn lacks(stream: &StreamName, stored: &StoredStream, set: &CompiledSet) -> Vec<String> {
    let said = |Lack { field, has_pseudonyms }: Lack| match has_pseudonyms {
        true => {
            format!("the stream `{stream}` has only pseudonyms of the field `{field}`, which no expression can read")
        }
        false => format!("the stream `{stream}` has no field `{field}`"),
    };
    stored.lacks(&set.fields).into_iter().map(said).collect()
}
