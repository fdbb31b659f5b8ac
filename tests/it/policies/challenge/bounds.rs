//! Floods, and bodies that are no solutions.

use super::*;

#[tokio::test]
async fn a_flood_of_challenges_is_not_remembered() {
    let site = Site::new(asking()).await;
    let before = site.server.app.decider.state().size();
    let events: Vec<Value> =
        (0..1000).map(|n| visitor(&format!("10.0.{}.{}", n / 250, n % 250), "flood", "x")).collect();
    for _ in 0..5 {
        let answer = site.decide(json!({"events": events})).await;
        assert!(answer["decisions"].as_array().unwrap().iter().all(|one| one["action"] == "challenge"));
    }
    assert_eq!(site.counted("issued").await, 5000);
    assert_eq!(site.server.app.decider.state().size(), before);
}

#[tokio::test]
async fn what_is_not_ours_costs_no_computation_even_when_all_places_are_taken() {
    let site = Site::new(asking()).await;
    let challenge = site.challenge(ada()).await;
    let solution = solve(&challenge);
    let mut forged = challenge.clone();
    forged["parameters"]["data"]["ttlSeconds"] = json!(7);
    let permits = site.server.app.decider.places().clone().try_acquire_many_owned(4).unwrap();
    assert!(site.server.app.decider.places().try_acquire().is_err(), "four are computed at once, and no fifth");
    site.redeem(&forged, solution.clone()).await.refused(400, "invalid_challenge");
    let busy = site.redeem(&challenge, solution.clone()).await;
    busy.refused(429, "too_many_challenges");
    assert_eq!(busy.header("retry-after"), Some("1"));
    let late = site.challenge(ada()).await;
    site.pass(660);
    site.redeem(&late, solution.clone()).await.refused(400, "challenge_expired");
    site.pass(-660);
    drop(permits);
    assert_eq!(site.redeem(&challenge, solution).await.status, 200);
    for (outcome, times) in [("busy", 1), ("invalid", 1), ("expired", 1), ("solved", 1)] {
        assert_eq!(site.counted(outcome).await, times, "{outcome}");
    }
    assert_eq!(site.server.app.decider.places().available_permits(), 4);
}

#[tokio::test]
async fn a_flood_of_bad_solutions_ends_with_every_place_free() {
    let site = Site::new(asking()).await;
    let challenge = site.challenge(ada()).await;
    let wrong = json!({"counter": 7, "derivedKey": format!("00{}", "1".repeat(62))});
    let flood = (0..200).map(|_| site.redeem(&challenge, wrong.clone()));
    let answers = futures::future::join_all(flood).await;
    for answer in &answers {
        let (status, code) = answer.problem();
        assert!([(400, "invalid_challenge"), (429, "too_many_challenges")].contains(&(status, &*code)), "{code}");
    }
    assert!(answers.iter().any(|answer| answer.status == 400));
    assert_eq!(site.server.app.decider.places().available_permits(), 4);
    assert_eq!(site.redeem(&challenge, solve(&challenge)).await.status, 200);
}

#[tokio::test]
async fn bodies_are_bounded_and_of_two_types() {
    let site = Site::new(asking()).await;
    let post = |body: String, media_type: &str| {
        let request = site.server.anonymous().request("POST", PATH).header("content-type", media_type);
        Answer::of(request.body(body))
    };
    post(" ".repeat(16 * 1024 + 1), "application/json").await.refused(413, "payload_too_large");
    post(format!("altcha={}", "a".repeat(16 * 1024)), "application/x-www-form-urlencoded")
        .await
        .refused(413, "payload_too_large");
    post("{}".to_owned(), "text/plain").await.refused(415, "unsupported_media_type");
    for body in ["", "{}", "[]", "null", "{\"challenge\":{},\"solution\":{}}", "hunter2"] {
        let refused = post(body.to_owned(), "application/json").await;
        refused.refused(400, "invalid_challenge");
        assert!(!refused.text().contains("hunter2"));
    }
    let nested = format!("{{\"challenge\":{}", "[".repeat(10_000));
    post(nested, "application/json").await.refused(400, "invalid_challenge");
    let deep = format!("{PATH}?challenge={}", URL_SAFE_NO_PAD.encode("[".repeat(5000)));
    let request = site.server.anonymous().request("GET", &deep).header("accept", "application/json");
    Answer::of(request).await.refused(400, "invalid_challenge");
    for query in ["", "?challenge=", "?challenge=%00", "?challenge=e30", "?challenge=%F0%9F%92%A9"] {
        let request = site.server.anonymous().request("GET", &format!("{PATH}{query}"));
        Answer::of(request.header("accept", "application/json")).await.refused(400, "invalid_challenge");
    }
}
