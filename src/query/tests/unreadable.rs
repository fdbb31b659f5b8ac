//! Objects that cannot be read: an error names them, and other ranges stay readable.

use object_store::path::Path;

use super::*;

impl House {
    /// The objects of a stream of the default tenant.
    pub(super) async fn locations(&self, stream: &str) -> Vec<Path> {
        let folder = crate::layout::stream_folder(&TenantId::default(), &StreamName::parse(stream).unwrap());
        let listed = self.bucket.list_all(&folder).await.unwrap();
        let mut locations: Vec<_> = listed.into_iter().map(|meta| meta.location).collect();
        locations.retain(|location| location.extension() == Some("parquet"));
        locations.sort();
        locations
    }

    /// What a query of everything is refused with, and what is noted.
    async fn names(&self, object: &Path, reason: &str) {
        for sql in ["SELECT sum(n) AS s FROM e", "SELECT * FROM e ORDER BY n", "SELECT n FROM e WHERE n > 0"] {
            let error = self.ask(everything("default"), request(sql), Format::Csv).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{sql}: {error:?}");
            let start = format!("the object `{object}` cannot be read: {reason}");
            assert!(error.message().starts_with(&start), "{sql}: {error:?}");
        }
        let noted = self.catalog.unreadable();
        let ((tenant, name), why) = noted.first_key_value().unwrap();
        assert_eq!((noted.len(), tenant, name.as_str()), (1, &TenantId::default(), object.as_ref()));
        assert!(why.starts_with(reason), "{why}");
        let others = "SELECT sum(n) AS s FROM e WHERE p_timestamp < '2026-11-20T10:02:00Z'";
        assert_eq!(self.json(others).await, r#"[{"s":3}]"#, "other ranges stay readable");
    }

    pub(super) async fn three_minutes() -> (Self, Path) {
        let house = Self::new();
        for minute in 0..3 {
            let time = format!("2026-11-20T10:{minute:02}:00Z");
            house.store("default", "e", &time, vec![("n", ints(&[minute + 1]))]).await;
        }
        let last = house.locations("e").await.pop().unwrap();
        (house, last)
    }
}

#[tokio::test]
async fn an_object_that_is_no_parquet_file_is_named() {
    let (house, last) = House::three_minutes().await;
    house.bucket.object_store().put(&last, b"this is no Parquet file".to_vec().into()).await.unwrap();
    house.names(&last, "it is damaged").await;
    house.bucket.object_store().delete(&last).await.unwrap();
    assert_eq!(house.json("SELECT sum(n) AS s FROM e").await, r#"[{"s":3}]"#);
    assert_eq!(house.catalog.unreadable().len(), 0, "what is gone is not complained of");
    // A day that goes takes what was noted of it along.
    house.store("default", "e", "2026-11-25T10:00:00Z", vec![("n", ints(&[9]))]).await;
    let alone = house.locations("e").await.pop().unwrap();
    house.bucket.object_store().put(&alone, b"this is no Parquet file".to_vec().into()).await.unwrap();
    assert!(house.ask(everything("default"), request("SELECT n FROM e"), Format::Csv).await.is_err());
    assert_eq!(house.catalog.unreadable().len(), 1);
    house.bucket.object_store().delete(&alone).await.unwrap();
    assert_eq!(house.json("SELECT sum(n) AS s FROM e").await, r#"[{"s":3}]"#);
    assert_eq!(house.catalog.unreadable().len(), 0);
}

#[tokio::test]
async fn an_object_with_a_good_footer_and_damaged_rows_is_named() {
    let (house, last) = House::three_minutes().await;
    let store = house.bucket.object_store();
    let mut body = store.get(&last).await.unwrap().bytes().await.unwrap().to_vec();
    let footer = u32::from_le_bytes(body[body.len() - 8..body.len() - 4].try_into().unwrap()) as usize;
    let rows = body.len() - 8 - footer;
    body[4..rows].fill(0xff);
    store.put(&last, body.into()).await.unwrap();
    house.names(&last, "it is damaged").await;
}

#[tokio::test]
async fn an_object_whose_times_are_of_another_type_is_named() {
    let (house, last) = House::three_minutes().await;
    let batch = RecordBatch::try_from_iter([("p_timestamp", ints(&[1])), ("n", ints(&[7]))]).unwrap();
    let mut body = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut body, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    house.bucket.object_store().put(&last, body.into()).await.unwrap();
    house.names(&last, "its column `p_timestamp` is Int64 and not Timestamp").await;
    let counted = house.ask(everything("default"), request("SELECT count(*) AS c FROM e"), Format::Csv).await;
    assert_eq!(counted.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn an_object_that_a_manifest_names_and_that_is_gone_or_cut_short_is_named() {
    use crate::documents::{Document as _, Documents};
    use crate::stream::{Manifest, MergedObject};

    let (house, last) = House::three_minutes().await;
    let store = house.bucket.object_store();
    // As compaction leaves it: the last object is a merged one.
    let body = store.get(&last).await.unwrap().bytes().await.unwrap();
    let (tenant, stream, id) = (TenantId::default(), StreamName::parse("e").unwrap(), fresh());
    let date = at("2026-11-20T00:00:00Z").date_naive();
    let first = at("2026-11-20T10:02:00Z");
    let mut manifest = Manifest::default();
    manifest.replace(&[], [MergedObject { id, rows: 1, bytes: body.len() as u64, first, last: first, full: false }]);
    let day = (tenant.clone(), stream.clone(), date);
    let create = |found: crate::documents::Found<Manifest>| {
        found.usable()?;
        Ok(crate::documents::Edit::Write(manifest.clone(), ()))
    };
    Documents::<Manifest>::new(house.bucket.clone()).update(&day, create).await.unwrap();
    assert!(Manifest::object(&day).path().as_str().ends_with(".json"));
    let merged = object_path(&ObjectName::Merged { tenant, stream, date, id }.path()).unwrap();
    store.delete(&last).await.unwrap();
    house.names(&merged, "it is missing").await;
    store.put(&merged, body.slice(..body.len() / 2).into()).await.unwrap();
    house.names(&merged, "it is damaged").await;
    house.catalog.unreadable_objects().lock().clear();
    store.put(&merged, body.clone().into()).await.unwrap();
    assert_eq!(house.json("SELECT sum(n) AS s FROM e").await, r#"[{"s":6}]"#);
    store.put(&merged, body.slice(..20).into()).await.unwrap();
    house.names(&merged, "it is damaged").await;
    store.put(&merged, body.clone().into()).await.unwrap();
    assert_eq!(house.json("SELECT sum(n) AS s FROM e").await, r#"[{"s":6}]"#);
    assert_eq!(house.catalog.unreadable().len(), 0, "it is whole again");
    store.put(&merged, Vec::new().into()).await.unwrap();
    let unread = request("SELECT n FROM e");
    assert!(house.ask(everything("default"), unread, Format::Csv).await.is_err());
    store.put(&merged, body.clone().into()).await.unwrap();
    assert_eq!(house.json("SELECT sum(n) AS s FROM e").await, r#"[{"s":6}]"#);
    store.delete(&merged).await.unwrap();
    house.names(&merged, "it is missing").await;
    // Though its footer was in memory, and the manifest says how many events it has.
    let counted = house.ask(everything("default"), request("SELECT count(*) AS c FROM e"), Format::Csv).await;
    assert_eq!(counted.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(house.catalog.unreadable().len(), 1);
    store.put(&merged, body.into()).await.unwrap();
    assert_eq!(house.json("SELECT sum(n) AS s FROM e").await, r#"[{"s":6}]"#);
    assert_eq!(house.catalog.unreadable().len(), 0, "it is there again");
}

#[tokio::test]
async fn what_was_noted_goes_when_all_of_the_object_can_be_read_again_and_not_before() {
    let (house, _) = House::three_minutes().await;
    let columns = || vec![("n", ints(&[4])), ("text", texts(&["a text that is long enough to be found"]))];
    house.store("default", "e", "2026-11-20T10:03:00Z", columns()).await;
    let (store, last) = (house.bucket.object_store(), house.locations("e").await.pop().unwrap());
    let body = store.get(&last).await.unwrap().bytes().await.unwrap();
    let mut damaged = body.to_vec();
    let page = damaged.windows(6).position(|bytes| bytes == b"a text").unwrap();
    damaged[page - 4..page].fill(0xff);
    store.put(&last, damaged.into()).await.unwrap();
    let noted = || house.catalog.unreadable().into_keys().map(|(_, object)| object).collect::<Vec<_>>();
    let texts = request("SELECT max(text) AS t FROM e");
    let error = house.ask(everything("default"), texts, Format::Csv).await.unwrap_err();
    assert_eq!((error.kind(), noted()), (ErrorKind::Corrupt, vec![last.to_string()]), "{error:?}");
    for sql in ["SELECT sum(n) AS s FROM e", "SELECT count(*) AS c FROM e"] {
        house.ask(everything("default"), request(sql), Format::Csv).await.unwrap();
        assert_eq!(noted(), [last.to_string()], "{sql} does not read what is damaged");
    }
    store.put(&last, body.into()).await.unwrap();
    assert_eq!(house.json("SELECT sum(n) AS s FROM e").await, r#"[{"s":10}]"#);
    assert_eq!(noted(), Vec::<String>::new(), "it was put back");
}
