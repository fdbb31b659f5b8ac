//! Names and types of an expression: all faults at once, each with its place and what to write instead.

mod call;
mod compare;
mod list;

use super::span::{Problem, Span};
use super::tree::{Expr, Node, Sign};
use super::typed::{Type, Typed, What};
use super::{MAX_FAULTS, Scope};
use crate::policy::field::{Field, Slot};
use crate::policy::nearest::nearest;

/// Resolves the names of an expression, and checks its types.
///
/// # Errors
/// Everything that is wrong.
pub(super) fn check(source: &str, node: &Node, scope: &mut Scope<'_>) -> Result<Typed, Vec<Problem>> {
    let mut checker = Checker { source, scope, problems: Vec::new() };
    let typed = checker.check(node);
    let typed = typed.and_then(|typed| checker.truth(typed, "an expression is true or false"));
    match typed {
        Some(typed) if checker.problems.is_empty() => Ok(typed),
        _ => Err(checker.problems),
    }
}

/// `None` stands for a part that has a fault which is noted already, so that what stands around it adds none.
struct Checker<'c, 's> {
    source: &'c str,
    scope: &'c mut Scope<'s>,
    problems: Vec<Problem>,
}

impl Checker<'_, '_> {
    /// Notes a fault.
    fn fault<T>(&mut self, problem: Problem) -> Option<T> {
        if self.problems.len() < MAX_FAULTS {
            self.problems.push(problem);
        }
        None
    }

    /// The source of a part, for hints; long parts are no hint.
    fn text(&self, span: Span) -> &str {
        let text = span.text(self.source);
        if text.len() > 80 { "…" } else { text }
    }

    fn check(&mut self, node: &Node) -> Option<Typed> {
        let span = node.span;
        let (what, of) = match &node.expr {
            Expr::Text(text) => (What::Text(text.clone()), Type::Text),
            Expr::Int(number) => (What::Int(*number), Type::Int),
            Expr::Bool(truth) => (What::Bool(*truth), Type::Bool),
            Expr::Name(name) => self.name(name, span)?,
            Expr::List(_) => {
                return self.fault(Problem::new(span, "a list stands behind in, or in ip_in"));
            }
            Expr::Not(inner) => {
                let inner = self.check(inner)?;
                (What::Not(Box::new(self.truth(inner, "! turns true and false around")?)), Type::Bool)
            }
            Expr::Negate(inner) => self.negate(inner)?,
            Expr::All(parts) => (What::All(self.truths(parts, "&& stands between conditions")?), Type::Bool),
            Expr::Any(parts) => (What::Any(self.truths(parts, "|| stands between conditions")?), Type::Bool),
            Expr::Sum(parts) => self.sum(parts)?,
            Expr::Remainder(sides) => {
                let [left, right] = self.both(sides);
                let (left, right) = (left?, right?);
                let left = self.number(left, "% is between numbers");
                let right = self.number(right, "% is between numbers");
                (What::Remainder(Box::new([left?, right?])), Type::Int)
            }
            Expr::Compare(comparison, sides) => (self.compare(*comparison, sides, span)?, Type::Bool),
            Expr::In(sides) => (self.member_of(sides)?, Type::Bool),
            Expr::Choice(parts) => self.choice(parts)?,
            Expr::Call(call) => self.call(call, span)?,
        };
        Some(Typed { what, of, span })
    }

    /// Checks both, so that the faults of both are found.
    fn both(&mut self, nodes: &[Node; 2]) -> [Option<Typed>; 2] {
        nodes.each_ref().map(|node| self.check(node))
    }

    fn name(&mut self, name: &str, span: Span) -> Option<(What, Type)> {
        let (slot, field) = self.field(name, span)?;
        self.scope.fields.note_read(slot);
        let of = Type::of(field.kind());
        Some((What::Field(slot, field), of))
    }

    fn field(&mut self, name: &str, span: Span) -> Option<(Slot, Field)> {
        match Field::parse(name) {
            Ok(field) => match self.scope.fields.slot(field.clone()) {
                Ok(slot) => Some((slot, field)),
                Err(error) => self.fault(Problem::new(span, error.to_string())),
            },
            Err(unknown) => {
                let problem = Problem::new(span, unknown.to_string());
                self.fault(if self.scope.actions.get(name).is_some() {
                    problem.hint(format!("an action is asked for by action('{name}')"))
                } else if unknown.nearest.is_empty() {
                    let functions = nearest(name, call::names());
                    let lists = "texts stand between quotes: '…'";
                    if functions.is_empty() { problem.hint(lists) } else { problem.nearest(&functions) }
                } else {
                    problem.nearest(&unknown.nearest)
                })
            }
        }
    }

    /// A part that has to be true or false.
    fn truth(&mut self, typed: Typed, rule: &str) -> Option<Typed> {
        if typed.of.is_bool() {
            return Some(typed);
        }
        let problem = Problem::new(typed.span, format!("{rule}, and this is {}", typed.of.name()));
        let text = self.text(typed.span);
        let hint = match typed.of {
            Type::Text => format!("{text} != ''"),
            _ => format!("has({text})"),
        };
        self.fault(if matches!(typed.what, What::Field(..)) { problem.hint(hint) } else { problem })
    }

    fn truths(&mut self, nodes: &[Node], rule: &str) -> Option<Vec<Typed>> {
        let checked: Vec<Option<Typed>> = nodes
            .iter()
            .map(|node| {
                let typed = self.check(node)?;
                self.truth(typed, rule)
            })
            .collect();
        checked.into_iter().collect()
    }

    /// A part that has to be a whole number.
    fn number(&mut self, typed: Typed, rule: &str) -> Option<Typed> {
        if matches!(typed.of, Type::Int | Type::Millis | Type::Any) {
            return Some(typed);
        }
        self.fault(Problem::new(typed.span, format!("{rule}, and this is {}", typed.of.name())))
    }

    /// A part that has to be text.
    fn text_of(&mut self, typed: Typed, rule: &str) -> Option<Typed> {
        if typed.of.is_text() {
            return Some(typed);
        }
        self.fault(Problem::new(typed.span, format!("{rule}, and this is {}", typed.of.name())))
    }

    fn negate(&mut self, inner: &Node) -> Option<(What, Type)> {
        let inner = self.check(inner)?;
        let of = if inner.of == Type::Duration { Type::Duration } else { Type::Int };
        if inner.of.is_number() {
            return Some((What::Negate(Box::new(inner)), of));
        }
        self.fault(Problem::new(inner.span, format!("- is before a number, and this is {}", inner.of.name())))
    }

    /// `+` joins texts or adds numbers; `-` only takes numbers away.
    fn sum(&mut self, parts: &[(Sign, Node)]) -> Option<(What, Type)> {
        let checked: Vec<_> = parts.iter().map(|(sign, node)| (*sign, self.check(node))).collect();
        let parts: Vec<(Sign, Typed)> =
            checked.into_iter().map(|(sign, typed)| Some((sign, typed?))).collect::<Option<_>>()?;
        let texts = parts.iter().any(|(_, part)| matches!(part.of, Type::Text | Type::Ip));
        let fits = |part: &Typed| if texts { part.of.is_text() } else { part.of.is_number() };
        let wrong: Vec<&Typed> = parts.iter().map(|(_, part)| part).filter(|part| !fits(part)).collect();
        if let Some(wrong) = wrong.first() {
            let rule = if texts { "texts are joined with texts" } else { "numbers are added to numbers" };
            return self.fault(Problem::new(wrong.span, format!("{rule}, and this is {}", wrong.of.name())));
        }
        if texts {
            return match parts.iter().find(|(sign, _)| *sign == Sign::Minus) {
                Some((_, part)) => self.fault(Problem::new(part.span, "- is between numbers, and these are texts")),
                None => Some((What::Concat(parts.into_iter().map(|(_, part)| part).collect()), Type::Text)),
            };
        }
        let has = |of: Type| parts.iter().find(|(_, part)| part.of == of).map(|(_, part)| part.span);
        if let (Some(int), Some(_)) = (has(Type::Int), has(Type::Duration)) {
            let problem = Problem::new(int, "a duration is added to a duration, and this is a number");
            return self.fault(problem.hint("duration('5s')"));
        }
        if let (Some(first), None) = (has(Type::Any), parts.iter().find(|(_, part)| part.of != Type::Any)) {
            let problem = Problem::new(first, "parts of the payload may be texts or numbers");
            return self.fault(problem.hint("say which: '' + … joins texts, 0 + … adds numbers"));
        }
        let of = match (has(Type::Duration), has(Type::Millis)) {
            (Some(_), _) => Type::Duration,
            (None, Some(_)) => Type::Millis,
            (None, None) => Type::Int,
        };
        Some((What::Sum(parts), of))
    }

    fn choice(&mut self, parts: &[Node; 3]) -> Option<(What, Type)> {
        let [condition, then, other] = parts.each_ref().map(|node| self.check(node));
        let condition = condition.and_then(|condition| self.truth(condition, "a condition stands before ?"));
        let (condition, then, other) = (condition?, then?, other?);
        let of = match (then.of, other.of) {
            (a, b) if a == b => a,
            (Type::Any, known) | (known, Type::Any) => known,
            (Type::Text, Type::Ip) | (Type::Ip, Type::Text) => Type::Text,
            (Type::Int, Type::Millis) | (Type::Millis, Type::Int) => Type::Int,
            (Type::Duration, Type::Millis) | (Type::Millis, Type::Duration) => Type::Duration,
            (a, b) => {
                let message = format!("both choices are alike, and these are {} and {}", a.name(), b.name());
                return self.fault(Problem::new(then.span.to(other.span), message));
            }
        };
        Some((What::Choice(Box::new([condition, then, other])), of))
    }
}
