//! An expression as it is written.

use super::span::Span;

/// A part of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) expr: Expr,
    pub(super) span: Span,
    /// How deep it nests, itself included: at most [`super::MAX_DEPTH`].
    pub(super) depth: usize,
}

/// What it is. Chains of `&&`, of `||` and of `+` and `-` are one part each, so that their length is no depth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expr {
    Text(Box<str>),
    Int(i64),
    Bool(bool),
    Name(Box<str>),
    List(Vec<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    All(Vec<Node>),
    Any(Vec<Node>),
    Sum(Vec<(Sign, Node)>),
    Remainder(Box<[Node; 2]>),
    Compare(Comparison, Box<[Node; 2]>),
    In(Box<[Node; 2]>),
    /// Condition, then, else.
    Choice(Box<[Node; 3]>),
    Call(Box<Call>),
}

/// `receiver.name(arguments)` or `name(arguments)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) name: Box<str>,
    pub(super) name_span: Span,
    pub(super) receiver: Option<Node>,
    pub(super) arguments: Vec<Node>,
}

/// Whether a part of a sum is added or taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Plus,
    Minus,
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Different,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Comparison {
    pub(super) const ALL: [(&'static str, Self); 6] = [
        ("==", Self::Equal),
        ("!=", Self::Different),
        ("<", Self::Less),
        ("<=", Self::AtMost),
        (">", Self::Greater),
        (">=", Self::AtLeast),
    ];

    /// Whether it asks for an order, not for equality alone.
    pub(super) fn orders(self) -> bool {
        !matches!(self, Self::Equal | Self::Different)
    }

    /// The same with both sides exchanged.
    pub(super) fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::AtMost => Self::AtLeast,
            Self::Greater => Self::Less,
            Self::AtLeast => Self::AtMost,
            same => same,
        }
    }

    /// Whether it holds between these.
    #[inline]
    pub(super) fn holds<T: Ord + ?Sized>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Different => left != right,
            Self::Less => left < right,
            Self::AtMost => left <= right,
            Self::Greater => left > right,
            Self::AtLeast => left >= right,
        }
    }
}

impl Node {
    /// The parts directly below.
    fn parts(&self) -> Box<dyn Iterator<Item = &Self> + '_> {
        match &self.expr {
            Expr::Text(_) | Expr::Int(_) | Expr::Bool(_) | Expr::Name(_) => Box::new(std::iter::empty()),
            Expr::List(nodes) | Expr::All(nodes) | Expr::Any(nodes) => Box::new(nodes.iter()),
            Expr::Not(node) | Expr::Negate(node) => Box::new(std::iter::once(&**node)),
            Expr::Sum(nodes) => Box::new(nodes.iter().map(|(_, node)| node)),
            Expr::Remainder(nodes) | Expr::Compare(_, nodes) | Expr::In(nodes) => Box::new(nodes.iter()),
            Expr::Choice(nodes) => Box::new(nodes.iter()),
            Expr::Call(call) => Box::new(call.receiver.iter().chain(&call.arguments)),
        }
    }

    /// A part, one deeper than the deepest below.
    pub(super) fn new(expr: Expr, span: Span) -> Self {
        let mut node = Self { expr, span, depth: 1 };
        node.depth = node.parts().map(|part| part.depth + 1).max().unwrap_or(1);
        node
    }
}
