//! Machines, as their makers type the commands.

use serde_json::{Value, json};

use crate::support::process::keyloft;
use crate::support::{Ended, TestServer, typed};

#[tokio::test]
async fn a_machine_is_made_changed_rotated_and_removed() {
    let server = TestServer::spawn().await;
    let made = typed(&server, "service create --name ci --role admin --allowed-cidrs 127.0.0.0/8 --json").json();
    let (id, token) = (made["id"].as_str().unwrap().to_owned(), made["token"].as_str().unwrap().to_owned());
    let as_machine = |line: &str| {
        let mut command = keyloft();
        command.env("KEYLOFT_URL", server.url()).env_remove("KEYLOFT_ADMIN_TOKEN").env("KEYLOFT_TOKEN", &token);
        Ended::of(command.args(line.split(' ')), "")
    };
    assert_eq!(as_machine("key create --name k --type query --json").json()["createdBy"], made["id"]);
    as_machine("service create --name more --role viewer").failed(3, "role_not_allowed");
    let listed = typed(&server, "service list").done();
    assert!(listed.lines().any(|line| line.starts_with(&id) && line.contains("127.0.0.0/8")), "{listed}");
    let updated = typed(&server, &format!("service update {id} --role viewer --any-network --json")).json();
    assert_eq!((&updated["role"], &updated["allowedCidrs"]), (&json!("viewer"), &json!([])));
    as_machine("key create --name l --type query").failed(3, "role_not_allowed");
    let rotated = typed(&server, &format!("service rotate {id} --overlap 0s")).done();
    assert!(rotated.starts_with("Token  kl_svc_") && !rotated.contains(&token), "{rotated}");
    as_machine("key list").failed(3, "invalid_admin_token");
    assert!(typed(&server, &format!("service revoke {id} --wait 5s")).done().contains("Applied on every live node"));
    // What was done already is said.
    for wait in ["", " --wait 5s", " --json"] {
        let again = typed(&server, &format!("service revoke {id}{wait}"));
        assert!(again.stderr.contains("removed already"), "{}", again.stderr);
        again.failed(3, "not_found");
    }
    assert_eq!(typed(&server, "service list --json").json()["items"], json!([]));
    let platform = typed(&server, "service create --name p --role platform_viewer --platform --json").json();
    assert_eq!(platform["tenant"], Value::Null);
    assert_eq!(typed(&server, "service list --platform --json").json()["items"][0]["id"], platform["id"]);
    typed(&server, "service create --name q --role viewer --platform").failed(3, "invalid_request");
}
