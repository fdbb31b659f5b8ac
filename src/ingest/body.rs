//! Decompression of bodies, within a bound.

use std::io::{self, Read};

use bytes::Bytes;

use super::budget::Reservation;
use crate::error::{Error, ErrorKind, Result};

/// The largest window a zstd frame may ask for: 8 MiB, as RFC 9659 rules for HTTP.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
const CHUNK_BYTES: usize = 32 * 1024;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ContentEncoding {
    /// Not at all.
    #[default]
    Identity,
    /// One or more gzip members.
    Gzip,
    /// One or more zstd frames.
    Zstd,
}

/// The decompressed body. It never exceeds `max_bytes` by more than a small buffer, also when the compressed form
/// claims less, and is added to `memory` first.
///
/// # Errors
/// [`ErrorKind::TooLarge`] when it is larger than `max_bytes`, [`ErrorKind::Invalid`] when it is broken or cut short,
/// [`ErrorKind::Unavailable`] when there is no memory for it.
pub(super) fn inflate(
    encoding: ContentEncoding,
    body: &Bytes,
    max_bytes: usize,
    memory: &mut Reservation,
) -> Result<Bytes> {
    match encoding {
        ContentEncoding::Identity if body.len() > max_bytes => Err(too_large(max_bytes)),
        ContentEncoding::Identity => Ok(body.clone()),
        ContentEncoding::Gzip => read(flate2::bufread::MultiGzDecoder::new(&body[..]), max_bytes, memory, "gzip"),
        ContentEncoding::Zstd => {
            let internal = |error| Error::new(ErrorKind::Internal, "zstd cannot be set up").caused_by(error);
            let mut decoder = zstd::stream::read::Decoder::with_buffer(&body[..]).map_err(internal)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(internal)?;
            read(decoder, max_bytes, memory, "zstd")
        }
    }
}

fn read(mut source: impl Read, max_bytes: usize, memory: &mut Reservation, format: &str) -> Result<Bytes> {
    let before = memory.bytes();
    let mut out = Vec::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let count = match source.read(&mut chunk) {
            Ok(0) => return Ok(out.into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let limits = if format == "zstd" { ", or needs a window of more than 8 MiB" } else { "" };
                return Err(
                    Error::invalid(format!("the body is truncated or corrupt {format}{limits}")).caused_by(error)
                );
            }
        };
        let needed = out.len() + count;
        if needed > max_bytes {
            return Err(too_large(max_bytes));
        }
        if needed > out.capacity() {
            // Doubling, but never past the bound.
            let capacity = (out.capacity() * 2).clamp(needed, max_bytes);
            memory.extend_to(before + capacity)?;
            out.reserve_exact(capacity - out.len());
        }
        out.extend_from_slice(&chunk[..count]);
    }
}

fn too_large(max_bytes: usize) -> Error {
    Error::new(ErrorKind::TooLarge, format!("the body is larger than {max_bytes} bytes, decompressed"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::ingest::tests::gzip;

    fn whole(encoding: ContentEncoding, body: Vec<u8>, max_bytes: usize) -> Bytes {
        inflate(encoding, &body.into(), max_bytes, &mut Reservation::unlimited()).unwrap()
    }

    fn kind(encoding: ContentEncoding, body: Vec<u8>, max_bytes: usize) -> ErrorKind {
        inflate(encoding, &body.into(), max_bytes, &mut Reservation::unlimited()).unwrap_err().kind()
    }

    #[test]
    fn a_body_comes_back_as_it_was_before_it_was_compressed() {
        let data: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
        let zstd = zstd::encode_all(&data[..], 3).unwrap();
        for (encoding, body) in [
            (ContentEncoding::Identity, data.clone()),
            (ContentEncoding::Gzip, gzip(&data)),
            (ContentEncoding::Zstd, zstd),
        ] {
            assert_eq!(whole(encoding, body, data.len()), data);
        }
    }

    #[test]
    fn several_members_are_one_body() {
        let members = [gzip(b"{}\n"), gzip(b"{}")].concat();
        assert_eq!(whole(ContentEncoding::Gzip, members, 100), "{}\n{}");
        let frames = [zstd::encode_all(&b"{}\n"[..], 1).unwrap(), zstd::encode_all(&b"{}"[..], 1).unwrap()].concat();
        assert_eq!(whole(ContentEncoding::Zstd, frames, 100), "{}\n{}");
    }

    #[test]
    fn a_bomb_stops_at_the_bound() {
        let zeros = vec![0; 8 << 20];
        assert_eq!(kind(ContentEncoding::Gzip, gzip(&zeros), 1 << 20), ErrorKind::TooLarge);
        assert_eq!(kind(ContentEncoding::Zstd, zstd::encode_all(&zeros[..], 1).unwrap(), 1 << 20), ErrorKind::TooLarge);
        assert_eq!(kind(ContentEncoding::Identity, zeros, 1 << 20), ErrorKind::TooLarge);
    }

    #[test]
    fn broken_and_truncated_input_is_invalid() {
        let data = vec![b'x'; 1000];
        for (encoding, body) in
            [(ContentEncoding::Gzip, gzip(&data)), (ContentEncoding::Zstd, zstd::encode_all(&data[..], 1).unwrap())]
        {
            assert_eq!(kind(encoding, body[..body.len() - 3].to_vec(), 10_000), ErrorKind::Invalid);
            assert_eq!(kind(encoding, [&body[..], b"tail"].concat(), 10_000), ErrorKind::Invalid);
            assert_eq!(kind(encoding, b"not compressed".to_vec(), 10_000), ErrorKind::Invalid);
        }
    }

    #[test]
    fn a_zstd_window_beyond_eight_mebibytes_is_refused() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(25).unwrap();
        encoder.write_all(&vec![7; 40 << 20]).unwrap();
        assert_eq!(kind(ContentEncoding::Zstd, encoder.finish().unwrap(), 64 << 20), ErrorKind::Invalid);
    }
}
