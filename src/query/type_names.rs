//! Types and literals as SQL writes them, in place of the library's names for them.

/// The library's names of types, and those that `CAST` takes. What stands in parentheses behind the first group is a
/// literal.
const PLAIN: &[(&str, &str)] = &[
    ("Boolean", "BOOLEAN"),
    ("Float16", "REAL"),
    ("Float32", "REAL"),
    ("Float64", "DOUBLE"),
    ("Int16", "SMALLINT"),
    ("Int32", "INT"),
    ("Int64", "BIGINT"),
    ("Int8", "TINYINT"),
    ("LargeUtf8", "VARCHAR"),
    ("UInt16", "SMALLINT UNSIGNED"),
    ("UInt32", "INT UNSIGNED"),
    ("UInt64", "BIGINT UNSIGNED"),
    ("UInt8", "TINYINT UNSIGNED"),
    ("Utf8", "VARCHAR"),
    ("Utf8View", "VARCHAR"),
];

/// Types that have no parentheses, but in a literal.
const BARE: &[(&str, &str)] = &[
    ("Binary", "BYTEA"),
    ("BinaryView", "BYTEA"),
    ("Date32", "DATE"),
    ("Date64", "DATE"),
    ("LargeBinary", "BYTEA"),
    ("Null", "NULL"),
];

/// Types whose parentheses say more of them.
const WITH_PARAMETERS: &[(&str, &str)] = &[
    ("Duration", "difference of instants"),
    ("FixedSizeBinary", "BYTEA"),
    ("FixedSizeList", "array"),
    ("Interval", "INTERVAL"),
    ("IntervalDayTime", "INTERVAL"),
    ("IntervalMonthDayNano", "INTERVAL"),
    ("LargeList", "array"),
    ("List", "array"),
    ("Struct", "struct"),
    ("Time32", "TIME"),
    ("Time64", "TIME"),
    ("Timestamp", "TIMESTAMP"),
    ("TimestampMicrosecond", "TIMESTAMP"),
    ("TimestampMillisecond", "TIMESTAMP"),
    ("TimestampNanosecond", "TIMESTAMP"),
    ("TimestampSecond", "TIMESTAMP"),
];

/// Types whose parentheses are kept.
const DECIMALS: &[&str] = &["Decimal", "Decimal128", "Decimal256", "Decimal32", "Decimal64"];

/// A text with types and literals as in SQL. What stands in single quotes is left as it is.
pub(super) fn in_sql(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first == '\'' {
            let end = rest[1..].find('\'').map_or(rest.len(), |end| end + 2);
            written.push_str(&rest[..end]);
            rest = &rest[end..];
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            if written.ends_with('.') {
                // The name of a column.
                written.push_str(word);
                rest = behind;
            } else {
                rest = written_as(word, behind, &mut written);
            }
        } else {
            written.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    written
}

/// Writes a word, with the parentheses behind it if they belong to it, and gives what is left.
fn written_as<'a>(word: &str, behind: &'a str, written: &mut String) -> &'a str {
    let inner = parentheses(behind);
    let skip = inner.map_or(0, |inner| inner.len() + 2);
    if let Some((_, name)) = PLAIN.iter().find(|(theirs, _)| *theirs == word) {
        match inner {
            Some(literal) => match literal.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
                Some(text) => written.extend(["'", text, "'"]),
                None => written.push_str(literal),
            },
            None => written.push_str(name),
        }
        return &behind[skip..];
    }
    let known = BARE.iter().chain(if inner.is_some() { WITH_PARAMETERS } else { &[] });
    if let Some((_, name)) = known.into_iter().find(|(theirs, _)| *theirs == word) {
        written.push_str(name);
        return &behind[skip..];
    }
    if DECIMALS.contains(&word) {
        written.push_str("DECIMAL");
        // A literal says its value first, without its point.
        return if inner.is_some_and(|inner| inner.contains("Some")) { &behind[skip..] } else { behind };
    }
    written.push_str(word);
    behind
}

/// What stands in the parentheses with which a text begins.
fn parentheses(text: &str) -> Option<&str> {
    let (mut depth, mut quoted) = (0_usize, false);
    for (at, letter) in text.char_indices() {
        match letter {
            '"' => quoted = !quoted && depth > 0,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return (at > 0).then(|| &text[1..at]);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_literals_are_written_as_in_sql() {
        for (theirs, ours) in [
            ("Int64", "BIGINT"),
            ("v.a + Int64(1) > Float64(1.5)", "v.a + 1 > 1.5"),
            ("Utf8(\"x y\") || Utf8View", "'x y' || VARCHAR"),
            ("Timestamp(ms, \"UTC\") and Time64(ns)", "TIMESTAMP and TIME"),
            ("Struct(\"a\": Int64), List(Field { name: \"(\" }), Null", "struct, array, NULL"),
            ("Decimal128(10, 2)", "DECIMAL(10, 2)"),
            ("Decimal128(Some(15),2,1)", "DECIMAL"),
            ("'Int64' of Interval(MonthDayNano)", "'Int64' of INTERVAL"),
            ("Int64(", "BIGINT("),
            ("v.Null of v.Timestamp(ms)", "v.Null of v.Timestamp(ms)"),
            ("Binary(\"255\")", "BYTEA"),
            ("Date List Struct", "Date List Struct"),
            ("my_Int64 Int64s é(", "my_Int64 Int64s é("),
        ] {
            assert_eq!(in_sql(theirs), ours);
        }
    }
}
