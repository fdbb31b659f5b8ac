//! Lists of literals.

use std::net::IpAddr;

use super::super::networks::{Networks, NoNetwork, network};
use super::super::span::{Problem, Span};
use super::super::tree::{Expr, Node};
use super::super::typed::{Part, Type, Typed, What};
use super::super::{MAX_FAULTS, duration};
use super::Checker;
use crate::policy::event::unwrapped;

impl Checker<'_, '_> {
    /// `a in ['b', 'c']`
    pub(super) fn member_of(&mut self, sides: &[Node; 2]) -> Option<What> {
        let [value, list] = sides;
        let value = self.check(value);
        let items = self.items(list)?;
        let value = value?;
        let of = match (value.of, items.first().map(|item| &item.expr)) {
            (Type::Any, Some(Expr::Int(_))) => Type::Int,
            (Type::Any, _) => Type::Text,
            (known, _) => known,
        };
        match of {
            Type::Text => {
                let texts = self.each(items, |this, item| {
                    let Expr::Text(text) = &item.expr else { return this.no_literal(item, of) };
                    this.form_of(&value, item.span, Part::Whole, false, text)?;
                    Some(text.clone())
                })?;
                Some(What::InTexts(Box::new(value), texts))
            }
            Type::Ip => {
                let addresses = self.each(items, |this, item| match &item.expr {
                    Expr::Text(text) => this.address(text, item.span),
                    _ => this.no_literal(item, of),
                })?;
                Some(What::InAddresses(Box::new(value), addresses))
            }
            Type::Int | Type::Millis | Type::Duration => {
                let numbers = self.each(items, |this, item| this.number_literal(item, of))?;
                Some(What::InNumbers(Box::new(value), numbers))
            }
            Type::Bool | Type::Any => self.fault(
                Problem::new(value.span, "true and false stand in no list").hint(self.text(value.span).to_owned()),
            ),
        }
    }

    /// `ip_in(client_ip, ['10.0.0.0/8'])`
    pub(super) fn networks(&mut self, list: &Node) -> Option<Networks> {
        let items = self.items(list)?;
        let networks = self.each(items, |this, item| {
            let Expr::Text(text) = &item.expr else { return this.no_literal(item, Type::Text) };
            match network(text) {
                Ok(network) => Some(network),
                Err(NoNetwork::Beyond(network)) => {
                    let problem = Problem::new(item.span, "the network has bits beyond its mask");
                    this.fault(problem.hint(format!("'{network}'")))
                }
                Err(NoNetwork::Unreadable) => {
                    let problem = Problem::new(item.span, "this is no network");
                    this.fault(problem.hint("'10.0.0.0/8', '2001:db8::/32'"))
                }
            }
        })?;
        Some(Networks::new(networks))
    }

    /// An address that a client can have.
    pub(super) fn address(&mut self, text: &str, span: Span) -> Option<IpAddr> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(unwrapped(address));
        }
        let problem = Problem::new(span, "this is never true: this is no address");
        self.fault(match network(text) {
            Ok(network) => problem.hint(format!("ip_in(client_ip, ['{network}'])")),
            Err(_) => problem.hint("'203.0.113.7'"),
        })
    }

    fn items<'n>(&mut self, list: &'n Node) -> Option<&'n [Node]> {
        match &list.expr {
            Expr::List(items) if items.is_empty() => {
                self.fault(Problem::new(list.span, "this is never true: the list is empty"))
            }
            Expr::List(items) => Some(items),
            Expr::Text(_) => {
                let problem = Problem::new(list.span, "a list of literals stands here");
                let hint = format!("[{}]; whether a text holds another one: a.contains(b)", self.text(list.span));
                self.fault(problem.hint(hint))
            }
            _ => self.fault(Problem::new(list.span, "a list of literals stands here").hint("['a', 'b']")),
        }
    }

    /// Reads every item, so that the faults of all are found.
    fn each<T>(&mut self, items: &[Node], mut read: impl FnMut(&mut Self, &Node) -> Option<T>) -> Option<Vec<T>> {
        let mut found = Some(Vec::with_capacity(items.len()));
        for item in items {
            match (read(self, item), &mut found) {
                (Some(item), Some(found)) => found.push(item),
                _ => found = None,
            }
            if self.problems.len() >= MAX_FAULTS {
                return None;
            }
        }
        found
    }

    fn no_literal<T>(&mut self, item: &Node, of: Type) -> Option<T> {
        let what = if of.is_text() { "texts" } else { "numbers" };
        self.fault(Problem::new(item.span, format!("literals that are {what} stand in this list")))
    }

    fn number_literal(&mut self, item: &Node, of: Type) -> Option<i64> {
        match &item.expr {
            Expr::Int(number) if of != Type::Duration => Some(*number),
            Expr::Text(text) if of != Type::Int => match duration::milliseconds(text) {
                Ok(milliseconds) => Some(milliseconds),
                Err(why) => self.fault(Problem::new(item.span, why).hint("'1m30s', '500ms'")),
            },
            Expr::Call(_) if of != Type::Int => match self.check(item)? {
                Typed { what: What::Int(milliseconds), of: Type::Duration, .. } => Some(milliseconds),
                _ => self.no_literal(item, of),
            },
            Expr::Negate(_) | Expr::Call(_) | Expr::Int(_) => self.no_literal(item, of),
            _ => self.no_literal(item, of),
        }
    }
}
