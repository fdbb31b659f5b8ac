//! Memberships, as people type the commands.

use serde_json::{Value, json};

use crate::support::process::keyloft;
use crate::support::{Ended, TestServer, typed};

const ADA: &str = "op-5a12af06505d0ebbb95bca5441f5c29f";

#[tokio::test]
async fn members_are_set_invited_listed_and_removed() {
    let server = TestServer::spawn().await;
    typed(&server, "tenant create acme").done();
    let set = typed(&server, &format!("membership set --tenant acme --user-id {ADA} --role Owner --json")).json();
    assert_eq!((&set["userId"], &set["role"], &set["addedBy"]), (&json!(ADA), &json!("owner"), &json!("admin")));
    let invited = typed(&server, "membership set --tenant acme --email Bob@example.com --role admin --wait 5s").done();
    assert!(invited.contains("Bob@example.com") && invited.contains("Applied on every live node"), "{invited}");
    let listed = typed(&server, "membership list --tenant acme").done();
    assert!(listed.lines().any(|line| line.starts_with(ADA) && line.contains("owner")), "{listed}");
    assert!(listed.lines().any(|line| line.starts_with("inv-") && line.contains("Bob@example.com")), "{listed}");
    let remove = |rest: &str| typed(&server, &format!("membership remove --tenant acme {rest}"));
    remove("--email carl@example.com").failed(3, "no open invitation");
    remove("--email bob@EXAMPLE.com --wait 5s").done();
    remove(&format!("--user-id {ADA}")).failed(3, "last_owner");
    typed(&server, &format!("membership set --tenant acme --user-id {ADA} --role viewer")).failed(3, "last_owner");
    assert!(remove(&format!("--user-id {ADA} --force")).done().starts_with(ADA));
    let listed = typed(&server, "membership list --tenant acme --json").json();
    assert_eq!(listed, json!({"items": [], "invitations": []}));
    typed(&server, &format!("membership set --platform --user-id {ADA} --role platform_viewer")).done();
    let platform = typed(&server, "membership list --platform --json").json();
    assert_eq!((&platform["items"][0]["userId"], &platform["items"][0]["email"]), (&json!(ADA), &Value::Null));
    typed(&server, &format!("membership set --platform --user-id {ADA} --role owner")).failed(3, "invalid_request");
}

#[test]
fn the_id_of_an_operator_needs_no_server() {
    let id = |rest: &[&str]| {
        let mut command = keyloft();
        let subject = "110169484474386276334";
        command.args(["operator", "id", "--issuer", "https://accounts.google.com", "--subject", subject]);
        Ended::of(command.args(rest), "")
    };
    assert_eq!(id(&[]).done().trim(), ADA);
    assert_eq!(id(&["--json"]).json(), json!({"userId": ADA}));
    id(&["--tenant", "acme"]).failed(2, "not for operator");
}
