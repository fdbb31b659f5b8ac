//! Every object name of the system, built here and parsed back here, and nowhere else.
//!
//! The objects of the default tenant stand at the root of the store, those of every other tenant under `<tenant>/`.
//! Identities are validated types, so no name can leave its tenant's folder.

use chrono::NaiveDate;
use relative_path::{RelativePath, RelativePathBuf};
use uuid::Uuid;

use crate::key::{KeyId, StreamName, TenantId};

const SETTINGS: &str = ".settings";
const API_KEYS: &str = "apikeys";
const TENANT: &str = "tenant.json";
const STREAMS: &str = "streams";
const SCHEMA: &str = "schema.json";
const KEYLOFT: &str = "keyloft";
const ADMIN: &str = "admin.json";
const LOCK: &str = "lock";

/// An object of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectName {
    /// `<T>.settings/apikeys/<uuid>.json`: one key, the source of truth.
    Key {
        /// Whose key.
        tenant: TenantId,
        /// Which key.
        key_id: KeyId,
    },
    /// `<T>.settings/tenant.json`: the tenant's own record.
    Tenant {
        /// Which tenant.
        tenant: TenantId,
    },
    /// `<T>streams/<stream>/schema.json`: the fields of a stream.
    Schema {
        /// Whose stream.
        tenant: TenantId,
        /// Which stream.
        stream: StreamName,
    },
    /// `<T>streams/<stream>/date=YYYY-MM-DD/<uuid>.parquet`: events that arrived on that day (UTC).
    Events {
        /// Whose stream.
        tenant: TenantId,
        /// Which stream.
        stream: StreamName,
        /// The day of arrival.
        date: NaiveDate,
        /// Unique among all.
        id: Uuid,
    },
    /// `.settings/keyloft/admin.json`: the digest of the bootstrap admin token.
    Admin,
}

impl ObjectName {
    /// The name in the store.
    pub fn path(&self) -> RelativePathBuf {
        match self {
            Self::Key { tenant, key_id } => keys(tenant).join(format!("{key_id}.json")),
            Self::Tenant { tenant } => settings(tenant).join(TENANT),
            Self::Schema { tenant, stream } => stream_folder(tenant, stream).join(SCHEMA),
            Self::Events { tenant, stream, date, id } => {
                day(tenant, stream, *date).join(format!("{}.parquet", id.as_hyphenated()))
            }
            Self::Admin => RelativePathBuf::from(SETTINGS).join(KEYLOFT).join(ADMIN),
        }
    }

    /// Reads a name back; `None` when it is no object of ours.
    pub fn parse(path: &RelativePath) -> Option<Self> {
        let parts: Vec<&str> = path.as_str().split('/').collect();
        let (tenant, rest) = match parts.as_slice() {
            rest @ ([SETTINGS, ..] | [STREAMS, ..]) => (TenantId::default(), rest),
            [tenant, rest @ ..] => (TenantId::parse(tenant).ok().filter(|tenant| !tenant.is_default())?, rest),
            [] => return None,
        };
        match *rest {
            [SETTINGS, KEYLOFT, ADMIN] if tenant.is_default() => Some(Self::Admin),
            [SETTINGS, API_KEYS, file] => {
                let key_id = KeyId::parse(file.strip_suffix(".json")?).ok()?;
                Some(Self::Key { tenant, key_id })
            }
            [SETTINGS, TENANT] => Some(Self::Tenant { tenant }),
            [STREAMS, stream, SCHEMA] => Some(Self::Schema { tenant, stream: StreamName::parse(stream).ok()? }),
            [STREAMS, stream, day, file] => {
                let stream = StreamName::parse(stream).ok()?;
                let id = file.strip_suffix(".parquet")?;
                let id = Uuid::try_parse(id).ok().filter(|uuid| uuid.as_hyphenated().to_string() == id)?;
                Some(Self::Events { tenant, stream, date: parse_day(day)?, id })
            }
            _ => None,
        }
    }
}

/// The folder of a tenant's key documents.
pub fn keys(tenant: &TenantId) -> RelativePathBuf {
    settings(tenant).join(API_KEYS)
}

/// The folder of a tenant's streams.
pub fn streams(tenant: &TenantId) -> RelativePathBuf {
    root(tenant).join(STREAMS)
}

/// The folder of one stream.
pub fn stream_folder(tenant: &TenantId, stream: &StreamName) -> RelativePathBuf {
    streams(tenant).join(stream.as_str())
}

/// The folder of one day of a stream.
pub fn day(tenant: &TenantId, stream: &StreamName, date: NaiveDate) -> RelativePathBuf {
    stream_folder(tenant, stream).join(format!("date={}", date.format("%Y-%m-%d")))
}

/// Reads the last segment of a day's folder back.
pub fn parse_day(segment: &str) -> Option<NaiveDate> {
    let text = segment.strip_prefix("date=")?;
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|date| date.format("%Y-%m-%d").to_string() == text)
}

/// The file that processes sharing one local directory lock around a compare-and-swap.
pub fn lock_file() -> RelativePathBuf {
    RelativePathBuf::from(SETTINGS).join(KEYLOFT).join(LOCK)
}

fn settings(tenant: &TenantId) -> RelativePathBuf {
    root(tenant).join(SETTINGS)
}

fn root(tenant: &TenantId) -> RelativePathBuf {
    RelativePathBuf::from(if tenant.is_default() { "" } else { tenant.as_str() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names() -> impl Strategy<Value = ObjectName> {
        let tenant = prop_oneof![
            Just(TenantId::default()),
            "[a-z0-9][a-z0-9_-]{0,62}".prop_filter_map("reserved", |text| TenantId::parse(&text).ok())
        ];
        let stream = "[a-z0-9][a-z0-9_-]{0,62}".prop_filter_map("reserved", |text| StreamName::parse(&text).ok());
        (tenant, stream, any::<u128>(), 0i32..200_000, 0usize..5).prop_map(|(tenant, stream, number, days, which)| {
            let id = Uuid::from_u128(number);
            match which {
                0 => ObjectName::Key { tenant, key_id: KeyId::parse(&id.to_string()).unwrap() },
                1 => ObjectName::Tenant { tenant },
                2 => ObjectName::Schema { tenant, stream },
                3 => {
                    let date = NaiveDate::from_num_days_from_ce_opt(700_000 + days).unwrap();
                    ObjectName::Events { tenant, stream, date, id }
                }
                _ => ObjectName::Admin,
            }
        })
    }

    proptest! {
        #[test]
        fn every_name_reads_back(name in names()) {
            prop_assert_eq!(ObjectName::parse(&name.path()), Some(name));
        }

        #[test]
        fn every_name_stays_in_its_tenants_folder(name in names()) {
            let path = name.path();
            prop_assert!(!path.as_str().split('/').any(|part| part.is_empty() || part == "." || part == ".."));
            if let ObjectName::Key { tenant, .. } | ObjectName::Schema { tenant, .. } = &name {
                prop_assert_eq!(path.starts_with(tenant.as_str()), !tenant.is_default());
            }
        }

        #[test]
        fn what_parses_is_spelt_as_we_spell_it(path in "[a-z./=0-9-]{0,80}") {
            if let Some(name) = ObjectName::parse(RelativePath::new(&path)) {
                let spelt = name.path();
                prop_assert_eq!(spelt.as_str(), path);
            }
        }
    }

    #[test]
    fn the_contract_is_spelt_out() {
        let key_id = KeyId::parse("5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10").unwrap();
        let acme = TenantId::parse("acme").unwrap();
        let key = |tenant: &TenantId| ObjectName::Key { tenant: tenant.clone(), key_id }.path();
        assert_eq!(key(&TenantId::default()), ".settings/apikeys/5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10.json");
        assert_eq!(key(&acme), "acme/.settings/apikeys/5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10.json");
        let date = NaiveDate::from_ymd_opt(2026, 11, 22).unwrap();
        let web = StreamName::parse("web").unwrap();
        assert_eq!(day(&acme, &web, date), "acme/streams/web/date=2026-11-22");
        assert_eq!(ObjectName::Admin.path(), ".settings/keyloft/admin.json");
        assert_eq!(ObjectName::parse(RelativePath::new("default/.settings/tenant.json")), None);
    }
}
