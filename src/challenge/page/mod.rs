//! What a challenged browser shows: one page that does everything by itself.
//!
//! Its script solves the puzzle with the browser's own PBKDF2 and takes the clearance; [`page.js`](page.js) has nothing
//! but that. There is nothing to see or to hear, so nobody is shut out who cannot see or hear it. A browser without
//! scripts reads what it can do, and where the mitigation allows it waits instead.

use std::fmt::{Display, Formatter, Result, Write};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

const SCRIPT: &str = include_str!("page.js");
const STYLE: &str = include_str!("page.css");

/// What the page of a challenge says. All of it is text: nothing in it is markup.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// The challenge, as the script sends it back.
    pub challenge_json: &'a str,
    /// The id of the decision that challenged, for those who write to the site.
    pub decision_id: &'a str,
    /// Where to go afterwards.
    pub return_path: &'a str,
    /// Whether the request can simply be made again (GET); otherwise the page asks people to send it again.
    pub is_replayable: bool,
    /// Whether a browser without scripts may wait instead.
    pub offers_wait: bool,
    /// How long that still takes.
    pub wait_seconds: u32,
    /// The nonce of the content security policy.
    pub nonce: &'a str,
}

/// What people read whose challenge cannot be taken.
#[derive(Debug, Clone, Copy)]
pub struct RefusedPage<'a> {
    /// Why.
    pub words: &'a str,
    /// Where they can try again, if that is known.
    pub return_path: Option<&'a str>,
    /// The nonce of the content security policy.
    pub nonce: &'a str,
}

/// The page that solves a challenge.
pub fn render(page: Page<'_>) -> String {
    let Page { challenge_json, decision_id, return_path, nonce, .. } = page;
    let replayable = if page.is_replayable { " data-replayable" } else { "" };
    let body = format!(
        "<main data-challenge=\"{}\" data-return-path=\"{path}\"{replayable}>\n\
         <h1>One moment</h1>\n\
         <p id=\"words\" role=\"status\"></p>\n\
         <p><a id=\"again\" href=\"{path}\" hidden>Try again</a></p>\n\
         <noscript>\n{}</noscript>\n\
         <p class=\"decision\">If you write to the site about this, name the decision <code>{}</code>.</p>\n\
         </main>\n\
         <script nonce=\"{}\">\n{SCRIPT}</script>\n",
        Text(challenge_json),
        without_script(page),
        Text(decision_id),
        Text(nonce),
        path = Text(return_path),
    );
    document("One moment", nonce, &body)
}

/// What a browser without scripts shows.
fn without_script(page: Page<'_>) -> String {
    if !page.offers_wait {
        return format!(
            "<p>This check needs JavaScript. Turn it on for this site, then \
             <a href=\"{}\">try again</a>.</p>\n",
            Text(page.return_path)
        );
    }
    let time = match page.wait_seconds {
        0 => "Press the button to go on.".to_owned(),
        1 => "Wait one second, then press the button.".to_owned(),
        seconds => format!("Wait {seconds} seconds, then press the button."),
    };
    format!(
        "<p>This check is done by JavaScript, which your browser does not run. {time}</p>\n\
         <form method=\"post\" action=\"/.keyloft/challenge\">\n\
         <input type=\"hidden\" name=\"wait\" value=\"{}\">\n\
         <button>Go on</button>\n\
         </form>\n",
        BASE64_URL_SAFE_NO_PAD.encode(page.challenge_json)
    )
}

/// The page that says why a challenge was refused.
pub fn render_refused(refused: RefusedPage<'_>) -> String {
    let mut body = format!("<main>\n<h1>The check did not work</h1>\n<p role=\"status\">{}</p>\n", Text(refused.words));
    if let Some(path) = refused.return_path {
        // A `String` takes everything.
        let _ = writeln!(body, "<p><a href=\"{}\">Try again</a></p>", Text(path));
    }
    body.push_str("</main>\n");
    document("The check did not work", refused.nonce, &body)
}

fn document(title: &str, nonce: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n\
         <html lang=\"en\">\n\
         <meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"robots\" content=\"noindex\">\n\
         <title>{title}</title>\n\
         <style nonce=\"{}\">\n{STYLE}</style>\n\
         {body}</html>\n",
        Text(nonce)
    )
}

/// Text in HTML: nothing in it is markup, in attributes neither.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // HTML has no way to say this one.
                '\0' => f.write_char(char::REPLACEMENT_CHARACTER)?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "\"'></main><script>alert(1)</script><!--&amp;\0";

    fn page(hostile: &str) -> Page<'_> {
        Page {
            challenge_json: hostile,
            decision_id: hostile,
            return_path: hostile,
            is_replayable: true,
            offers_wait: true,
            wait_seconds: 10,
            nonce: hostile,
        }
    }

    /// The tags of a page, in order; its script and its style have none.
    fn tags(html: &str) -> Vec<&str> {
        html.split('<').skip(1).map(|tag| tag.split([' ', '>', '\n']).next().unwrap()).collect()
    }

    #[test]
    fn nothing_that_a_page_is_given_is_markup() {
        for offers_wait in [true, false] {
            let harmless = render(Page { offers_wait, ..page("/a") });
            let hostile = render(Page { offers_wait, ..page(HOSTILE) });
            assert_eq!(tags(&hostile), tags(&harmless));
            assert!(!hostile.contains("alert(1)<") && !hostile.contains('\0'));
        }
        for return_path in [Some(HOSTILE), None] {
            let harmless =
                render_refused(RefusedPage { words: "no", return_path: return_path.map(|_| "/"), nonce: "n" });
            let hostile = render_refused(RefusedPage { words: HOSTILE, return_path, nonce: HOSTILE });
            assert_eq!(tags(&hostile), tags(&harmless));
        }
    }

    #[test]
    fn script_and_style_end_where_they_end() {
        assert!(!SCRIPT.contains("</") && !SCRIPT.contains("<!--") && !STYLE.contains('<'));
    }

    #[test]
    fn the_script_has_the_challenge_and_the_path_as_they_are() {
        let html = render(Page { challenge_json: r#"{"a":"b&c"}"#, return_path: "/find?q=1&lang=de", ..page("n") });
        assert!(html.contains(r#"data-challenge="{&quot;a&quot;:&quot;b&amp;c&quot;}""#));
        assert!(html.contains(r#"data-return-path="/find?q=1&amp;lang=de" data-replayable>"#));
        assert!(html.contains(r#"<script nonce="n">"#) && html.contains(r#"<style nonce="n">"#));
        let html = render(Page { is_replayable: false, ..page("n") });
        assert!(!html.contains("data-replayable"));
    }

    #[test]
    fn a_browser_without_scripts_waits_only_where_that_is_offered() {
        let wait = |seconds| render(Page { wait_seconds: seconds, challenge_json: "{}", ..page("n") });
        assert!(wait(10).contains("Wait 10 seconds, then press"));
        assert!(wait(1).contains("Wait one second, then press"));
        assert!(wait(0).contains("Press the button to go on."));
        assert!(wait(0).contains(r#"name="wait" value="e30""#));
        let html = render(Page { offers_wait: false, return_path: "/a?b&c", ..page("n") });
        assert!(!html.contains("<form") && html.contains(r#"<a href="/a?b&amp;c">try again</a>"#));
    }
}
