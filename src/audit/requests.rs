//! Requests that changed nothing, until they are logged: refused ones, failed ones, and those that read what is worth
//! a record. Pure: no store, no clock.
//!
//! What clients send is bounded here: of each kind of request, a hundred a minute have a record each. The others are
//! counted by reason, client network and minute.

use std::collections::HashMap;
use std::net::IpAddr;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use crate::key::network::client_network_start;
use crate::key::{Actor, TenantId};
use crate::sync::{AuditAction, AuditOutcome, LoggedChange};

/// How many requests of a kind have a record each in a minute.
const LINES: usize = 100;
/// How many records wait for the store at most.
const MAX_WAITING: usize = 2000;
/// How many counts of a kind there are. From here on networks are not told apart,
const NETWORKS: usize = 500;
/// from here on neither senders, tenants nor what they asked for,
const SENDERS: usize = 1000;
/// and from here on not even minutes.
const MINUTES: usize = 1200;

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Requests {
    lines: Vec<LoggedChange>,
    counts: HashMap<Kind, HashMap<Counted, LoggedChange>>,
    /// The minute that `told` belongs to.
    minute: Option<DateTime<Utc>>,
    /// How many of each kind have a record each in it.
    told: HashMap<Kind, usize>,
}

/// Requests that share a budget: a flood of one kind does not hide the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// Refused or failed, of somebody who is not known.
    Anonymous,
    /// Refused or failed, of somebody who is known.
    Refused,
    /// What was asked for was read.
    Read,
}

/// What counts as one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Counted {
    code: Option<String>,
    outcome: Option<AuditOutcome>,
    minute: Option<DateTime<Utc>>,
    who: Option<Who>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Who {
    actor: Option<Actor>,
    action: Option<AuditAction>,
    tenant: Option<TenantId>,
    network: Option<IpAddr>,
}

impl Requests {
    /// Takes in a request.
    pub(super) fn add(&mut self, request: LoggedChange) {
        let minute = request.changed_at.and_then(|at| at.duration_trunc(TimeDelta::minutes(1)).ok());
        if minute != self.minute {
            self.minute = minute;
            self.told.clear();
        }
        let told = self.told.entry(Kind::of(&request)).or_default();
        // Programs verify keys and follow the audit all day: who does it, and how often, is enough.
        let is_steady =
            matches!(request.action, Some(AuditAction::KeyVerify | AuditAction::AuditRead)) && is_done(&request);
        if !is_steady && *told < LINES && self.lines.len() < MAX_WAITING {
            *told += 1;
            self.lines.push(request);
        } else {
            self.count(request, minute);
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.counts.values().all(HashMap::is_empty)
    }

    /// All that waits, the counts last.
    pub(super) fn take(&mut self) -> Vec<LoggedChange> {
        let mut all = std::mem::take(&mut self.lines);
        let from = all.len();
        all.extend(std::mem::take(&mut self.counts).into_values().flat_map(HashMap::into_values));
        all[from..].sort_by_key(|counted| counted.changed_at);
        all
    }

    fn count(&mut self, request: LoggedChange, minute: Option<DateTime<Utc>>) {
        let Some(answer) = &request.answer else { return };
        let who = Who {
            actor: request.by.modified_by.clone(),
            action: request.action,
            tenant: answer.target.tenant.clone(),
            network: request.client.map(client_network_start),
        };
        let mut counted = Counted { code: answer.code.clone(), outcome: Some(answer.outcome), minute, who: Some(who) };
        let counts = self.counts.entry(Kind::of(&request)).or_default();
        let has_room = |counted: &Counted, most: usize| counts.len() < most || counts.contains_key(counted);
        if !has_room(&counted, NETWORKS)
            && let Some(who) = &mut counted.who
        {
            who.network = None;
        }
        if !has_room(&counted, SENDERS) {
            counted.who = None;
        }
        if !has_room(&counted, MINUTES) {
            counted.minute = None;
        }
        match counts.get_mut(&counted).and_then(|known| known.answer.as_mut()) {
            Some(known) => known.count += answer.count,
            None => {
                let first = first_of(request, &counted);
                counts.insert(counted, first);
            }
        }
    }
}

impl Kind {
    fn of(request: &LoggedChange) -> Self {
        match &request.by.modified_by {
            _ if is_done(request) => Self::Read,
            None => Self::Anonymous,
            Some(_) => Self::Refused,
        }
    }
}

fn is_done(request: &LoggedChange) -> bool {
    request.answer.as_ref().is_some_and(|answer| answer.outcome == AuditOutcome::Done)
}

/// A record that stands for all requests that count as one: without what only the first has.
fn first_of(mut request: LoggedChange, counted: &Counted) -> LoggedChange {
    (request.by.request_id, request.agent) = (None, None);
    request.changed_at = counted.minute.or(request.changed_at);
    request.client = counted.who.as_ref().and_then(|who| who.network);
    if let Some(target) = request.answer.as_mut().map(|answer| &mut answer.target) {
        let is_told = counted.who.is_some();
        let tenant = target.tenant.take().filter(|_| is_told);
        (target.kind, target.id) = match &tenant {
            Some(tenant) => ("tenant".to_owned(), tenant.to_string()),
            None => ("platform".to_owned(), "platform".to_owned()),
        };
        target.tenant = tenant;
    }
    if counted.who.is_none() {
        (request.by.modified_by, request.role, request.action, request.route) = (None, None, None, None);
    }
    request
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;
    use crate::documents::RequestContext;
    use crate::key::Label;
    use crate::sync::{Answer, AnswerTarget};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn request(code: &str, actor: Option<&str>, client: &str, seconds: i64) -> LoggedChange {
        let context = RequestContext::new(Actor::System, at(seconds)).with_client(client.parse().unwrap());
        let target = AnswerTarget { kind: "key".into(), tenant: TenantId::parse("acme").ok(), id: "k".into() };
        let outcome = if code.is_empty() { AuditOutcome::Done } else { AuditOutcome::Refused };
        let code = Some(code.to_owned()).filter(|code| !code.is_empty());
        let answer = Answer { outcome, status: 401, code, target, count: 1 };
        let actor = actor.map(|actor| Actor::Named(Label::parse(actor).unwrap()));
        LoggedChange::of_request(answer, &context.with_agent("curl"), actor)
    }

    fn counts(all: &[LoggedChange]) -> Vec<u64> {
        all.iter().map(|request| request.answer.as_ref().unwrap().count).collect()
    }

    #[test]
    fn a_hundred_of_a_kind_are_told_apart_in_a_minute_and_the_others_counted_by_network() {
        let mut requests = Requests::default();
        for n in 0..100_000 {
            requests.add(request("invalid_admin_token", None, &format!("203.0.113.{}", n % 250), n / 2000));
        }
        requests.add(request("invalid_admin_token", None, "198.51.100.7", 50));
        requests.add(request("role_not_allowed", Some("somebody"), "203.0.113.7", 50));
        let all = requests.take();
        assert_eq!(all.len(), 103, "a flood of the unknown does not hide who is known");
        assert_eq!(counts(&all[..101]), [1; 101]);
        assert!(all[..101].iter().any(|request| request.by.modified_by.is_some()));
        assert_eq!(counts(&all).iter().sum::<u64>(), 100_002, "none is left out");
        let flood = all.iter().find(|request| request.answer.as_ref().unwrap().count > 1).unwrap();
        assert_eq!(flood.client, "203.0.113.0".parse().ok());
        assert_eq!((flood.changed_at, &flood.agent), (Some(at(0)), &None));
        assert_eq!(flood.answer.as_ref().unwrap().target.id, "acme");
        requests.add(request("invalid_admin_token", None, "203.0.113.7", 60));
        assert_eq!(counts(&requests.take()), [1], "another minute has its own");
    }

    #[test]
    fn what_waits_is_bounded_whatever_clients_send_and_for_however_long() {
        let mut requests = Requests::default();
        for n in 0..200_000_u32 {
            let client = Ipv6Addr::from(u128::from(n) << 80).to_string();
            requests.add(request(&format!("code_{}", n % 7), None, &client, i64::from(n)));
        }
        let all = requests.take();
        assert!(all.len() <= MAX_WAITING + MINUTES + 7, "{}", all.len());
        assert_eq!(counts(&all).iter().sum::<u64>(), 200_000);
        assert!(requests.take().is_empty());
    }

    #[test]
    fn strangers_from_many_networks_hide_neither_tenants_nor_who_is_known() {
        let mut requests = Requests::default();
        for n in 0..5000_u32 {
            let client = Ipv6Addr::from(u128::from(n) << 80).to_string();
            requests.add(request("invalid_admin_token", None, &client, 0));
        }
        for _ in 0..5 {
            requests.add(request("", Some("one"), "203.0.113.7", 1).doing(AuditAction::KeyVerify));
        }
        let all = requests.take();
        assert_eq!(counts(&all).iter().sum::<u64>(), 5005);
        let tenants = all.iter().map(|request| request.answer.as_ref().unwrap().target.tenant.as_ref());
        assert!(tenants.into_iter().all(|tenant| tenant.is_some_and(|tenant| tenant.as_str() == "acme")));
        let verified = all.iter().find(|request| request.action == Some(AuditAction::KeyVerify)).unwrap();
        assert_eq!(verified.by.modified_by.as_ref().map(Actor::as_str), Some("one"));
        assert_eq!(verified.client, "203.0.113.0".parse().ok());
    }

    #[test]
    fn what_is_read_all_day_is_counted_by_who_reads_it() {
        let mut requests = Requests::default();
        for n in 0..50 {
            let actor = if n % 2 == 0 { "one" } else { "two" };
            requests.add(request("", Some(actor), "203.0.113.7", n).doing(AuditAction::AuditRead));
            requests.add(request("", Some(actor), "203.0.113.7", n).doing(AuditAction::QueryRun));
        }
        let all = requests.take();
        assert_eq!(counts(&all[..50]), [1; 50]);
        assert_eq!(counts(&all[50..]), [25, 25]);
    }
}
