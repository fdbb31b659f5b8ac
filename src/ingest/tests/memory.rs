//! How much of requests is held in memory.

use super::*;

#[tokio::test]
async fn a_request_that_finds_no_memory_is_refused_after_the_timeout() {
    let settings = IngestSettings { max_in_flight_bytes: 100, acquire_timeout: Duration::from_millis(50), ..window(1) };
    let bench = bench(0, settings);
    let large = bench.send("web", format!("{{\"a\":\"{}\"}}", "x".repeat(200)));
    bench.until(|bench| bench.puts() == 1).await;
    assert_eq!(kind(&bench.send("other", "{}").await.unwrap()), Some(ErrorKind::Unavailable));
    bench.passes.add_permits(OPEN);
    assert!(large.await.unwrap().is_ok());
    assert!(bench.send("other", "{}").await.unwrap().is_ok());
}

#[tokio::test]
async fn large_and_compressed_bodies_are_taken_in_and_bounded() {
    let bench = bench(OPEN, IngestSettings { max_body_bytes: 1 << 20, ..window(1) });
    let (web, body) = (StreamName::parse("web").unwrap(), "{\"a\":\"xxxxxxxxxxxxxxxx\"}\n".repeat(10_000));
    let origin = || Origin { tenant: TenantId::parse("acme").unwrap(), key_id: KeyId::random(), source_id: None };
    let zstd = |data: &[u8]| Bytes::from(zstd::encode_all(data, 1).unwrap());
    let upload = |encoding, body| Upload { encoding, form: Form::Events(Framing::Lines), body };
    let accept = |encoding, body| bench.ingest.accept(origin(), &web, upload(encoding, body));
    assert_eq!(accept(ContentEncoding::Identity, body.clone().into()).await.unwrap(), 10_000);
    assert_eq!(accept(ContentEncoding::Zstd, zstd(body.as_bytes())).await.unwrap(), 10_000);
    let bomb = accept(ContentEncoding::Zstd, zstd(&vec![b' '; 64 << 20])).await;
    assert_eq!(kind(&bomb), Some(ErrorKind::TooLarge));
    bench.ingest.drain().await;
}

#[tokio::test]
async fn many_bodies_that_grow_when_decoded_are_all_taken_in_at_once() {
    // Each body fits; what they become does not: nobody may wait for the others' memory while holding some.
    let settings =
        IngestSettings { max_in_flight_bytes: 8 << 20, acquire_timeout: Duration::from_secs(60), ..window(1) };
    let bench = bench(OPEN, settings);
    let sparse: String = (0..100).map(|n| format!("{{\"f{n}\":{n}}}\n")).collect();
    let body = format!("{sparse}{}", "{}\n".repeat(5_000)); // 17 KB, and 4 MB of columns.
    let sent: Vec<_> = (0..24).map(|n| bench.send(&format!("s{n}"), body.clone())).collect();
    let all = tokio::time::timeout(Duration::from_secs(30), join_all(sent)).await.unwrap();
    assert!(all.into_iter().all(|answer| answer.unwrap().is_ok()));
    bench.ingest.drain().await;
}

#[tokio::test]
async fn small_bodies_that_become_large_are_counted_before_they_do_and_read_one_at_a_time() {
    let settings =
        IngestSettings { max_in_flight_bytes: 4 << 20, acquire_timeout: Duration::from_millis(100), ..window(1) };
    let bench = bench(OPEN, settings);
    let numbers: String = (0..70).map(|n| format!("\"f{n}\":{n},")).collect();
    // 60 KB, and 11 MB of columns; 9 KB, and 9 MB of text.
    let sparse = format!("{}{{{}}}", "{}\n".repeat(20_000), numbers.trim_end_matches(','));
    let text = gzip(format!("{{\"a\":\"{}\"}}", "x".repeat(9 << 20)).as_bytes());
    let upload = |encoding, body: &[u8]| Upload {
        encoding,
        form: Form::Events(Framing::Lines),
        body: Bytes::copy_from_slice(body),
    };
    let uploads = [upload(ContentEncoding::Identity, sparse.as_bytes()), upload(ContentEncoding::Gzip, &text)];
    for (first, second) in [(0, 1), (1, 0)] {
        let reserve = || bench.ingest.reserve(Some(70_000));
        let (one, two, three) = (reserve().await.unwrap(), reserve().await.unwrap(), reserve().await.unwrap());
        let held = bench.ingest.read(uploads[first].clone(), one).await.unwrap();
        let refused = bench.ingest.read(uploads[second].clone(), two).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
        assert!(bench.ingest.read(upload(ContentEncoding::Identity, b"{}"), three).await.is_ok(), "small ones go on");
        drop(held);
        assert!(bench.ingest.read(uploads[second].clone(), reserve().await.unwrap()).await.is_ok());
    }
    bench.ingest.drain().await;
}

#[tokio::test]
async fn memory_is_taken_before_a_body_is_read_and_given_back_when_nobody_sends_it() {
    let settings =
        IngestSettings { acquire_timeout: Duration::from_millis(50), max_in_flight_bytes: 1 << 20, ..window(1) };
    let bench = bench(OPEN, IngestSettings { max_body_bytes: 1 << 20, ..settings });
    let reserved = bench.ingest.reserve(Some(600_000)).await.unwrap();
    for stated in [Some(600_000), None] {
        assert_eq!(bench.ingest.reserve(stated).await.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    assert!(bench.send("web", "{}").await.unwrap().is_ok());
    drop(reserved);
    assert_eq!(bench.ingest.reserve(None).await.unwrap().bytes(), 1 << 20);
}
