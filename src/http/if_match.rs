//! `If-Match` (RFC 9110, section 13.1.1): a change applies only to a revision that the client names.

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap};

use super::app::App;
use super::error::{Code, Problem};
use crate::key::{KeyId, TenantId};

/// The revision of a key that a change is for; `None` for any. Of several that are named, the one that is stored.
///
/// # Errors
/// 412 when the key has none of those that are named, 404 and 410 as for the key.
pub async fn if_match(app: &App, request: &HttpRequest, tenant: &TenantId, id: KeyId) -> Result<Option<u64>, Problem> {
    let failed = || Problem::new(Code::PreconditionFailed, "If-Match names no revision of this key.");
    match named(request.headers()).as_deref() {
        None => Ok(None),
        Some([]) => Err(failed()),
        Some([revision]) => Ok(Some(*revision)),
        Some(several) => {
            app.keystore.find_read_through(tenant, id).await?;
            // What is stored counts. A store that does not answer fails the change itself.
            let _ = app.keystore.replica().refresh(tenant, id).await;
            let stored = app.keystore.find(tenant, id)?.rev;
            if several.contains(&stored) { Ok(Some(stored)) } else { Err(failed()) }
        }
    }
}

/// The revisions that `If-Match` names; `None` without it, and for `*`. A tag that is weak, or none of ours, names
/// nothing.
pub(super) fn named(headers: &HeaderMap) -> Option<Vec<u64>> {
    let mut fields = headers.get_all(header::IF_MATCH).peekable();
    fields.peek()?;
    let mut revisions = Vec::new();
    for field in fields {
        let field = field.as_bytes().trim_ascii();
        if field == b"*" {
            return None;
        }
        // A quoted tag may hold commas, but no quotes.
        let mut is_quoted = false;
        let tags = field.split(|byte| {
            is_quoted ^= *byte == b'"';
            *byte == b',' && !is_quoted
        });
        revisions.extend(tags.filter_map(revision));
    }
    Some(revisions)
}

/// The revision that a strong tag of ours names.
fn revision(tag: &[u8]) -> Option<u64> {
    let digits = tag.trim_ascii().strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let revision: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (revision.to_string().as_bytes() == digits).then_some(revision) // `parse` takes +1 and 01, too.
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn of(fields: &[&str]) -> Option<Vec<u64>> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(header::IF_MATCH, HeaderValue::from_str(field).unwrap());
        }
        named(&headers)
    }

    #[test]
    fn tags_are_read_as_a_list_over_all_fields_and_foreign_ones_name_nothing() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["*"]), None);
        assert_eq!(of(&["\"7\""]), Some(vec![7]));
        assert_eq!(of(&["\"1\" , \"2\",\"3\"", " \"4\" "]), Some(vec![1, 2, 3, 4]));
        assert_eq!(of(&["\"a,\", W/\"1\", \"\", , \"8\", 9, \"x,\"5\""]), Some(vec![8]));
        for nothing in ["", ",", "7", "W/\"7\"", "\"7", "\"+7\"", "\"07\"", "\"1\", *"] {
            assert!(of(&[nothing]).is_some_and(|revisions| !revisions.contains(&7)), "{nothing}");
        }
    }
}
