//! One table: every route × every credential.

use keyloft::http::{Permission, RouteAuth, routes};
use keyloft::key::{KeyType, PlainSecret};
use serde_json::{Value, json};

use crate::support::server::ADMIN_TOKEN;
use crate::support::{Answer, Client, TestServer};

/// Whom nobody holds.
const ENTITY: &str = "e_ivgjinsfhoap7bufgxv3ixy27y";

/// The columns: nothing, garbage, an ingestion key, a query key, a revoked key, the admin token, a wrong admin token.
/// Every credential is presented as `Authorization: Bearer`, which both planes read.
type Statuses = [u16; 7];

#[rustfmt::skip]
const TABLE: &[(&str, &str, Statuses)] = &[
    //                                                  none  junk  ingest query revoked admin wrong
    ("GET",    "/api/v1/liveness",                     [ 200,  200,  200,  200,  200,  200,  200]),
    ("GET",    "/api/v1/readiness",                    [ 200,  200,  200,  200,  200,  200,  200]),
    ("GET",    "/metrics",                             [ 200,  200,  200,  200,  200,  200,  200]),
    ("GET",    "/.keyloft/challenge",                  [ 400,  400,  400,  400,  400,  400,  400]),
    ("POST",   "/.keyloft/challenge",                  [ 400,  400,  400,  400,  400,  400,  400]),
    ("POST",   "/api/v1/firehose/{stream}",            [ 401,  401,  200,  403,  401,  401,  401]),
    ("POST",   "/api/v1/ingest",                       [ 401,  401,  200,  403,  401,  401,  401]),
    ("POST",   "/api/v1/logstream/{stream}",           [ 401,  401,  200,  403,  401,  401,  401]),
    ("POST",   "/api/v1/query",                        [ 401,  401,  403,  200,  401,  401,  401]),
    ("GET",    "/api/v1/logstream",                    [ 401,  401,  403,  200,  401,  401,  401]),
    ("POST",   "/api/v1/decide",                       [ 401,  401,  200,  403,  401,  401,  401]),
    ("GET",    "/api/v1/whoami",                       [ 401,  401,  200,  200,  401,  401,  401]),
    ("POST",   "/api/v1/tenants",                      [ 401,  401,  401,  401,  401,  201,  401]),
    ("GET",    "/api/v1/tenants",                      [ 401,  401,  401,  401,  401,  200,  401]),
    ("GET",    "/api/v1/tenants/{tenant}",             [ 401,  401,  401,  401,  401,  200,  401]),
    ("PATCH",  "/api/v1/tenants/{tenant}",             [ 401,  401,  401,  401,  401,  200,  401]),
    ("DELETE", "/api/v1/tenants/{tenant}",             [ 401,  401,  401,  401,  401,  200,  401]),
    ("GET",    "/api/v1/tenants/{tenant}/logstream",   [ 401,  401,  401,  401,  401,  200,  401]),
    ("GET",    "/api/v1/tenants/{tenant}/logstream/{stream}/objects",
                                                       [ 401,  401,  401,  401,  401,  404,  401]),
    ("GET",    "/api/v1/tenants/{tenant}/logstream/{stream}",
                                                       [ 401,  401,  401,  401,  401,  404,  401]),
    ("PATCH",  "/api/v1/tenants/{tenant}/logstream/{stream}",
                                                       [ 401,  401,  401,  401,  401,  200,  401]),
    ("DELETE", "/api/v1/tenants/{tenant}/logstream/{stream}",
                                                       [ 401,  401,  401,  401,  401,  404,  401]),
    ("POST",   "/api/v1/tenants/{tenant}/apikeys",     [ 401,  401,  401,  401,  401,  201,  401]),
    ("GET",    "/api/v1/tenants/{tenant}/apikeys",     [ 401,  401,  401,  401,  401,  200,  401]),
    ("POST",   "/api/v1/tenants/{tenant}/apikeys/apply",[401, 401,  401,  401,  401,  200,  401]),
    ("POST",   "/api/v1/tenants/{tenant}/apikeys/bulk",[ 401,  401,  401,  401,  401,  200,  401]),
    ("GET",    "/api/v1/tenants/{tenant}/apikeys/{id}",[ 401,  401,  401,  401,  401,  200,  401]),
    ("PATCH",  "/api/v1/tenants/{tenant}/apikeys/{id}",[ 401,  401,  401,  401,  401,  200,  401]),
    ("DELETE", "/api/v1/tenants/{tenant}/apikeys/{id}",[ 401,  401,  401,  401,  401,  200,  401]),
    ("POST",   "/api/v1/tenants/{tenant}/apikeys/{id}/rotate",
                                                       [ 401,  401,  401,  401,  401,  200,  401]),
    ("GET",     "/api/v1/tenants/{tenant}/policyset",
                                                       [ 401,  401,  401,  401,  401,  200,  401]),
    ("PUT",     "/api/v1/tenants/{tenant}/policyset",
                                                       [ 401,  401,  401,  401,  401,  200,  401]),
    ("GET",     "/api/v1/tenants/{tenant}/policyset/versions",
                                                       [ 401,  401,  401,  401,  401,  200,  401]),
    ("GET",     "/api/v1/tenants/{tenant}/policyset/versions/{number}",
                                                       [ 401,  401,  401,  401,  401,  400,  401]),
    ("POST",    "/api/v1/tenants/{tenant}/policyset/rollback",
                                                       [ 401,  401,  401,  401,  401,  404,  401]),
    ("POST",    "/api/v1/tenants/{tenant}/policyset/explain",
                                                       [ 401,  401,  401,  401,  401,  200,  401]),
    ("POST",    "/api/v1/tenants/{tenant}/policyset/backtest",
                                                       [ 401,  401,  401,  401,  401,  400,  401]),
    ("POST",    "/api/v1/tenants/{tenant}/policyset/apply",
                                                       [ 401,  401,  401,  401,  401,  200,  401]),
    ("POST",    "/api/v1/tenants/{tenant}/actions",
                                                       [ 401,  401,  401,  401,  401,  201,  401]),
    ("GET",     "/api/v1/tenants/{tenant}/actions",
                                                       [ 401,  401,  401,  401,  401,  200,  401]),
    ("GET",     "/api/v1/tenants/{tenant}/actions/{id}",
                                                       [ 401,  401,  401,  401,  401,  404,  401]),
    ("PATCH",   "/api/v1/tenants/{tenant}/actions/{id}",
                                                       [ 401,  401,  401,  401,  401,  404,  401]),
    ("DELETE",  "/api/v1/tenants/{tenant}/actions/{id}",
                                                       [ 401,  401,  401,  401,  401,  404,  401]),
    ("POST",    "/api/v1/tenants/{tenant}/entities",
                                                       [ 401,  401,  401,  401,  401,  201,  401]),
    ("GET",     "/api/v1/tenants/{tenant}/entities",
                                                       [ 401,  401,  401,  401,  401,  200,  401]),
    ("GET",     "/api/v1/tenants/{tenant}/entities/{id}",
                                                       [ 401,  401,  401,  401,  401,  404,  401]),
    ("PATCH",   "/api/v1/tenants/{tenant}/entities/{id}",
                                                       [ 401,  401,  401,  401,  401,  404,  401]),
    ("DELETE",  "/api/v1/tenants/{tenant}/entities/{id}",
                                                       [ 401,  401,  401,  401,  401,  404,  401]),
    ("GET",     "/api/v1/tenants/{tenant}/mitigations/active",
                                                       [ 401,  401,  401,  401,  401,  200,  401]),
    ("GET",     "/api/v1/tenants/{tenant}/mitigations/active/{entity}",
                                                       [ 401,  401,  401,  401,  401,  404,  401]),
    ("DELETE",  "/api/v1/tenants/{tenant}/mitigations/active/{entity}",
                                                       [ 401,  401,  401,  401,  401,  200,  401]),
    ("POST",    "/api/v1/tenants/{tenant}/mitigations",
                                                       [ 401,  401,  401,  401,  401,  201,  401]),
    ("GET",     "/api/v1/tenants/{tenant}/mitigations",
                                                       [ 401,  401,  401,  401,  401,  200,  401]),
    ("GET",     "/api/v1/tenants/{tenant}/mitigations/{id}",
                                                       [ 401,  401,  401,  401,  401,  404,  401]),
    ("PATCH",   "/api/v1/tenants/{tenant}/mitigations/{id}",
                                                       [ 401,  401,  401,  401,  401,  404,  401]),
    ("DELETE",  "/api/v1/tenants/{tenant}/mitigations/{id}",
                                                       [ 401,  401,  401,  401,  401,  404,  401]),
    ("POST",    "/api/v1/tenants/{tenant}/policies",
                                                       [ 401,  401,  401,  401,  401,  201,  401]),
    ("GET",     "/api/v1/tenants/{tenant}/policies",
                                                       [ 401,  401,  401,  401,  401,  200,  401]),
    ("GET",     "/api/v1/tenants/{tenant}/policies/{id}",
                                                       [ 401,  401,  401,  401,  401,  404,  401]),
    ("PATCH",   "/api/v1/tenants/{tenant}/policies/{id}",
                                                       [ 401,  401,  401,  401,  401,  404,  401]),
    ("DELETE",  "/api/v1/tenants/{tenant}/policies/{id}",
                                                       [ 401,  401,  401,  401,  401,  404,  401]),
    ("GET",    "/api/v1/tenants/{tenant}/results/policies",
                                                       [ 401,  401,  401,  401,  401,  200,  401]),
    ("GET",    "/api/v1/tenants/{tenant}/results/policies/{id}",
                                                       [ 401,  401,  401,  401,  401,  404,  401]),
    ("POST",    "/api/v1/tenants/{tenant}/service-operators",
                                                       [ 401,  401,  401,  401,  401,  201,  401]),
    ("GET",     "/api/v1/tenants/{tenant}/service-operators",
                                                       [ 401,  401,  401,  401,  401,  200,  401]),
    ("GET",     "/api/v1/tenants/{tenant}/service-operators/{id}",
                                                       [ 401,  401,  401,  401,  401,  404,  401]),
    ("PATCH",   "/api/v1/tenants/{tenant}/service-operators/{id}",
                                                       [ 401,  401,  401,  401,  401,  404,  401]),
    ("DELETE",  "/api/v1/tenants/{tenant}/service-operators/{id}",
                                                       [ 401,  401,  401,  401,  401,  404,  401]),
    ("POST",    "/api/v1/tenants/{tenant}/service-operators/{id}/rotate",
                                                       [ 401,  401,  401,  401,  401,  404,  401]),
    ("POST",    "/api/v1/service-operators",           [ 401,  401,  401,  401,  401,  201,  401]),
    ("GET",     "/api/v1/service-operators",           [ 401,  401,  401,  401,  401,  200,  401]),
    ("GET",     "/api/v1/service-operators/{id}",      [ 401,  401,  401,  401,  401,  404,  401]),
    ("PATCH",   "/api/v1/service-operators/{id}",      [ 401,  401,  401,  401,  401,  404,  401]),
    ("DELETE",  "/api/v1/service-operators/{id}",      [ 401,  401,  401,  401,  401,  404,  401]),
    ("POST",    "/api/v1/service-operators/{id}/rotate",
                                                       [ 401,  401,  401,  401,  401,  404,  401]),
    ("POST",   "/api/v1/tenants/{tenant}/memberships", [ 401,  401,  401,  401,  401,  201,  401]),
    ("GET",    "/api/v1/tenants/{tenant}/memberships", [ 401,  401,  401,  401,  401,  200,  401]),
    ("DELETE", "/api/v1/tenants/{tenant}/memberships/{id}",
                                                       [ 401,  401,  401,  401,  401,  400,  401]),
    ("POST",   "/api/v1/memberships",                  [ 401,  401,  401,  401,  401,  201,  401]),
    ("GET",    "/api/v1/memberships",                  [ 401,  401,  401,  401,  401,  200,  401]),
    ("DELETE", "/api/v1/memberships/{id}",             [ 401,  401,  401,  401,  401,  400,  401]),
    ("POST",   "/tenants/{tenant}/memberships",        [ 401,  401,  401,  401,  401,  201,  401]),
    ("GET",    "/tenants/{tenant}/memberships",        [ 401,  401,  401,  401,  401,  200,  401]),
    ("DELETE", "/tenants/{tenant}/memberships/{id}",   [ 401,  401,  401,  401,  401,  400,  401]),
    ("GET",    "/auth/complete",                       [ 200,  200,  200,  200,  200,  200,  200]),
    ("GET",    "/auth/{provider}/login",               [ 404,  404,  404,  404,  404,  404,  404]),
    ("GET",    "/auth/{provider}/callback",            [ 404,  404,  404,  404,  404,  404,  404]),
    ("GET",    "/api/v1/auth/providers",               [ 200,  200,  200,  200,  200,  200,  200]),
    ("GET",    "/api/v1/auth/jwks",                    [ 200,  200,  200,  200,  200,  200,  200]),
    ("POST",   "/api/v1/auth/token",                   [ 400,  400,  400,  400,  400,  400,  400]),
    ("GET",    "/api/v1/auth/me",                      [ 401,  401,  401,  401,  401,  200,  401]),
    ("DELETE", "/api/v1/auth/sessions/{sid}",          [ 401,  401,  401,  401,  401,  400,  401]),
    ("POST",   "/api/v1/auth/logout",                  [ 401,  401,  401,  401,  401,  400,  401]),
    ("GET",    "/api/v1/operators",                    [ 401,  401,  401,  401,  401,  200,  401]),
    ("GET",    "/api/v1/operators/{id}",               [ 401,  401,  401,  401,  401,  400,  401]),
    ("PATCH",  "/api/v1/operators/{id}",               [ 401,  401,  401,  401,  401,  400,  401]),
    ("DELETE", "/api/v1/operators/{id}/sessions",      [ 401,  401,  401,  401,  401,  400,  401]),
    ("GET",    "/api/v1/signers",                      [ 401,  401,  401,  401,  401,  200,  401]),
    ("DELETE", "/api/v1/signers/{kid}",                [ 401,  401,  401,  401,  401,  400,  401]),
    ("POST",   "/api/v1/tenants/{tenant}/query",       [ 401,  401,  401,  401,  401,  200,  401]),
    ("GET",    "/api/v1/tenants/{tenant}/audit",       [ 401,  401,  401,  401,  401,  200,  401]),
    ("GET",    "/api/v1/audit",                        [ 401,  401,  401,  401,  401,  200,  401]),
    ("POST",   "/api/v1/apikeys/verify",               [ 401,  401,  401,  401,  401,  200,  401]),
    ("GET",    "/api/v1/sessions",                     [ 401,  401,  401,  401,  401,  200,  401]),
    ("DELETE", "/api/v1/sessions/{id}",                [ 401,  401,  401,  401,  401,  404,  401]),
    ("GET",    "/api/v1/unreadable",                   [ 401,  401,  401,  401,  401,  200,  401]),
    ("GET",    "/api/v1/nodes",                        [ 401,  401,  401,  401,  401,  200,  401]),
    ("GET",    "/api/v1/changes/{seq}",                [ 401,  401,  401,  401,  401,  200,  401]),
    ("POST",   "/api/v1/sync",                         [ 401,  401,  401,  401,  401,  200,  401]),
];

#[test]
fn the_table_and_the_server_know_the_same_routes() {
    for route in routes() {
        let rows = TABLE.iter().filter(|(method, path, _)| (*method, *path) == (route.method, route.path)).count();
        assert_eq!(
            rows, 1,
            "{} {} has {rows} rows in tests/it/server/routes.rs: give TABLE one, with the status for every credential",
            route.method, route.path
        );
    }
    for (method, path, _) in TABLE {
        assert!(
            routes().iter().any(|route| (route.method, route.path) == (*method, *path)),
            "{method} {path} is no route of src/http/mod.rs any more: take it out of TABLE in tests/it/server/routes.rs"
        );
    }
}

/// The right in the table of the server says who is let in: everybody else is turned away with 401, a key that is for
/// something else with 403.
#[test]
fn the_right_of_a_route_is_the_one_that_its_row_shows() {
    for route in routes() {
        let (.., [none, junk, ingest, query, revoked, admin, wrong]) =
            *TABLE.iter().find(|(method, path, _)| (*method, *path) == (route.method, route.path)).unwrap();
        let unauthenticated = [none, junk, revoked, wrong];
        let turned_away = |statuses: &[u16], expected: u16| statuses.iter().all(|status| *status == expected);
        let let_in = |statuses: &[u16]| statuses.iter().all(|status| !matches!(status, 401 | 403));
        let is_right = match route.auth {
            RouteAuth::Public => let_in(&[none, junk, ingest, query, revoked, admin, wrong]),
            RouteAuth::Key(action) => {
                let key = |key_type, status| match action.key_type() {
                    Some(needed) if needed != key_type => status == 403,
                    _ => let_in(&[status]),
                };
                turned_away(&unauthenticated, 401)
                    && turned_away(&[admin], 401)
                    && key(KeyType::Ingestion, ingest)
                    && key(KeyType::Query, query)
            }
            RouteAuth::Admin(_) => {
                turned_away(&unauthenticated, 401) && turned_away(&[ingest, query], 401) && let_in(&[admin])
            }
        };
        assert!(is_right, "{route:?} and its row in tests/it/server/routes.rs say different things");
    }
}

/// An operator who may only read can change nothing: the right of an admin route and its method agree.
#[test]
fn reading_needs_a_right_to_read_and_changing_one_to_change() {
    let mut wrong = Vec::new();
    for route in routes() {
        let RouteAuth::Admin(permission) = route.auth else { continue };
        let reads = matches!(
            permission,
            Permission::ReadTenants
                | Permission::ReadSessions
                | Permission::ReadPlatform
                | Permission::ReadChanges
                | Permission::ReadMachines
                | Permission::ReadMembers
                | Permission::ReadOperators
                | Permission::ReadOwn
                | Permission::ReadAudit
                | Permission::ReadPolicies
        );
        let subject = match permission {
            Permission::VerifyKeys => "/apikeys/verify",
            Permission::ManageKeys => "/apikeys",
            Permission::ReadTenants | Permission::ManageTenants => "/tenants",
            Permission::RunQueries => "/query",
            Permission::ReadSessions | Permission::EndSessions => "/sessions",
            Permission::ManageStreams => "/logstream/{stream}",
            Permission::ReadMachines | Permission::ManageMachines => "/service-operators",
            Permission::ReadMembers | Permission::ManageMembers => "/memberships",
            Permission::ReadOwn | Permission::ManageOwn => "/auth/",
            Permission::ReadOperators | Permission::ManageOperators if route.path.contains("/signers") => "/signers",
            Permission::ReadOperators | Permission::ManageOperators => "/operators",
            Permission::ReadPolicies | Permission::ManagePolicies => {
                let parts = ["/policyset", "/results", "/actions", "/entities", "/mitigations", "/policies"];
                parts.into_iter().find(|part| route.path.contains(part)).unwrap_or("/policyset")
            }
            Permission::DraftPolicies => "/policyset/",
            Permission::ReadChanges => "/changes",
            Permission::ReadAudit => "/audit",
            Permission::ReadPlatform | Permission::Sync => "",
        };
        if reads != (route.method == "GET") || !route.path.contains(subject) {
            wrong.push(format!("{route:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What makes the request a good one, so that only the credential decides.
fn body(method: &str, path: &str, round: usize) -> Option<Value> {
    Some(match (method, path) {
        ("POST", "/api/v1/ingest" | "/api/v1/logstream/{stream}") => json!({"a": 1}),
        ("POST", "/api/v1/decide") => json!({"request": {"path": "/"}}),
        ("POST", "/api/v1/firehose/{stream}") => {
            json!({"requestId": format!("r-{round}"), "timestamp": 1, "records": []})
        }
        ("POST", "/api/v1/query" | "/api/v1/tenants/{tenant}/query") => json!({"query": "SELECT 1 AS one"}),
        ("POST", "/api/v1/tenants") => json!({"tenantId": format!("new-{round}")}),
        ("POST", "/api/v1/tenants/{tenant}/apikeys") => json!({"keyName": format!("n{round}"), "keyType": "query"}),
        ("POST", "/api/v1/tenants/{tenant}/apikeys/apply") => json!({"keys": []}),
        ("POST", "/api/v1/tenants/{tenant}/apikeys/bulk") => json!({"op": "revoke", "filter": {"name": "k"}}),
        ("POST", "/api/v1/apikeys/verify") => json!({"apiKey": "hunter2"}),
        ("POST", "/api/v1/tenants/{tenant}/service-operators") => json!({"name": "ci", "role": "viewer"}),
        ("POST", "/api/v1/service-operators") => json!({"name": "ci", "role": "platform_viewer"}),
        ("POST", "/api/v1/memberships") => json!({"email": "ada@example.com", "role": "platform_viewer"}),
        ("POST", path) if path.ends_with("/memberships") => json!({"email": "ada@example.com", "role": "viewer"}),
        ("PUT", "/api/v1/tenants/{tenant}/policyset") => json!({}),
        ("POST", "/api/v1/tenants/{tenant}/policyset/rollback") => json!({"to": 1}),
        ("POST", "/api/v1/tenants/{tenant}/policyset/explain") => json!({"event": {}}),
        ("POST", path) if path.ends_with("/policyset/backtest") => {
            json!({"from": "2026-11-01T00:00:00Z", "to": "2026-11-02T00:00:00Z"})
        }
        ("POST", "/api/v1/tenants/{tenant}/policyset/apply") => json!({"policySet": {}}),
        ("POST", "/api/v1/tenants/{tenant}/actions") => json!({"name": format!("a{round}"), "expression": "true"}),
        ("POST", "/api/v1/tenants/{tenant}/entities") => {
            json!({"name": format!("e{round}"), "keyFields": ["client_ip"]})
        }
        ("POST", "/api/v1/tenants/{tenant}/mitigations") => json!({"name": format!("m{round}"), "mode": "monitor"}),
        ("POST", "/api/v1/tenants/{tenant}/policies") => {
            json!({"name": format!("p{round}"), "mitigationId": "6b65796c-6f66-8000-8000-000000000301"})
        }
        ("POST", "/api/v1/auth/token") => json!({"handoff": "a.b.c"}),
        ("POST", "/api/v1/auth/logout") => json!({}),
        ("PATCH", _) => json!({}),
        _ => return None,
    })
}

#[tokio::test]
async fn every_route_answers_every_credential_as_the_table_says() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let sender = admin.issue("default", "sender", "ingestion").await;
    admin.patch(&format!("/api/v1/tenants/default/apikeys/{}", sender.id), json!({"decide": true})).await;
    let reader = admin.issue("default", "reader", "query").await;
    let revoked = admin.issue("default", "revoked", "ingestion").await;
    admin.delete(&format!("/api/v1/tenants/default/apikeys/{}", revoked.id)).await;
    let wrong_admin = PlainSecret::generate_admin().unwrap();
    let credentials = [
        ("nothing", None),
        ("garbage", Some("hunter2")),
        ("an ingestion key", Some(sender.api_key.as_str())),
        ("a query key", Some(reader.api_key.as_str())),
        ("a revoked key", Some(revoked.api_key.as_str())),
        ("the admin token", Some(ADMIN_TOKEN)),
        ("a wrong admin token", Some(wrong_admin.expose())),
    ];
    for (row, (method, path, statuses)) in TABLE.iter().enumerate() {
        // A tenant and a key of its own for every row: some rows end them.
        let tenant = format!("row-{row}");
        admin.post("/api/v1/tenants", json!({"tenantId": tenant})).await;
        let key = admin.issue(&tenant, "k", "query").await;
        let url =
            path.replace("{tenant}", &tenant).replace("{stream}", "web").replace("{id}", &key.id).replace("{seq}", "1");
        let url = url.replace("{entity}", ENTITY);
        for (round, ((name, credential), status)) in credentials.iter().zip(statuses).enumerate() {
            let credential = credential.map(|token| ("authorization", format!("Bearer {token}")));
            let mut request = Client::new(server.url(), credential).request(method, &url).header("x-p-stream", "web");
            request = request.header("x-amz-firehose-request-id", format!("r-{round}"));
            if let Some(body) = body(method, path, round) {
                request = request.json(&body);
            }
            let answer = Answer::of(request).await;
            assert_eq!(answer.status, *status, "{method} {path} with {name}: {}", answer.text());
            if *status >= 400 && !path.starts_with("/api/v1/firehose/") {
                answer.problem();
            }
            assert!(answer.header("x-request-id").is_some());
        }
    }
}

/// A parameter that is mistyped would silently change nothing.
#[tokio::test]
async fn a_parameter_that_an_admin_route_does_not_know_is_refused() {
    let server = TestServer::spawn().await;
    for (row, (method, path, _)) in TABLE.iter().enumerate() {
        let route = routes().into_iter().find(|route| (route.method, route.path) == (*method, *path)).unwrap();
        if !matches!(route.auth, RouteAuth::Admin(_)) {
            continue;
        }
        let tenant = format!("row-{row}");
        server.admin().post("/api/v1/tenants", json!({"tenantId": tenant})).await;
        let id = server.admin().issue(&tenant, "k", "query").await.id;
        let url =
            path.replace("{tenant}", &tenant).replace("{stream}", "web").replace("{id}", &id).replace("{seq}", "1");
        let url = url.replace("{entity}", ENTITY);
        let mut request = server.admin().request(method, &format!("{url}?strange=1"));
        if let Some(body) = body(method, path, 0) {
            request = request.json(&body);
        }
        let answer = Answer::of(request).await;
        assert_eq!(
            (answer.problem(), answer.text().contains("strange")),
            ((400, "invalid_request".to_owned()), true),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn where_there_is_no_route_there_is_a_problem() {
    let server = TestServer::spawn().await;
    for client in [server.anonymous(), server.admin()] {
        for path in [
            "/",
            "/api/v1",
            "/api/v1/nothing",
            "/api/v2/query",
            "/api/v1/query/",
            "//api/v1/query",
            "/api/v1/Query",
            "/api/v1/tenants/default/apikeys/a/b",
            "/api/v1/tenants/a%2fb/c",
        ] {
            client.get(path).await.refused(404, "not_found");
        }
    }
}

/// Whether a pattern matches a path: `…/apikeys/{id}` is also a route of `…/apikeys/apply`.
fn covers(pattern: &str, path: &str) -> bool {
    let mut pieces = pattern.split('/').zip(path.split('/'));
    pattern.split('/').count() == path.split('/').count()
        && pieces.all(|(piece, found)| piece.starts_with('{') || piece == found)
}

#[tokio::test]
async fn a_method_that_a_route_does_not_know_is_a_problem() {
    let server = TestServer::spawn().await;
    for route in routes() {
        let url = route
            .path
            .replace("{tenant}", "default")
            .replace("{stream}", "web")
            .replace("{id}", "x")
            .replace("{seq}", "x");
        let known: Vec<_> =
            routes().iter().filter(|other| covers(other.path, &url)).map(|other| other.method).collect();
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
            if !known.contains(&method) {
                let answer = Answer::of(server.anonymous().request(method, &url)).await;
                if url.starts_with("/api/v1/firehose/") {
                    assert!(answer.status == 405 && answer.json()["errorMessage"].is_string(), "{method} {url}");
                } else {
                    assert_eq!(answer.problem(), (405, "method_not_allowed".to_owned()), "{method} {url}");
                }
            }
        }
    }
}

#[tokio::test]
async fn before_the_keys_are_loaded_nobody_is_called_unknown() {
    let server = TestServer::spawn_with(|setup| setup.hydrate = false).await;
    let unknown = PlainSecret::generate(KeyType::Query).unwrap();
    let client = server.with_key(unknown.expose());
    let later = [
        client.get("/api/v1/whoami").await,
        client.query("SELECT 1").await,
        client.get("/api/v1/logstream").await,
        server.anonymous().get("/api/v1/readiness").await,
        server.admin().get("/api/v1/tenants").await,
    ];
    for answer in later {
        answer.refused(503, "not_ready");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    // What can be judged without the keys is.
    server.anonymous().get("/api/v1/whoami").await.refused(401, "missing_api_key");
    server.with_key("hunter2").get("/api/v1/whoami").await.refused(401, "invalid_api_key");
    server.anonymous().get("/api/v1/tenants").await.refused(401, "invalid_admin_token");
    for path in ["/api/v1/liveness", "/metrics"] {
        assert_eq!(server.anonymous().get(path).await.status, 200);
    }
    server.app.sync().await.unwrap();
    assert_eq!(server.anonymous().get("/api/v1/readiness").await.status, 200);
    client.get("/api/v1/whoami").await.refused(401, "invalid_api_key");
    assert_eq!(server.admin().get("/api/v1/tenants").await.status, 200);
}

#[tokio::test]
async fn a_method_that_is_not_known_is_told_which_are() {
    let server = TestServer::spawn().await;
    let answer = Answer::of(server.admin().request("PUT", "/api/v1/tenants/default")).await;
    answer.refused(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), Some("GET, HEAD, PATCH, DELETE"));
}

#[tokio::test]
async fn the_head_alone_can_be_asked_for_where_the_whole_can() {
    let server = TestServer::spawn().await;
    let answer = Answer::of(server.anonymous().request("HEAD", "/api/v1/readiness")).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
    assert_eq!(Answer::of(server.anonymous().request("HEAD", "/api/v1/whoami")).await.status, 401);
}
