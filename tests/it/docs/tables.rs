//! The tables of the pages, checked against the code.

use std::collections::{BTreeMap, BTreeSet};

use keyloft::config::options;
use keyloft::http::{Permission, routes};
use keyloft::testing::AuditAction;
use keyloft::testing::operators::Role;
use reqwest::StatusCode;

use super::pages::{page, pages, root};
use crate::support::{Answer, TestServer};

/// The rows of the table of a page under this head, as trimmed cells. A `\|` is no border.
pub(super) fn table(path: &str, head: &str) -> Vec<Vec<String>> {
    let page = page(path);
    let mut lines = page.text.lines().skip_while(|line| !line.starts_with(head));
    assert!(lines.next().is_some(), "{path} has no table with the head {head}");
    let rows: Vec<Vec<String>> = lines
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let inner = line.trim().trim_start_matches('|').strip_suffix('|').unwrap();
            let hidden = inner.replace("\\|", "\u{1}");
            hidden.split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect()
        })
        .collect();
    assert!(!rows.is_empty(), "the table under {head} is empty");
    rows
}

/// What stands between backticks.
pub(super) fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn plain(cell: &str) -> &str {
    cell.trim_matches('`')
}

#[test]
fn the_table_of_actions_is_complete() {
    let rows = table("docs/audit.md", "| action | what was done |");
    let said: Vec<&str> = rows.iter().flat_map(|row| quoted(&row[0])).collect();
    let are: Vec<&str> = AuditAction::ALL.iter().map(|action| action.as_str()).collect();
    assert_eq!(BTreeSet::from_iter(&said), BTreeSet::from_iter(&are));
    assert_eq!(said.len(), are.len());
}

#[test]
fn the_configuration_table_is_the_list_of_options() {
    let said: Vec<Vec<String>> =
        table("docs/configuration.md", "| flag | environment | file | default | unit | what |")
            .iter()
            .map(|row| row.iter().map(|cell| plain(cell).to_owned()).collect())
            .collect();
    let is: Vec<Vec<String>> = options()
        .map(|option| {
            let flag = option.flag.map(|flag| format!("--{flag}")).unwrap_or_default();
            [&*flag, option.env, option.key.unwrap_or_default(), option.default, option.unit, option.doc]
                .map(str::to_owned)
                .to_vec()
        })
        .collect();
    for (said, is) in said.iter().zip(&is) {
        assert_eq!(said, is, "docs/configuration.md and src/config differ");
    }
    assert_eq!(said.len(), is.len(), "docs/configuration.md has more or fewer options than src/config");
}

/// Every code of `src/http/code.rs`, with its statuses.
fn codes() -> BTreeMap<String, BTreeSet<u16>> {
    let source = include_str!("../../../src/http/code.rs");
    let numbers: BTreeMap<String, u16> = (100..600)
        .filter_map(|number| Some((StatusCode::from_u16(number).ok()?.canonical_reason()?, number)))
        .map(|(reason, number)| (reason.to_uppercase().replace([' ', '-'], "_"), number))
        .collect();
    let mut codes: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
    let described = source.split("const fn describe").nth(1).unwrap().split("\n    }\n").next().unwrap();
    for (head, tail) in described.match_indices("StatusCode::").map(|(at, _)| described.split_at(at)) {
        let Some(code) = head.trim_end().strip_suffix("\",").and_then(|head| head.rsplit('"').next()) else { continue };
        let status = tail.trim_start_matches("StatusCode::").split(',').next().unwrap();
        codes.entry(code.to_owned()).or_default().insert(numbers[status]);
    }
    assert!(codes.len() > 20, "src/http/code.rs is written in another way now: {codes:?}");
    codes
}

#[test]
fn the_table_of_codes_is_complete_and_right() {
    let mut said: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
    for row in table("docs/errors.md", "| code | status | when |") {
        for code in quoted(&row[0]) {
            let statuses = row[1].split(',').map(|status| status.trim().parse::<u16>().unwrap());
            let before = said.insert(code.to_owned(), statuses.collect());
            assert!(before.is_none(), "{code} stands in the table twice");
        }
    }
    assert_eq!(said, codes());
}

#[test]
fn the_routes_it_names_are_the_routes_there_are() {
    let said: BTreeSet<String> = table("docs/http-api.md", "| route | credential | what |")
        .iter()
        .flat_map(|row| quoted(&row[0]).map(str::to_owned).collect::<Vec<_>>())
        .filter(|route| route.contains('/'))
        .collect();
    let is: BTreeSet<String> = routes().iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    assert_eq!(said, is);
}

/// Routes in any text, shortened or not, with values in place of patterns.
#[test]
fn every_route_that_is_mentioned_exists() {
    let methods = ["GET ", "POST ", "PATCH ", "DELETE "];
    for page in pages() {
        let mentioned = quoted(&page.text).filter(|text| methods.iter().any(|method| text.starts_with(method)));
        for text in mentioned {
            let (method, path) = text.split_once(' ').unwrap();
            let path = path.split(['?', ' ']).next().unwrap().trim_start_matches('…');
            let known = routes().iter().any(|route| route.method == method && route.path.ends_with(path));
            assert!(known || !path.starts_with('/'), "{} mentions {text}, which is no route", page.path.display());
        }
    }
}

/// Every metric and its help.
pub(super) async fn metrics() -> BTreeMap<String, String> {
    let server = TestServer::spawn().await;
    // Metrics with labels appear with their first value: a denial and a faulty event make those.
    server.with_key("unknown").get("/api/v1/whoami").await;
    let key = server.admin().issue("default", "shipper", "ingestion").await;
    let client = server.with_key(&key.api_key);
    let request = client.request("POST", "/api/v1/logstream/web").header("x-keyloft-on-invalid", "quarantine");
    let request = request.header("content-type", "application/x-ndjson").body("{\"a\": 1}\nnot JSON\n");
    assert_eq!(Answer::of(request).await.status, 200);
    let answer = server.anonymous().get("/metrics").await;
    let help = |line: &str| {
        let (name, help) = line.strip_prefix("# HELP ")?.split_once(' ')?;
        Some((name.to_owned(), help.trim_end_matches('.').to_owned()))
    };
    answer.text().lines().filter_map(help).collect()
}

#[actix_web::test]
async fn the_table_of_metrics_is_complete_and_right() {
    let is = metrics().await;
    let said: BTreeMap<String, String> = table("docs/operations.md", "| metric | meaning |")
        .iter()
        .map(|row| (plain(&row[0]).to_owned(), row[1].clone()))
        .collect();
    assert_eq!(said, is);
}

/// The names of objects, as `src/layout/mod.rs` documents them.
#[test]
fn the_table_of_objects_is_that_of_the_layout() {
    let layout = std::fs::read_to_string(root().join("src/layout/mod.rs")).unwrap();
    let is: BTreeSet<&str> = layout
        .lines()
        .filter_map(|line| line.trim().strip_prefix("/// `")?.split_once("`: "))
        .map(|(name, _)| name)
        .collect();
    let rows = table("docs/architecture.md", "| object | content |");
    let said: BTreeSet<&str> = rows.iter().map(|row| plain(&row[0])).collect();
    assert_eq!(said, is);
}

/// What the first words of each row of the table of roles mean.
fn means(row: &str, role: Role) -> bool {
    let gives = |given: Role| role == Role::PlatformAdmin || role.ceiling() >= Some(given);
    let permission = match row.split([',', ';']).next().unwrap() {
        "set" if row.ends_with("viewers and analysts") => return gives(Role::Analyst),
        "set" => return gives(Role::Owner),
        "read the tenant" => Permission::ReadTenants,
        "read its members" => Permission::ReadMembers,
        "[verify](keys.md#verify) its keys" => Permission::VerifyKeys,
        "issue" => Permission::ManageKeys,
        "read its [audit](audit.md#reading-it)" => Permission::ReadAudit,
        "read its machines" => Permission::ReadMachines,
        "make" => return gives(Role::Analyst),
        "the same for machines that are admins" => return gives(Role::Admin),
        "nodes" => Permission::ReadPlatform,
        "disable people" => Permission::ManageOperators,
        "create" => Permission::ManageTenants,
        other => panic!("a row that is not known here: {other}"),
    };
    role.may(permission)
}

#[test]
fn the_table_of_roles_says_what_each_role_may() {
    let head = "| what | viewer | analyst | admin | owner | platform viewer | platform admin |";
    let rows = table("docs/operators.md", head);
    assert_eq!(rows.len(), 13);
    for row in rows {
        for (role, said) in Role::ALL.into_iter().zip(&row[1..]) {
            assert_eq!(said == "yes", means(&row[0], role), "{role}: {}", row[0]);
        }
    }
}
