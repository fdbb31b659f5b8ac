//! What browsers are shown, and where they are led.

use super::*;

#[tokio::test]
async fn a_form_leads_back_with_a_cookie_and_the_whole_query() {
    let site = Site::new(asking()).await;
    let challenge = site.challenge(ada()).await;
    let payload = json!({"challenge": challenge, "solution": solve(&challenge)}).to_string();
    for (field, packed) in [
        ("altcha", STANDARD.encode(&payload)),
        ("payload", STANDARD.encode(&payload)),
        ("payload", URL_SAFE_NO_PAD.encode(&payload)),
    ] {
        let answer = site.form(field, &packed).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (303, Some("/cart?a=1&b=2")), "{field}");
        assert!(answer.header("set-cookie").unwrap().starts_with("__Host-keyloft_"));
    }
    let request = site.server.anonymous().request("POST", PATH).header("sec-fetch-site", "cross-site");
    let request = request.header("accept", "application/json").form(&[("altcha", STANDARD.encode(&payload))]);
    let refused = Answer::of(request).await;
    refused.refused(400, "invalid_challenge");
    assert!(refused.header("set-cookie").is_none(), "a page of another site sent it");
}

#[tokio::test]
async fn nobody_is_led_to_another_site() {
    let site = Site::new(asking()).await;
    for evil in [
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example/",
        "javascript:alert(1)",
        "/.//evil.example",
        "/a/..//evil.example",
        "/x\r\nSet-Cookie: a=b",
        "/x\ny",
        "/\t/evil.example",
        "evil",
        "",
        "/.keyloft/challenge",
    ] {
        let mut event = ada();
        event["returnPath"] = json!(evil);
        let challenge = site.challenge(event).await;
        assert_eq!(challenge["parameters"]["data"]["returnPath"], "/", "{evil:?}");
    }
    let mut event = ada();
    event.as_object_mut().unwrap().remove("returnPath");
    assert_eq!(site.challenge(event).await["parameters"]["data"]["returnPath"], "/");
    let mut event = ada();
    event["returnPath"] = json!("/s?q=a%26b&next=//evil.example&x=\u{e9}#part");
    let challenge = site.challenge(event).await;
    let payload = json!({"challenge": challenge, "solution": solve(&challenge)}).to_string();
    let answer = site.form("altcha", &STANDARD.encode(payload)).await;
    assert_eq!(answer.header("location"), Some("/s?q=a%26b&next=//evil.example&x=%C3%A9#part"));
}

#[tokio::test]
async fn no_field_of_a_request_becomes_markup_of_the_page() {
    let site = Site::new(asking_with(json!({"level": "low", "acceptWeak": true}))).await;
    let attacks =
        ["</script><script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "'--><svg onload=alert(1)>"];
    for attack in attacks {
        let mut event = visitor("203.0.113.7", attack, attack);
        event["request"]["path"] = json!(format!("/{attack}"));
        event["request"]["host"] = json!(attack);
        event["request"]["method"] = json!(attack);
        event["returnPath"] = json!(format!("/a?b={attack}#{attack}"));
        let challenge = site.challenge(event).await;
        let page = site.page(&challenge).await;
        assert_eq!(page.status, 403);
        for part in ["<script>alert", "<img src=x", "<svg onload", "</script><script>"] {
            assert!(!page.text().contains(part), "{part} in {}", page.text());
        }
    }
    // What an address says is not repeated unless we signed it.
    let forged = json!({"parameters": {"data": {"returnPath": attacks[0]}}, "signature": attacks[0]});
    let refused = site.page(&forged).await;
    assert_eq!((refused.status.as_u16(), refused.header("content-type")), (400, Some("text/html; charset=utf-8")));
    assert!(!refused.text().contains("alert(1)"));
    let expired = site.challenge(ada()).await;
    site.pass(660);
    let page = site.page(&expired).await;
    assert_eq!(page.status, 400);
    assert!(page.text().contains("href=\"/cart?a=1&amp;b=2\""), "{}", page.text());
}

#[tokio::test]
async fn no_page_stands_in_a_frame_or_in_a_cache_or_runs_a_script_that_is_not_ours() {
    let site = Site::new(asking()).await;
    let challenge = site.challenge(ada()).await;
    let (one, two) = (site.page(&challenge).await, site.page(&challenge).await);
    let junk = site.page(&json!({})).await;
    let solved = site.redeem(&challenge, solve(&challenge)).await;
    let check = site.server.anonymous().get(&format!("{PATH}?check=1")).await;
    for answer in [&one, &junk, &solved, &check] {
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("vary"), Some("Cookie, Accept"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert!(answer.header("access-control-allow-origin").is_none());
    }
    let policy = |answer: &Answer| answer.header("content-security-policy").unwrap().to_owned();
    for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'", "'nonce-"] {
        assert!(policy(&one).contains(part) && policy(&junk).contains(part), "{part}");
    }
    assert!(!policy(&one).contains("unsafe"));
    assert_ne!(policy(&one), policy(&two), "a nonce is used once");
    let nonce = policy(&one).split_once("'nonce-").unwrap().1.split_once('\'').unwrap().0.to_owned();
    assert!(one.text().contains(&format!("nonce=\"{nonce}\"")));
}

#[tokio::test]
async fn a_browser_learns_whether_it_keeps_cookies() {
    let site = Site::new(asking()).await;
    let check = |cookie: &str| {
        let request = site.server.anonymous().request("GET", &format!("{PATH}?check=1")).header("cookie", cookie);
        Answer::of(request)
    };
    check("a=b").await.refused(409, "clearance_missing");
    let challenge = site.challenge(ada()).await;
    let solved = site.redeem(&challenge, solve(&challenge)).await;
    let pair = solved.header("set-cookie").unwrap().split_once(';').unwrap().0.to_owned();
    assert_eq!(check(&pair).await.status, 204);
    assert_eq!(check(&format!("__Host-keyloft_old=kc1.a.b; {pair}")).await.status, 204);
    check(&format!("{pair}x")).await.refused(409, "clearance_missing");
    site.pass(3660);
    check(&pair).await.refused(409, "clearance_missing");
}

#[tokio::test]
async fn a_request_that_cannot_be_repeated_by_itself_says_so() {
    let site = Site::new(asking()).await;
    for (method, replayable) in [("GET", true), ("head", true), ("POST", false), ("DELETE", false)] {
        let mut event = ada();
        event["request"]["method"] = json!(method);
        assert_eq!(site.challenge(event).await["parameters"]["data"]["replayable"], replayable, "{method}");
    }
}
