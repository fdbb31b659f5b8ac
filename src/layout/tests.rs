use proptest::prelude::*;

use super::*;
use crate::key::KeyName;

/// What the name of an object of events looks like, and what it nearly looks like.
const NEARLY_EVENTS: &str =
    r"([0-2][0-9]{2,4}-)?[0-9a-f]{8}-?[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{11}[0-9a-fA]\.parquet";

fn names() -> impl Strategy<Value = ObjectName> {
    let tenant = prop_oneof![
        Just(TenantId::default()),
        "[a-z0-9][a-z0-9_-]{0,62}".prop_filter_map("reserved", |text| TenantId::parse(&text).ok())
    ];
    let stream = "[a-z0-9][a-z0-9_-]{0,62}".prop_filter_map("reserved", |text| StreamName::parse(&text).ok());
    (tenant, stream, any::<u128>(), 0i32..200_000, 0usize..25).prop_map(|(tenant, stream, number, days, which)| {
        let id = Uuid::from_u128(number);
        match which {
            0 => ObjectName::Key { tenant, key_id: KeyId::parse(&id.to_string()).unwrap() },
            1 => ObjectName::Tenant { tenant },
            2 => ObjectName::Schema { tenant, stream },
            3 => {
                let date = NaiveDate::from_num_days_from_ce_opt(700_000 + days).unwrap();
                let hhmm = format!("{:02}{:02}", number % 24, number / 24 % 60);
                let minute = Minute::parse(date, &hhmm).map(ArrivalTime::Minute).unwrap();
                let arrived = if number % 2 == 0 { minute } else { ArrivalTime::Day(date) };
                ObjectName::Events { tenant, stream, arrived, id }
            }
            4 => {
                let name = KeyName::parse(&format!("name {number}")).unwrap().hash();
                ObjectName::NameClaim { tenant, name, generation: number as u64 }
            }
            5 => ObjectName::LogEntry { seq: number as u64 },
            6 => ObjectName::Node { node_id: NodeId::parse(&id.to_string()).unwrap() },
            7 => ObjectName::Snapshot { seq: number as u64, id },
            8 => ObjectName::SnapshotPart { seq: number as u64, id, part: number as u16 },
            9 => ObjectName::UsageSegment { id },
            10 => ObjectName::UsagePiece { id },
            11 => ObjectName::UsageArchive,
            12 | 13 => {
                let date = NaiveDate::from_num_days_from_ce_opt(700_000 + days).unwrap();
                match which {
                    12 => ObjectName::Manifest { tenant, stream, date },
                    _ => ObjectName::Merged { tenant, stream, date, id },
                }
            }
            14 => ObjectName::Machine { tenant, id: MachineId::parse(&id.to_string()).unwrap() },
            15 => ObjectName::PlatformMachine { id: MachineId::parse(&id.to_string()).unwrap() },
            16 => ObjectName::Members { tenant },
            17 => ObjectName::PlatformMembers,
            18 => ObjectName::HistoryRange { first: number as u64, last: days as u64 },
            19 => ObjectName::Account { id: OperatorId::of("https://a.example", &id.to_string()).unwrap() },
            20 => ObjectName::Signer { id: SignerId::of(id.as_bytes()) },
            21 => ObjectName::AuditStream,
            23 => ObjectName::PolicySecret,
            22 => ObjectName::PolicySet { tenant, version: number as u64 },
            24 => ObjectName::Mitigations { seq: number as u64 },
            _ => ObjectName::Admin,
        }
    })
}

#[test]
fn folders_of_streams_are_told_from_others() {
    for folder in ["streams/web", "streams/web/date=2026-11-27", "acme/streams/web/date=2026-11-27/merged"] {
        assert!(is_of_stream(RelativePath::new(folder)), "{folder}");
    }
    for folder in ["", "streams", "acme", "acme/streams", ".settings/keyloft/log", "a/b/streams/web"] {
        assert!(!is_of_stream(RelativePath::new(folder)), "{folder}");
    }
}

proptest! {
    #[test]
    fn every_name_reads_back(name in names()) {
        prop_assert_eq!(ObjectName::parse(&name.path()), Some(name));
    }

    #[test]
    fn the_names_in_the_folder_of_a_day_read_as_all_names_do(name in names(), other in NEARLY_EVENTS) {
        let path = name.path();
        if let ObjectName::Events { tenant, stream, arrived, .. } = &name {
            let folder = day(tenant, stream, arrived.date());
            for path in [path, folder.join(&other), folder.join(MERGED).join(&other), RelativePathBuf::from(other)] {
                let parsed = ObjectName::parse(&path).and_then(|name| match name {
                    ObjectName::Events { arrived, id, .. } => Some((arrived, id)),
                    _ => None,
                });
                prop_assert_eq!(events_in(&folder, arrived.date(), &path), parsed);
            }
        }
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
    let arrived_at = "2026-11-22T09:30:59.999Z".parse().unwrap();
    let id = Uuid::from_u128(7);
    let (of, events) = ("acme/streams/web/date=2026-11-22", "00000000-0000-0000-0000-000000000007.parquet");
    let now = ObjectName::events(acme.clone(), web.clone(), arrived_at, id);
    assert_eq!(now.path(), format!("{of}/0930-{events}"));
    let before = ObjectName::parse(RelativePath::new(&format!("{of}/{events}"))).unwrap();
    let arrived = ArrivalTime::Day(date);
    assert_eq!(before, ObjectName::Events { tenant: acme.clone(), stream: web, arrived, id });
    assert_eq!(ObjectName::Admin.path(), ".settings/keyloft/admin.json");
    assert_eq!(ObjectName::PlatformMembers.path(), ".settings/keyloft/members.json");
    assert_eq!(ObjectName::Members { tenant: acme.clone() }.path(), "acme/.settings/members.json");
    assert_eq!(ObjectName::LogEntry { seq: 7 }.path(), ".settings/keyloft/log/00000000000000000007.json");
    let claim = ObjectName::NameClaim { tenant: acme, name: KeyName::parse("web").unwrap().hash(), generation: 1 };
    assert_eq!(claim.path(), "acme/.settings/apikeys_names/4b5e57f6eb2f42b9039b3d1e13929295/00000000000000000001.json");
    assert_eq!(ObjectName::parse(RelativePath::new("default/.settings/tenant.json")), None);
    assert_eq!(parseable_metadata(&TenantId::default()), ".parseable/.parseable.json");
    assert_eq!(parseable_metadata(&TenantId::parse("acme").unwrap()), "acme/.parseable.json");
}
