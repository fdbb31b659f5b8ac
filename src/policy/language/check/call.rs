//! Functions.

use super::super::duration;
use super::super::span::{Problem, Span};
use super::super::tree::{Call, Expr, Node};
use super::super::typed::{Part, Type, Typed, What};
use super::Checker;
use crate::policy::field::Field;
use crate::policy::nearest::nearest;

/// A function: its name, whether a value stands before it, how many arguments there are behind, and an example.
type Function = (&'static str, Form, usize, &'static str);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `a.f(b)`
    Method,
    /// `f(a)`
    Plain,
    /// Both, as in CEL: the value before it is else the first argument.
    Either,
}

const FUNCTIONS: [Function; 10] = [
    ("startsWith", Form::Method, 1, "request_path.startsWith('/login')"),
    ("endsWith", Form::Method, 1, "request_host.endsWith('.example')"),
    ("contains", Form::Method, 1, "user_agent.contains('curl')"),
    ("matches", Form::Either, 1, "user_agent.matches('(?i)bot|crawl')"),
    ("lowerAscii", Form::Method, 0, "user_agent.lowerAscii()"),
    ("size", Form::Either, 0, "user_agent.size()"),
    ("has", Form::Plain, 1, "has(referer)"),
    ("ip_in", Form::Plain, 2, "ip_in(client_ip, ['10.0.0.0/8'])"),
    ("action", Form::Plain, 1, "action('login')"),
    ("duration", Form::Plain, 1, "duration('5m')"),
];

/// Functions of CEL and of other languages, and what stands for them.
const OTHERS: [(&str, &str); 16] = [
    ("all", "there are no macros"),
    ("exists", "there are no macros"),
    ("exists_one", "there are no macros"),
    ("filter", "there are no macros"),
    ("map", "there are no macros"),
    ("int", "there are no conversions"),
    ("uint", "there are no conversions"),
    ("double", "there are no conversions"),
    ("string", "there are no conversions"),
    ("bool", "there are no conversions"),
    ("timestamp", "observed_at < '2027-01-31' compares instants as texts"),
    ("lower", "lowerAscii()"),
    ("toLowerCase", "lowerAscii()"),
    ("length", "size()"),
    ("len", "size()"),
    ("cidr", "ip_in(client_ip, ['10.0.0.0/8'])"),
];

/// The names of all functions.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|(name, ..)| *name)
}

impl Checker<'_, '_> {
    pub(super) fn call(&mut self, call: &Call, span: Span) -> Option<(What, Type)> {
        let Some((name, form, count, example)) = FUNCTIONS.iter().find(|(name, ..)| **name == *call.name) else {
            return self.unknown(call);
        };
        let all: Vec<&Node> = call.receiver.iter().chain(&call.arguments).collect();
        let expected = count + usize::from(*form != Form::Plain);
        let placed = match form {
            Form::Method => call.receiver.is_some(),
            Form::Plain => call.receiver.is_none(),
            Form::Either => true,
        };
        if !placed || all.len() != expected {
            return self.fault(Problem::new(span, format!("{name} is not called so")).hint(*example));
        }
        match (*name, &*all) {
            ("startsWith", [text, part]) => self.find(Part::Start, text, part),
            ("endsWith", [text, part]) => self.find(Part::End, text, part),
            ("contains", [text, part]) => self.find(Part::Anywhere, text, part),
            ("matches", [text, pattern]) => self.matches(text, pattern),
            ("lowerAscii", [text]) => Some((What::Lower(Box::new(self.text_argument(text, name)?)), Type::Text)),
            ("size", [text]) => Some((What::Size(Box::new(self.text_argument(text, name)?)), Type::Int)),
            ("has", [field]) => self.has(field),
            ("ip_in", [address, list]) => self.ip_in(address, list),
            ("action", [action]) => self.action(action),
            ("duration", [text]) => self.duration(text),
            _ => self.fault(Problem::new(span, format!("{name} is not called so")).hint(*example)),
        }
    }

    fn unknown<T>(&mut self, call: &Call) -> Option<T> {
        let name: String = call.name.chars().take(64).collect();
        let problem = Problem::new(call.name_span, format!("there is no function {name}"));
        self.fault(match OTHERS.iter().find(|(other, _)| **other == *call.name) {
            Some((_, hint)) => problem.hint(*hint),
            None => problem.nearest(&nearest(&call.name, names())),
        })
    }

    fn text_argument(&mut self, node: &Node, name: &str) -> Option<Typed> {
        let typed = self.check(node)?;
        self.text_of(typed, &format!("{name} takes a text"))
    }

    fn find(&mut self, part: Part, text: &Node, searched: &Node) -> Option<(What, Type)> {
        let text = self.text_argument(text, "this function");
        let searched = self.text_argument(searched, "this function");
        let (text, searched) = (text?, searched?);
        if let What::Text(literal) = &searched.what {
            self.form_of(&text, searched.span, part, false, literal)?;
        }
        Some((What::Find(part, Box::new([text, searched])), Type::Bool))
    }

    fn matches(&mut self, text: &Node, pattern: &Node) -> Option<(What, Type)> {
        let text = self.text_argument(text, "matches");
        let Expr::Text(literal) = &pattern.expr else {
            let problem = Problem::new(pattern.span, "a pattern is a literal: it is compiled once");
            return self.fault(problem.hint("user_agent.matches('(?i)bot|crawl')"));
        };
        match self.scope.patterns.get(literal) {
            Ok(pattern) => Some((What::Matches(Box::new(text?), pattern), Type::Bool)),
            Err(why) => self.fault(Problem::new(pattern.span, why)),
        }
    }

    fn has(&mut self, node: &Node) -> Option<(What, Type)> {
        if let Expr::Name(name) = &node.expr {
            return self.field(name, node.span).map(|(slot, _)| (What::Has(slot), Type::Bool));
        }
        self.check(node)?;
        self.fault(Problem::new(node.span, "has asks for a field").hint("has(referer)"))
    }

    fn ip_in(&mut self, address: &Node, list: &Node) -> Option<(What, Type)> {
        let address = self.check(address);
        let networks = self.networks(list);
        let (address, networks) = (address?, networks?);
        if matches!(address.what, What::Field(_, Field::ClientNetwork)) {
            let problem = Problem::new(address.span, "this is never true: client_network is a network, not an address");
            return self.fault(problem.hint("client_ip"));
        }
        let address = self.text_of(address, "ip_in takes an address")?;
        if matches!(address.what, What::Text(_)) {
            return self.fault(Problem::new(address.span, "ip_in takes a field").hint("client_ip"));
        }
        Some((What::InNetworks(Box::new(address), networks), Type::Bool))
    }

    fn action(&mut self, node: &Node) -> Option<(What, Type)> {
        let Expr::Text(name) = &node.expr else {
            return self.fault(Problem::new(node.span, "the name of an action is a literal").hint("action('login')"));
        };
        if let Some(slot) = self.scope.actions.get(name) {
            return Some((What::Action(slot), Type::Bool));
        }
        let Some(names) = self.scope.actions.names() else {
            return self.fault(Problem::new(node.span, "no action can be asked for here: actions are judged later"));
        };
        let found = nearest(name, names);
        let shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
        self.fault(Problem::new(node.span, format!("there is no action '{shown}'")).nearest(&found))
    }

    fn duration(&mut self, node: &Node) -> Option<(What, Type)> {
        let Expr::Text(text) = &node.expr else {
            return self.fault(Problem::new(node.span, "a duration is a literal").hint("duration('5m')"));
        };
        match duration::milliseconds(text) {
            Ok(milliseconds) => Some((What::Int(milliseconds), Type::Duration)),
            Err(why) => self.fault(Problem::new(node.span, why).hint("duration('1m30s')")),
        }
    }
}
