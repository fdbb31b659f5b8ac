//! What a clearance is good for, and for how much.

use super::*;

#[tokio::test]
async fn a_clearance_is_good_for_eight_networks_in_an_hour_and_not_for_a_ninth() {
    let site = Site::new(asking()).await;
    let clearance = site.clearance(&site.challenge(ada()).await).await;
    let from = |network: usize| visitor(&format!("203.0.113.{network}"), "Mozilla/5.0", "ada");
    for _ in 0..3 {
        for network in 1..=8 {
            assert_eq!(site.action(from(network), &clearance).await, "allow", "{network}");
        }
    }
    assert_eq!(site.action(from(9), &clearance).await, "challenge");
    assert_eq!(site.action(from(1), &clearance).await, "challenge", "it is worth nothing to any of them now");
    let own = site.clearance(&site.challenge(from(9)).await).await;
    assert_eq!(site.action(from(9), &own).await, "allow", "a client that solves another goes on");
}

#[tokio::test]
async fn a_clearance_is_good_for_six_hundred_requests_a_minute_and_not_for_a_farm() {
    let site = Site::new(asking()).await;
    let clearance = site.clearance(&site.challenge(ada()).await).await;
    let mut event = ada();
    event["clearance"] = json!(clearance);
    let actions = async |count: usize| {
        let answer = site.decide(json!({"events": vec![event.clone(); count]})).await;
        let actions = answer["decisions"].as_array().unwrap().iter().map(|one| one["action"].clone());
        actions.collect::<Vec<_>>()
    };
    assert!(actions(600).await.iter().all(|action| action == "allow"));
    assert_eq!(actions(1).await, ["challenge"], "the 601st");
    site.pass(70);
    assert_eq!(actions(1).await, ["allow"], "a minute later it is one client again");
    // The answer to a request is no request.
    site.pass(70);
    let mut answered = event.clone();
    answered["response"] = json!({"status": 200});
    site.decide(json!({"events": vec![answered; 700]})).await;
    assert_eq!(actions(1).await, ["allow"]);
}

#[tokio::test]
async fn explaining_uses_nothing_up() {
    let site = Site::new(asking()).await;
    let clearance = site.clearance(&site.challenge(ada()).await).await;
    let explain = "/api/v1/tenants/default/policyset/explain";
    for network in 1..=20 {
        let mut event = visitor(&format!("203.0.113.{network}"), "Mozilla/5.0", "ada");
        event["clearance"] = json!(clearance);
        let explained = site.server.admin().post(explain, json!({"event": event})).await;
        assert_eq!((explained.status.as_u16(), &explained.json()["reason"]), (200, &json!("clearance")));
        assert!(!explained.text().contains(&clearance));
    }
    assert_eq!(site.action(ada(), &clearance).await, "allow");
}

#[tokio::test]
async fn a_clearance_of_low_level_is_not_enough_where_more_work_is_asked_for() {
    let site = Site::new(asking()).await;
    let low = site.clearance(&site.challenge(ada()).await).await;
    site.deploy(asking_with(json!({"level": "high"}))).await;
    assert_eq!(site.action(ada(), &low).await, "challenge");
    let challenge = site.challenge(ada()).await;
    let solution = solve(&challenge);
    let solved = site.redeem(&challenge, solution).await;
    let high = solved.json()["clearance"].as_str().unwrap().to_owned();
    assert_eq!(site.action(ada(), &high).await, "allow");
    site.deploy(asking()).await;
    assert_eq!(site.action(ada(), &high).await, "allow", "more is enough for less");
}

#[tokio::test]
async fn a_clearance_is_found_behind_many_other_cookies() {
    let site = Site::new(asking()).await;
    let clearance = site.clearance(&site.challenge(ada()).await).await;
    let mut cookies = vec![("session".to_owned(), "ada".to_owned())];
    cookies.extend((0..100).map(|n| (format!("z{n}"), "1".to_owned())));
    cookies.push(("__Host-keyloft_x".to_owned(), clearance));
    let mut whole = ada();
    let pairs: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    whole["request"]["headers"]["cookie"] = json!(pairs.join("; "));
    whole["request"]["cookies"] = json!(null);
    let mut taken_apart = ada();
    taken_apart["request"]["cookies"] = cookies.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    for event in [whole, taken_apart] {
        assert_eq!(site.action(event, "").await, "allow");
    }
}

#[tokio::test]
async fn no_clearance_lifts_a_block() {
    let mut set = asking();
    set["policies"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "no", "mitigationId": BLOCK, "expression": "request_query_no == 'yes'"}));
    let site = Site::new(set).await;
    let clearance = site.clearance(&site.challenge(ada()).await).await;
    let mut event = ada();
    event["request"]["query"] = json!("no=yes");
    assert_eq!(site.action(event, &clearance).await, "block");
    assert_eq!(site.action(ada(), &clearance).await, "allow");
}

#[tokio::test]
async fn waiting_gives_a_weak_clearance_where_that_is_enough_and_nowhere_else() {
    let site = Site::new(asking_with(json!({"level": "low", "acceptWeak": true}))).await;
    let challenge = site.challenge(ada()).await;
    let packed = URL_SAFE_NO_PAD.encode(challenge.to_string());
    site.pass(9);
    let early = site.form("wait", &packed).await;
    assert_eq!((early.status.as_u16(), early.header("retry-after")), (403, Some("1")));
    assert!(early.text().starts_with("<!doctype html>") && early.header("set-cookie").is_none());
    site.pass(1);
    let waited = site.form("wait", &packed).await;
    assert_eq!((waited.status.as_u16(), waited.header("location")), (303, Some("/cart?a=1&b=2")));
    let cookie = waited.header("set-cookie").unwrap().to_owned();
    assert!(cookie.contains("Max-Age=590"), "ten minutes after the challenge: {cookie}");
    let weak = cookie.split_once('=').unwrap().1.split_once(';').unwrap().0.to_owned();
    assert_eq!(site.action(ada(), &weak).await, "allow");
    assert_eq!(site.form("wait", &packed).await.header("set-cookie"), Some(&*cookie), "the same again");
    let strong = site.clearance(&challenge).await;
    assert_ne!(weak, strong);
    site.deploy(asking()).await;
    assert_eq!(site.action(ada(), &weak).await, "challenge", "weak for strong");
    assert_eq!(site.action(ada(), &strong).await, "allow");
    let strict = site.challenge(ada()).await;
    site.pass(30);
    let refused = site.form("wait", &URL_SAFE_NO_PAD.encode(strict.to_string())).await;
    assert_eq!((refused.status.as_u16(), refused.header("set-cookie")), (400, None));
    site.deploy(asking_with(json!({"level": "low", "acceptWeak": true}))).await;
    site.pass(600 + 60);
    assert_eq!(site.action(ada(), &weak).await, "challenge", "after ten minutes");
    assert_eq!((site.counted("waited").await, site.counted("too_early").await), (2, 1));
}
