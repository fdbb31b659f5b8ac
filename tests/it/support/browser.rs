//! A real browser: the Chromium that `scripts/with-stores.sh` makes ready, used as people use one: by what they see, by
//! what a screen reader tells them, and by keys.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use url::Url;

use super::stores::started;
use super::webdriver::{Element, Session};

/// How long anything may take that a person waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A browser takes half a core while it starts, and 150 MB.
static TURNS: Semaphore = Semaphore::const_new(2);

/// Keys by their names in `WebDriver`.
pub const TAB: &str = "\u{e004}";
pub const ENTER: &str = "\u{e007}";

/// A browser with a fresh profile. It ends when dropped.
pub struct Browser {
    session: Session,
    _turn: SemaphorePermit<'static>,
}

/// A tab of a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tab(String);

/// A cookie that a browser keeps.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    pub name: String,
    pub path: String,
    pub secure: bool,
    pub http_only: bool,
}

/// What a person has changed in the settings of a browser.
#[derive(Clone, Copy)]
pub struct Settings {
    pub runs_scripts: bool,
    pub keeps_cookies: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { runs_scripts: true, keeps_cookies: true }
    }
}

/// Something on a page, as a screen reader tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Its role in ARIA.
    pub role: String,
    /// Its accessible name.
    pub name: String,
    /// Its node, for the browser.
    node: i64,
}

impl Browser {
    pub async fn start() -> Self {
        Self::start_with(Settings::default()).await
    }

    pub async fn start_with(settings: Settings) -> Self {
        let turn = TURNS.acquire().await.unwrap();
        Self { session: Session::start(&capabilities(settings)).await, _turn: turn }
    }

    // === Going somewhere

    /// Goes to an address, and waits until the page is there.
    pub async fn open(&self, url: &str) {
        self.session.post("url", json!({"url": url})).await;
    }

    /// Where it is.
    pub async fn url(&self) -> Url {
        self.session.text("url").await.parse().unwrap()
    }

    /// Where on its site it is: what follows the host.
    pub async fn place(&self) -> String {
        self.url().await[url::Position::BeforePath..].to_owned()
    }

    pub async fn back(&self) {
        self.session.post("back", json!({})).await;
    }

    /// The tab that is looked at.
    pub async fn tab(&self) -> Tab {
        Tab(self.session.text("window").await)
    }

    /// Opens an empty tab and turns to it.
    pub async fn new_tab(&self) -> Tab {
        let opened = self.session.post("window/new", json!({"type": "tab"})).await;
        let tab = Tab(opened["handle"].as_str().unwrap().to_owned());
        self.turn_to(&tab).await;
        tab
    }

    pub async fn turn_to(&self, tab: &Tab) {
        self.session.post("window", json!({"handle": tab.0})).await;
    }

    // === What is there

    pub async fn title(&self) -> String {
        self.session.text("title").await
    }

    /// All that can be read on the page. Empty while there is none.
    pub async fn text(&self) -> String {
        let body = self.session.try_post("element", json!({"using": "css selector", "value": "body"})).await;
        match body.ok().and_then(|body| Element::of(&self.session, &body)) {
            Some(body) => body.try_text().await.unwrap_or_default(),
            None => String::new(),
        }
    }

    /// Waits until this can be read on the page.
    pub async fn reads(&self, words: &str) {
        self.until(&format!("the page says {words:?}"), async || self.text().await.contains(words)).await;
    }

    /// What a screen reader tells, in order, without the texts themselves.
    pub async fn hears(&self) -> Vec<Heard> {
        let tree = self.command("Accessibility.getFullAXTree", json!({})).await;
        let heard = |node: &Value| {
            let role = node["role"]["value"].as_str()?;
            let is_text = matches!(role, "StaticText" | "InlineTextBox" | "RootWebArea" | "generic" | "none");
            (node["ignored"] == false && !is_text).then(|| Heard {
                role: role.to_owned(),
                name: node["name"]["value"].as_str().unwrap_or_default().to_owned(),
                node: node["backendDOMNodeId"].as_i64().unwrap_or_default(),
            })
        };
        tree["nodes"].as_array().unwrap().iter().filter_map(heard).collect()
    }

    /// The one thing with this role and this name. Waits until there is one.
    pub async fn find(&self, role: &str, name: &str) -> Element<'_> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let heard = self.hears().await;
            let found: Vec<&Heard> = heard.iter().filter(|one| one.role == role && one.name == name).collect();
            // It may be replaced before it is reached.
            if let [one] = found[..]
                && let Some(element) = self.element(one).await
            {
                return element;
            }
            let told = heard.iter().map(|one| format!("\n  {} {:?}", one.role, one.name)).collect::<String>();
            let late = Instant::now() > deadline;
            assert!(!late, "{} times {role} {name:?} at {}:{told}", found.len(), self.url().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Driver and tools of the browser name things differently: the page itself hands it over.
    async fn element(&self, heard: &Heard) -> Option<Element<'_>> {
        let node = self.try_command("DOM.resolveNode", json!({"backendNodeId": heard.node})).await.ok()?;
        let keep = json!({
            "objectId": node["object"]["objectId"],
            "functionDeclaration": "function() { globalThis.keyloftFound = this }",
        });
        self.try_command("Runtime.callFunctionOn", keep).await.ok()?;
        let hand_over = "const found = globalThis.keyloftFound; delete globalThis.keyloftFound; return found";
        let found = self.session.try_post("execute/sync", json!({"script": hand_over, "args": []})).await.ok()?;
        Element::of(&self.session, &found)
    }

    /// What can be read in something without a name of its own, such as a `status`.
    pub async fn text_of(&self, role: &str) -> String {
        self.find(role, "").await.text().await
    }

    /// The value of an expression of JavaScript.
    pub async fn value(&self, expression: &str) -> Value {
        let script = json!({"script": format!("return {expression}"), "args": []});
        self.session.post("execute/sync", script).await
    }

    /// Whether something sticks out at the right.
    pub async fn overflows(&self) -> bool {
        self.value("document.documentElement.scrollWidth > document.documentElement.clientWidth").await == true
    }

    /// What the browser has written into its console since it was asked last: faults of scripts, and what the policy of
    /// a page has kept from it.
    pub async fn console(&self) -> Vec<String> {
        let log = self.session.post("se/log", json!({"type": "browser"})).await;
        let line =
            |entry: &Value| format!("{}: {}", entry["level"].as_str().unwrap(), entry["message"].as_str().unwrap());
        log.as_array().unwrap().iter().map(line).collect()
    }

    pub async fn cookies(&self) -> Vec<Kept> {
        serde_json::from_value(self.session.get("cookie").await).unwrap()
    }

    // === Doing something

    pub async fn click(&self, role: &str, name: &str) {
        self.find(role, name).await.click().await;
    }

    /// Replaces what is in a field.
    pub async fn fill(&self, name: &str, text: &str) {
        let field = self.find("textbox", name).await;
        field.clear().await;
        field.enter(text).await;
    }

    /// Presses a key, wherever the focus is.
    pub async fn press(&self, key: &str) {
        let strokes = json!([{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]);
        let actions = json!({"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]});
        self.session.post("actions", actions).await;
    }

    /// Role and name of what has the focus.
    pub async fn focused(&self) -> Option<(String, String)> {
        let tree = self.command("Accessibility.getFullAXTree", json!({})).await;
        let is_focused = |node: &&Value| {
            let has_focus = |one: &Value| one["name"] == "focused" && one["value"]["value"] == true;
            node["role"]["value"] != "RootWebArea"
                && node["properties"].as_array().is_some_and(|all| all.iter().any(has_focus))
        };
        let node = tree["nodes"].as_array().unwrap().iter().find(is_focused)?;
        Some((node["role"]["value"].as_str()?.to_owned(), node["name"]["value"].as_str()?.to_owned()))
    }

    // === How it looks

    /// The size of the page, in CSS pixels.
    pub async fn resize(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.command("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Whether the person likes pages dark.
    pub async fn prefers_dark(&self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": value}]});
        self.command("Emulation.setEmulatedMedia", media).await;
    }

    /// Keeps a picture of what is seen, to be looked at.
    pub async fn picture(&self, name: &str) -> PathBuf {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures");
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name).with_extension("png");
        let png = BASE64_STANDARD.decode(self.session.text("screenshot").await).unwrap();
        std::fs::write(&path, png).unwrap();
        path
    }

    // === Waiting, and what else it can do

    /// Waits until something is so.
    pub async fn until(&self, what: &str, so: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !so().await {
            if Instant::now() > deadline {
                let (place, text, console) = (self.url().await, self.text().await, self.console().await);
                panic!("still not: {what}; at {place}:\n{text}\n{console:#?}");
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// A command of the `DevTools` protocol.
    pub async fn command(&self, name: &str, parameters: Value) -> Value {
        self.try_command(name, parameters).await.unwrap()
    }

    async fn try_command(&self, name: &str, parameters: Value) -> Result<Value, String> {
        self.session.try_post("goog/cdp/execute", json!({"cmd": name, "params": parameters})).await
    }
}

fn capabilities(settings: Settings) -> Value {
    let mut preferences = serde_json::Map::new();
    for (is_on, name) in [(settings.runs_scripts, "javascript"), (settings.keeps_cookies, "cookies")] {
        if !is_on {
            preferences.insert(format!("profile.default_content_setting_values.{name}"), json!(2));
        }
    }
    let arguments = [
        "--headless",
        "--no-sandbox", // for root; the pages are ours
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--host-resolver-rules=MAP * 127.0.0.1", // every name is this machine: nothing leaves it
        "--window-size=1280,800",
    ];
    json!({
        "browserName": "chrome",
        "goog:chromeOptions": {
            "binary": started("KEYLOFT_TEST_BROWSER_PROGRAM"), "args": arguments, "prefs": preferences,
        },
        "goog:loggingPrefs": {"browser": "ALL"},
    })
}
