//! The guard: one read-only statement of bounded depth, checked on the syntax tree that is then planned.
//!
//! A text of 64 KiB can hold an expression of 30,000 levels. Parsing that is a loop, but dropping or visiting it is a
//! recursion that would overflow an ordinary stack and end the process. So a statement is parsed, measured and, when it
//! is refused, dropped on a stack of [`STACK_BYTES`], unless it is short; what leaves this file is shallow.
//!
//! What this works around, in sqlparser 0.62 and DataFusion 55:
//! - The parser's own limit counts parentheses and the like, but not chains of operators, joins and unions, whose trees
//!   are as deep (apache/datafusion-sqlparser-rs#984 is such a chain). No issue about dropping them is known, and no
//!   release ends it.
//! - A common table expression is planned anew wherever it is named (apache/datafusion#8777 and #17737, open), so that
//!   40 short ones stand for 2^40 tables: [`MAX_TABLES`].
//! - [`MAX_CUBE`] and [`plain`]: every set of a `CUBE` is written out, and a list of fixed length is filled with nulls.
//!   No issue is known, and no release ends them.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{
    DataType, DescribeAlias, Expr, Query, Select, SetExpr, Statement as SqlStatement, TableFactor, Visit, Visitor,
};
use datafusion::sql::sqlparser::tokenizer::Tokenizer;

use super::dialect::Budgeted;
use super::{clauses, failure, spellings, tokens, using};
use crate::error::{Error, Result};

/// Address space, not memory: only what a text really needs of it is touched. To give it back interrupts every
/// processor, so short texts do without.
const STACK_BYTES: usize = 256 * 1024 * 1024;
/// Shorter texts than this, in bytes, need less of the stack than [`SHORT_TEXT_STACK_BYTES`], in debug builds too.
pub(super) const SHORT_TEXT: usize = 2048;
/// See [`SHORT_TEXT`]. The threads of queries have it.
pub(super) const SHORT_TEXT_STACK_BYTES: usize = 24 * 1024 * 1024;
/// Every level costs the parser one or two of these.
const PARSER_RECURSIONS_PER_LEVEL: usize = 3;
/// How many tables a statement may read once its common table expressions are written out.
const MAX_TABLES: u64 = 64;
/// `CUBE` of n columns groups 2^n times.
const MAX_CUBE: usize = 8;
/// How deep `CASE` may be nested in the condition of a `CASE`, and in the arguments of [`AS_CASE`]. To learn whether
/// one can be null, DataFusion 55 looks at its conditions twice, so that each level doubles the time of planning, which
/// cannot be interrupted. No issue is known, and no release that ends it.
const MAX_CASES: usize = 10;
/// Functions that become a `CASE` with an argument in its condition.
const AS_CASE: &[&str] = &["coalesce", "ifnull", "nvl"];

const READ_ONLY: &str =
    "only one SELECT, WITH or VALUES query, EXPLAIN of such a query, or DESCRIBE <stream>, can be run";

/// A statement that may be run.
#[derive(Debug, Clone)]
pub(super) struct ReadStatement {
    /// The query, or `DESCRIBE`.
    pub(super) statement: Statement,
    /// Whether the query stands after `EXPLAIN`: it is planned and not run.
    pub(super) is_explained: bool,
}

/// Reads the one statement of `text`, at most `max_levels` deep.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when it is not SQL, not one statement, not read-only, or too deep or too wide.
pub(super) fn read(text: &str, max_levels: usize) -> Result<ReadStatement> {
    let needed = if text.len() < SHORT_TEXT { SHORT_TEXT_STACK_BYTES } else { STACK_BYTES };
    stacker::maybe_grow(needed, STACK_BYTES, || {
        let dialect = Budgeted::new(text.len());
        let tokens = Tokenizer::new(&dialect, text).tokenize_with_location();
        let tokens = tokens.map_err(|error| Error::invalid(error.to_string()))?;
        tokens::check(&tokens)?;
        let mut statements = DFParserBuilder::new(tokens)
            .with_dialect(&dialect)
            .with_recursion_limit(max_levels * PARSER_RECURSIONS_PER_LEVEL)
            .build()
            .and_then(|mut parser| parser.parse_statements())
            .map_err(failure::of)?;
        let statement = statements.pop_front().ok_or_else(|| Error::invalid("the query is empty"))?;
        if !statements.is_empty() {
            return Err(Error::invalid("a query is one statement"));
        }
        let (mut statement, is_explained) = match statement {
            Statement::Explain(explain) if explain.options != Default::default() => {
                return Err(Error::invalid(tokens::NO_OPTIONS));
            }
            Statement::Explain(explain) => (*explain.statement, true),
            other => (other, false),
        };
        let Statement::Statement(sql) = &mut statement else { return Err(Error::invalid(READ_ONLY)) };
        match &mut **sql {
            SqlStatement::Query(query) => match query.visit(&mut Guard::new(max_levels)) {
                ControlFlow::Break(error) => Err(error),
                ControlFlow::Continue(()) => {
                    using::mark(query)?;
                    spellings::rewrite(query)?;
                    Ok(ReadStatement { statement, is_explained })
                }
            },
            SqlStatement::ExplainTable {
                describe_alias: DescribeAlias::Describe | DescribeAlias::Desc,
                hive_format: None,
                ..
            } if !is_explained => Ok(ReadStatement { statement, is_explained }),
            _ => Err(Error::invalid(READ_ONLY)),
        }
    })
}

/// What a query costs when its common table expressions are written out.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    levels: usize,
    tables: u64,
}

/// A query that is being visited.
struct Frame {
    /// The common table expressions of this query, by the address of their syntax.
    common: HashMap<*const Query, String>,
    /// The cost of those that have been visited.
    known: HashMap<String, Cost>,
    /// The level at which the query stands.
    base: usize,
    cost: Cost,
}

struct Guard {
    max_levels: usize,
    level: usize,
    frames: Vec<Frame>,
}

impl Guard {
    fn new(max_levels: usize) -> Self {
        Self { max_levels, level: 0, frames: Vec::new() }
    }

    /// Goes `levels` down, and `below` further without staying there.
    fn descend(&mut self, levels: usize, below: Cost) -> ControlFlow<Error> {
        self.level += levels;
        let reached = self.level + below.levels;
        if let Some(frame) = self.frames.last_mut() {
            frame.cost.levels = frame.cost.levels.max(reached.saturating_sub(frame.base));
            frame.cost.tables = frame.cost.tables.saturating_add(below.tables);
            if frame.cost.tables > MAX_TABLES {
                return refuse(format!(
                    "a query reads at most {MAX_TABLES} tables, common table expressions written out"
                ));
            }
        }
        if reached > self.max_levels { refuse(self.too_deep()) } else { ControlFlow::Continue(()) }
    }

    fn too_deep(&self) -> String {
        format!(
            "the query is nested deeper than {} levels; chains of operators, joins and unions count",
            self.max_levels
        )
    }

    /// The cost of a table of this name: that of a common table expression in sight, or one table.
    fn cost_of(&self, name: &str) -> Cost {
        let common = self.frames.iter().rev().find_map(|frame| frame.known.get(name)).copied();
        let common = common.unwrap_or_default();
        Cost { levels: common.levels, tables: common.tables.max(1) }
    }
}

impl Visitor for Guard {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        clauses::query(query)?;
        let common = query.with.iter().flat_map(|with| &with.cte_tables);
        let common = common.map(|cte| (&raw const *cte.query, cte.alias.name.value.clone())).collect();
        let base = self.level;
        self.frames.push(Frame { common, known: HashMap::new(), base, cost: Cost::default() });
        self.descend(1 + union_levels(&query.body)?, Cost::default())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        let Some(done) = self.frames.pop() else { return ControlFlow::Continue(()) };
        self.level = done.base;
        let Some(parent) = self.frames.last_mut() else { return ControlFlow::Continue(()) };
        if let Some(name) = parent.common.get(&(query as *const Query)) {
            parent.known.insert(name.clone(), done.cost);
            return ControlFlow::Continue(());
        }
        self.descend(0, done.cost)
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Error> {
        if select.into.is_some() {
            return refuse(READ_ONLY);
        }
        clauses::select(select)?;
        self.descend(from_levels(select), Cost::default())
    }

    fn post_visit_select(&mut self, select: &Select) -> ControlFlow<Error> {
        self.level -= from_levels(select);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Error> {
        clauses::table(factor)?;
        let below = match factor {
            TableFactor::Table { name, .. } => {
                let name = name.0.last().and_then(|part| part.as_ident()).filter(|_| name.0.len() == 1);
                name.map_or(Cost { levels: 0, tables: 1 }, |name| self.cost_of(&name.value))
            }
            _ => Cost::default(),
        };
        self.descend(factor_levels(factor), below)
    }

    fn post_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Error> {
        self.level -= factor_levels(factor);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        clauses::expr(expr)?;
        match expr {
            Expr::Cube(sets) if sets.len() > MAX_CUBE => {
                return refuse(format!("CUBE takes at most {MAX_CUBE} columns"));
            }
            Expr::Case { operand, conditions, .. } => {
                let asked = operand.as_deref().into_iter().chain(conditions.iter().map(|when| &when.condition));
                few_cases(1 + asked.map(case_levels).max().unwrap_or_default())?;
            }
            Expr::Function(_) if is_case(expr) => few_cases(case_levels(expr))?,
            Expr::Cast { data_type, .. } => plain(data_type)?,
            Expr::Convert { data_type: Some(data_type), .. } => plain(data_type)?,
            Expr::TypedString(typed) => plain(&typed.data_type)?,
            Expr::CompoundFieldAccess { access_chain, .. } => {
                return self
                    .descend(0, Cost { levels: access_chain.len(), tables: 0 })
                    .map_continue(|()| self.level += 1);
            }
            _ => {}
        }
        self.descend(1, Cost::default())
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<Error> {
        self.level -= 1;
        ControlFlow::Continue(())
    }
}

fn few_cases(levels: usize) -> ControlFlow<Error> {
    if levels > MAX_CASES {
        return refuse(format!("CASE and coalesce may be nested {MAX_CASES} levels deep where they are a condition"));
    }
    ControlFlow::Continue(())
}

fn is_case(expr: &Expr) -> bool {
    match expr {
        Expr::Case { .. } => true,
        Expr::Function(function) => {
            AS_CASE.iter().any(|name| function.name.to_string().trim_matches('"').eq_ignore_ascii_case(name))
        }
        _ => false,
    }
}

/// How deep `CASE` is nested in an expression.
fn case_levels(expr: &Expr) -> usize {
    #[derive(Default)]
    struct Levels {
        now: usize,
        most: usize,
    }
    impl Visitor for Levels {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            self.now += usize::from(is_case(expr));
            self.most = self.most.max(self.now);
            ControlFlow::Continue(())
        }

        fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            self.now -= usize::from(is_case(expr));
            ControlFlow::Continue(())
        }
    }
    let mut levels = Levels::default();
    let _ = expr.visit(&mut levels);
    levels.most
}

/// The height of a chain of set operations. A loop, because the chain may be as long as the text.
fn union_levels(body: &SetExpr) -> ControlFlow<Error, usize> {
    let mut highest = 0;
    let mut rest = vec![(body, 0)];
    while let Some((body, level)) = rest.pop() {
        highest = highest.max(level);
        match body {
            SetExpr::SetOperation { op, set_quantifier, left, right } => {
                clauses::set_operation(*op, *set_quantifier)?;
                rest.extend([(&**left, level + 1), (&**right, level + 1)]);
            }
            SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => {}
            _ => return ControlFlow::Break(Error::invalid(READ_ONLY)),
        }
    }
    ControlFlow::Continue(highest)
}

/// Every table after the first is one join on top of the others.
fn from_levels(select: &Select) -> usize {
    select.from.iter().map(|from| 1 + from.joins.len()).sum::<usize>().saturating_sub(1)
}

fn factor_levels(factor: &TableFactor) -> usize {
    match factor {
        TableFactor::NestedJoin { table_with_joins, .. } => 1 + table_with_joins.joins.len(),
        _ => 1,
    }
}

/// Refuses nested types: `INT[1000000000]` reserves as many values for each row.
fn plain(data_type: &DataType) -> ControlFlow<Error> {
    match data_type {
        DataType::Array(_)
        | DataType::Struct(..)
        | DataType::Tuple(_)
        | DataType::Map(..)
        | DataType::Nested(_)
        | DataType::Union(_)
        | DataType::Nullable(_)
        | DataType::LowCardinality(_)
        | DataType::FixedString(_)
        | DataType::Table(_)
        | DataType::NamedTable { .. } => refuse("a value cannot be cast to a nested type or one of fixed length"),
        _ => ControlFlow::Continue(()),
    }
}

fn refuse<T>(why: impl Into<String>) -> ControlFlow<Error, T> {
    ControlFlow::Break(Error::invalid(why))
}
