//! Tests of what every part of the policies builds on.

mod field;

/// A file of `fixtures/traffic`.
pub(super) fn traffic(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/traffic").join(format!("{name}.zst"));
    String::from_utf8(zstd::decode_all(std::fs::File::open(path).unwrap()).unwrap()).unwrap()
}
