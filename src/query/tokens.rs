//! What is refused before it is parsed, because parsing or naming it would take long.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::error::{Error, Result};

/// sqlparser 0.62 tries what stands in doubled parentheses twice, as a subquery and as a join: 2^n times when they
/// nest. apache/datafusion-sqlparser-rs#2372 ends that in the release after 0.62; `doubled` can go with a DataFusion
/// that has it.
const MAX_DOUBLED: usize = 4;
/// A catalog, a schema, a stream, a column and some fields.
const MAX_NAME_PARTS: usize = 8;

/// Why options of `EXPLAIN` are refused.
pub(super) const NO_OPTIONS: &str = "EXPLAIN takes no options: no ANALYZE, VERBOSE or FORMAT";

/// Checks the tokens of a text.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when parentheses of tables are doubled too often, a name has too many parts, or
/// `EXPLAIN` has options: the parser would name the formats that it knows.
pub(super) fn check(tokens: &[TokenWithSpan]) -> Result<()> {
    let tokens = || tokens.iter().map(|token| &token.token).filter(|token| !matches!(token, Token::Whitespace(_)));
    if doubled(tokens()) > MAX_DOUBLED {
        return Err(Error::invalid(format!("FROM nests more than {MAX_DOUBLED} doubled parentheses")));
    }
    if name_parts(tokens()) > MAX_NAME_PARTS {
        return Err(Error::invalid(format!("a name has more than {MAX_NAME_PARTS} parts")));
    }
    if explains_with_options(tokens()) {
        return Err(Error::invalid(NO_OPTIONS));
    }
    Ok(())
}

/// Whether these begin with `EXPLAIN` and one of its options, in parentheses or not.
fn explains_with_options<'a>(tokens: impl Iterator<Item = &'a Token>) -> bool {
    let mut tokens = tokens.filter(|token| !matches!(token, Token::LParen));
    let mut keyword = || match tokens.next() {
        Some(Token::Word(word)) => Some(word.keyword),
        _ => None,
    };
    keyword() == Some(Keyword::EXPLAIN)
        && matches!(keyword(), Some(Keyword::ANALYZE | Keyword::VERBOSE | Keyword::FORMAT | Keyword::QUERY))
}

/// How deep parentheses nest that follow at once upon another one, in places where a table may stand.
fn doubled<'a>(tokens: impl Iterator<Item = &'a Token>) -> usize {
    // Of each open parenthesis: whether a table may stand in it, and whether it is counted.
    let (mut open, mut now, mut deepest) = (Vec::new(), 0, 0);
    let mut before: Option<&Token> = None;
    for token in tokens {
        match token {
            Token::LParen => {
                let (table, counted) = match before {
                    Some(Token::Word(word)) => {
                        let table = [Keyword::FROM, Keyword::JOIN, Keyword::LATERAL, Keyword::APPLY];
                        (table.contains(&word.keyword), false)
                    }
                    Some(Token::Comma) => (true, false),
                    Some(Token::LParen) => open.last().map_or((false, false), |(table, _)| (*table, *table)),
                    _ => (false, false),
                };
                open.push((table, counted));
                now += usize::from(counted);
                deepest = deepest.max(now);
            }
            Token::RParen => now -= usize::from(open.pop().is_some_and(|(_, counted)| counted)),
            _ => {}
        }
        before = Some(token);
    }
    deepest
}

/// The most parts of one name.
fn name_parts<'a>(tokens: impl Iterator<Item = &'a Token>) -> usize {
    let (mut parts, mut most) = (0, 0);
    let mut after_dot = false;
    for token in tokens {
        match token {
            Token::Period => after_dot = true,
            Token::Word(_) | Token::SingleQuotedString(_) | Token::Number(..) => {
                parts = if after_dot { parts + 1 } else { 1 };
                most = most.max(parts);
                after_dot = false;
            }
            _ => (parts, after_dot) = (0, false),
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    use super::*;

    fn allowed(sql: &str) -> bool {
        check(&Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().unwrap()).is_ok()
    }

    #[test]
    fn only_parentheses_that_the_parser_tries_twice_are_counted() {
        assert!(allowed(&format!("SELECT * FROM {}cars{}", "(SELECT * FROM ".repeat(100), ")".repeat(100))));
        assert!(allowed(&format!("SELECT {}1{}", "(".repeat(100), ")".repeat(100))));
        assert!(allowed("SELECT * FROM (((((cars))))), ((SELECT 1) UNION (SELECT 2)), (((((cars)))))"));
        assert!(!allowed("SELECT * FROM ((((((cars))))))"));
        assert!(!allowed(&format!("SELECT * FROM {}", "cars, ( ( SELECT * FROM ".repeat(5))));
    }

    #[test]
    fn a_name_has_so_many_parts_and_no_more() {
        assert!(allowed("SELECT a.b.c.d.e.f.g.h, a . \"b\", 1.5 FROM a.b.c WHERE x.y = x.z"));
        assert!(!allowed("SELECT a.b.c.d.e.f.g.h.i"));
        assert!(!allowed("SELECT a. b /* */ .\"c\".'d'.e.f.g.h.i"));
    }
}
