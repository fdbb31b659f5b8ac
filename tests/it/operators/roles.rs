//! Every route of the admin plane × every role of a machine.

use keyloft::http::{RouteAuth, routes};
use serde_json::{Value, json};

use crate::support::{Answer, Client, TestServer};

/// The columns of [`TABLE`].
const ROLES: [&str; 5] = ["viewer", "analyst", "admin", "platform_viewer", "platform_admin"];

/// `y` where the role may use the route, for what belongs to its own tenant; `-` where it is 403.
#[rustfmt::skip]
const TABLE: &[(&str, &str, &str)] = &[
    //                                                             viewer, analyst, admin, platform viewer and admin
    ("POST",   "/api/v1/tenants",                                            "----y"),
    ("GET",    "/api/v1/tenants",                                            "yyyyy"),
    ("GET",    "/api/v1/tenants/{tenant}",                                   "yyyyy"),
    ("PATCH",  "/api/v1/tenants/{tenant}",                                   "----y"),
    ("GET",    "/api/v1/tenants/{tenant}/logstream",                         "yyyyy"),
    ("GET",    "/api/v1/tenants/{tenant}/logstream/{stream}",                "yyyyy"),
    ("GET",    "/api/v1/tenants/{tenant}/logstream/{stream}/objects",        "yyyyy"),
    ("PATCH",  "/api/v1/tenants/{tenant}/logstream/{stream}",                "--y-y"),
    ("DELETE", "/api/v1/tenants/{tenant}/logstream/{stream}",                "----y"),
    ("POST",   "/api/v1/tenants/{tenant}/apikeys",                           "--y-y"),
    ("GET",    "/api/v1/tenants/{tenant}/apikeys",                           "yyyyy"),
    ("POST",   "/api/v1/tenants/{tenant}/apikeys/apply",                     "--y-y"),
    ("POST",   "/api/v1/tenants/{tenant}/apikeys/bulk",                      "--y-y"),
    ("GET",    "/api/v1/tenants/{tenant}/apikeys/{id}",                      "yyyyy"),
    ("PATCH",  "/api/v1/tenants/{tenant}/apikeys/{id}",                      "--y-y"),
    ("DELETE", "/api/v1/tenants/{tenant}/apikeys/{id}",                      "--y-y"),
    ("POST",   "/api/v1/tenants/{tenant}/apikeys/{id}/rotate",               "--y-y"),
    ("POST",   "/api/v1/tenants/{tenant}/service-operators",                 "-----"),
    ("GET",    "/api/v1/tenants/{tenant}/service-operators",                 "--yyy"),
    ("GET",    "/api/v1/tenants/{tenant}/service-operators/{id}",            "--yyy"),
    ("PATCH",  "/api/v1/tenants/{tenant}/service-operators/{id}",            "-----"),
    ("DELETE", "/api/v1/tenants/{tenant}/service-operators/{id}",            "-----"),
    ("POST",   "/api/v1/tenants/{tenant}/service-operators/{id}/rotate",     "-----"),
    ("POST",   "/api/v1/service-operators",                                  "-----"),
    ("GET",    "/api/v1/service-operators",                                  "---yy"),
    ("GET",    "/api/v1/service-operators/{id}",                             "---yy"),
    ("PATCH",  "/api/v1/service-operators/{id}",                             "-----"),
    ("DELETE", "/api/v1/service-operators/{id}",                             "-----"),
    ("POST",   "/api/v1/service-operators/{id}/rotate",                      "-----"),
    ("POST",   "/api/v1/tenants/{tenant}/memberships",                       "-----"),
    ("GET",    "/api/v1/tenants/{tenant}/memberships",                       "yyyyy"),
    ("DELETE", "/api/v1/tenants/{tenant}/memberships/{id}",                  "-----"),
    ("POST",   "/api/v1/memberships",                                        "-----"),
    ("GET",    "/api/v1/memberships",                                        "---yy"),
    ("DELETE", "/api/v1/memberships/{id}",                                   "-----"),
    ("POST",   "/tenants/{tenant}/memberships",                              "-----"),
    ("GET",    "/tenants/{tenant}/memberships",                              "yyyyy"),
    ("DELETE", "/tenants/{tenant}/memberships/{id}",                         "-----"),
    ("POST",   "/api/v1/apikeys/verify",                                     "-yy-y"),
    ("GET",    "/api/v1/sessions",                                           "yyyyy"),
    ("DELETE", "/api/v1/sessions/{id}",                                      "--y-y"),
    ("GET",    "/api/v1/unreadable",                                         "---yy"),
    ("GET",    "/api/v1/nodes",                                              "---yy"),
    ("GET",    "/api/v1/changes/{seq}",                                      "yyyyy"),
    ("POST",   "/api/v1/sync",                                               "----y"),
    // Last: it ends what the others are about.
    ("DELETE", "/api/v1/tenants/{tenant}",                                   "----y"),
];

#[test]
fn the_table_has_every_route_of_the_admin_plane() {
    for route in routes() {
        let rows = TABLE.iter().filter(|(method, path, _)| (*method, *path) == (route.method, route.path)).count();
        let expected = usize::from(matches!(route.auth, RouteAuth::Admin(_)));
        assert_eq!(rows, expected, "{} {} in tests/it/operators/roles.rs", route.method, route.path);
    }
    assert_eq!(TABLE.len(), routes().iter().filter(|route| matches!(route.auth, RouteAuth::Admin(_))).count());
}

fn body(method: &str, path: &str, round: usize) -> Option<Value> {
    Some(match (method, path) {
        ("POST", "/api/v1/tenants") => json!({"tenantId": format!("new-{round}")}),
        ("POST", "/api/v1/tenants/{tenant}/apikeys") => json!({"keyName": format!("n{round}"), "keyType": "query"}),
        ("POST", "/api/v1/tenants/{tenant}/apikeys/apply") => json!({"keys": []}),
        ("POST", "/api/v1/tenants/{tenant}/apikeys/bulk") => json!({"op": "revoke", "filter": {"name": "k"}}),
        ("POST", "/api/v1/apikeys/verify") => json!({"apiKey": "hunter2"}),
        ("POST", path) if path.ends_with("/service-operators") => json!({"name": "n", "role": "viewer"}),
        ("POST", path) if path.ends_with("/memberships") => json!({"email": "ada@example.com", "role": "viewer"}),
        ("PATCH", _) => json!({}),
        _ => return None,
    })
}

/// A machine of a tenant, or of the platform for roles of the platform.
pub(super) async fn machine(server: &TestServer, tenant: &str, role: &str) -> (String, Client) {
    let path = match role.starts_with("platform") {
        true => "/api/v1/service-operators".to_owned(),
        false => format!("/api/v1/tenants/{tenant}/service-operators"),
    };
    let name = format!("{role} {tenant}");
    let made = server.admin().post(&path, json!({"name": name, "role": role})).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    (made["id"].as_str().unwrap().to_owned(), Client::admin(server.url(), made["token"].as_str().unwrap()))
}

#[tokio::test]
async fn every_route_answers_every_role_as_the_table_says() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    for (column, role) in ROLES.into_iter().enumerate() {
        let tenant = format!("t{column}");
        admin.post("/api/v1/tenants", json!({"tenantId": tenant})).await;
        let (id, client) = machine(&server, &tenant, role).await;
        for (row, (method, path, allowed)) in TABLE.iter().enumerate() {
            let key = admin.issue(&tenant, &format!("k{row}"), "query").await;
            let id = if path.contains("service-operators") { &id } else { &key.id };
            let url = path.replace("{tenant}", &tenant).replace("{stream}", "web").replace("{id}", id);
            let mut request = client.request(method, &url.replace("{seq}", "1"));
            if let Some(body) = body(method, path, row) {
                request = request.json(&body);
            }
            let answer = Answer::of(request).await;
            if allowed.as_bytes()[column] == b'y' {
                assert!(!matches!(answer.status.as_u16(), 401 | 403), "{method} {path} as {role}: {}", answer.text());
            } else {
                answer.refused(403, "role_not_allowed");
            }
        }
    }
}

/// What belongs to another tenant answers as if it did not exist, in the same bytes.
#[tokio::test]
async fn another_tenant_is_as_one_that_does_not_exist() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    for tenant in ["acme", "other"] {
        admin.post("/api/v1/tenants", json!({"tenantId": tenant})).await;
    }
    let key = admin.issue("other", "k", "query").await;
    let (_, client) = machine(&server, "acme", "admin").await;
    for (row, (method, path, _)) in TABLE.iter().enumerate().filter(|(_, (_, path, _))| path.contains("{tenant}")) {
        let mut answers = Vec::new();
        for tenant in ["other", "nobody"] {
            let url = path.replace("{tenant}", tenant).replace("{stream}", "web").replace("{id}", &key.id);
            let mut request = client.request(method, &url);
            if let Some(body) = body(method, path, row) {
                request = request.json(&body);
            }
            let answer = Answer::of(request).await;
            answer.refused(404, "not_found");
            answers.push(answer.json());
        }
        assert_eq!(answers[0], answers[1], "{method} {path}");
    }
    let tenants = client.get("/api/v1/tenants").await.json();
    assert_eq!(tenants["items"].as_array().unwrap().len(), 1);
    assert_eq!(tenants["items"][0]["tenantId"], "acme");
    let verdict = client.post("/api/v1/apikeys/verify", json!({"apiKey": key.api_key})).await.json();
    assert_eq!(verdict, json!({"valid": false, "code": "not_found"}));
    let own = admin.issue("acme", "k", "query").await;
    let verdict = client.post("/api/v1/apikeys/verify", json!({"apiKey": own.api_key})).await.json();
    assert_eq!((&verdict["valid"], &verdict["tenant"]), (&json!(true), &json!("acme")));
}
