//! Signing in through the whole server and a real identity provider, as browsers, front ends and command lines do.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use keyloft::key::Label;
use keyloft::testing::operators::{Mapping, OperatorId, Role, Scope};
use keyloft::testing::signin::{ClientSecret, OidcSettings, ProviderName, ProviderSettings, PublicUrl};
use reqwest::redirect::Policy;
use serde_json::{Value, json};
use url::Url;

use crate::support::oidc::{Browser, CLIENT_SECRET, OwnProvider, shared_issuer};
use crate::support::server::Setup;
use crate::support::{Answer, Client, TestServer};

const ME: &str = "/api/v1/auth/me";
const MEMBERS: &str = "/api/v1/tenants/default/memberships";

/// A server whose people sign in at `issuer`, at an address that is known before it listens.
async fn server_of(issuer: &str, change: impl FnOnce(&mut Setup)) -> TestServer {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let oidc = OidcSettings {
        name: ProviderName::parse("corp").unwrap(),
        issuer: issuer.to_owned(),
        client_id: "keyloft-es256".to_owned(),
        client_secret: ClientSecret::parse(CLIENT_SECRET.to_owned()).unwrap(),
        display_name: Some("Corp".to_owned()),
        scopes: ["openid", "email", "profile", "groups"].map(str::to_owned).into(),
        trust_email: false,
        groups_claim: "groups".to_owned(),
    };
    TestServer::spawn_with(|setup| {
        setup.config.http.listen = ([127, 0, 0, 1], port).into();
        setup.config.signin.public_url = PublicUrl::parse(&format!("http://127.0.0.1:{port}")).ok();
        setup.config.signin.providers = vec![ProviderSettings::Oidc(oidc)];
        change(setup);
    })
    .await
}

async fn server() -> TestServer {
    server_of(&shared_issuer(), |_| {}).await
}

/// What a browser keeps of our cookies.
#[derive(Debug, Clone, Default)]
struct Tab(BTreeMap<String, String>);

impl Tab {
    /// Goes there; where it is sent on to.
    async fn go(&mut self, url: &str) -> (u16, Option<String>, String) {
        let client = reqwest::Client::builder().redirect(Policy::none()).no_proxy().build().unwrap();
        let answer = client.get(url).header("cookie", self.cookies()).send().await.unwrap();
        for cookie in answer.headers().get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            let is_guarded = ["HttpOnly", "SameSite=Lax", "Path=/"].iter().all(|part| cookie.contains(part));
            assert!(is_guarded, "{cookie}");
            let (name, rest) = cookie.split_once('=').unwrap();
            match rest.split(';').next().unwrap() {
                "" => _ = self.0.remove(name),
                value => _ = self.0.insert(name.to_owned(), value.to_owned()),
            }
        }
        let location = answer.headers().get("location").map(|to| to.to_str().unwrap().to_owned());
        (answer.status().as_u16(), location, answer.text().await.unwrap())
    }

    fn cookies(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn flows(&self) -> usize {
        self.0.keys().filter(|name| name.starts_with("keyloft-flow-")).count()
    }

    /// Begins a sign-in; the address at the provider.
    async fn begin(&mut self, server: &TestServer, parameters: &str) -> Url {
        let (status, location, text) = self.go(&format!("{}/auth/corp/login{parameters}", server.url())).await;
        assert_eq!(status, 303, "{text}");
        Url::parse(&location.unwrap()).unwrap()
    }

    /// Signs somebody in; where it ends.
    async fn sign_in(&mut self, server: &TestServer, parameters: &str, name: &str) -> (u16, Option<String>, String) {
        let at = self.begin(server, parameters).await;
        let back = Browser::default().sign_in(&at, name).await;
        self.go(back.as_str()).await
    }
}

fn handoff(location: &Option<String>) -> String {
    location.as_ref().unwrap().split_once("handoff=").unwrap().1.to_owned()
}

async fn exchange(server: &TestServer, body: Value, tab: &Tab) -> Answer {
    let request = server.anonymous().request("POST", "/api/v1/auth/token").json(&body);
    Answer::of(request.header("cookie", tab.cookies())).await
}

fn id(issuer: &str, name: &str) -> String {
    OperatorId::of(issuer, name).unwrap().to_string()
}

#[tokio::test]
async fn an_invited_person_signs_in_at_a_front_end_and_is_owner() {
    let server = server().await;
    let providers = server.anonymous().get("/api/v1/auth/providers").await.json();
    let login_url = format!("{}/auth/corp/login", server.url());
    let expected = json!([{"name": "corp", "kind": "oidc", "displayName": "Corp", "loginUrl": login_url}]);
    assert_eq!(providers["items"], expected);
    server.admin().post(MEMBERS, json!({"email": "Alice@Example.com", "role": "owner"})).await;
    let mut tab = Tab::default();
    let (status, location, _) = tab.sign_in(&server, "?handoff=1", "alice").await;
    let complete = format!("{}/auth/complete#handoff=", server.url());
    assert!(status == 303 && location.as_ref().unwrap().starts_with(&complete));
    let handoff = handoff(&location);
    // Not with nothing, not in another browser.
    exchange(&server, json!({"handoff": handoff}), &Tab::default()).await.refused(400, "invalid_handoff");
    exchange(&server, json!({"handoff": handoff, "verifier": "x"}), &tab).await.refused(400, "invalid_handoff");
    let given = exchange(&server, json!({"handoff": handoff}), &tab).await;
    assert_eq!((given.status.as_u16(), given.header("cache-control")), (200, Some("no-store")), "{}", given.text());
    let given = given.json();
    assert_eq!((&given["tokenType"], &given["operator"]["email"]), (&json!("Bearer"), &json!("alice@example.com")));
    exchange(&server, json!({"handoff": handoff}), &tab).await.refused(400, "invalid_handoff");
    let client = Client::admin(server.url(), given["token"].as_str().unwrap());
    let me = client.get(ME).await.json();
    assert_eq!(me["memberships"], json!([{"tenant": "default", "role": "owner", "source": "granted"}]));
    assert_eq!(me["operator"]["userId"], id(&shared_issuer(), "alice"));
    // Who did it stands in what was done.
    let key = client.post("/api/v1/tenants/default/apikeys", json!({"keyName": "k", "keyType": "query"})).await.json();
    assert_eq!(key["createdBy"], me["operator"]["userId"]);
}

#[tokio::test]
async fn somebody_without_a_role_is_shown_their_id_and_nothing_is_written() {
    let server = server().await;
    let mut tab = Tab::default();
    let (status, _, page) = tab.sign_in(&server, "", "mallory").await;
    assert!(status == 403 && page.contains(&id(&shared_issuer(), "mallory")), "{page}");
    let (_, location, _) = tab.sign_in(&server, "?handoff=1", "mallory").await;
    let expected = format!("#error=not_allowed&operator={}", id(&shared_issuer(), "mallory"));
    assert!(location.unwrap().ends_with(&expected));
    assert_eq!(server.admin().get("/api/v1/operators").await.json()["items"], json!([]));
}

#[tokio::test]
async fn the_console_gets_a_cookie_that_is_no_token() {
    let server = server().await;
    server.admin().post(MEMBERS, json!({"email": "alice@example.com", "role": "viewer"})).await;
    let mut tab = Tab::default();
    let (status, location, _) = tab.sign_in(&server, "?next=/console/keys", "alice").await;
    assert_eq!((status, location.as_deref()), (303, Some("/console/keys")));
    let cookie = &tab.0["keyloft"];
    assert_eq!(tab.flows(), 0);
    Client::admin(server.url(), cookie).get(ME).await.refused(401, "invalid_admin_token");
    let ambient = server.anonymous().request("GET", ME).header("cookie", tab.cookies());
    Answer::of(ambient).await.refused(401, "invalid_admin_token");
    for next in ["//evil.example", "/%5C/evil", "https:evil", "/%5Cevil", "%09//evil", "/%0d%0aSet-Cookie:a=b"] {
        let (status, location, text) = tab.go(&format!("{}/auth/corp/login?next={next}", server.url())).await;
        assert_eq!((status, location), (400, None), "{next}: {text}");
    }
}

#[tokio::test]
async fn an_answer_counts_only_in_the_browser_that_asked_and_once() {
    let server = server().await;
    server.admin().post(MEMBERS, json!({"email": "alice@example.com", "role": "viewer"})).await;
    let mut tab = Tab::default();
    let at = tab.begin(&server, "?handoff=1").await;
    let back = Browser::default().sign_in(&at, "alice").await;
    // Login CSRF: another browser has no cookie of this sign-in, or one of its own.
    let mut other = Tab::default();
    assert_eq!(other.go(back.as_str()).await.0, 400);
    other.begin(&server, "?handoff=1").await;
    assert_eq!(other.go(back.as_str()).await.0, 400);
    // State: missing, altered, twice.
    let without = back.as_str().replace("state=", "other=");
    let altered = back.as_str().replace("state=", "state=x");
    let twice = format!("{back}&state=x");
    for wrong in [without, altered, twice] {
        assert_eq!(tab.clone().go(&wrong).await.0, 400, "{wrong}");
    }
    let spoofed = reqwest::Client::builder().redirect(Policy::none()).no_proxy().build().unwrap();
    let login = spoofed.get(format!("{}/auth/corp/login", server.url())).header("host", "evil.example");
    let sent = login.header("x-forwarded-host", "evil.example").send().await.unwrap();
    let location = sent.headers()["location"].to_str().unwrap();
    assert!(!location.contains("evil"), "the address of the callback is configured: {location}");
    let (status, location, _) = tab.clone().go(back.as_str()).await;
    assert!(status == 303 && location.unwrap().contains("#handoff="));
    let (_, location, _) = tab.go(back.as_str()).await;
    assert!(location.unwrap().ends_with("#error=sign_in_failed"), "the provider gives a code once");
}

#[tokio::test]
async fn two_tabs_both_end_well_and_of_nine_the_first_is_forgotten() {
    let server = server().await;
    server.admin().post(MEMBERS, json!({"email": "alice@example.com", "role": "viewer"})).await;
    let mut tab = Tab::default();
    let (first, second) = (tab.begin(&server, "?handoff=1").await, tab.begin(&server, "?handoff=1").await);
    for at in [&second, &first] {
        let back = Browser::default().sign_in(at, "alice").await;
        assert_eq!(tab.go(back.as_str()).await.0, 303);
    }
    for _ in 0..9 {
        tab.begin(&server, "").await;
    }
    assert_eq!(tab.flows(), 8);
}

#[tokio::test]
async fn a_group_gives_a_role_for_as_long_as_the_sign_in_lasts() {
    let server = server_of(&shared_issuer(), |setup| {
        setup.config.signin.mappings = vec![Mapping {
            provider: Label::parse("corp").unwrap(),
            group: "bobs".to_owned(),
            scope: Scope::Tenant("default".parse().unwrap()),
            role: Role::Admin,
        }];
        setup.config.signin.platform_admins = vec![OperatorId::of(&shared_issuer(), "root").unwrap()];
    })
    .await;
    let mut tab = Tab::default();
    let (_, location, _) = tab.sign_in(&server, "?handoff=1", "bob").await;
    let given = exchange(&server, json!({"handoff": handoff(&location)}), &tab).await.json();
    let client = Client::admin(server.url(), given["token"].as_str().unwrap());
    let me = client.get(ME).await.json();
    assert_eq!(me["memberships"], json!([{"tenant": "default", "role": "admin", "source": "mapped"}]));
    assert_eq!(server.admin().get(MEMBERS).await.json()["items"], json!([]), "no document says it");
    // It goes as far as its role, and no further.
    assert_eq!(client.post(MEMBERS, json!({"email": "eve@example.com", "role": "analyst"})).await.status, 201);
    client.post(MEMBERS, json!({"email": "eve@example.com", "role": "admin"})).await.refused(403, "role_not_allowed");
    let own = json!({"userId": me["operator"]["userId"], "role": "owner"});
    client.post(MEMBERS, own).await.refused(403, "role_not_allowed");
    let (_, location, _) = tab.sign_in(&server, "?handoff=1", "root").await;
    let given = exchange(&server, json!({"handoff": handoff(&location)}), &tab).await.json();
    let root = Client::admin(server.url(), given["token"].as_str().unwrap());
    assert_eq!(root.get(ME).await.json()["platformRole"], "platform_admin");
    assert_eq!(root.post("/api/v1/tenants", json!({"tenantId": "acme"})).await.status, 201);
}

#[tokio::test]
async fn a_provider_that_is_away_stops_neither_the_start_nor_the_admin_token() {
    let mut provider = OwnProvider::start("client_secret_basic").await;
    let issuer = provider.issuer();
    provider.kill();
    let server = server_of(&issuer, |_| {}).await;
    let (status, _, page) = Tab::default().go(&format!("{}/auth/corp/login", server.url())).await;
    assert!(status == 503 && page.contains("provider_unavailable"), "{page}");
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let login = format!("{}/auth/corp/login?cli=1&challenge={challenge}", server.url());
    let (_, location, _) = Tab::default().go(&login).await;
    assert_eq!(location.as_deref(), Some("http://127.0.0.1:1/callback?error=provider_unavailable"));
    assert_eq!(server.admin().get(ME).await.json()["platformRole"], "platform_admin");
    server.anonymous().get("/auth/other/login").await.refused(404, "not_found");
}

#[tokio::test]
async fn thirty_attempts_a_minute_are_taken_from_one_network() {
    let server = server().await;
    for _ in 0..30 {
        exchange(&server, json!({"handoff": "a.b.c"}), &Tab::default()).await.refused(400, "invalid_handoff");
    }
    let answer = exchange(&server, json!({"handoff": "a.b.c"}), &Tab::default()).await;
    answer.refused(429, "rate_limited");
    assert!(answer.header("retry-after").is_some());
    assert_eq!(server.admin().get(ME).await.status, 200, "administering goes on");
}

/// Runs `keyloft login`, signs somebody in at the address that it prints, and gives what comes back to `finish`.
async fn log_in(server: &TestServer, home: &std::path::Path, flag: &[&str], name: &str) -> (bool, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_keyloft"))
        .arg("login")
        .args(flag)
        .env_clear()
        .env("KEYLOFT_URL", server.url())
        .env("HOME", home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = |line: String| line.trim().starts_with("http").then(|| line.trim().to_owned());
    let url = told.by_ref().map(Result::unwrap).find_map(address);
    let mut tab = Tab::default();
    let (_, at, _) = tab.go(&url.unwrap()).await;
    let back = Browser::default().sign_in(&Url::parse(&at.unwrap()).unwrap(), name).await;
    let (_, location, _) = tab.go(back.as_str()).await;
    let location = location.unwrap();
    if location.contains("/callback?") {
        reqwest::Client::builder().no_proxy().build().unwrap().get(&location).send().await.unwrap();
    } else {
        let handoff = location.split_once("handoff=").unwrap().1;
        writeln!(child.stdin.take().unwrap(), "{handoff}").unwrap();
    }
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    let told: Vec<String> = told.map_while(Result::ok).collect();
    (ended.status.success(), format!("{}{}", String::from_utf8(ended.stdout).unwrap(), told.join("\n")))
}

fn keyloft(server: &TestServer, home: &std::path::Path, line: &str) -> (bool, String) {
    let ran = Command::new(env!("CARGO_BIN_EXE_keyloft"))
        .args(line.split(' '))
        .env_clear()
        .env("KEYLOFT_URL", server.url())
        .env("HOME", home)
        .output()
        .unwrap();
    let [stdout, stderr] = [ran.stdout, ran.stderr].map(|text| String::from_utf8(text).unwrap());
    (ran.status.success(), format!("{stdout}{stderr}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_signs_in_says_who_it_is_and_signs_out() {
    use std::os::unix::fs::MetadataExt;

    let server = server().await;
    server.admin().post(MEMBERS, json!({"email": "alice@example.com", "role": "owner"})).await;
    let home = tempfile::tempdir().unwrap();
    let (done, text) = keyloft(&server, home.path(), "whoami");
    assert!(!done && text.contains("keyloft login"), "{text}");
    for flag in [&[][..], &["--no-browser", "--provider", "corp"]] {
        let (done, text) = log_in(&server, home.path(), flag, "alice").await;
        assert!(done && text.contains(&id(&shared_issuer(), "alice")), "{text}");
        let folder = home.path().join(".config/keyloft/logins");
        let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
        let (done, text) = keyloft(&server, home.path(), "whoami");
        assert!(done && text.contains("alice@example.com") && text.contains("owner"), "{text}");
        let (done, text) = keyloft(&server, home.path(), "key create --name of-alice --type query --json");
        assert!(done || text.contains("duplicate_key_name"), "{text}");
        let (done, text) = keyloft(&server, home.path(), "logout");
        assert!(done, "{text}");
        assert!(std::fs::read_dir(&folder).unwrap().next().is_none());
    }
    let (done, text) = log_in(&server, home.path(), &[], "mallory").await;
    assert!(!done && text.contains("not_allowed") && text.contains(&id(&shared_issuer(), "mallory")), "{text}");
}
