//! The query session of an operator: the right to it, judged again from memory as often as it matters.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use actix_web::{FromRequest, HttpRequest, web};
use chrono::{DateTime, Utc};

use super::app::App;
use super::client;
use super::error::{Code, Problem};
use super::middleware::query_session;
use super::operator::{KnownCredential, Operator, is_allowed_from};
use super::query_string::{Nothing, Query};
use crate::access::{OperatorGrant, OperatorRight, SessionGuard};
use crate::key::{Actor, StreamPattern, Streams, TenantId};
use crate::keystore::Keystore;
use crate::operators::{Accounts, Machines, Permission, Rights, Scope};
use crate::stream::system;

/// Opens a session of the tenant that the path names.
///
/// # Errors
/// 400 for any parameter; 404 and 410 without such a tenant, 429 `too_many_queries`, 503.
pub(super) async fn open(request: &HttpRequest, operator: Operator) -> Result<SessionGuard, Problem> {
    let Some(app) = request.app_data::<web::Data<App>>() else {
        return Err(Problem::new(Code::Internal, "The server is not set up."));
    };
    Query::<Nothing>::extract(request).await?;
    let tenant = TenantId::parse(request.match_info().query("tenant"))?;
    app.keystore.tenant_read_through(&tenant).await?;
    let right = SessionRight {
        actor: operator.context().actor.clone(),
        credential: operator.credential().clone(),
        address: client::of(request),
        tenant: tenant.clone(),
        keystore: app.keystore.clone(),
        machines: app.machines.clone(),
        accounts: app.accounts.clone(),
    };
    Ok(query_session::sessions(request)?.open_for_operator(tenant, Arc::new(right))?)
}

/// The right of an operator who has presented a credential to query a tenant.
struct SessionRight {
    actor: Actor,
    credential: KnownCredential,
    /// Where the client is.
    address: Option<IpAddr>,
    tenant: TenantId,
    keystore: Keystore,
    machines: Machines,
    accounts: Accounts,
}

impl SessionRight {
    /// The rights of the credential now, and when it ends; `None` when it is no good any more.
    fn rights(&self) -> Option<(Rights, Option<DateTime<Utc>>)> {
        Some(match &self.credential {
            KnownCredential::Everything => (Rights::Everything, None),
            KnownCredential::Machine(token) => {
                let (place, machine) = self.machines.recognise(token, self.keystore.now())?;
                if !is_allowed_from(&machine, self.address) {
                    return None;
                }
                (Rights::Machine(place.scope, machine.role), machine.accepted_until(token))
            }
            KnownCredential::Person(token) => {
                let person = self.accounts.recognise_again(token.clone()).ok()?;
                (Rights::Person(person.rights), Some(person.token.until))
            }
        })
    }
}

impl OperatorRight for SessionRight {
    fn operator(&self) -> &Actor {
        &self.actor
    }

    fn grant(&self) -> Option<OperatorGrant> {
        let (rights, until) = self.rights()?;
        let place = Scope::Tenant(self.tenant.clone());
        rights.may(Permission::RunQueries, &place).ok()?;
        Some(OperatorGrant { streams: streams(rights.may(Permission::ReadAudit, &place).is_ok()), until })
    }
}

/// What operators read: every stream of clients, and those that the server writes; the audit only with the right to it.
fn streams(with_audit: bool) -> Streams {
    let of_server = system::ALL.into_iter().filter(|name| *name != system::AUDIT);
    let names = ["*"].into_iter().chain(of_server).chain(with_audit.then_some(system::AUDIT));
    Streams::Matching(names.filter_map(|name| StreamPattern::parse(name).ok()).collect())
}

impl fmt::Debug for SessionRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionRight({} in {})", self.actor, self.tenant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::StreamName;

    #[test]
    fn an_operator_reads_everything_but_the_audit_and_that_only_with_the_right_to_it() {
        for with_audit in [false, true] {
            let streams = streams(with_audit);
            for (name, is_allowed) in [
                ("web", true),
                ("audit", true),
                ("keyloft_usage", true),
                ("keyloft_rejected", true),
                ("keyloft_audit", with_audit),
                ("keyloft_later", false),
            ] {
                assert_eq!(streams.allow(&StreamName::parse(name).unwrap()), is_allowed, "{name}");
            }
        }
    }
}
