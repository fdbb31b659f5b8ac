//! Comparisons.

use super::super::span::{Problem, Span};
use super::super::tree::{Comparison, Node};
use super::super::typed::{As, Part, Type, Typed, What};
use super::super::{duration, form};
use super::Checker;
use crate::policy::field::Field;

impl Checker<'_, '_> {
    /// `a == b` and the like.
    pub(super) fn compare(&mut self, comparison: Comparison, sides: &[Node; 2], span: Span) -> Option<What> {
        let [left, right] = self.both(sides);
        let (mut left, mut right) = (left?, right?);
        self.as_duration(&left, &mut right)?;
        self.as_duration(&right, &mut left)?;
        let compared = match (left.of, right.of) {
            (Type::Any, Type::Any) if comparison.orders() => {
                let problem = Problem::new(span, "parts of the payload may be texts or numbers");
                let hint = format!("say which: 0 + {} is a number", self.text(left.span));
                return self.fault(problem.hint(hint));
            }
            (Type::Ip, Type::Ip) => As::Address,
            (Type::Ip, Type::Text) if matches!(right.what, What::Text(_)) => As::Address,
            (Type::Text, Type::Ip) if matches!(left.what, What::Text(_)) => As::Address,
            (a, b) if a.is_text() && b.is_text() => As::Text,
            (Type::Bool, b) | (b, Type::Bool) if b.is_bool() => As::Bool,
            (Type::Int, Type::Duration) | (Type::Duration, Type::Int) => return self.not_alike(&left, &right, span),
            (a, b) if a.is_number() && b.is_number() => As::Number,
            _ => return self.not_alike(&left, &right, span),
        };
        if comparison.orders() && matches!(compared, As::Address | As::Bool) {
            let what = if compared == As::Bool { "true and false have" } else { "addresses have" };
            let problem = Problem::new(span, format!("{what} no order here"));
            let hint = "ip_in(client_ip, ['10.0.0.0/8'])";
            return self.fault(if compared == As::Address { problem.hint(hint) } else { problem });
        }
        self.form(compared, comparison, &left, &right)?;
        self.form(compared, comparison.mirrored(), &right, &left)?;
        Some(What::Compare(compared, comparison, Box::new([left, right])))
    }

    /// A text beside a number of milliseconds is a duration: `duration_ms > '5s'`.
    fn as_duration(&mut self, beside: &Typed, typed: &mut Typed) -> Option<()> {
        if let (Type::Millis | Type::Duration, What::Text(text)) = (beside.of, &typed.what) {
            match duration::milliseconds(text) {
                Ok(milliseconds) => *typed = Typed { what: What::Int(milliseconds), of: Type::Duration, ..*typed },
                Err(why) => return self.fault(Problem::new(typed.span, why).hint("'1m30s', '500ms'")),
            }
        }
        Some(())
    }

    fn not_alike<T>(&mut self, left: &Typed, right: &Typed, span: Span) -> Option<T> {
        let message = format!("{} is not compared with {}", left.of.name(), right.of.name());
        let problem = Problem::new(span, message);
        let hint = match (&left.what, &right.what) {
            (_, What::Int(number)) | (What::Int(number), _) if left.of.is_text() || right.of.is_text() => {
                Some(format!("'{number}'"))
            }
            (_, What::Text(text)) | (What::Text(text), _)
                if (left.of.is_number() || right.of.is_number()) && text.parse::<i64>().is_ok() =>
            {
                Some(text.to_string())
            }
            (_, What::Int(number)) if right.of == Type::Int => Some(format!("duration('{number}ms')")),
            (What::Int(number), _) if left.of == Type::Int => Some(format!("duration('{number}ms')")),
            _ => None,
        };
        self.fault(match hint {
            Some(hint) => problem.hint(hint),
            None => problem,
        })
    }

    /// Whether a value can compare so with a literal at all.
    fn form(&mut self, compared: As, comparison: Comparison, value: &Typed, literal: &Typed) -> Option<()> {
        let never = match (&literal.what, compared) {
            (What::Text(text), As::Text) if !comparison.orders() => {
                return self.form_of(value, literal.span, Part::Whole, comparison != Comparison::Equal, text);
            }
            (What::Text(text), As::Text) if matches!(value.what, What::Field(_, Field::ObservedAt)) => {
                form::instant(text)
            }
            (What::Text(text), As::Address) => {
                self.address(text, literal.span)?;
                None
            }
            (What::Int(number), As::Number) => match &value.what {
                What::Field(_, field) => form::number(field, comparison, *number),
                _ => None,
            },
            _ => None,
        };
        self.pointless(literal.span, comparison == Comparison::Different, never)
    }

    fn pointless(&mut self, at: Span, always: bool, never: Option<form::Never>) -> Option<()> {
        let Some(never) = never else { return Some(()) };
        let how = if always { "always" } else { "never" };
        let problem = Problem::new(at, format!("this is {how} true: {}", never.why));
        self.fault(match never.instead {
            Some(instead) => problem.hint(instead),
            None => problem,
        })
    }

    /// Whether a text can be this literal, or have it at this place.
    pub(super) fn form_of(&mut self, value: &Typed, at: Span, part: Part, always: bool, text: &str) -> Option<()> {
        let (lowered, value) = match &value.what {
            What::Lower(inner) => (true, &**inner),
            _ => (false, value),
        };
        let never = match &value.what {
            _ if lowered && text.contains(|c: char| c.is_ascii_uppercase()) => {
                let instead = Some(format!("'{}'", text.to_ascii_lowercase()));
                Some(form::Never { why: "lowerAscii() has no upper case", instead })
            }
            What::Field(_, Field::RequestMethod | Field::Country) if lowered => None,
            What::Field(_, field) => form::text(field, part, text),
            _ => None,
        };
        self.pointless(at, always, never)
    }
}
