//! Objects that are damaged in every way: a query names the object, or its answer is right, and it never blames itself.

use object_store::path::Path;

use super::*;
use crate::store::StoreUrl;

/// Reads every column, some of them, and none.
const QUERIES: [(&str, &str); 3] = [
    ("SELECT n, text FROM e ORDER BY n", "n,text\n1,\n2,\n3,\n4,a\n5,b\n"),
    ("SELECT sum(n) AS s FROM e WHERE n > 1", "s\n14\n"),
    ("SELECT count(*) AS c FROM e", "c\n5\n"),
];

struct Damaged {
    house: House,
    object: Path,
    body: Vec<u8>,
    footer_bytes: usize,
}

impl Damaged {
    async fn new() -> Self {
        let (house, _) = House::three_minutes().await;
        house
            .store("default", "e", "2026-11-20T10:03:00Z", vec![("n", ints(&[4, 5])), ("text", texts(&["a", "b"]))])
            .await;
        let object = house.locations("e").await.pop().unwrap();
        let body = house.bucket.object_store().get(&object).await.unwrap().bytes().await.unwrap().to_vec();
        let footer_bytes = u32::from_le_bytes(body[body.len() - 8..body.len() - 4].try_into().unwrap()) as usize;
        let this = Self { house, object, body, footer_bytes };
        for which in 0..QUERIES.len() {
            assert!(!this.is_wrong("what is whole", which).await);
        }
        this
    }

    /// Puts other bytes in the place of the object. Whether one of the queries is answered, but not as it should be.
    async fn with(&self, what: &str, body: &[u8], which: usize) -> bool {
        self.house.bucket.object_store().put(&self.object, body.to_vec().into()).await.unwrap();
        self.is_wrong(what, which).await
    }

    async fn is_wrong(&self, what: &str, which: usize) -> bool {
        let (sql, expected) = QUERIES[which % QUERIES.len()];
        match self.house.ask(everything("default"), request(sql), Format::Csv).await {
            Ok(answer) => answer != expected,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {sql}: {error:?}");
                assert!(error.message().contains(self.object.as_ref()), "{what}: {sql}: {error:?}");
                false
            }
        }
    }
}

#[tokio::test]
async fn an_object_with_an_absurd_footer_or_of_another_length_is_named() {
    let damaged = Damaged::new().await;
    let (body, end) = (&damaged.body, damaged.body.len());
    let mut absurd: Vec<(String, Vec<u8>)> = [0, 1, 7, 8, end as u32, end as u32 - 8, 0x7fff_ffff, u32::MAX]
        .map(|length| {
            let mut absurd = body.clone();
            absurd[end - 8..end - 4].copy_from_slice(&length.to_le_bytes());
            (format!("a footer of {length} bytes"), absurd)
        })
        .into();
    for text in ["PAR1garbagePAR1", "PAR1", "PAR1PAR1", "PAR1\0\0\0\0PAR1", "PAREgarbagePARE"] {
        absurd.push((text.to_owned(), text.into()));
    }
    absurd.push(("twice".to_owned(), [body.as_slice(), body].concat()));
    for (what, absurd) in &absurd {
        for which in 0..QUERIES.len() {
            assert!(!damaged.with(what, absurd, which).await, "{what}");
        }
    }
    for length in 0..end {
        assert!(!damaged.with("cut short", &body[..length], length).await, "{length} bytes of {end}");
    }
    assert!(!damaged.with("whole again", body, 0).await);
    assert_eq!(damaged.house.catalog.unreadable().len(), 0);
}

/// Parquet has no checksum, so a name, a statistic or a value may be another one, and nobody can tell.
#[tokio::test]
async fn an_object_with_a_flipped_byte_is_named_or_read() {
    let damaged = Damaged::new().await;
    let (body, end) = (&damaged.body, damaged.body.len());
    let first = end - 8 - damaged.footer_bytes;
    let mut unnoticed = 0;
    for at in 0..end {
        let mut flipped = body.clone();
        flipped[at] ^= 0xff;
        let what = format!("byte {at} of {end}, the footer begins at {first}");
        unnoticed += usize::from(damaged.with(&what, &flipped, at).await);
    }
    eprintln!("{unnoticed} of {end} answers were of other names, statistics or values");
    assert!(unnoticed < end / 10, "{unnoticed} of {end}");
    assert!(!damaged.with("whole again", body, 0).await);
    assert_eq!(damaged.house.catalog.unreadable().len(), 0);
}

#[tokio::test]
async fn a_folder_in_the_place_of_an_object_is_none_and_a_link_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = StoreUrl::Directory(folder.path().to_owned()).open().unwrap();
    let house = House::on(bucket, QuerySettings { threads: 2, ..QuerySettings::default() });
    house.store("default", "e", "2026-11-20T10:00:00Z", vec![("n", ints(&[1]))]).await;
    house.store("default", "e", "2026-11-20T10:01:00Z", vec![("n", ints(&[2]))]).await;
    let last = house.locations("e").await.pop().unwrap();
    let file = folder.path().join(last.as_ref());
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    assert_eq!(house.json("SELECT sum(n) AS s FROM e").await, r#"[{"s":1}]"#);
    std::fs::remove_dir(&file).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", &file).unwrap();
    let error = house.ask(everything("default"), request("SELECT n FROM e"), Format::Csv).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    assert!(error.message().contains(last.as_ref()), "{error:?}");
}
