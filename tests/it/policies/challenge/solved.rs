//! What happens to those who solve a challenge.

use super::*;
use crate::support::pair::{quick, two};

#[tokio::test]
async fn a_client_solves_a_challenge_and_gets_what_it_asked_for() {
    let site = Site::new(asking()).await;
    let answer = site.decide(ada()).await;
    assert_eq!((&answer["action"], &answer["reason"]), (&json!("challenge"), &json!("policy")));
    assert_eq!(answer["challenge"]["verifyUrl"], PATH);
    let challenge = signed(&answer["challenge"]);
    let data = &challenge["parameters"]["data"];
    assert_eq!((&data["decisionId"], &data["tenant"]), (&answer["decisionId"], &json!("default")));
    let page = site.server.anonymous().get(answer["challenge"]["pageUrl"].as_str().unwrap()).await;
    assert_eq!(page.status, 403);
    let solved = site.redeem(&challenge, solve(&challenge)).await;
    assert_eq!((solved.status.as_u16(), solved.header("cache-control")), (200, Some("no-store")));
    let answer = solved.json();
    let told = (answer["returnPath"].as_str(), answer["expiresAt"].as_str());
    assert_eq!(told, (Some("/cart?a=1&b=2"), Some("2026-11-29T08:00:00Z")));
    let clearance = answer["clearance"].as_str().unwrap();
    assert_eq!(site.action(ada(), clearance).await, "allow");
    let mut shown = ada();
    shown["clearance"] = json!(clearance);
    let answer = site.decide(shown).await;
    assert_eq!((&answer["reason"], &answer["matched"][0]["outcome"]), (&json!("clearance"), &json!("cleared")));
    assert_eq!(answer["challenge"], Value::Null);
    site.pass(3600 + 59);
    assert_eq!(site.action(ada(), clearance).await, "allow", "clocks differ by a minute");
    site.pass(1);
    assert_eq!(site.action(ada(), clearance).await, "challenge", "it lasts an hour");
    for (outcome, times) in [("issued", 2), ("solved", 1), ("invalid", 0), ("expired", 0), ("waited", 0), ("busy", 0)] {
        assert_eq!(site.counted(outcome).await, times, "{outcome}");
    }
}

#[tokio::test]
async fn only_a_challenge_comes_with_something_to_solve() {
    let mut set = asking();
    set["exempt"] = json!("request_path == '/exempt'");
    set["policies"][0]["expression"] = json!("request_path != '/free'");
    set["policies"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "no", "mitigationId": BLOCK, "expression": "request_path == '/blocked'"}));
    let site = Site::new(set).await;
    let mut events = Vec::new();
    for path in ["/free", "/blocked", "/exempt", "/cart"] {
        let mut event = ada();
        event["request"]["path"] = json!(path);
        events.push(event);
    }
    let answers = site.decide(json!({"events": events})).await;
    let told = answers["decisions"].as_array().unwrap().iter().map(|one| {
        let has = |name: &str| one["challenge"][name].is_string();
        assert_eq!(has("signature"), has("pageUrl"));
        (one["action"].as_str().unwrap(), has("signature"))
    });
    let expected = [("allow", false), ("block", false), ("allow", false), ("challenge", true)];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    assert_eq!(site.counted("issued").await, 1);
    site.edge.post(&format!("{DECIDE}?observe=true"), ada()).await;
    assert_eq!(site.counted("issued").await, 1, "nobody sees it");
}

#[tokio::test]
async fn a_clearance_comes_as_a_member_a_header_or_a_cookie() {
    let site = Site::new(asking()).await;
    let challenge = site.challenge(ada()).await;
    let solved = site.redeem(&challenge, solve(&challenge)).await;
    let cookie = solved.header("set-cookie").unwrap().to_owned();
    let (pair, attributes) = cookie.split_once(';').unwrap();
    let (name, clearance) = pair.split_once('=').unwrap();
    assert!(name.starts_with("__Host-keyloft_") && name.len() < 30, "{cookie}");
    assert_eq!(clearance, solved.json()["clearance"]);
    for expected in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/", "Max-Age=3600"] {
        assert!(attributes.split("; ").any(|attribute| attribute.trim() == expected), "{cookie}");
    }
    assert!(!attributes.contains("Domain"), "{cookie}");
    let mut header = ada();
    header["request"]["headers"]["Keyloft-Clearance"] = json!(clearance);
    let mut cookies = ada();
    cookies["request"]["cookies"][name] = json!(clearance);
    let mut line = ada();
    line["request"].as_object_mut().unwrap().remove("cookies");
    line["request"]["headers"]["cookie"] = json!(format!("a=b; session=ada; {name}={clearance}"));
    for (event, how) in [(header, "header"), (cookies, "cookies"), (line, "the header of cookies")] {
        assert_eq!(site.decide(event).await["action"], "allow", "{how}");
    }
    let mut other = ada();
    other["request"]["cookies"]["clearance"] = json!(clearance);
    assert_eq!(site.decide(other).await["action"], "challenge", "a cookie of another name is none of ours");
}

#[tokio::test]
async fn four_clearances_are_looked_at_and_the_newest_cookies_first() {
    let site = Site::new(asking()).await;
    let clearance = site.clearance(&site.challenge(ada()).await).await;
    let with = |before: usize, behind: usize| {
        let mut event = ada();
        event["request"].as_object_mut().unwrap().remove("cookies");
        let junk = |n: usize| format!("__Host-keyloft_{n}=kc1.x.y; ").repeat(n);
        let ours = format!("__Host-keyloft_ours={clearance}; ");
        event["request"]["headers"]["cookie"] = json!(format!("session=ada; {}{ours}{}", junk(before), junk(behind)));
        event
    };
    for (before, behind, action) in [(30, 0, "allow"), (0, 3, "allow"), (0, 4, "challenge")] {
        assert_eq!(site.decide(with(before, behind)).await["action"], action, "{before} {behind}");
    }
}

#[tokio::test]
async fn a_replay_gives_the_same_clearance_here_and_on_another_node_and_to_two_tabs() {
    let (a, b) = two(quick).await;
    let edge = edge(&a, "default").await;
    assert_eq!(a.admin().put(&format!("{SET}?wait=5s"), asking()).await.status, 200);
    let answer = edge.post(DECIDE, ada()).await.json();
    let challenge = signed(&answer["challenge"]);
    let solution = solve(&challenge);
    let tabs = (0..6).map(|tab| redeem(if tab % 2 == 0 { &a } else { &b }, &challenge, solution.clone()));
    let answers: Vec<Answer> = futures::future::join_all(tabs).await;
    let given: std::collections::HashSet<String> = answers
        .iter()
        .filter(|answer| answer.status != 429)
        .map(|answer| answer.json()["clearance"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(given.len(), 1, "the same bytes");
    let mut shown = ada();
    shown["clearance"] = json!(given.iter().next().unwrap());
    for node in [&a, &b] {
        let answer = Answer::of(edge.request_at(node.url(), "POST", DECIDE).json(&shown)).await.json();
        assert_eq!(answer["action"], "allow");
    }
}

#[tokio::test]
async fn a_program_gets_the_challenge_as_a_problem() {
    let site = Site::new(asking()).await;
    let challenge = site.challenge(ada()).await;
    for accept in ["application/json", "application/problem+json", "application/json, text/html;q=0.5"] {
        let request = site.server.anonymous().request("GET", &at(&challenge)).header("accept", accept);
        let answer = Answer::of(request).await;
        answer.refused(403, "challenge_required");
        let body = answer.json();
        assert_eq!((&body["challenge"], &body["verifyUrl"]), (&challenge, &json!(PATH)), "{accept}");
        assert_eq!(answer.header("vary"), Some("Cookie, Accept"));
    }
    let answer = site.server.anonymous().request("GET", PATH).header("accept", "application/json");
    Answer::of(answer).await.refused(400, "invalid_challenge");
}

#[tokio::test]
async fn challenges_can_be_solved_as_long_as_the_operator_says() {
    let site =
        Site::with(asking(), |setup| setup.config.policy.challenge_ttl = std::time::Duration::from_secs(90)).await;
    let challenge = site.challenge(ada()).await;
    let solution = solve(&challenge);
    site.pass(90 + 59);
    assert_eq!(site.redeem(&challenge, solution.clone()).await.status, 200);
    site.pass(1);
    site.redeem(&challenge, solution).await.refused(400, "challenge_expired");
    assert_eq!((site.counted("solved").await, site.counted("expired").await), (1, 1));
}

#[tokio::test]
async fn one_who_takes_longer_than_the_clearance_lasts_gets_none() {
    let site = Site::new(asking_with(json!({"level": "low", "ttlSeconds": 5}))).await;
    let challenge = site.challenge(ada()).await;
    let solution = solve(&challenge);
    site.pass(64);
    assert_eq!(site.redeem(&challenge, solution.clone()).await.status, 200);
    site.pass(1);
    site.redeem(&challenge, solution).await.refused(400, "challenge_expired");
}
