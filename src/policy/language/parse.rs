//! Tokens to a tree, by precedence, within bounds: nothing here goes deeper than [`super::MAX_DEPTH`].

use super::span::{Problem, Span};
use super::token::{Token, TokenKind, shown};
use super::tree::{Call, Comparison, Expr, Node, Sign};
use super::{MAX_DEPTH, MAX_NODES};

/// Words that CEL keeps for itself.
const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];
/// Words of other languages, and what stands for them here.
const OTHER_WORDS: [(&str, &str); 6] =
    [("and", "&&"), ("or", "||"), ("not", "!"), ("AND", "&&"), ("OR", "||"), ("NOT", "!")];

/// Builds the tree of an expression.
///
/// # Errors
/// The first place where the tokens do not go on as an expression, or where a bound is passed.
pub(super) fn parse(source: &str, tokens: &[Token]) -> Result<Node, Problem> {
    let mut parser = Parser { source, tokens, at: 0, level: 0, nodes: 0 };
    let node = parser.expression()?;
    match parser.peek() {
        None => Ok(node),
        Some(token) => Err(parser.unexpected(token, "the expression has ended before")),
    }
}

struct Parser<'s> {
    source: &'s str,
    tokens: &'s [Token],
    at: usize,
    /// How many expressions are open around this place.
    level: usize,
    nodes: usize,
}

type Parsed = Result<Node, Problem>;

impl<'s> Parser<'s> {
    fn peek(&self) -> Option<&'s Token> {
        self.tokens.get(self.at)
    }

    /// The sign that stands here.
    fn sign(&self) -> &'static str {
        match self.peek().map(|token| &token.kind) {
            Some(TokenKind::Sign(sign)) => sign,
            _ => "",
        }
    }

    /// Steps over one of these signs, if it stands here.
    fn take(&mut self, signs: &[&'static str]) -> Option<(&'static str, Span)> {
        let token = self.peek()?;
        let sign = self.sign();
        signs.contains(&sign).then(|| {
            self.at += 1;
            (sign, token.span)
        })
    }

    /// The place behind the last token.
    fn end(&self) -> Span {
        Span::new(self.source.len(), self.source.len())
    }

    fn closed(&mut self, sign: &'static str, open: &str) -> Result<Span, Problem> {
        match self.take(&[sign]) {
            Some((_, span)) => Ok(span),
            None => Err(match self.peek() {
                Some(token) => self.unexpected(token, &format!("{sign} is missing, which ends {open}")),
                None => Problem::new(self.end(), format!("{sign} is missing, which ends {open}")),
            }),
        }
    }

    /// What cannot stand here, and why.
    fn unexpected(&self, token: &Token, why: &str) -> Problem {
        let text = token.span.text(self.source);
        let word: String = text.chars().take(32).map(|c| if c.is_control() { shown(c) } else { c.into() }).collect();
        let problem = Problem::new(token.span, format!("{word} cannot stand here: {why}"));
        match OTHER_WORDS.iter().find(|(other, _)| *other == text) {
            Some((_, sign)) => problem.hint(format!("{word} is {sign}")),
            None => problem,
        }
    }

    fn node(&mut self, expr: Expr, span: Span) -> Parsed {
        self.nodes += 1;
        let node = Node::new(expr, span);
        if self.nodes > MAX_NODES {
            return Err(Problem::new(span, format!("the expression has more than {MAX_NODES} parts"))
                .hint("split it: into actions, or into several policies"));
        }
        if node.depth > MAX_DEPTH { Err(too_deep(span)) } else { Ok(node) }
    }

    /// Goes one level deeper.
    fn deeper(&mut self, parse: impl FnOnce(&mut Self) -> Parsed) -> Parsed {
        if self.level >= MAX_DEPTH {
            return Err(too_deep(self.peek().map_or(self.end(), |token| token.span)));
        }
        self.level += 1;
        let parsed = parse(self);
        self.level -= 1;
        parsed
    }

    /// `a || b ? c : d`
    fn expression(&mut self) -> Parsed {
        self.deeper(|this| {
            let condition = this.chain("||", Expr::Any, |this| this.chain("&&", Expr::All, Self::relation))?;
            if this.take(&["?"]).is_none() {
                return Ok(condition);
            }
            let then =
                this.deeper(|this| this.chain("||", Expr::Any, |this| this.chain("&&", Expr::All, Self::relation)))?;
            this.closed(":", "the first choice of ?")?;
            let other = this.expression()?;
            let span = condition.span.to(other.span);
            this.node(Expr::Choice(Box::new([condition, then, other])), span)
        })
    }

    /// `a && b && c`: one part, however long.
    fn chain(&mut self, sign: &'static str, expr: fn(Vec<Node>) -> Expr, part: impl Fn(&mut Self) -> Parsed) -> Parsed {
        let first = part(self)?;
        if self.sign() != sign {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.take(&[sign]).is_some() {
            parts.push(part(self)?);
        }
        let span = covered(&parts);
        self.node(expr(parts), span)
    }

    /// `a < b`, `a in b`
    fn relation(&mut self) -> Parsed {
        let mut left = self.sum()?;
        loop {
            let is_in = matches!(self.peek().map(|token| &token.kind), Some(TokenKind::Word(word)) if &**word == "in");
            let sign = self.sign();
            let comparison = Comparison::ALL.iter().find(|(text, _)| *text == sign).map(|(_, comparison)| *comparison);
            if comparison.is_none() && !is_in {
                return Ok(left);
            }
            self.at += 1;
            let right = self.sum()?;
            let span = left.span.to(right.span);
            let sides = Box::new([left, right]);
            left = match comparison {
                Some(comparison) => self.node(Expr::Compare(comparison, sides), span)?,
                None => self.node(Expr::In(sides), span)?,
            };
        }
    }

    /// `a + b - c`: one part, however long.
    fn sum(&mut self) -> Parsed {
        let first = self.remainder()?;
        let mut span = first.span;
        let mut parts = vec![(Sign::Plus, first)];
        while let Some((sign, _)) = self.take(&["+", "-"]) {
            let part = self.remainder()?;
            span = span.to(part.span);
            parts.push((if sign == "+" { Sign::Plus } else { Sign::Minus }, part));
        }
        match parts.pop() {
            Some((_, only)) if parts.is_empty() => Ok(only),
            last => self.node(Expr::Sum(parts.into_iter().chain(last).collect()), span),
        }
    }

    fn remainder(&mut self) -> Parsed {
        let mut left = self.unary()?;
        while self.take(&["%"]).is_some() {
            let right = self.unary()?;
            let span = left.span.to(right.span);
            left = self.node(Expr::Remainder(Box::new([left, right])), span)?;
        }
        Ok(left)
    }

    /// `!!a`, `-a`
    fn unary(&mut self) -> Parsed {
        let mut before = Vec::new();
        while let Some(sign) = self.take(&["!", "-"]) {
            before.push(sign);
            if before.len() > MAX_DEPTH {
                return Err(too_deep(sign.1));
            }
        }
        let is_int = matches!(self.peek().map(|token| &token.kind), Some(TokenKind::Int(_)));
        // The sign belongs to the number: `-9223372036854775808` has no positive.
        let minus = before.pop_if(|(sign, _)| is_int && *sign == "-").map(|(_, span)| span);
        let mut node = self.member(minus)?;
        while let Some((sign, at)) = before.pop() {
            let span = at.to(node.span);
            let inner = Box::new(node);
            node = self.node(if sign == "!" { Expr::Not(inner) } else { Expr::Negate(inner) }, span)?;
        }
        Ok(node)
    }

    /// `a.size()`
    fn member(&mut self, minus: Option<Span>) -> Parsed {
        let mut node = self.primary(minus)?;
        loop {
            if let Some((_, span)) = self.take(&["["]) {
                return Err(Problem::new(span, "[ cannot stand here: lists are not indexed"));
            }
            if self.take(&["."]).is_none() {
                return Ok(node);
            }
            let Some(Token { kind: TokenKind::Word(name), span }) = self.peek() else {
                return Err(self.missing("the name of a function is missing behind the point"));
            };
            self.at += 1;
            if self.take(&["("]).is_none() {
                let problem = Problem::new(node.span.to(*span), "names of fields hold no point");
                return Err(match &node.expr {
                    Expr::Name(first) => problem.hint(format!("write {first}_{name}")),
                    _ => problem,
                });
            }
            node = self.call(name, *span, Some(node))?;
        }
    }

    /// The arguments of a call whose parenthesis is open.
    fn call(&mut self, name: &str, name_span: Span, receiver: Option<Node>) -> Parsed {
        let start = receiver.as_ref().map_or(name_span, |receiver| receiver.span);
        let (arguments, end) = self.items(")", "the arguments")?;
        let call = Call { name: name.into(), name_span, receiver, arguments };
        self.node(Expr::Call(Box::new(call)), start.to(end))
    }

    /// Expressions with commas between them, up to this sign.
    fn items(&mut self, close: &'static str, what: &str) -> Result<(Vec<Node>, Span), Problem> {
        let mut items = Vec::new();
        if let Some((_, span)) = self.take(&[close]) {
            return Ok((items, span));
        }
        loop {
            items.push(match self.literal() {
                Some(literal) => literal,
                None => self.expression()?,
            });
            if self.take(&[","]).is_none() {
                return Ok((items, self.closed(close, what)?));
            }
        }
    }

    /// A text or number that is all of an item. It is not counted as a part: a list is a table, however long, and an
    /// argument a part of its call.
    fn literal(&mut self) -> Option<Node> {
        let token = self.peek()?;
        let next = self.tokens.get(self.at + 1)?;
        if !matches!(next.kind, TokenKind::Sign("," | "]" | ")")) {
            return None;
        }
        let expr = match &token.kind {
            TokenKind::Text(text) => Expr::Text(text.clone()),
            TokenKind::Int(number) => Expr::Int(i64::try_from(*number).ok()?),
            _ => return None,
        };
        self.at += 1;
        Some(Node::new(expr, token.span))
    }

    fn primary(&mut self, minus: Option<Span>) -> Parsed {
        let Some(token) = self.peek() else {
            return Err(self.missing("a value is missing"));
        };
        self.at += 1;
        let span = token.span;
        match &token.kind {
            TokenKind::Text(text) => self.node(Expr::Text(text.clone()), span),
            TokenKind::Int(number) => {
                let signed = i128::from(*number) * if minus.is_some() { -1 } else { 1 };
                let span = minus.map_or(span, |minus| minus.to(span));
                let Ok(number) = i64::try_from(signed) else {
                    let problem = Problem::new(span, format!("{number} is too large"));
                    return Err(problem.hint("numbers have 64 bits with their sign"));
                };
                self.node(Expr::Int(number), span)
            }
            TokenKind::Word(word) => self.word(word, token),
            TokenKind::Sign("(") => {
                let inner = self.expression()?;
                let end = self.closed(")", "what stands in parentheses")?;
                Ok(Node { span: span.to(end), ..inner })
            }
            TokenKind::Sign("[") => {
                let (items, end) = self.items("]", "the list")?;
                self.node(Expr::List(items), span.to(end))
            }
            TokenKind::Sign(_) => Err(self.unexpected(token, "a value is missing")),
        }
    }

    fn word(&mut self, word: &str, token: &Token) -> Parsed {
        if RESERVED.contains(&word) {
            return Err(Problem::new(token.span, format!("{word} is a reserved word of CEL")));
        }
        match word {
            "true" | "false" => self.node(Expr::Bool(word == "true"), token.span),
            "null" => {
                Err(Problem::new(token.span, "there is no null").hint("whether a field is there: has(client_ip)"))
            }
            "in" => Err(self.unexpected(token, "a value is missing before it")),
            _ if self.take(&["("]).is_some() => self.call(word, token.span, None),
            _ => self.node(Expr::Name(word.into()), token.span),
        }
    }

    fn missing(&self, message: &str) -> Problem {
        match self.peek() {
            Some(token) => self.unexpected(token, message),
            None => Problem::new(self.end(), message),
        }
    }
}

fn covered(nodes: &[Node]) -> Span {
    match (nodes.first(), nodes.last()) {
        (Some(first), Some(last)) => first.span.to(last.span),
        _ => Span::default(),
    }
}

fn too_deep(span: Span) -> Problem {
    Problem::new(span, format!("the expression nests deeper than {MAX_DEPTH}"))
        .hint("split it: into actions, or into several policies")
}
