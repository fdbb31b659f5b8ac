//! What the audit learns of requests that changed nothing: those that were refused, those that failed, and those that
//! read what is worth a record.

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use uuid::Uuid;

use super::app::App;
use super::error::Problem;
use super::operator::{Known, anonymous};
use crate::key::{Actor, Label, StreamName, TenantId};
use crate::operators::OperatorId;
use crate::sync::{Answer, AnswerTarget, AuditAction, AuditOutcome, LoggedChange};

/// Notes how a request of the admin plane was answered, if that is worth a record and no change: changes are in the log
/// already.
pub(super) fn note(request: &HttpRequest, response: &HttpResponse) {
    let Some(app) = request.app_data::<web::Data<App>>() else { return };
    let (status, pattern) = (response.status(), request.match_pattern());
    let action = pattern.and_then(|pattern| attempted(request.method(), &pattern));
    let reads = matches!(action, Some(AuditAction::KeyVerify | AuditAction::AuditRead | AuditAction::QueryRun));
    let outcome = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::CONFLICT => AuditOutcome::Refused,
        status if status.is_server_error() && (reads || !request.method().is_safe()) => AuditOutcome::Failed,
        status if status.is_success() && reads => AuditOutcome::Done,
        _ => return,
    };
    let extensions = request.extensions();
    let known = extensions.get::<Known>();
    let (actor, role) = (known.map(|known| known.actor.clone()), known.and_then(|known| known.role));
    let problem = response.error().and_then(|error| error.as_error::<Problem>());
    let code = problem.map(|problem| problem.code().as_str().to_owned());
    let answer = Answer { outcome, status: status.as_u16(), code, target: target(app, request, known), count: 1 };
    drop(extensions);
    let mut context = anonymous(app, request);
    context.role = role.and_then(|role| Label::parse(role.as_str()).ok());
    app.audit.add_request(LoggedChange::of_request(answer, &context, actor).doing(action));
}

/// Notes a sign-in that did not work, and of whom, if that is known.
pub(super) fn note_sign_in(app: &App, request: &HttpRequest, status: StatusCode, code: &str, who: Option<OperatorId>) {
    let outcome = if status.is_server_error() { AuditOutcome::Failed } else { AuditOutcome::Refused };
    let (kind, id) = match who {
        Some(who) => ("operator", who.to_string()),
        None => ("platform", "platform".to_owned()),
    };
    let target = AnswerTarget { kind: kind.to_owned(), tenant: None, id };
    let answer = Answer { outcome, status: status.as_u16(), code: Some(code.to_owned()), target, count: 1 };
    let actor = who.and_then(|who| Label::parse(&who.to_string()).ok()).map(Actor::Named);
    let request = LoggedChange::of_request(answer, &anonymous(app, request), actor);
    app.audit.add_request(request.doing(AuditAction::OperatorSignIn));
}

/// What the path names, as far as it exists or has the form of an id: a path may hold anything, even a mistyped key. A
/// tenant in which somebody has no role is as one that does not exist.
fn target(app: &App, request: &HttpRequest, known: Option<&Known>) -> AnswerTarget {
    let path = request.match_info();
    let tenant = path.get("tenant").and_then(|tenant| TenantId::parse(tenant).ok());
    let is_theirs = |tenant: &TenantId| known.is_none_or(|known| known.rights.know(tenant));
    let tenant = tenant.filter(|tenant| app.keystore.cache().tenant(tenant).is_some() && is_theirs(tenant));
    let id = path.get("id").or_else(|| path.get("sid"));
    let id = id.filter(|id| Uuid::try_parse(id).is_ok() || OperatorId::parse(id).is_ok());
    let stream = path.get("stream").and_then(|stream| StreamName::parse(stream).ok());
    let stream = tenant.as_ref().zip(stream).filter(|(tenant, stream)| app.catalog.get(tenant, stream).is_some());
    let (kind, id) = match (id, stream, &tenant) {
        (Some(id), _, _) => (kind(&request.match_pattern().unwrap_or_default()), id.to_owned()),
        (None, Some((_, stream)), _) => ("stream", stream.to_string()),
        (None, None, Some(tenant)) => ("tenant", tenant.to_string()),
        (None, None, None) => ("platform", "platform".to_owned()),
    };
    AnswerTarget { kind: kind.to_owned(), tenant, id }
}

/// What the id in a path is the id of.
fn kind(pattern: &str) -> &'static str {
    let kinds = [
        ("/apikeys/", "key"),
        ("/service-operators/", "machine"),
        ("/memberships/", "members"),
        ("/operators/", "operator"),
        ("/actions/", "policy_set"),
        ("/entities/", "policy_set"),
        ("/mitigations/", "policy_set"),
        ("/policies/", "policy_set"),
        ("/auth/sessions/", "sign_in"),
    ];
    kinds.iter().find(|(part, _)| pattern.contains(part)).map_or("query", |(_, kind)| kind)
}

/// What a route would have done. Nothing where it depends on the body, and where nothing is changed.
fn attempted(method: &Method, pattern: &str) -> Option<AuditAction> {
    use AuditAction as Do;
    let path = pattern.strip_prefix("/api/v1").unwrap_or(pattern);
    let of_tenant = path.strip_prefix("/tenants/{tenant}").filter(|rest| !rest.is_empty());
    Some(match (method.as_str(), of_tenant.unwrap_or(path)) {
        ("POST", "/tenants") => Do::TenantCreate,
        ("PATCH", "/tenants/{tenant}") => Do::TenantUpdate,
        ("DELETE", "/tenants/{tenant}") => Do::TenantDelete,
        ("PATCH", "/logstream/{stream}") => Do::StreamUpdate,
        ("DELETE", "/logstream/{stream}") => Do::StreamDelete,
        ("POST", "/apikeys") => Do::KeyIssue,
        ("PATCH", "/apikeys/{id}") => Do::KeyUpdate,
        ("DELETE", "/apikeys/{id}") => Do::KeyRevoke,
        ("POST", "/apikeys/{id}/rotate") => Do::KeyRotate,
        ("POST", "/apikeys/verify") => Do::KeyVerify,
        ("POST", "/service-operators") => Do::MachineCreate,
        ("PATCH", "/service-operators/{id}") => Do::MachineUpdate,
        ("DELETE", "/service-operators/{id}") => Do::MachineRevoke,
        ("POST", "/service-operators/{id}/rotate") => Do::MachineRotate,
        ("POST", "/memberships") => Do::MemberSet,
        ("DELETE", "/memberships/{id}") => Do::MemberRemove,
        ("POST", "/auth/logout") | ("DELETE", "/auth/sessions/{sid}") => Do::OperatorSignOut,
        ("DELETE", "/operators/{id}/sessions") => Do::OperatorEndSessions,
        ("DELETE", "/signers/{kid}") => Do::SignerDrop,
        ("PUT", "/policyset")
        | ("POST", "/policyset/apply")
        | ("POST", "/actions" | "/entities" | "/mitigations" | "/policies")
        | ("PATCH" | "DELETE", "/actions/{id}" | "/entities/{id}" | "/mitigations/{id}" | "/policies/{id}") => {
            Do::PolicySetDeploy
        }
        ("POST", "/policyset/rollback") => Do::PolicySetRollback,
        ("DELETE", "/mitigations/active/{entity}") => Do::MitigationRelease,
        ("GET" | "HEAD", "/audit") => Do::AuditRead,
        ("POST", "/query" | "/policyset/backtest") if of_tenant.is_some() => Do::QueryRun,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::route::RouteAuth;
    use crate::http::routes;

    #[test]
    fn every_route_that_changes_something_says_what_it_would_have_done() {
        // What these do depends on their bodies, or they change no object.
        let open = [
            "POST /api/v1/tenants/{tenant}/apikeys/apply",
            "POST /api/v1/tenants/{tenant}/apikeys/bulk",
            "PATCH /api/v1/operators/{id}",
            "DELETE /api/v1/sessions/{id}",
            "POST /api/v1/sync",
            "POST /api/v1/tenants/{tenant}/policyset/explain",
        ];
        for route in routes() {
            let method = Method::from_bytes(route.method.as_bytes()).unwrap();
            let name = format!("{} {}", route.method, route.path);
            let is_admin = matches!(route.auth, RouteAuth::Admin(_));
            let expected = is_admin && !method.is_safe() && !open.contains(&&*name);
            let reads = route.path.ends_with("/audit");
            assert_eq!(attempted(&method, route.path).is_some(), expected || reads, "{name}");
        }
        assert_eq!(attempted(&Method::DELETE, "/tenants/{tenant}/memberships/{id}"), Some(AuditAction::MemberRemove));
        assert_eq!(attempted(&Method::POST, "/api/v1/tenants/{tenant}/query"), Some(AuditAction::QueryRun));
    }
}
