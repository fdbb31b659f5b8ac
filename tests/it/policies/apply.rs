//! The set as a file declares it, over HTTP and by the command line.

use serde_json::{Value, json};

use super::SET;
use crate::support::{TestServer, typed};

const FILE: &str = r#"
version: 1
actions: [{name: login, expression: "request_method == 'POST' && request_path == '/login'"}]
mitigations: [{name: slow, mode: challenge, durationSeconds: 600}]
policies:
  - name: login-flood
    actions: [login]
    entity: ip-user-agent
    mitigation: slow
    window: {seconds: 300, threshold: 20, count: "response_status == 401"}
"#;

fn declared() -> Value {
    json!({
        "actions": [{"name": "login", "expression": "request_path == '/login'"}],
        "policies": [{"name": "p", "actions": ["login"], "entity": "network", "mitigation": "block",
            "window": {"seconds": 60, "threshold": 5}}],
    })
}

#[tokio::test]
async fn a_declared_set_is_planned_agreed_to_and_applied_as_one_version() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let apply = format!("{SET}/apply");
    let plan = admin.post(&format!("{apply}?dryRun=true"), json!({"policySet": declared()})).await.json();
    let steps: Vec<_> = plan["plan"].as_array().unwrap().iter().map(|step| (&step["action"], &step["kind"])).collect();
    assert_eq!(steps, [(&json!("create"), &json!("actions")), (&json!("create"), &json!("policies"))]);
    assert_eq!(admin.get(SET).await.json()["policySetVersion"], 0);
    let done = admin.post(&apply, json!({"policySet": declared(), "planTag": plan["planTag"]})).await.json();
    assert_eq!((&done["policySetVersion"], done["results"].as_array().unwrap().len()), (&json!(1), 2));
    assert!(done["receipt"]["changeSeq"].is_u64());
    let set = admin.get(SET).await.json();
    assert_eq!(set["policies"][0]["actionIds"][0], set["actions"][0]["actionId"]);
    // The same again has nothing to do; an old plan is not carried out.
    let again = admin.post(&apply, json!({"policySet": declared()})).await.json();
    assert_eq!((&again["plan"], &again["policySetVersion"]), (&json!([]), &json!(1)));
    let late = json!({"policySet": declared(), "planTag": plan["planTag"]});
    admin.post(&apply, late).await.refused(412, "precondition_failed");
    // Other parts stay, and go with prune; what stays keeps its id.
    let more = json!({"actions": [{"name": "signup", "expression": "request_path == '/signup'"}]});
    admin.post(&apply, json!({"policySet": more})).await;
    assert_eq!(admin.get(SET).await.json()["actions"].as_array().unwrap().len(), 2);
    let pruned = admin.post(&apply, json!({"policySet": declared(), "prune": true})).await.json();
    assert_eq!(pruned["plan"], json!([{"action": "delete", "kind": "actions", "name": "signup"}]));
    assert_eq!(admin.get(SET).await.json()["policies"], set["policies"]);
}

#[tokio::test]
async fn every_name_that_is_the_name_of_nothing_is_a_fault_at_once() {
    let server = TestServer::spawn().await;
    let mut wrong = declared();
    wrong["policies"][0] = json!({"name": "p", "actions": ["logn"], "entity": "x", "mitigation": "blok"});
    let refused = server.admin().post(&format!("{SET}/apply"), json!({"policySet": wrong})).await;
    assert_eq!(refused.problem(), (400, "invalid_expression".to_owned()));
    let faults: Vec<_> =
        refused.json()["errors"].as_array().unwrap().iter().map(|fault| fault["path"].clone()).collect();
    assert_eq!(faults, ["policies[0].actions[0]", "policies[0].entity", "policies[0].mitigation"]);
    assert_eq!(refused.json()["errors"][2]["hint"], "block");
    // An unknown name hides nothing else, and no part is lost to another of its name.
    let mut more = declared();
    more["policies"][0]["mitigation"] = json!("blok");
    more["actions"] = json!([{"name": "x", "expression": "request_pth == '/'"}, {"name": "login", "expression": "true"},
        {"name": "login", "expression": "request_method == 'post'"}]);
    server.admin().post("/api/v1/tenants/default/actions", json!({"name": "kept", "expression": "true"})).await;
    let refused = server.admin().post(&format!("{SET}/apply"), json!({"policySet": more})).await;
    let faults: Vec<_> =
        refused.json()["errors"].as_array().unwrap().iter().map(|fault| fault["path"].clone()).collect();
    assert_eq!(faults, ["actions[2].name", "policies[0].mitigation", "actions[0].expression", "actions[1].expression"]);
}

#[tokio::test]
async fn a_file_is_applied_shown_compared_and_rolled_back() {
    let server = TestServer::spawn().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policies.yaml");
    std::fs::write(&file, FILE).unwrap();
    let apply = format!("policy apply -f {} --yes", file.display());
    assert_eq!(typed(&server, "policy versions").done().trim(), "No version yet: see keyloft policy apply.");
    let dry = typed(&server, &format!("{apply} --dry-run")).done();
    assert!(dry.contains("+ actions login") && dry.contains("+ policies login-flood"), "{dry}");
    let done = typed(&server, &format!("{apply} --comment first --wait 5s")).done();
    assert!(done.contains("Version 1 is in force.") && done.contains("Applied on every live node"), "{done}");
    assert!(typed(&server, &apply).done().contains("Nothing to do."));
    std::fs::write(&file, FILE.replace("threshold: 20", "threshold: 30")).unwrap();
    assert!(typed(&server, &apply).done().contains("Version 2"));
    let listed = typed(&server, "policy list").done();
    assert!(listed.contains("login-flood") && listed.contains("30 in 300 s"), "{listed}");
    let diff = typed(&server, "policy diff").done();
    assert!(diff.starts_with("~ policies login-flood\n    window: ") && diff.contains("\"threshold\":20"), "{diff}");
    assert!(typed(&server, "policy rollback 1").done().contains("Version 3 is in force: version 1 again."));
    assert_eq!(typed(&server, "policy diff 1 3").done().trim(), "Versions 1 and 3 are the same.");
    assert!(typed(&server, "policy show").done().starts_with("Version 3, mode enforce, exempt: nobody"));
    let shown = typed(&server, "policy show --json").json();
    assert_eq!((&shown["policies"][0]["entity"], &shown["policySetVersion"]), (&json!("ip-user-agent"), &json!(3)));
    let versions = typed(&server, "policy versions").done();
    assert_eq!(versions.lines().count(), 4, "{versions}");
    typed(&server, "policy rollback 9").failed(3, "not_found");
    std::fs::write(&file, FILE.replace("version: 1", "version: 2")).unwrap();
    typed(&server, &apply).failed(2, "version 1 is the only one");
    std::fs::write(&file, FILE.replace("mitigation: slow", "mitigation: slw")).unwrap();
    typed(&server, &apply).failed(3, "policies[0].mitigation: there is no mitigation named slw (slow)");
    // A line for each fault, from the server and offline.
    std::fs::write(&file, FILE.replace("mitigation: slow", "mitigation: slw").replace("request_path", "request_pth"))
        .unwrap();
    let check = format!("policy check -f {}", file.display());
    for (line, code) in [(apply.as_str(), 3), (check.as_str(), 2)] {
        let failed = typed(&server, line);
        assert_eq!(failed.stderr.trim_end().lines().count(), 2, "{}", failed.stderr);
        failed.failed(code, "actions[0].expression:1:29");
    }
}

#[tokio::test]
async fn an_event_is_decided_and_explained_from_a_terminal() {
    let server = TestServer::spawn().await;
    let folder = tempfile::tempdir().unwrap();
    let (file, event) = (folder.path().join("p.yaml"), folder.path().join("event.json"));
    std::fs::write(
        &file,
        "version: 1\npolicies: [{name: p, mitigation: block, expression: \"request_path == '/a'\"}]\n",
    )
    .unwrap();
    std::fs::write(&event, r#"{"request": {"path": "/a"}}"#).unwrap();
    let explain = format!("policy explain {} -f {}", event.display(), file.display());
    let said = typed(&server, &explain).done();
    assert!(said.starts_with("block (policy)") && said.contains("true  request_path == '/a'"), "{said}");
    assert!(typed(&server, &format!("policy explain {}", event.display())).done().starts_with("allow (none)"));
    typed(&server, &format!("policy apply -f {} --yes", file.display())).done();
    let key = json!({"keyName": "edge", "keyType": "ingestion", "sourceId": "edge"});
    let key = server.admin().post("/api/v1/tenants/default/apikeys", key).await.json();
    let ask = |options: &str| {
        let mut command = crate::support::process::keyloft();
        command.env("KEYLOFT_URL", server.url()).env("KEYLOFT_API_KEY", key["apiKey"].as_str().unwrap());
        command.arg("decide").arg(&event).args(options.split_whitespace());
        crate::support::Ended::of(&mut command, "")
    };
    assert_eq!(ask("").done().trim(), "block: p (policy)");
    assert_eq!(ask("--observe").json(), json!({"observed": 1}));
    assert_eq!(ask("--json").json()["action"], "block");
    typed(&server, &format!("decide {}", event.display())).failed(2, "no API key");
}
