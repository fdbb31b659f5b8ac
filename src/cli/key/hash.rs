//! Hashes of other systems, to check a key before it is imported: scrypt (RFC 7914). Live keys have a fast digest only.
//!
//! It reads PHC strings, `$scrypt$ln=16,r=8,p=1$<salt>$<hash>`, and what Ditto Edge Server calls a Secure Public Hash:
//! the base64 of such a string without its first `$` (its documentation, "Client Authentication").

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use scrypt::Params;
use zeroize::Zeroizing;

use crate::key::Digest;

/// The memory that one hash may take, in bytes.
const MAX_MEMORY_BYTES: u64 = 1 << 30;
/// The work that one hash may take: four passes over that much memory.
const MAX_WORK_BYTES: u64 = 4 * MAX_MEMORY_BYTES;
/// The longest text that is read.
const MAX_TEXT_BYTES: usize = 1024;

/// A scrypt hash that can be computed within bounds.
#[derive(Debug, Clone)]
pub struct ScryptHash {
    params: Params,
    salt: Vec<u8>,
    hash: Vec<u8>,
    /// Whether it was given in base64: then the key may be base64 too, and the hash is of the decoded bytes.
    wrapped: bool,
}

impl ScryptHash {
    /// Reads a hash.
    ///
    /// # Errors
    /// States the rule that the text breaks. One hash takes at most 1 GiB of memory and four times as much work.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const SHAPE: &str = "must be $scrypt$ln=…,r=…,p=…$salt$hash, or the base64 of that";
        let text = text.trim();
        if text.len() > MAX_TEXT_BYTES {
            return Err(SHAPE);
        }
        let plain = |text: &str| text.strip_prefix('$').unwrap_or(text).strip_prefix("scrypt$").map(str::to_owned);
        let (fields, wrapped) = match plain(text) {
            Some(fields) => (fields, false),
            None => {
                let bytes = decode(text).ok_or(SHAPE)?;
                let inner = String::from_utf8(bytes).map_err(|_| SHAPE)?;
                (plain(inner.trim()).ok_or(SHAPE)?, true)
            }
        };
        let [params, salt, hash] = fields.split('$').collect::<Vec<_>>()[..] else { return Err(SHAPE) };
        let (salt, hash) = (decode(salt).ok_or(SHAPE)?, decode(hash).ok_or(SHAPE)?);
        if !(10..=64).contains(&hash.len()) {
            return Err("must hold a hash of 10 to 64 bytes");
        }
        Ok(Self { params: read_params(params)?, salt, hash, wrapped })
    }

    /// The memory that checking a secret takes, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        u64::from(self.params.r()).saturating_mul(128 << self.params.log_n())
    }

    /// The memory that is passed over while a secret is checked, in bytes: what it costs.
    pub fn work_bytes(&self) -> u64 {
        // The text of a key, and what it stands for.
        let times = if self.wrapped { 2 } else { 1 };
        self.memory_bytes().saturating_mul(u64::from(self.params.p())).saturating_mul(times)
    }

    /// Whether it is the hash of `secret`.
    pub fn is_of(&self, secret: &str) -> bool {
        let inner = decode(secret).filter(|_| self.wrapped).map(Zeroizing::new);
        self.matches(secret.as_bytes()) || inner.is_some_and(|bytes| self.matches(&bytes))
    }

    fn matches(&self, secret: &[u8]) -> bool {
        let mut computed = vec![0; self.hash.len()];
        let done = scrypt::scrypt(secret, &self.salt, &self.params, &mut computed);
        // Digests compare in constant time.
        done.is_ok() && Digest::of(&computed).verify(&Digest::of(&self.hash))
    }
}

fn read_params(text: &str) -> Result<Params, &'static str> {
    const SHAPE: &str = "must say ln, r and p, each once";
    let (mut ln, mut r, mut p) = (None, None, None);
    for pair in text.split(',') {
        let (name, number) = pair.split_once('=').ok_or(SHAPE)?;
        let number: u32 = number.parse().map_err(|_| SHAPE)?;
        let field = match name {
            "ln" => &mut ln,
            "r" => &mut r,
            "p" => &mut p,
            _ => return Err(SHAPE),
        };
        if field.replace(number).is_some() {
            return Err(SHAPE);
        }
    }
    let (Some(ln), Some(r), Some(p)) = (ln, r, p) else { return Err(SHAPE) };
    if !(1..=30).contains(&ln) || r == 0 || p == 0 {
        return Err("must have ln from 1 to 30, and r and p above 0");
    }
    let memory = u64::from(r).saturating_mul(128 << ln);
    if memory > MAX_MEMORY_BYTES || memory.saturating_mul(p.into()) > MAX_WORK_BYTES {
        return Err("takes more than 1 GiB of memory, or four times as much work: it is not computed");
    }
    Params::new(u8::try_from(ln).map_err(|_| SHAPE)?, r, p).map_err(|_| SHAPE)
}

/// Base64 as people and systems write it: either alphabet, with padding or without.
fn decode(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let standard = |c: char| match c {
        '-' | '.' => '+',
        '_' => '/',
        other => other,
    };
    let text = text.trim_end_matches(['$', '=']);
    let text: Zeroizing<String> = Zeroizing::new(text.chars().map(standard).collect());
    GeneralPurpose::new(&alphabet::STANDARD, LENIENT).decode(text.as_bytes()).ok().filter(|bytes| !bytes.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7914, section 12: `password`, `NaCl`, N = 1024, r = 8, p = 16, 64 bytes.
    const RFC_7914: &str = "$scrypt$ln=10,r=8,p=16$TmFDbA$/bq+HJ00cgB4VucZDQHp/nxq18vII3gw53N2Y0s3MWIurzDZLiKjiG/xCSe\
                            dmDDaxyevuUqD7m2DYMvfoswGQA";
    /// As Ditto Edge Server prints them, made with Python's hashlib: of the text of a key, and of what it stands for.
    const WRAPPED: &str = "c2NyeXB0JGxuPTEwLHI9OCxwPTEkTURFeU16UTFOamM0T1dGaVkyUmxaZyRvbE0rSk96aHlLVjJOK2ZsMGpnQjNz\
                           a0MyNjFrSHRUUTZHM1lwL0hWd1N3";
    const WRAPPED_BYTES: &str = "c2NyeXB0JGxuPTEwLHI9OCxwPTEkTURFeU16UTFOamM0T1dGaVkyUmxaZyRwb2dJelZDQ2ZLWFpqa0kzUn\
                                 VKS2VpZHNQbjZ0MFlxV1JpUkxJSUoycEpn";
    const KEY: &str = "dGVzdC1hcGkta2V5LTEyMzQ1Njc4OTA=";

    #[test]
    fn the_vector_of_the_standard_is_recognised() {
        let hash = ScryptHash::parse(RFC_7914).unwrap();
        assert!(hash.is_of("password"));
        assert!(!hash.is_of("Password"));
    }

    #[test]
    fn what_ditto_prints_is_read_in_either_alphabet_and_with_any_padding() {
        for text in [WRAPPED, &format!("{WRAPPED}==$"), &WRAPPED.replace('+', "-").replace('/', "_"), WRAPPED_BYTES] {
            let hash = ScryptHash::parse(text).unwrap();
            assert!(hash.is_of(KEY) && !hash.is_of("hunter2"), "{text}");
        }
        let unwrapped = decode(WRAPPED).map(|bytes| String::from_utf8(bytes).unwrap()).unwrap();
        assert!(ScryptHash::parse(&format!("${unwrapped}\n")).unwrap().is_of(KEY));
    }

    #[test]
    fn what_is_no_hash_or_costs_too_much_is_refused() {
        for (from, to, reason) in [
            ("$scrypt", "$argon2id", "must be"),
            ("ln=10", "ln=31", "from 1 to 30"),
            ("ln=10,r=8,p=16", "ln=20,r=9,p=1", "1 GiB"),
            ("ln=10,r=8,p=16", "ln=20,r=8,p=5", "1 GiB"),
            ("ln=10,r=8,p=16", "ln=1,r=4294967295,p=4294967295", "1 GiB"),
            ("ln=10,r=8,p=16", "ln=30,r=2147483648,p=1", "1 GiB"),
            ("r=8", "r=0", "above 0"),
            ("r=8,", "", "each once"),
            ("r=8", "r=8,r=8", "each once"),
            ("r=8", "r=8,x=1", "each once"),
            ("TmFDbA", "TmF DbA", "must be"),
            ("$TmFDbA", "", "must be"),
        ] {
            let text = RFC_7914.replacen(from, to, 1);
            assert!(ScryptHash::parse(&text).unwrap_err().contains(reason), "{text}");
        }
        // The sample of the documentation holds a salt and no hash.
        let sample = "c2NyeXB0JGxuPTE2LHI9OCxwPTEkYWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXo=$";
        assert!(ScryptHash::parse(sample).is_err());
        assert!(ScryptHash::parse("").is_err() && ScryptHash::parse(&"A".repeat(2000)).is_err());
    }
}
