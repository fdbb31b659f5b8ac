//! The example `decide_middleware`: an application that enforces decisions, and what its clients get.

use std::sync::Arc;

use serde_json::{Value, json};

use super::challenge::solver;
use super::{SET, blocking};
use crate::support::{Answer, Guarded, TestServer, altcha};

const CHALLENGE: &str = "/.keyloft/challenge";
/// The starters.
const ASK: &str = "6b65796c-6f66-8000-8000-000000000302";
const PROGRAM: &str = "6b65796c-6f66-8000-8000-000000000201";

/// A set that challenges every program under one path.
fn challenging(path: &str) -> Value {
    json!({"policies": [{"name": "ask", "expression": format!("request_path.startsWith('{path}')"),
        "mitigationId": ASK, "entityDefinitionId": PROGRAM}]})
}

async fn guarded(set: Value) -> (TestServer, Guarded) {
    let server = TestServer::spawn().await;
    let deployed = server.admin().put(SET, set).await;
    assert_eq!(deployed.status, 200, "{}", deployed.text());
    let guarded = Guarded::before(&server).await;
    (server, guarded)
}

/// Asks for a page. The example lets a request pass whose decision takes longer than a tenth of a second, and a machine
/// that runs tests may be that slow: then it is asked again.
async fn refused(guarded: &Guarded, path: &str, headers: &[(&'static str, &str)]) -> Answer {
    for _ in 0..20 {
        let mut request = guarded.anonymous().request("GET", path).header("user-agent", "tests/1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = Answer::of(request).await;
        if answer.status != 200 {
            return answer;
        }
    }
    panic!("{path} passes");
}

/// The challenge that a program is asked to solve.
async fn asked(guarded: &Guarded, path: &str) -> Value {
    let answer = refused(guarded, path, &[("accept", "application/json")]).await;
    answer.refused(403, "challenge_required");
    let problem = answer.json();
    assert_eq!(problem["verifyUrl"], CHALLENGE);
    problem["challenge"].clone()
}

#[tokio::test]
async fn the_example_refuses_what_is_blocked_and_lets_the_rest_pass() {
    let (server, guarded) = guarded(blocking("/secret")).await;
    assert_eq!(refused(&guarded, "/secret?a=b", &[]).await.status, 403);
    assert_eq!(guarded.anonymous().get("/").await.text(), "Welcome.\n");
    drop(server);
    assert_eq!(guarded.anonymous().get("/secret").await.text(), "Welcome.\n", "protection that is away blocks nobody");
    assert_eq!(guarded.anonymous().get(CHALLENGE).await.status, 502);
}

#[tokio::test]
async fn the_example_shows_a_challenge_and_takes_its_solution() {
    let (_server, guarded) = guarded(challenging("/shop")).await;
    assert_eq!(guarded.anonymous().get("/").await.text(), "Welcome.\n");
    let page = refused(&guarded, "/shop?q=1&r=2", &[("accept", "text/html,*/*;q=0.8")]).await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (403, Some("text/html; charset=utf-8")));
    assert_eq!((page.header("cache-control"), page.header("vary")), (Some("no-store"), Some("Cookie, Accept")));
    assert!(page.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"));
    assert!(page.text().contains(r#"data-return-path="/shop?q=1&amp;r=2" data-replayable"#), "{}", page.text());

    let challenge = asked(&guarded, "/shop").await;
    let solved = json!({"challenge": challenge, "solution": solver::solve(&challenge)});
    cleared(&guarded, "/shop", solved).await;
}

/// Sends a solution through the example, and comes back with the cookie.
async fn cleared(guarded: &Guarded, path: &str, payload: Value) {
    let given = guarded.anonymous().post(CHALLENGE, payload).await;
    assert_eq!((given.status.as_u16(), &given.json()["returnPath"]), (200, &json!(path)));
    let cookie = given.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let request = |cookie: &str| {
        guarded.anonymous().request("GET", path).header("user-agent", "tests/1").header("cookie", cookie)
    };
    assert_eq!(Answer::of(request(&cookie)).await.text(), "Welcome.\n");
    let check = guarded.anonymous().request("GET", &format!("{CHALLENGE}?check=1")).header("cookie", &cookie);
    assert_eq!(Answer::of(check).await.status, 204);
    guarded.anonymous().get(&format!("{CHALLENGE}?check=1")).await.refused(409, "clearance_missing");
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs npm altcha-lib: run scripts/test.sh")]
async fn the_public_client_of_altcha_solves_our_challenges() {
    let (_server, guarded) = guarded(challenging("/")).await;
    let challenge = asked(&guarded, "/shop?a=1&b=2").await;
    let payload = tokio::task::spawn_blocking(move || altcha::solve(&challenge)).await.unwrap();
    cleared(&guarded, "/shop?a=1&b=2", payload).await;
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs npm altcha-lib: run scripts/test.sh")]
async fn the_public_library_of_altcha_verifies_our_challenges_with_our_key() {
    let secret = Arc::new([7u8; 32]);
    let given = secret.clone();
    let server = TestServer::spawn_with(move |setup| setup.config.policy.secret = Some(given.to_vec().into())).await;
    assert_eq!(server.admin().put(SET, challenging("/")).await.status, 200);
    let guarded = Guarded::before(&server).await;
    let challenge = asked(&guarded, "/").await;
    // The key of a tenant is a text, so that libraries of ALTCHA can be given it.
    let hmac = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &*secret);
    let code = ring::hmac::sign(&hmac, b"keyloft challenges 1\0default");
    let key: String = code.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let verified = tokio::task::spawn_blocking(move || {
        let mut payload = altcha::solve(&challenge);
        let good = altcha::verify(&payload, &key);
        payload["challenge"]["parameters"]["cost"] = json!(1);
        (good, altcha::verify(&payload, &key))
    });
    let (good, bad) = verified.await.unwrap();
    assert_eq!((&good["verified"], &good["invalidSignature"]), (&json!(true), &json!(false)), "{good}");
    assert_eq!((&bad["verified"], &bad["invalidSignature"]), (&json!(false), &json!(true)), "{bad}");
}
