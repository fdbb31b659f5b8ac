//! Where a client goes on once it has solved a challenge: on the same host, wherever a sender says.

use url::{Position, Url};

/// Longer ones are none: the challenge travels in an address.
const MAX_BYTES: usize = 2048;
const ROOT: &str = "/";

/// The path and query as a browser would write them; `/` for whatever could lead elsewhere, or into our own pages.
pub fn checked(text: Option<&str>) -> String {
    text.and_then(read).unwrap_or_else(|| ROOT.to_owned())
}

fn read(text: &str) -> Option<String> {
    // Browsers drop tabs and line ends, and read `\` as `/`: what has them is not what it seems.
    let is_odd = |c: char| c.is_control() || c == '\\';
    if text.len() > MAX_BYTES || !text.starts_with('/') || text.starts_with("//") || text.contains(is_odd) {
        return None;
    }
    let here = Url::parse("https://keyloft.invalid/").ok()?;
    let there = here.join(text).ok()?;
    // `/.//evil` is `//evil` once its dots are resolved.
    let stays = there.origin() == here.origin() && !there.path().starts_with("//");
    let is_ours = there.path().starts_with("/.keyloft/");
    let path = &there[Position::BeforePath..];
    (stays && !is_ours && path.len() <= 2 * MAX_BYTES).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_the_same_host_is_kept_with_its_whole_query() {
        for path in ["/", "/login", "/a?b=c&d=e&f", "/a%2Fb?x=%26&y=//z", "/a//b", "/a?next=https://b.example/#c"] {
            assert_eq!(checked(Some(path)), path);
        }
        assert_eq!(checked(Some("/ä b?ö")), "/%C3%A4%20b?%C3%B6");
        assert_eq!(checked(Some("/a/../b")), "/b");
    }

    #[test]
    fn whatever_could_lead_elsewhere_is_the_root() {
        let long = format!("/{}", "x".repeat(MAX_BYTES));
        for bad in [
            "",
            "//evil",
            "///evil",
            "/\\evil",
            "\\\\evil",
            "/.//evil",
            "/a/..//evil",
            "/%2e//evil",
            "/a\\..\\..\\evil",
            "javascript:alert(1)",
            "https://evil",
            "evil",
            "?a",
            "#a",
            " /a",
            "/a\r\nSet-Cookie: b=c",
            "/a\tb",
            "/\t/evil",
            "/a\u{7f}",
            "/a\u{85}",
            "/.keyloft/challenge?check=1",
            "/x/../.keyloft/challenge",
            &long,
        ] {
            assert_eq!(checked(Some(bad)), "/", "{bad:?}");
        }
        assert_eq!(checked(None), "/");
    }
}
