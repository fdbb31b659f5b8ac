//! What a browser is shown: a page that solves the challenge by itself, and one that says why it cannot.

/// A challenge for a browser.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// The challenge, as JSON.
    pub challenge_json: &'a str,
    /// The decision, for people who ask for help.
    pub decision_id: &'a str,
    /// Where the browser goes on.
    pub return_path: &'a str,
    /// Whether going there repeats the request.
    pub is_replayable: bool,
    /// Whether waiting is enough for somebody without a program to solve it.
    pub offers_wait: bool,
    /// How many seconds that still takes.
    pub wait_seconds: u32,
    /// What the policy of the page allows scripts and styles by.
    pub nonce: &'a str,
}

/// A challenge that cannot be solved any more.
#[derive(Debug, Clone, Copy)]
pub struct RefusedPage<'a> {
    /// Why, in plain words.
    pub words: &'a str,
    /// Where to try again.
    pub return_path: Option<&'a str>,
    /// What the policy of the page allows scripts and styles by.
    pub nonce: &'a str,
}

/// The page of a challenge.
pub fn render(page: Page<'_>) -> String {
    let Page { challenge_json, decision_id, return_path, nonce, .. } = page;
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Checking your browser</title>\
         <main><h1>Checking your browser</h1><p role=\"status\">One moment.</p><p>Decision {}</p></main>\
         <template id=\"challenge\" data-return=\"{}\">{}</template><script nonce=\"{}\"></script></html>",
        escaped(decision_id),
        escaped(return_path),
        escaped(challenge_json),
        escaped(nonce),
    )
}

/// The page of a challenge that cannot be solved any more.
pub fn render_refused(page: RefusedPage<'_>) -> String {
    let link = page.return_path.map_or_else(String::new, |path| format!("<a href=\"{}\">Try again</a>", escaped(path)));
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Try again</title>\
         <main><h1>Try again</h1><p role=\"status\">{}</p>{link}</main></html>",
        escaped(page.words),
    )
}

/// Text as it stands in HTML, in quotes too.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
