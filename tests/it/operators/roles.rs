//! Every route of the admin plane × every role of a machine and of a person.

use keyloft::http::{RouteAuth, routes};
use serde_json::{Value, json};

use crate::support::people::Signer;
use crate::support::{Answer, Client, TestServer};

/// Whom nobody holds.
const ENTITY: &str = "e_ivgjinsfhoap7bufgxv3ixy27y";

/// The columns of [`TABLE`]: of machines, then of people.
const MACHINES: [&str; 5] = ["viewer", "analyst", "admin", "platform_viewer", "platform_admin"];
const PEOPLE: [&str; 6] = ["viewer", "analyst", "admin", "owner", "platform_viewer", "platform_admin"];

/// `y` where the role may use the route, for what belongs to its own tenant; `-` where it is 403.
#[rustfmt::skip]
const TABLE: &[(&str, &str, &str, &str)] = &[
    ("POST",   "/api/v1/tenants",                                                   "----y", "-----y"),
    ("GET",    "/api/v1/tenants",                                                   "yyyyy", "yyyyyy"),
    ("GET",    "/api/v1/tenants/{tenant}",                                          "yyyyy", "yyyyyy"),
    ("PATCH",  "/api/v1/tenants/{tenant}",                                          "----y", "-----y"),
    ("GET",    "/api/v1/tenants/{tenant}/logstream",                                "yyyyy", "yyyyyy"),
    ("GET",    "/api/v1/tenants/{tenant}/logstream/{stream}",                       "yyyyy", "yyyyyy"),
    ("GET",    "/api/v1/tenants/{tenant}/logstream/{stream}/objects",               "yyyyy", "yyyyyy"),
    ("PATCH",  "/api/v1/tenants/{tenant}/logstream/{stream}",                       "--y-y", "--yy-y"),
    ("DELETE", "/api/v1/tenants/{tenant}/logstream/{stream}",                       "----y", "-----y"),
    ("POST",   "/api/v1/tenants/{tenant}/query",                                    "-yy-y", "-yyy-y"),
    ("POST",   "/api/v1/tenants/{tenant}/apikeys",                                  "--y-y", "--yy-y"),
    ("GET",    "/api/v1/tenants/{tenant}/apikeys",                                  "yyyyy", "yyyyyy"),
    ("POST",   "/api/v1/tenants/{tenant}/apikeys/apply",                            "--y-y", "--yy-y"),
    ("POST",   "/api/v1/tenants/{tenant}/apikeys/bulk",                             "--y-y", "--yy-y"),
    ("GET",    "/api/v1/tenants/{tenant}/apikeys/{id}",                             "yyyyy", "yyyyyy"),
    ("PATCH",  "/api/v1/tenants/{tenant}/apikeys/{id}",                             "--y-y", "--yy-y"),
    ("DELETE", "/api/v1/tenants/{tenant}/apikeys/{id}",                             "--y-y", "--yy-y"),
    ("POST",   "/api/v1/tenants/{tenant}/apikeys/{id}/rotate",                      "--y-y", "--yy-y"),
    ("GET",    "/api/v1/tenants/{tenant}/policyset",                                "yyyyy", "yyyyyy"),
    ("PUT",    "/api/v1/tenants/{tenant}/policyset",                                "--y-y", "--yy-y"),
    ("GET",    "/api/v1/tenants/{tenant}/policyset/versions",                       "yyyyy", "yyyyyy"),
    ("GET",    "/api/v1/tenants/{tenant}/policyset/versions/{number}",              "yyyyy", "yyyyyy"),
    ("POST",   "/api/v1/tenants/{tenant}/policyset/apply",                          "--y-y", "--yy-y"),
    ("POST",   "/api/v1/tenants/{tenant}/policyset/explain",                        "-yy-y", "-yyy-y"),
    ("POST",   "/api/v1/tenants/{tenant}/policyset/backtest",                       "-yy-y", "-yyy-y"),
    ("POST",   "/api/v1/tenants/{tenant}/policyset/rollback",                       "--y-y", "--yy-y"),
    ("GET",    "/api/v1/tenants/{tenant}/results/policies",                         "yyyyy", "yyyyyy"),
    ("GET",    "/api/v1/tenants/{tenant}/results/policies/{id}",                    "yyyyy", "yyyyyy"),
    ("POST",   "/api/v1/tenants/{tenant}/actions",                                  "--y-y", "--yy-y"),
    ("GET",    "/api/v1/tenants/{tenant}/actions",                                  "yyyyy", "yyyyyy"),
    ("GET",    "/api/v1/tenants/{tenant}/actions/{id}",                             "yyyyy", "yyyyyy"),
    ("PATCH",  "/api/v1/tenants/{tenant}/actions/{id}",                             "--y-y", "--yy-y"),
    ("DELETE", "/api/v1/tenants/{tenant}/actions/{id}",                             "--y-y", "--yy-y"),
    ("POST",   "/api/v1/tenants/{tenant}/entities",                                 "--y-y", "--yy-y"),
    ("GET",    "/api/v1/tenants/{tenant}/entities",                                 "yyyyy", "yyyyyy"),
    ("GET",    "/api/v1/tenants/{tenant}/entities/{id}",                            "yyyyy", "yyyyyy"),
    ("PATCH",  "/api/v1/tenants/{tenant}/entities/{id}",                            "--y-y", "--yy-y"),
    ("DELETE", "/api/v1/tenants/{tenant}/entities/{id}",                            "--y-y", "--yy-y"),
    ("GET",    "/api/v1/tenants/{tenant}/mitigations/active",                       "yyyyy", "yyyyyy"),
    ("GET",    "/api/v1/tenants/{tenant}/mitigations/active/{entity}",              "yyyyy", "yyyyyy"),
    ("DELETE", "/api/v1/tenants/{tenant}/mitigations/active/{entity}",              "--y-y", "--yy-y"),
    ("POST",   "/api/v1/tenants/{tenant}/mitigations",                              "--y-y", "--yy-y"),
    ("GET",    "/api/v1/tenants/{tenant}/mitigations",                              "yyyyy", "yyyyyy"),
    ("GET",    "/api/v1/tenants/{tenant}/mitigations/{id}",                         "yyyyy", "yyyyyy"),
    ("PATCH",  "/api/v1/tenants/{tenant}/mitigations/{id}",                         "--y-y", "--yy-y"),
    ("DELETE", "/api/v1/tenants/{tenant}/mitigations/{id}",                         "--y-y", "--yy-y"),
    ("POST",   "/api/v1/tenants/{tenant}/policies",                                 "--y-y", "--yy-y"),
    ("GET",    "/api/v1/tenants/{tenant}/policies",                                 "yyyyy", "yyyyyy"),
    ("GET",    "/api/v1/tenants/{tenant}/policies/{id}",                            "yyyyy", "yyyyyy"),
    ("PATCH",  "/api/v1/tenants/{tenant}/policies/{id}",                            "--y-y", "--yy-y"),
    ("DELETE", "/api/v1/tenants/{tenant}/policies/{id}",                            "--y-y", "--yy-y"),
    ("POST",   "/api/v1/tenants/{tenant}/service-operators",                        "-----", "--yy-y"),
    ("GET",    "/api/v1/tenants/{tenant}/service-operators",                        "--yyy", "--yyyy"),
    ("GET",    "/api/v1/tenants/{tenant}/service-operators/{id}",                   "--yyy", "--yyyy"),
    ("PATCH",  "/api/v1/tenants/{tenant}/service-operators/{id}",                   "-----", "--yy-y"),
    ("DELETE", "/api/v1/tenants/{tenant}/service-operators/{id}",                   "-----", "--yy-y"),
    ("POST",   "/api/v1/tenants/{tenant}/service-operators/{id}/rotate",            "-----", "--yy-y"),
    ("POST",   "/api/v1/service-operators",                                         "-----", "-----y"),
    ("GET",    "/api/v1/service-operators",                                         "---yy", "----yy"),
    ("GET",    "/api/v1/service-operators/{id}",                                    "---yy", "----yy"),
    ("PATCH",  "/api/v1/service-operators/{id}",                                    "-----", "-----y"),
    ("DELETE", "/api/v1/service-operators/{id}",                                    "-----", "-----y"),
    ("POST",   "/api/v1/service-operators/{id}/rotate",                             "-----", "-----y"),
    ("POST",   "/api/v1/tenants/{tenant}/memberships",                              "-----", "--yy-y"),
    ("GET",    "/api/v1/tenants/{tenant}/memberships",                              "yyyyy", "yyyyyy"),
    ("DELETE", "/api/v1/tenants/{tenant}/memberships/{id}",                         "-----", "--yy-y"),
    ("POST",   "/api/v1/memberships",                                               "-----", "-----y"),
    ("GET",    "/api/v1/memberships",                                               "---yy", "----yy"),
    ("DELETE", "/api/v1/memberships/{id}",                                          "-----", "-----y"),
    ("POST",   "/tenants/{tenant}/memberships",                                     "-----", "--yy-y"),
    ("GET",    "/tenants/{tenant}/memberships",                                     "yyyyy", "yyyyyy"),
    ("DELETE", "/tenants/{tenant}/memberships/{id}",                                "-----", "--yy-y"),
    ("GET",    "/api/v1/auth/me",                                                   "yyyyy", "yyyyyy"),
    ("DELETE", "/api/v1/auth/sessions/{sid}",                                       "-----", "yyyyyy"),
    ("GET",    "/api/v1/operators",                                                 "---yy", "----yy"),
    ("GET",    "/api/v1/operators/{id}",                                            "---yy", "----yy"),
    ("PATCH",  "/api/v1/operators/{id}",                                            "-----", "-----y"),
    ("DELETE", "/api/v1/operators/{id}/sessions",                                   "-----", "-----y"),
    ("GET",    "/api/v1/signers",                                                   "---yy", "----yy"),
    ("DELETE", "/api/v1/signers/{kid}",                                             "-----", "-----y"),
    ("GET",    "/api/v1/tenants/{tenant}/audit",                                    "--yyy", "--yyyy"),
    ("GET",    "/api/v1/audit",                                                     "---yy", "----yy"),
    ("POST",   "/api/v1/apikeys/verify",                                            "-yy-y", "-yyy-y"),
    ("GET",    "/api/v1/sessions",                                                  "yyyyy", "yyyyyy"),
    ("DELETE", "/api/v1/sessions/{id}",                                             "--y-y", "--yy-y"),
    ("GET",    "/api/v1/unreadable",                                                "---yy", "----yy"),
    ("GET",    "/api/v1/nodes",                                                     "---yy", "----yy"),
    ("GET",    "/api/v1/changes/{seq}",                                             "yyyyy", "yyyyyy"),
    ("POST",   "/api/v1/sync",                                                      "----y", "-----y"),
    // Last: they end what the others are about.
    ("DELETE", "/api/v1/tenants/{tenant}",                                          "----y", "-----y"),
    ("POST",   "/api/v1/auth/logout",                                               "-----", "yyyyyy"),
];

#[test]
fn the_table_has_every_route_of_the_admin_plane() {
    for route in routes() {
        let rows = TABLE.iter().filter(|(method, path, ..)| (*method, *path) == (route.method, route.path)).count();
        let expected = usize::from(matches!(route.auth, RouteAuth::Admin(_)));
        assert_eq!(rows, expected, "{} {} in tests/it/operators/roles.rs", route.method, route.path);
    }
    assert_eq!(TABLE.len(), routes().iter().filter(|route| matches!(route.auth, RouteAuth::Admin(_))).count());
}

fn body(method: &str, path: &str, round: usize) -> Option<Value> {
    Some(match (method, path) {
        ("POST", "/api/v1/tenants") => json!({"tenantId": format!("new-{round}")}),
        ("POST", "/api/v1/tenants/{tenant}/apikeys") => json!({"keyName": format!("n{round}"), "keyType": "query"}),
        ("POST", "/api/v1/tenants/{tenant}/query") => json!({"query": "SELECT 1 AS one"}),
        ("POST", "/api/v1/tenants/{tenant}/apikeys/apply") => json!({"keys": []}),
        ("POST", "/api/v1/tenants/{tenant}/apikeys/bulk") => json!({"op": "revoke", "filter": {"name": "k"}}),
        ("POST", "/api/v1/apikeys/verify") => json!({"apiKey": "hunter2"}),
        ("POST", path) if path.ends_with("/service-operators") => json!({"name": "n", "role": "viewer"}),
        ("POST", "/api/v1/memberships") => json!({"email": "ada@example.com", "role": "platform_viewer"}),
        ("POST", path) if path.ends_with("/memberships") => json!({"email": "ada@example.com", "role": "viewer"}),
        ("PUT", path) if path.ends_with("/policyset") => json!({}),
        ("POST", path) if path.ends_with("/policyset/apply") => json!({"policySet": {}}),
        ("POST", path) if path.ends_with("/policyset/backtest") => {
            json!({"from": "2026-11-01T00:00:00Z", "to": "2026-11-02T00:00:00Z"})
        }
        ("POST", path) if path.ends_with("/policyset/explain") => json!({"event": {}}),
        ("POST", path) if path.ends_with("/policyset/rollback") => json!({"to": 1}),
        ("POST", path) if path.ends_with("/actions") => json!({"name": format!("a{round}"), "expression": "true"}),
        ("POST", path) if path.ends_with("/entities") => {
            json!({"name": format!("e{round}"), "keyFields": ["client_ip"]})
        }
        ("POST", path) if path.ends_with("/mitigations") => json!({"name": format!("m{round}"), "mode": "monitor"}),
        ("POST", path) if path.ends_with("/policies") => {
            json!({"name": format!("p{round}"), "mitigationId": "6b65796c-6f66-8000-8000-000000000301"})
        }
        ("PATCH", "/api/v1/operators/{id}") => json!({"state": "active"}),
        ("PATCH", _) => json!({}),
        _ => return None,
    })
}

/// A machine of a tenant, or of the platform for roles of the platform.
pub(crate) async fn machine(server: &TestServer, tenant: &str, role: &str) -> (String, Client) {
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

/// Asks each route as somebody, for what belongs to `tenant`.
async fn ask_all(server: &TestServer, tenant: &str, client: &Client, machine: &str, allowed: impl Fn(usize) -> bool) {
    let admin = server.admin();
    for (row, (method, path, ..)) in TABLE.iter().enumerate() {
        let key = match path.contains("{tenant}") {
            true => admin.issue(tenant, &format!("k{row}"), "query").await.id,
            false => "5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10".to_owned(),
        };
        let id = match path {
            path if path.contains("service-operators") => machine,
            path if path.contains("memberships") => "inv-00000000000000000000000000000001",
            path if path.contains("operators") => "op-00000000000000000000000000000001",
            _ => &*key,
        };
        let url = path.replace("{tenant}", tenant).replace("{stream}", "web").replace("{id}", id).replace("{seq}", "1");
        let url = url.replace("{entity}", ENTITY).replace("{sid}", "sid-00000000000000000000000000000001");
        let mut request = client.request(method, &url.replace("{kid}", "sig-00000000000000000000000000000001"));
        if let Some(body) = body(method, path, row) {
            request = request.json(&body);
        }
        let answer = Answer::of(request).await;
        if !allowed(row) {
            answer.refused(403, "role_not_allowed");
        } else {
            assert!(!matches!(answer.status.as_u16(), 401 | 403), "{method} {path}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn every_route_answers_every_role_of_a_machine_as_the_table_says() {
    let server = TestServer::spawn().await;
    for (column, role) in MACHINES.into_iter().enumerate() {
        let tenant = format!("t{column}");
        server.admin().post("/api/v1/tenants", json!({"tenantId": tenant})).await;
        let (id, client) = machine(&server, &tenant, role).await;
        ask_all(&server, &tenant, &client, &id, |row| TABLE[row].2.as_bytes()[column] == b'y').await;
    }
}

#[tokio::test]
async fn every_route_answers_every_role_of_a_person_as_the_table_says() {
    let server = TestServer::spawn().await;
    let signer = Signer::added_to(&server).await;
    for (column, role) in PEOPLE.into_iter().enumerate() {
        let tenant = format!("t{column}");
        server.admin().post("/api/v1/tenants", json!({"tenantId": tenant})).await;
        let (id, _) = machine(&server, &tenant, "viewer").await;
        let person = signer.person(&server, column).await;
        person.becomes(&server, &tenant, role).await;
        ask_all(&server, &tenant, &person.client(&server), &id, |row| TABLE[row].3.as_bytes()[column] == b'y').await;
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
    for (row, (method, path, ..)) in TABLE.iter().enumerate().filter(|(_, (_, path, ..))| path.contains("{tenant}")) {
        let mut answers = Vec::new();
        for tenant in ["other", "nobody"] {
            let url = path.replace("{tenant}", tenant).replace("{stream}", "web").replace("{id}", &key.id);
            let url = url.replace("{entity}", ENTITY);
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
