//! The change log after it was edited by hand.

use crate::support::pair::{key, slow, two, whoami};
use crate::support::{Issued, TestServer};

#[tokio::test]
async fn a_number_of_the_log_that_was_removed_by_hand_is_not_given_again() {
    let (a, c) = two(slow).await;
    let issued = a.admin().issue("default", "k", "query").await;
    assert_eq!(whoami(&c, &issued.api_key).await, 200);
    let mut others = Vec::new();
    for round in 0..3 {
        others.push(a.admin().issue("default", &format!("other-{round}"), "query").await);
    }
    a.app.keystore.poll().await.unwrap();
    std::fs::remove_file(a.path(".settings/keyloft/log/00000000000000000002.json")).unwrap();
    let answer = c.admin().delete(&key(&issued.id)).await;
    // What the removed entry named counts as changed by hand, and is logged first.
    let found = std::fs::read_to_string(a.path(".settings/keyloft/log/00000000000000000005.json")).unwrap();
    let is_named = |key: &Issued| found.contains(&key.id);
    assert!(is_named(&others[0]) && !others[1..].iter().any(is_named), "{found}");
    assert_eq!(answer.json()["receipt"]["changeSeq"], 6, "{}", answer.text());
    a.app.keystore.poll().await.unwrap();
    assert_eq!(whoami(&a, &issued.api_key).await, 401);
}

#[tokio::test]
async fn what_is_put_into_the_log_by_hand_deafens_nobody() {
    for stray in ["00000000000099999999", "18446744073709551615"] {
        let a = TestServer::spawn_with(slow).await;
        let issued = a.admin().issue("default", "k", "query").await;
        std::fs::write(a.path(&format!(".settings/keyloft/log/{stray}.json")), "x").unwrap();
        let directory = a.shared_directory();
        let b = TestServer::spawn_with(|setup| {
            slow(setup);
            setup.directory = directory;
        })
        .await;
        a.admin().delete(&key(&issued.id)).await;
        b.app.keystore.poll().await.unwrap();
        assert_eq!(whoami(&b, &issued.api_key).await, 401);
        let other = b.admin().issue("default", "other", "query").await;
        assert_eq!(whoami(&a, &other.api_key).await, 200);
    }
}

#[tokio::test]
async fn a_broken_entry_at_the_end_of_the_log_stops_no_change() {
    let (a, b) = two(slow).await;
    let issued = a.admin().issue("default", "k", "query").await;
    std::fs::write(a.path(".settings/keyloft/log/00000000000000000002.json"), "garbage").unwrap();
    assert_eq!(a.admin().delete(&key(&issued.id)).await.status, 200);
    b.app.keystore.poll().await.unwrap();
    assert_eq!(whoami(&b, &issued.api_key).await, 401);
}
