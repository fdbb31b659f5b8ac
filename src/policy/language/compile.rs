//! A checked expression to a program, with its cost: how long it can take at most, whatever the event is.

use memchr::memmem::Finder;

use super::MAX_VALUE_BYTES;
use super::program::{Address, Check, Flag, Number, Test, Text, by_length};
use super::tree::{Comparison, Sign};
use super::typed::{As, Part, Type, Typed, What};
use crate::policy::event::unwrapped;

/// Compiles an expression. `None` when a type does not fit, which the check has ruled out.
pub(super) fn compile(typed: &Typed) -> Option<(Test, u32)> {
    let mut compiler = Compiler { cost: 0 };
    let test = compiler.test(typed)?;
    Some((test, compiler.cost))
}

/// Units of cost, some two nanoseconds each on the machines of 2026. All branches are counted.
mod units {
    /// One step of any kind.
    pub(super) const STEP: u32 = 1;
    /// An allocation.
    pub(super) const ALLOCATION: u32 = 20;
    /// Reading or writing an address as text.
    pub(super) const ADDRESS: u32 = 80;
    /// A search.
    pub(super) const CALL: u32 = 10;
    /// Bytes that a pattern takes in one unit.
    pub(super) const MATCHED: usize = 1;
    /// Bytes that are compared or copied in one unit.
    pub(super) const COPIED: usize = 64;
    /// Bytes that are looked at one by one in one unit.
    pub(super) const READ: usize = 4;
}

struct Compiler {
    cost: u32,
}

impl Compiler {
    fn pay(&mut self, units: u32) {
        self.cost = self.cost.saturating_add(units);
    }

    /// Pays for so many bytes.
    fn pay_bytes(&mut self, bytes: usize, in_one_unit: usize) {
        self.pay(u32::try_from(bytes / in_one_unit.max(1)).unwrap_or(u32::MAX));
    }

    /// Pays for a search among so many.
    fn pay_search(&mut self, length: usize) {
        self.pay(2 * (usize::BITS - length.leading_zeros()));
    }

    fn test(&mut self, typed: &Typed) -> Option<Test> {
        self.pay(units::STEP);
        let check = match &typed.what {
            What::Bool(truth) => Check::Always(*truth),
            What::Field(..) => Check::Flag(Box::new(self.flag(typed)?)),
            What::Has(slot) => Check::Has(*slot),
            What::Action(slot) => Check::Action(*slot),
            What::Not(inner) => Check::Not(Box::new(self.test(inner)?)),
            What::All(parts) => Check::All(self.cheapest_first(parts)?),
            What::Any(parts) => Check::Any(self.cheapest_first(parts)?),
            What::Choice(parts) => {
                let [condition, then, other] = &**parts;
                Check::Choice(Box::new([self.test(condition)?, self.test(then)?, self.test(other)?]))
            }
            What::Compare(compared, comparison, sides) => self.comparison(*compared, *comparison, sides)?,
            What::InTexts(value, texts) => {
                let mut list = texts.clone();
                list.sort_by(|left, right| by_length(left, right));
                list.dedup();
                self.pay_search(list.len());
                let (text, bytes) = self.text(value)?;
                self.pay_bytes(bytes, units::COPIED);
                Check::OneOf(Box::new(text), list.into())
            }
            What::InNumbers(value, numbers) => {
                let mut list = numbers.clone();
                list.sort_unstable();
                list.dedup();
                self.pay_search(list.len());
                Check::InNumbers(Box::new(self.number(value)?), list.into())
            }
            What::InAddresses(value, addresses) => {
                let mut list = addresses.clone();
                list.sort_unstable();
                list.dedup();
                self.pay_search(list.len());
                Check::InAddresses(Box::new(self.address(value)?), list.into())
            }
            What::InNetworks(value, networks) => {
                self.pay_search(networks.len());
                Check::InNetworks(Box::new(self.address(value)?), Box::new(networks.clone()))
            }
            What::Find(part, texts) => self.find(*part, texts)?,
            What::Matches(value, pattern) => {
                let (text, bytes) = self.text(value)?;
                self.pay(units::CALL);
                self.pay_bytes(bytes, units::MATCHED);
                Check::Matches(Box::new(text), pattern.clone())
            }
            _ => return None,
        };
        Some(Test { check, span: typed.span })
    }

    /// Conditions in the order of their cost. Evaluation has no errors and no effects, so that order changes nothing.
    fn cheapest_first(&mut self, parts: &[Typed]) -> Option<Box<[Test]>> {
        let mut tests = Vec::with_capacity(parts.len());
        for part in parts {
            let before = self.cost;
            let test = self.test(part)?;
            tests.push((self.cost - before, test));
        }
        tests.sort_by_key(|(cost, _)| *cost);
        Some(tests.into_iter().map(|(_, test)| test).collect())
    }

    fn comparison(&mut self, compared: As, comparison: Comparison, sides: &[Typed; 2]) -> Option<Check> {
        let [left, right] = sides;
        Some(match compared {
            As::Text => match (&left.what, &right.what) {
                (What::Field(slot, _), What::Text(literal)) | (What::Text(literal), What::Field(slot, _))
                    if !comparison.orders() =>
                {
                    self.pay_field(if matches!(left.what, What::Field(..)) { left } else { right });
                    self.pay_bytes(literal.len(), units::COPIED);
                    Check::Is(*slot, comparison == Comparison::Equal, literal.clone())
                }
                _ => {
                    let (left, right) = (self.text(left)?, self.text(right)?);
                    self.pay_bytes(left.1.min(right.1), units::COPIED);
                    Check::Texts(comparison, Box::new([left.0, right.0]))
                }
            },
            As::Number => match (self.number(left)?, self.number(right)?) {
                (Number::Field(slot), Number::Literal(number)) => Check::Number(comparison, slot, number),
                (Number::Literal(number), Number::Field(slot)) => Check::Number(comparison.mirrored(), slot, number),
                (left, right) => Check::Numbers(comparison, Box::new([left, right])),
            },
            As::Bool => Check::Flags(comparison, Box::new([self.flag(left)?, self.flag(right)?])),
            As::Address => Check::Addresses(comparison, Box::new([self.address(left)?, self.address(right)?])),
        })
    }

    fn find(&mut self, part: Part, texts: &[Typed; 2]) -> Option<Check> {
        let [text, searched] = texts;
        if let (What::Field(slot, _), What::Text(literal)) = (&text.what, &searched.what) {
            self.pay_field(text);
            self.pay_find(part, MAX_VALUE_BYTES, literal.len());
            return Some(match part {
                Part::Anywhere => Check::Contains(*slot, Box::new(Finder::new(literal.as_bytes()).into_owned())),
                _ => Check::HasPart(part, *slot, literal.clone()),
            });
        }
        let (text, searched) = (self.text(text)?, self.text(searched)?);
        // What is searched for is looked at before it is searched.
        self.pay_find(part, text.1.saturating_add(searched.1), searched.1.saturating_mul(2));
        Some(Check::Find(part, Box::new([text.0, searched.0])))
    }

    fn pay_find(&mut self, part: Part, text: usize, searched: usize) {
        match part {
            Part::Anywhere => {
                self.pay(units::CALL);
                self.pay_bytes(text.saturating_add(searched), units::READ);
            }
            _ => self.pay_bytes(text.min(searched), units::COPIED),
        }
    }

    /// Pays for reading a field as text.
    fn pay_field(&mut self, field: &Typed) {
        let written = matches!(field.of, Type::Ip | Type::Any);
        self.pay(units::STEP + if written { units::ALLOCATION + units::ADDRESS } else { 0 });
    }

    fn flag(&mut self, typed: &Typed) -> Option<Flag> {
        self.pay(units::STEP);
        Some(match &typed.what {
            What::Field(slot, _) => Flag::Field(*slot),
            What::Choice(parts) => {
                let [condition, then, other] = &**parts;
                Flag::Choice(self.test(condition)?, Box::new([self.flag(then)?, self.flag(other)?]))
            }
            _ => Flag::Test(self.test(typed)?),
        })
    }

    /// A text, and how many bytes it has at most.
    fn text(&mut self, typed: &Typed) -> Option<(Text, usize)> {
        self.pay(units::STEP);
        Some(match &typed.what {
            What::Text(text) => (Text::Literal(text.clone()), text.len()),
            What::Field(slot, _) => {
                self.pay_field(typed);
                (Text::Field(*slot), MAX_VALUE_BYTES)
            }
            What::Concat(parts) => {
                let parts: Vec<(Text, usize)> = parts.iter().map(|part| self.text(part)).collect::<Option<_>>()?;
                let bytes = parts.iter().fold(0_usize, |bytes, (_, more)| bytes.saturating_add(*more));
                // It grows by doubling.
                let doublings = usize::BITS - bytes.leading_zeros();
                self.pay(units::ALLOCATION.saturating_mul(doublings));
                self.pay_bytes(bytes.saturating_mul(2), units::COPIED);
                (Text::Concat(parts.into_iter().map(|(text, _)| text).collect()), bytes)
            }
            What::Lower(inner) => {
                let (text, bytes) = self.text(inner)?;
                self.pay(units::ALLOCATION);
                self.pay_bytes(bytes, units::READ);
                (Text::Lower(Box::new(text)), bytes)
            }
            What::Choice(parts) => {
                let [condition, then, other] = &**parts;
                let (condition, then, other) = (self.test(condition)?, self.text(then)?, self.text(other)?);
                (Text::Choice(Box::new((condition, then.0, other.0))), then.1.max(other.1))
            }
            _ => return None,
        })
    }

    fn number(&mut self, typed: &Typed) -> Option<Number> {
        self.pay(units::STEP);
        Some(match &typed.what {
            What::Int(number) => Number::Literal(*number),
            What::Field(slot, _) => Number::Field(*slot),
            What::Negate(inner) => match self.number(inner)? {
                Number::Literal(number) if number != i64::MIN => Number::Literal(-number),
                number => Number::Negate(Box::new(number)),
            },
            What::Sum(parts) => {
                let part = |(sign, part): &(Sign, Typed)| Some((*sign, self.number(part)?));
                let parts: Vec<(Sign, Number)> = parts.iter().map(part).collect::<Option<_>>()?;
                match known(&parts) {
                    Some(number) => Number::Literal(number),
                    None => Number::Sum(parts.into()),
                }
            }
            What::Remainder(sides) => {
                let [left, right] = &**sides;
                Number::Remainder(Box::new([self.number(left)?, self.number(right)?]))
            }
            What::Size(inner) => {
                let (text, bytes) = self.text(inner)?;
                self.pay_bytes(bytes, units::READ);
                Number::Size(Box::new(text))
            }
            What::Choice(parts) => {
                let [condition, then, other] = &**parts;
                Number::Choice(Box::new((self.test(condition)?, self.number(then)?, self.number(other)?)))
            }
            _ => return None,
        })
    }

    fn address(&mut self, typed: &Typed) -> Option<Address> {
        self.pay(units::STEP);
        Some(match (&typed.what, typed.of) {
            (What::Field(slot, _), Type::Ip) => Address::Field(*slot),
            (What::Text(text), _) => Address::Literal(unwrapped(text.parse().ok()?)),
            (What::Choice(parts), Type::Ip) => {
                let [condition, then, other] = &**parts;
                Address::Choice(Box::new((self.test(condition)?, self.address(then)?, self.address(other)?)))
            }
            _ => {
                self.pay(units::ADDRESS);
                Address::Text(self.text(typed)?.0)
            }
        })
    }
}

/// The sum of literals, if these are all literals and it does not overflow.
fn known(parts: &[(Sign, Number)]) -> Option<i64> {
    parts.iter().try_fold(0_i64, |total, (sign, part)| match (sign, part) {
        (Sign::Plus, Number::Literal(number)) => total.checked_add(*number),
        (Sign::Minus, Number::Literal(number)) => total.checked_sub(*number),
        _ => None,
    })
}
