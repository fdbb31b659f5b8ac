//! Names in which `*` stands for any run of characters.

/// A name, or a pattern of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UserPattern(String);

impl UserPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When it is empty.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() { Err("must be a name, or a pattern such as agent-*") } else { Ok(Self(text.to_owned())) }
    }

    /// The pattern as it was written.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it covers a name.
    pub(super) fn matches(&self, name: &str) -> bool {
        let Some((head, rest)) = self.0.split_once('*') else { return self.0 == name };
        let Some(mut name) = name.strip_prefix(head) else { return false };
        let pieces: Vec<&str> = rest.split('*').collect();
        let Some((last, middle)) = pieces.split_last() else { return true };
        for piece in middle {
            let Some(at) = name.find(piece) else { return false };
            name = &name[at + piece.len()..];
        }
        name.ends_with(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        let matches = |pattern: &str, name| UserPattern::parse(pattern).unwrap().matches(name);
        for (pattern, name) in
            [("a", "a"), ("*", ""), ("*", "Ä b"), ("ag-*", "ag-"), ("*-in-*", "x-in-y"), ("a*a", "aba")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("a", "ab"), ("ag-*", "ag"), ("a*a", "a"), ("*-in", "x-in-y")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        assert!(UserPattern::parse("").is_err());
    }
}
