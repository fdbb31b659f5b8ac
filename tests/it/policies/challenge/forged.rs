//! Challenges and clearances that are not as they were made.

use super::*;

/// Changes one thing, and expects that the solution is worth nothing then.
async fn refused(site: &Site, challenge: &Value, solution: &Value, change: impl FnOnce(&mut Value, &mut Value)) {
    let (mut challenge, mut solution) = (challenge.clone(), solution.clone());
    let before = (challenge.clone(), solution.clone());
    change(&mut challenge, &mut solution);
    assert_ne!((&challenge, &solution), (&before.0, &before.1));
    site.redeem(&challenge, solution).await.refused(400, "invalid_challenge");
}

#[tokio::test]
async fn what_is_signed_cannot_be_changed() {
    let site = Site::new(asking_with(json!({"level": "high"}))).await;
    let challenge = site.challenge(ada()).await;
    // Solved as if it had cost next to nothing.
    for (member, value) in [
        ("cost", json!(1)),
        ("keyPrefix", json!("")),
        ("keyPrefix", json!("0")),
        ("algorithm", json!("SHA-256")),
        ("algorithm", json!("pbkdf2/sha-256")),
        ("keyLength", json!(1)),
        ("nonce", json!("00000000000000000000000000000000")),
        ("salt", json!("00000000000000000000000000000000")),
        ("expiresAt", json!(4_000_000_000_i64)),
    ] {
        let mut easy = challenge.clone();
        easy["parameters"]["cost"] = json!(1);
        let solution = solve(&easy);
        refused(&site, &challenge, &solution, |challenge, _| challenge["parameters"][member] = value).await;
    }
    let mut easy = challenge.clone();
    easy["parameters"]["cost"] = json!(1);
    site.redeem(&challenge, solve(&easy)).await.refused(400, "invalid_challenge");
}

#[tokio::test]
async fn no_member_of_the_data_can_be_changed_moved_or_added() {
    let site = Site::new(asking()).await;
    let challenge = site.challenge(ada()).await;
    let solution = solve(&challenge);
    let others = [
        ("acceptWeak", json!(true)),
        ("binding", json!("AAAAAAAAAAAAAAAAAAAAAA")),
        ("decisionId", json!("x")),
        ("definition", json!(null)),
        ("definition", json!(NETWORK)),
        ("issuedAt", json!(4_000_000_000_i64)),
        ("key", json!("00000000")),
        ("level", json!("high")),
        ("replayable", json!(false)),
        ("returnPath", json!("//evil.example")),
        ("tenant", json!("acme")),
        ("ttlSeconds", json!(2_592_000)),
    ];
    let members: Vec<_> = challenge["parameters"]["data"].as_object().unwrap().keys().cloned().collect();
    assert!(members.iter().all(|member| others.iter().any(|(other, _)| other == member)), "{members:?}");
    for (member, value) in others {
        refused(&site, &challenge, &solution, |challenge, _| challenge["parameters"]["data"][member] = value).await;
    }
    // Splicing: the end of one member is the beginning of another.
    refused(&site, &challenge, &solution, |challenge, _| {
        challenge["parameters"]["data"]["returnPath"] = json!("/cart?a=1&b=2\",\"tenant\":\"acme");
    })
    .await;
    refused(&site, &challenge, &solution, |challenge, _| challenge["parameters"]["data"]["role"] = json!("admin"))
        .await;
    refused(&site, &challenge, &solution, |challenge, _| challenge["parameters"]["memoryCost"] = json!(1)).await;
    refused(&site, &challenge, &solution, |challenge, _| {
        challenge["parameters"]["data"].as_object_mut().unwrap().remove("definition");
    })
    .await;
    let other = site.challenge(ada()).await;
    refused(&site, &challenge, &solution, |challenge, _| challenge["signature"] = other["signature"].clone()).await;
    refused(&site, &challenge, &solution, |challenge, _| challenge["signature"] = json!("")).await;
    refused(&site, &challenge, &solution, |challenge, _| {
        challenge["signature"] = json!(challenge["signature"].as_str().unwrap().to_uppercase());
    })
    .await;
    refused(&site, &challenge, &solution, |challenge, _| _ = challenge.as_object_mut().unwrap().remove("signature"))
        .await;
    // A member that comes twice, where readers differ about which one counts.
    let text = json!({"challenge": challenge, "solution": solution}).to_string();
    let twice = text.replacen("\"cost\":1000", "\"cost\":1000,\"cost\":1000", 1);
    assert_ne!(text, twice);
    let request = site.server.anonymous().request("POST", PATH).header("content-type", "application/json").body(twice);
    Answer::of(request).await.refused(400, "invalid_challenge");
    assert_eq!(site.redeem(&challenge, solution).await.status, 200, "and as it was made it is good");
}

#[tokio::test]
async fn a_proof_for_one_challenge_is_worth_nothing_for_another() {
    let site = Site::new(asking()).await;
    let (one, other) = (site.challenge(ada()).await, site.challenge(ada()).await);
    assert_ne!(one["parameters"]["nonce"], other["parameters"]["nonce"]);
    let solution = solve(&one);
    site.redeem(&other, solution.clone()).await.refused(400, "invalid_challenge");
    for (member, value) in [
        ("counter", json!(-1)),
        ("counter", json!(4_294_967_296_u64)),
        ("counter", json!("7")),
        ("derivedKey", json!("00")),
        ("derivedKey", json!("")),
        ("derivedKey", json!(format!("00{}", "f".repeat(62)))),
        ("derivedKey", json!("f".repeat(64))),
        ("more", json!(1)),
    ] {
        refused(&site, &one, &solution, |_, solution| solution[member] = value).await;
    }
}

#[tokio::test]
async fn a_challenge_of_yesterday_or_of_a_clock_that_is_ahead_is_refused() {
    let site = Site::new(asking()).await;
    let challenge = site.challenge(ada()).await;
    let (page, solution) = (at(&challenge), solve(&challenge));
    for (step, expected) in [
        (-60, Ok(())),
        (-1, Err("invalid_challenge")),
        (61 + 659, Ok(())),
        (1, Err("challenge_expired")),
        (86_400, Err("challenge_expired")),
    ] {
        site.pass(step);
        let answer = site.redeem(&challenge, solution.clone()).await;
        let shown = site.server.anonymous().request("GET", &page).header("accept", "application/json");
        let shown = Answer::of(shown).await;
        match expected {
            Ok(()) => assert_eq!((answer.status.as_u16(), shown.status.as_u16()), (200, 403), "{step}"),
            Err(code) => [answer, shown].iter().for_each(|answer| answer.refused(400, code)),
        }
    }
}

#[tokio::test]
async fn a_clearance_is_for_its_tenant_entity_and_program() {
    let site = Site::new(asking()).await;
    let admin = site.server.admin();
    assert_eq!(admin.post("/api/v1/tenants", json!({"tenantId": "acme"})).await.status, 201);
    assert_eq!(admin.put("/api/v1/tenants/acme/policyset", asking()).await.status, 200);
    let acme = edge(&site.server, "acme").await;
    let clearance = site.clearance(&site.challenge(ada()).await).await;
    assert_eq!(site.action(ada(), &clearance).await, "allow");
    let mut shown = ada();
    shown["clearance"] = json!(clearance);
    assert_eq!(acme.post(DECIDE, shown).await.json()["action"], "challenge", "another tenant");
    let agent = visitor("203.0.113.7", "curl/8", "ada");
    let session = visitor("203.0.113.7", "Mozilla/5.0", "grace");
    let mut nobody = visitor("203.0.113.7", "Mozilla/5.0", "");
    nobody["request"]["cookies"] = json!({});
    for (event, who) in [(agent, "another program"), (session, "another session"), (nobody, "no session")] {
        assert_eq!(site.action(event, &clearance).await, "challenge", "{who}");
    }
    let mut abroad = visitor("198.51.100.1", "Mozilla/5.0", "ada");
    (abroad["country"], abroad["asn"]) = (json!("DE"), json!(64_496));
    assert_eq!(site.action(abroad, &clearance).await, "allow", "who moves is the same");
    let mut set = asking();
    set["policies"][0]["entityDefinitionId"] = json!(NETWORK);
    site.deploy(set).await;
    assert_eq!(site.action(ada(), &clearance).await, "challenge", "a policy about others");
    let mut set = asking();
    set["policies"][0].as_object_mut().unwrap().remove("entityDefinitionId");
    site.deploy(set).await;
    assert_eq!(site.action(ada(), &clearance).await, "challenge", "a policy about nobody");
    let mut set = asking();
    set["entities"][0]["keyFields"] = json!(["client_ip", "request_cookie_session", "request_host"]);
    site.deploy(set).await;
    assert_eq!(site.action(ada(), &clearance).await, "challenge", "another definition of who is who");
    site.deploy(asking()).await;
    assert_eq!(site.action(ada(), &clearance).await, "allow");
}

#[tokio::test]
async fn a_clearance_that_was_changed_lifts_nothing() {
    let site = Site::new(asking()).await;
    let challenge = site.challenge(ada()).await;
    let clearance = site.clearance(&challenge).await;
    let (signed, code) = clearance.rsplit_once('.').unwrap();
    let payload = URL_SAFE_NO_PAD.decode(signed.strip_prefix("kc1.").unwrap()).unwrap();
    let mut changed: Value = serde_json::from_slice(&payload).unwrap();
    changed["level"] = json!("high");
    let raised = format!("kc1.{}.{code}", URL_SAFE_NO_PAD.encode(changed.to_string()));
    let of_challenge = format!("{signed}.{}", challenge["signature"].as_str().unwrap());
    for (text, why) in [
        (raised, "another level"),
        (of_challenge, "signed for something else"),
        (format!("{signed}."), "no code"),
        (signed.to_owned(), "none either"),
        (format!("{clearance}A"), "a longer code"),
        (clearance.replacen("kc1", "kc2", 1), "another version"),
        (format!("{clearance}.{code}"), "two codes"),
        (String::new(), "nothing"),
        ("kc1..".to_owned(), "empty parts"),
        ("a".repeat(60_000), "much"),
    ] {
        assert_eq!(site.action(ada(), &text).await, "challenge", "{why}");
    }
    assert_eq!(site.action(ada(), &clearance).await, "allow");
}

#[tokio::test]
async fn secrets_are_exchanged_without_asking_anybody_again_and_a_retired_one_opens_nothing() {
    let secret = |text: &str| Some(zeroize::Zeroizing::new(text.repeat(32).into_bytes()));
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let start = |own: &'static str, other: Option<&'static str>| {
        let directory = directory.clone();
        async move {
            let clock = Arc::new(ManualClock::new("2026-11-29T07:00:00Z".parse().unwrap()));
            let of_server = clock.clone();
            let server = TestServer::spawn_with(|setup| {
                setup.clock = of_server;
                setup.directory = directory;
                setup.config.policy.secret = secret(own);
                setup.config.policy.other_secret = other.and_then(secret);
            })
            .await;
            let tenant = format!("edge-{own}{}", other.unwrap_or_default());
            let body = json!({"keyName": tenant, "keyType": "ingestion", "sourceId": "shop"});
            let key = server.admin().issue_with("default", body).await;
            let edge = server.with_key(&key.api_key);
            Site { server, clock, edge }
        }
    };
    let old = start("a", None).await;
    old.deploy(asking()).await;
    let challenge = old.challenge(ada()).await;
    let (solution, clearance) = (solve(&challenge), old.clearance(&challenge).await);
    drop(old);
    let next = start("a", Some("b")).await;
    assert_eq!(next.action(ada(), &clearance).await, "allow", "the next one is known, and does not sign yet");
    drop(next);
    let both = start("b", Some("a")).await;
    assert_eq!(both.action(ada(), &clearance).await, "allow");
    let again = both.redeem(&challenge, solution.clone()).await.json();
    assert_eq!(again["clearance"], json!(clearance), "the same bytes, whichever signs");
    let of_new = both.challenge(ada()).await;
    assert_ne!(of_new["parameters"]["data"]["key"], challenge["parameters"]["data"]["key"]);
    let new_clearance = both.clearance(&of_new).await;
    drop(both);
    let new = start("b", None).await;
    assert_eq!(new.action(ada(), &clearance).await, "challenge", "retired");
    new.redeem(&challenge, solution).await.refused(400, "invalid_challenge");
    assert_eq!(new.action(ada(), &new_clearance).await, "allow");
}
