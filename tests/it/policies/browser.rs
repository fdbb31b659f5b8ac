//! A real browser before an application that enforces decisions: what people see of a challenge.
//!
//! The pictures that these tests keep (`pictures` in the folder of temporary files of the build) are there to be looked
//! at.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use keyloft::ManualClock;
use serde_json::{Value, json};

use super::SET;
use crate::support::browser::{ENTER, Settings, TAB};
use crate::support::pair::{quick, two};
use crate::support::{Browser, Guarded, TestServer};

const WELCOME: &str = "Welcome.";
const COOKIES: &str = "Allow cookies for this site, then try again.";

/// A set that challenges every browser where this expression holds. Browsers ask for icons by themselves.
fn challenging(expression: &str, challenge: Value) -> Value {
    let id = "00000000-0000-4000-8000-000000000001";
    json!({
        "mitigations": [{"mitigationId": id, "name": "ask", "mode": "challenge", "challenge": challenge}],
        "policies": [{"name": "ask", "expression": format!("request_path != '/favicon.ico' && ({expression})"),
            "mitigationId": id, "entityDefinitionId": "6b65796c-6f66-8000-8000-000000000201"}],
    })
}

fn everywhere() -> Value {
    challenging("true", json!({"level": "low"}))
}

async fn deployed(server: &TestServer, set: Value) {
    let deployed = server.admin().put(&format!("{SET}?wait=5s"), set).await;
    assert_eq!(deployed.status, 200, "{}", deployed.text());
}

async fn guarded(set: Value) -> (TestServer, Guarded) {
    let server = TestServer::spawn().await;
    deployed(&server, set).await;
    let guarded = Guarded::before(&server).await;
    (server, guarded)
}

/// A server whose time the test moves, before an application.
async fn guarded_at_noon(set: Value) -> (Arc<ManualClock>, TestServer, Guarded) {
    let clock = Arc::new(ManualClock::new("2026-11-29T12:00:00Z".parse().unwrap()));
    let of_server = clock.clone();
    let server = TestServer::spawn_with(|setup| setup.clock = of_server).await;
    deployed(&server, set).await;
    let guarded = Guarded::before(&server).await;
    (clock, server, guarded)
}

/// How often a node has asked for something to be solved.
async fn issued(server: &TestServer) -> u64 {
    let metrics = server.anonymous().get("/metrics").await;
    let sample = "keyloft_challenges_total{outcome=\"issued\"} ";
    metrics.text().lines().find_map(|line| line.strip_prefix(sample)).unwrap().parse().unwrap()
}

/// Goes to an address that challenges. The example lets a request pass whose decision takes longer than a tenth of a
/// second, and a machine that runs tests may be that slow: then it is asked again.
async fn challenged(browser: &Browser, url: &str) {
    // A page that a solved challenge leads to is loaded again, in its place.
    let is_challenged = "(({responseStatus, type}) => responseStatus === 403 || type === 'reload')\
                         (performance.getEntriesByType('navigation')[0])";
    for _ in 0..20 {
        // Going to the same `#part` again would load nothing.
        browser.open("about:blank").await;
        browser.open(url).await;
        if browser.value(is_challenged).await == true {
            return;
        }
    }
    panic!("{url} passes");
}

/// The status of the page that is seen.
async fn status(browser: &Browser) -> Value {
    browser.value("performance.getEntriesByType('navigation')[0].responseStatus").await
}

/// No script has failed, and the policy of no page has kept anything from it.
async fn is_quiet(browser: &Browser) {
    let console = browser.console().await;
    let refusals = "Failed to load resource: the server responded with a status of 4";
    let loud: Vec<_> = console.iter().filter(|line| !line.contains(refusals)).collect();
    assert!(loud.is_empty(), "{loud:#?}");
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs a browser: run scripts/test.sh")]
async fn a_browser_solves_by_itself_and_gets_the_page_it_asked_for() {
    let (a, b) = two(quick).await;
    deployed(&a, everywhere()).await;
    let (shop, other) = (Guarded::before(&a).await, Guarded::before(&b).await);
    let browser = Browser::start().await;
    challenged(&browser, &shop.at("/find?q=a%20b&lang=de&x=%26#part")).await;
    browser.reads(WELCOME).await;
    assert_eq!(
        (browser.place().await.as_str(), status(&browser).await),
        ("/find?q=a%20b&lang=de&x=%26#part", json!(200))
    );
    let cookies = browser.cookies().await;
    assert_eq!(cookies.len(), 1);
    assert!(cookies[0].name.starts_with("__Host-keyloft_") && cookies[0].secure, "{}", cookies[0].name);
    assert_eq!((cookies[0].http_only, cookies[0].path.as_str()), (true, "/"));

    // Cookies are those of a host, on whatever port; nodes know each other's clearances.
    browser.open(&other.at("/cart")).await;
    assert_eq!((browser.text().await.as_str(), status(&browser).await), (WELCOME, json!(200)));
    assert_eq!(issued(&b).await, 0);
    browser.back().await;
    browser.reads(WELCOME).await;
    is_quiet(&browser).await;
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs a browser: run scripts/test.sh")]
async fn two_tabs_both_get_their_pages() {
    let (_server, shop) = guarded(challenging("true", json!({"level": "high"}))).await;
    let browser = Browser::start().await;
    challenged(&browser, &shop.at("/one?tab=1")).await;
    let one = browser.tab().await;
    browser.new_tab().await;
    browser.open(&shop.at("/two?tab=2")).await;
    browser.reads(WELCOME).await;
    assert_eq!(browser.place().await, "/two?tab=2");
    browser.turn_to(&one).await;
    browser.reads(WELCOME).await;
    assert_eq!(browser.place().await, "/one?tab=1");
    is_quiet(&browser).await;
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs a browser: run scripts/test.sh")]
async fn without_cookies_there_is_one_try_and_a_sentence_and_it_works_by_keyboard() {
    let (server, shop) = guarded(everywhere()).await;
    let browser = Browser::start_with(Settings { keeps_cookies: false, ..Settings::default() }).await;
    challenged(&browser, &shop.at("/a?b=c&d")).await;
    browser.reads(COOKIES).await;
    let asked = issued(&server).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!((issued(&server).await, browser.place().await.as_str()), (asked, "/a?b=c&d"), "it does not loop");

    let heard = browser.hears().await;
    let told: Vec<_> = heard.iter().map(|one| (one.role.as_str(), one.name.as_str())).collect();
    for expected in [("main", ""), ("heading", "One moment"), ("status", ""), ("link", "Try again"), ("code", "")] {
        assert!(told.contains(&expected), "{expected:?} is not in {told:?}");
    }
    assert!(browser.text_of("status").await.ends_with(COOKIES));
    assert_eq!(browser.title().await, "One moment");
    assert!(browser.text().await.contains("name the decision "));

    for (dark, shade) in [(false, "light"), (true, "dark")] {
        browser.prefers_dark(dark).await;
        for width in [320, 1280] {
            browser.resize(width, 640).await;
            browser.picture(&format!("challenge-{shade}-{width}")).await;
            assert!(!browser.overflows().await, "{shade}, {width} pixels");
        }
    }
    browser.press(TAB).await;
    assert_eq!(browser.focused().await, Some(("link".to_owned(), "Try again".to_owned())));
    browser.press(ENTER).await;
    browser.until("it was asked again", async || issued(&server).await > asked).await;
    browser.reads(COOKIES).await;
    is_quiet(&browser).await;
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs a browser: run scripts/test.sh")]
async fn without_scripts_people_read_what_they_can_do() {
    let (_server, shop) = guarded(everywhere()).await;
    let browser = Browser::start_with(Settings { runs_scripts: false, ..Settings::default() }).await;
    challenged(&browser, &shop.at("/a?b=c&d")).await;
    browser.reads("This check needs JavaScript.").await;
    let link = browser.find("link", "try again").await;
    assert_eq!(link.attribute("href").await.as_deref(), Some("/a?b=c&d"));
    is_quiet(&browser).await;
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs a browser: run scripts/test.sh")]
async fn without_scripts_waiting_is_enough_where_the_mitigation_says_so() {
    let weak = challenging("true", json!({"level": "low", "acceptWeak": true}));
    let (clock, _server, shop) = guarded_at_noon(weak).await;
    let browser = Browser::start_with(Settings { runs_scripts: false, ..Settings::default() }).await;
    challenged(&browser, &shop.at("/a?b=c&d")).await;
    browser.reads("Wait 10 seconds, then press the button.").await;
    browser.resize(320, 640).await;
    browser.picture("challenge-without-scripts").await;
    assert!(!browser.overflows().await);
    clock.advance(TimeDelta::seconds(7));
    browser.click("button", "Go on").await;
    browser.reads("Wait 3 seconds, then press the button.").await;
    clock.advance(TimeDelta::seconds(3));
    browser.click("button", "Go on").await;
    browser.reads(WELCOME).await;
    assert_eq!(browser.place().await, "/a?b=c&d");
    assert_eq!(browser.cookies().await.len(), 1);
    is_quiet(&browser).await;
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs a browser: run scripts/test.sh")]
async fn a_form_that_was_challenged_is_sent_again_by_people() {
    let (server, shop) = guarded(challenging("request_method == 'POST'", json!({"level": "low"}))).await;
    let browser = Browser::start().await;
    let form = "document.body.innerHTML = '<form method=post action=\"/order?n=1\"><label>Name <input name=name>\
                </label><button>Send</button></form>'";
    for attempt in 0..20 {
        browser.open(&shop.at("/")).await;
        browser.value(form).await;
        browser.fill("Name", "Ada").await;
        browser.click("button", "Send").await;
        browser.until("the form was sent", async || browser.place().await == "/order?n=1").await;
        if status(&browser).await == 403 {
            break;
        }
        assert!(attempt < 19, "the form passes");
    }
    browser.reads("go back and send it again").await;
    let asked = issued(&server).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((issued(&server).await, status(&browser).await), (asked, json!(403)), "nothing is sent by itself");
    browser.open(&shop.at("/")).await;
    browser.value(form).await;
    browser.fill("Name", "Ada").await;
    browser.click("button", "Send").await;
    browser.reads(WELCOME).await;
    browser.until("it is the order", async || browser.place().await == "/order?n=1").await;
    assert_eq!((issued(&server).await, status(&browser).await), (asked, json!(200)));
    is_quiet(&browser).await;
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs a browser: run scripts/test.sh")]
async fn a_site_that_asks_again_and_again_is_told_of_instead_of_solved_for_ever() {
    // A clearance that is a part of whom it is given to never holds.
    let mut set = everywhere();
    let own = "00000000-0000-4000-8000-000000000002";
    set["entities"] = json!([{"entityDefinitionId": own, "name": "cookies", "keyFields": ["request_header_cookie"],
        "onMissing": "group"}]);
    set["policies"][0]["entityDefinitionId"] = json!(own);
    let (server, shop) = guarded(set).await;
    let browser = Browser::start().await;
    challenged(&browser, &shop.at("/")).await;
    browser.reads("the site asks for it again").await;
    let asked = issued(&server).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(asked >= 4, "{asked}");
    assert_eq!(issued(&server).await, asked);
    browser.find("link", "Try again").await;
    is_quiet(&browser).await;
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs a browser: run scripts/test.sh")]
async fn a_solution_that_comes_too_late_leads_back_to_another_challenge() {
    let (clock, _server, shop) = guarded_at_noon(everywhere()).await;
    let browser = Browser::start().await;
    // The page is held when it wants to send its solution, until the test lets it go on.
    let held = "const send = fetch; window.fetch = async (...what) => {
        while (!window.released) await new Promise((resolve) => setTimeout(resolve, 20));
        return send(...what);
    }";
    browser.command("Page.addScriptToEvaluateOnNewDocument", json!({"source": held})).await;
    challenged(&browser, &shop.at("/a?b=c&d")).await;
    clock.advance(TimeDelta::minutes(15));
    browser.value("window.released = true").await;
    browser.reads("This check has expired.").await;
    browser.click("link", "Try again").await;
    browser.until("another page is there", async || browser.value("!window.released").await == true).await;
    browser.value("window.released = true").await;
    browser.reads(WELCOME).await;
    assert_eq!(browser.place().await, "/a?b=c&d");
    is_quiet(&browser).await;
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs a browser: run scripts/test.sh")]
async fn a_page_says_when_the_site_is_away_and_when_it_is_not_safe() {
    let (_server, shop) = guarded(everywhere()).await;
    let browser = Browser::start().await;
    // No browser keeps our cookies from plain HTTP, but for the machine itself.
    challenged(&browser, &shop.named("shop.example", "/")).await;
    browser.reads("This check works over https only.").await;
    is_quiet(&browser).await;
    let broken = "window.fetch = async () => { throw new TypeError('away') }";
    browser.command("Page.addScriptToEvaluateOnNewDocument", json!({"source": broken})).await;
    challenged(&browser, &shop.at("/")).await;
    browser.reads("the site does not answer").await;
    browser.find("link", "Try again").await;
    is_quiet(&browser).await;
}
