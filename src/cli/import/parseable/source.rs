//! Parseable's keys in its bucket: finding them only reads; removing them needs `--delete-originals`.

use std::collections::BTreeSet;

use relative_path::{RelativePath, RelativePathBuf};
use serde_json::Value;

use super::super::super::{Failure, Outcome};
use super::super::parsed::ParsedKey;
use super::super::upload::Row;
use super::document::{self, Original};
use crate::error::ErrorKind;
use crate::key::{KeyName, KeyType, TenantId};
use crate::layout;
use crate::store::{Bucket, Stored, Version, Written};

/// No key of Parseable is larger, in bytes.
const MAX_FILE_BYTES: u64 = 64 * 1024;
/// No metadata of Parseable should be larger, in bytes.
const MAX_METADATA_BYTES: u64 = 16 * 1024 * 1024;

/// How keys are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// The type of keys for which Parseable states none, or more than a key here can have.
    pub(super) otherwise: KeyType,
    /// Whether those that manage Parseable become machines.
    pub(super) machines: bool,
}

/// A key that becomes a machine. Its secret is not kept: a machine has a token of another form.
pub(super) struct Managing {
    /// Where it was found.
    pub(super) source: String,
    /// Its name.
    pub(super) name: KeyName,
}

/// The keys of one tenant in Parseable.
pub(super) struct Source {
    pub(super) tenant: TenantId,
    /// The keys that can be read.
    pub(super) keys: Vec<ParsedKey>,
    /// Those that become machines. Their originals are never removed: their programs need new tokens first.
    pub(super) managing: Vec<Managing>,
    /// Why others cannot.
    pub(super) refused: Vec<Row>,
    files: Vec<RelativePathBuf>,
    metadata: Option<(RelativePathBuf, Value, Version)>,
}

/// The tenants that there may be: every folder that could be one. Streams are folders too, and hold no keys.
pub(super) async fn tenants(bucket: &Bucket) -> Outcome<Vec<TenantId>> {
    let folders = bucket.folders(RelativePath::new("")).await?;
    let named = folders.iter().filter_map(|folder| TenantId::parse(folder).ok()).filter(|tenant| !tenant.is_default());
    Ok(std::iter::once(TenantId::default()).chain(named).collect())
}

/// Reads the keys of a tenant.
pub(super) async fn read(bucket: &Bucket, tenant: TenantId, how: Reading) -> Outcome<Source> {
    let (keys, managing) = (Vec::new(), Vec::new());
    let mut source = Source { tenant, keys, managing, refused: Vec::new(), files: Vec::new(), metadata: None };
    let mut listed = bucket.list(&layout::keys(&source.tenant)).await?;
    listed.sort_by(|a, b| a.path.cmp(&b.path));
    for file in listed.into_iter().filter(|file| file.path.file_name().is_some_and(document::is_key_file)) {
        let Some(stored) = source.open(bucket, &file.path, MAX_FILE_BYTES).await? else { continue };
        if source.take(file.path.as_str(), Original::parse(&stored.body), None, how) {
            source.files.push(file.path);
        }
    }
    let path = layout::parseable_metadata(&source.tenant);
    if let Some(stored) = source.open(bucket, &path, MAX_METADATA_BYTES).await? {
        match serde_json::from_slice::<Value>(&stored.body) {
            Ok(metadata) if metadata.is_object() => {
                for (at, key) in document::keys_in(&metadata) {
                    source.take(&format!("{path} users[{at}]"), key, Some(&metadata), how);
                }
                source.metadata = Some((path, metadata, stored.version));
            }
            _ => source.refuse(path.as_str(), "not metadata of Parseable: that is a JSON object"),
        }
    }
    Ok(source)
}

impl Source {
    /// Takes what was found. Says whether it may be removed once all keys are imported.
    fn take(&mut self, source: &str, key: Option<Original>, metadata: Option<&Value>, how: Reading) -> bool {
        if how.machines
            && let Some(key) = key.as_ref().filter(|key| key.manages(metadata))
            && let Some(name) = key.new_name(source)
        {
            self.managing.push(Managing { source: source.to_owned(), name });
            return false;
        }
        match key.and_then(|key| key.into_parsed(source.to_owned(), metadata, how.otherwise)) {
            Some(key) => self.keys.push(key),
            None => self.refuse(source, "not a key of Parseable, or one of a later version"),
        }
        true
    }

    fn refuse(&mut self, source: &str, why: &str) {
        self.refused.push(Row::refused(&self.tenant, source, why));
    }

    /// Reads an object. An invalid object is refused alone; an unreachable store ends the command.
    async fn open(&mut self, bucket: &Bucket, path: &RelativePath, max_bytes: u64) -> Outcome<Option<Stored>> {
        match bucket.read_foreign(path, max_bytes).await {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                self.refuse(path.as_str(), &format!("it cannot be read: {}", error.message()));
                Ok(None)
            }
            read => Ok(read?),
        }
    }

    /// Removes the keys, except those whose sources are in `stay`; returns how many. The metadata keeps everything but
    /// its keys, and is written only if it is unchanged since it was read.
    pub(super) async fn remove(self, bucket: &Bucket, stay: &BTreeSet<String>) -> Outcome<usize> {
        let goes: Vec<&ParsedKey> = self.keys.iter().filter(|key| !stay.contains(&key.source)).collect();
        if let Some((path, metadata, version)) = self.metadata {
            let gone: BTreeSet<&str> = goes.iter().map(|key| key.secret.as_str()).collect();
            let left = document::without_keys(metadata.clone(), |secret| gone.contains(secret));
            if left != metadata {
                let body = serde_json::to_vec(&left).map_err(|error| Failure::failed(error.to_string()))?;
                if bucket.replace_foreign(&path, body.into(), &version).await? == Written::Conflict {
                    return Err(Failure::refused(format!(
                        "{path} was changed in the meantime: stop Parseable and run the same command again"
                    )));
                }
            }
        }
        for file in self.files.iter().filter(|file| !stay.contains(file.as_str())) {
            bucket.remove_foreign(file).await?;
        }
        Ok(goes.len())
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;
    use object_store::path::Path;

    use super::super::super::super::failure::FailureKind;
    use super::*;

    const METADATA: &str = include_str!("../../../../fixtures/import/parseable/metadata.json");
    const FILE: &str = include_str!("../../../../fixtures/import/parseable/01JQGPQY77ZXYYK596NGYA1DQ9.json");

    const AS_KEYS: Reading = Reading { otherwise: KeyType::Ingestion, machines: false };

    async fn put(bucket: &Bucket, path: &str, body: &str) {
        bucket.object_store().put(&Path::parse(path).unwrap(), body.to_owned().into()).await.unwrap();
    }

    async fn exists(bucket: &Bucket, path: &str) -> bool {
        bucket.read_foreign(RelativePath::new(path), 1 << 20).await.unwrap().is_some()
    }

    const KEY: &str = "acme/.settings/apikeys/01JQGPQY77ZXYYK596NGYA1DQ9.json";
    const ACME: &str = "acme/.parseable.json";

    async fn acme() -> (Bucket, Source) {
        let bucket = Bucket::in_memory();
        put(&bucket, KEY, FILE).await;
        put(&bucket, "acme/.settings/apikeys/5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10.json", "{}").await;
        put(&bucket, ACME, METADATA).await;
        put(&bucket, "web/.stream/.stream.json", "{}").await;
        let acme = TenantId::parse("acme").unwrap();
        let names = [TenantId::default(), acme.clone(), TenantId::parse("web").unwrap()];
        assert_eq!(tenants(&bucket).await.unwrap(), names);
        let source = read(&bucket, acme, AS_KEYS).await.unwrap();
        (bucket, source)
    }

    #[tokio::test]
    async fn what_was_read_is_removed_and_nothing_else() {
        let (bucket, source) = acme().await;
        assert_eq!((source.keys.len(), source.refused.len()), (5, 0));
        assert_eq!(source.remove(&bucket, &BTreeSet::new()).await.unwrap(), 5);
        assert!(!exists(&bucket, KEY).await && exists(&bucket, ACME).await);
        assert!(exists(&bucket, "acme/.settings/apikeys/5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10.json").await);
        let again = read(&bucket, TenantId::parse("acme").unwrap(), AS_KEYS).await.unwrap();
        assert!(again.keys.is_empty());
    }

    #[tokio::test]
    async fn originals_that_become_machines_are_never_removed() {
        let (bucket, _) = acme().await;
        put(&bucket, KEY, &FILE.replace("\"keyName\"", "\"keyType\": \"admin\", \"keyName\"")).await;
        let acme = TenantId::parse("acme").unwrap();
        let source = read(&bucket, acme, Reading { machines: true, ..AS_KEYS }).await.unwrap();
        let managing: Vec<_> = source.managing.iter().map(|key| (key.source.as_str(), key.name.as_str())).collect();
        assert_eq!(managing, [(KEY, "checkout"), ("acme/.parseable.json users[4]", "all")]);
        assert_eq!(source.remove(&bucket, &BTreeSet::new()).await.unwrap(), 3);
        assert!(exists(&bucket, KEY).await);
        let left = bucket.read_foreign(RelativePath::new(ACME), 1 << 20).await.unwrap().unwrap();
        let users = serde_json::from_slice::<Value>(&left.body).unwrap()["users"].as_array().unwrap().len();
        assert_eq!(users, 3, "two people, and the key that manages");
    }

    #[tokio::test]
    async fn metadata_that_somebody_changed_meanwhile_is_left_alone_and_so_is_the_rest() {
        let (bucket, source) = acme().await;
        put(&bucket, ACME, &METADATA.replace("v7", "v8")).await;
        let failure = source.remove(&bucket, &BTreeSet::new()).await.unwrap_err();
        assert_eq!(failure.kind(), FailureKind::Refused);
        assert!(failure.to_string().contains("stop Parseable"), "{failure}");
        assert!(exists(&bucket, KEY).await);
    }

    #[tokio::test]
    async fn metadata_without_keys_is_not_touched_and_of_another_shape_refused() {
        const PATH: &str = ".parseable/.parseable.json";
        for (text, refused) in [("{ \"version\":\"v7\" }", 0), ("{\"users\": 7 }", 0), ("[]", 1), ("null", 1), ("7", 1)]
        {
            let bucket = Bucket::in_memory();
            put(&bucket, PATH, text).await;
            let source = read(&bucket, TenantId::default(), AS_KEYS).await.unwrap();
            assert_eq!((source.refused.len(), source.keys.len()), (refused, 0), "{text}");
            assert_eq!(source.remove(&bucket, &BTreeSet::new()).await.unwrap(), 0);
            let left = bucket.read_foreign(RelativePath::new(PATH), 1 << 20).await.unwrap().unwrap();
            assert_eq!(left.body, text.as_bytes());
        }
    }

    #[tokio::test]
    async fn what_stays_is_not_removed_and_a_file_that_is_too_large_is_refused_alone() {
        let (bucket, _) = acme().await;
        put(&bucket, "acme/.settings/apikeys/01JQ1K5GQAPENECFSECZP11HYG.json", &" ".repeat(70_000)).await;
        let source = read(&bucket, TenantId::parse("acme").unwrap(), AS_KEYS).await.unwrap();
        assert_eq!((source.keys.len(), source.refused.len()), (5, 1));
        assert!(source.refused[0].note.as_ref().unwrap().contains("larger than"));
        let stay = BTreeSet::from([KEY.to_owned(), source.keys[1].source.clone()]);
        assert_eq!(source.remove(&bucket, &stay).await.unwrap(), 3);
        assert!(exists(&bucket, KEY).await);
        let again = read(&bucket, TenantId::parse("acme").unwrap(), AS_KEYS).await.unwrap();
        assert_eq!(again.keys.len(), 2);
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_named() {
        let bucket = Bucket::in_memory();
        put(&bucket, ".settings/apikeys/01JQGPQY77ZXYYK596NGYA1DQ9.json", r#"{"apiKey": 7}"#).await;
        put(&bucket, ".parseable/.parseable.json", r#"{"users": [{"api_key": "x", "key_name": 7}, {"#).await;
        let source = read(&bucket, TenantId::default(), AS_KEYS).await.unwrap();
        let refused: Vec<_> = source.refused.iter().map(|row| row.source.as_str()).collect();
        let expected = [".settings/apikeys/01JQGPQY77ZXYYK596NGYA1DQ9.json", ".parseable/.parseable.json"];
        assert_eq!((refused.as_slice(), source.keys.len()), (expected.as_slice(), 0));
    }
}
