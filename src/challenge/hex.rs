//! Hexadecimal digits, as the wire format of ALTCHA has them: lower case only, so that a value has one spelling.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Two digits for each byte.
pub(super) fn encode(bytes: &[u8]) -> String {
    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().map_or('0', char::from);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// As many bytes as asked for; `None` for any other text.
pub(super) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let value = |digit: u8| DIGITS.iter().position(|known| *known == digit).and_then(|value| u8::try_from(value).ok());
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = value(*high)? << 4 | value(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_one_spelling() {
        assert_eq!(encode(&[0, 9, 0xaf, 255]), "0009afff");
        assert_eq!(decode("0009afff"), Some([0, 9, 0xaf, 255]));
        for bad in ["", "0009af", "0009AFFF", "0009aff", "0009affg", "0009afff00"] {
            assert_eq!(decode::<4>(bad), None, "{bad}");
        }
    }
}
