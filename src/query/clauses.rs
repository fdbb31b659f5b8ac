//! Refuses what the parser understands and the planner drops without a word: a clause is honoured or refused.
//!
//! Every struct of the syntax tree is taken apart field by field, so that a field that an update of the parser adds
//! does not compile before it is judged. The parser understands more than any planner by design, so no release ends
//! this file. Of what it refuses, upstream knows: `IGNORE NULLS` and `ORDER BY` in aggregates (apache/datafusion#9924,
//! open), lengths in casts to text (apache/datafusion#10743, closed with an option to refuse them), `INTERSECT ALL` and
//! `EXCEPT ALL` ([`set_operation`]).

use std::ops::ControlFlow;

use arrow::array::timezone::Tz;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, DuplicateTreatment, ExactNumberInfo, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentClause, FunctionArgumentList, FunctionArguments, GroupByExpr, Join, JoinConstraint, JoinOperator,
    LimitClause, NamedWindowDefinition, NamedWindowExpr, OrderByKind, Query, Select, SelectFlavor, SetExpr,
    SetOperator, SetQuantifier, TableAlias, TableFactor, TableWithJoins, Value, WindowSpec, WindowType,
    visit_expressions,
};
use datafusion::sql::sqlparser::ast::{Expr, Visit, Visitor};

use super::{exact_literals, functions};
use crate::error::Error;

/// Window functions that can leave nulls out.
const TREAT_NULLS: &[&str] = &["first_value", "lag", "last_value", "lead", "nth_value"];
/// Aggregates that would see every row in spite of `DISTINCT`.
const NEVER_DISTINCT: &[&str] = &["approx_median", "corr", "covar", "nth_value", "regr_"];

/// Of these, sums of any number of rows are computed in 256 bits.
const MAX_DIGITS: u64 = 38;

/// Functions that write times, by a format.
const FORMATS: &[&str] = &["date_format", "strftime", "to_char"];

const ARRAYS: &str = "arrays are not supported";

/// Checks the clauses of a query that stand around its body.
pub(super) fn query(query: &Query) -> ControlFlow<Error> {
    #[rustfmt::skip] // It would be wider than the page.
    let Query {
        with, body, order_by, limit_clause, fetch, locks, for_clause, settings, format_clause, pipe_operators,
    } = query;
    refuse_if(with.as_ref().is_some_and(|with| with.recursive), "WITH RECURSIVE")?;
    refuse_if(with.iter().flat_map(|with| &with.cte_tables).any(|cte| cte.from.is_some()), "FROM after WITH")?;
    if let Some(LimitClause::LimitOffset { limit: _, offset: _, limit_by }) = limit_clause {
        refuse_if(!limit_by.is_empty(), "LIMIT BY")?;
    }
    refuse_if(fetch.is_some(), "FETCH")?;
    refuse_if(!locks.is_empty(), "a lock (FOR UPDATE, FOR SHARE)")?;
    refuse_if(for_clause.is_some(), "FOR (XML, JSON, BROWSE)")?;
    refuse_if(settings.is_some(), "SETTINGS")?;
    refuse_if(format_clause.is_some(), "FORMAT")?;
    refuse_if(!pipe_operators.is_empty(), "a pipe operator")?;
    let all = order_by.as_ref().is_some_and(|order| matches!(order.kind, OrderByKind::All(_)));
    refuse_if(all && !matches!(**body, SetExpr::Select(_)), "ORDER BY ALL after UNION and the like")?;
    order_by.as_ref().map_or(ControlFlow::Continue(()), names_no_window)
}

/// Checks a set operation. For `INTERSECT ALL` DataFusion 55 keeps every copy of a row that the other side has at all,
/// and for `EXCEPT ALL` it removes every copy (apache/datafusion#12955 and #12956, open).
pub(super) fn set_operation(operator: SetOperator, quantifier: SetQuantifier) -> ControlFlow<Error> {
    let all = matches!(quantifier, SetQuantifier::All | SetQuantifier::AllByName);
    if all && matches!(operator, SetOperator::Intersect | SetOperator::Except | SetOperator::Minus) {
        return ControlFlow::Break(Error::invalid(
            "INTERSECT ALL and EXCEPT ALL are not available: leave out ALL, or number equal rows with row_number() first",
        ));
    }
    ControlFlow::Continue(())
}

/// Checks the clauses of one `SELECT`.
pub(super) fn select(select: &Select) -> ControlFlow<Error> {
    let Select {
        select_token: _,
        optimizer_hints: _,
        distinct: _,
        select_modifiers,
        top,
        top_before_distinct: _,
        projection: _,
        exclude,
        into: _,
        from,
        lateral_views,
        prewhere,
        selection,
        connect_by,
        group_by,
        cluster_by,
        distribute_by,
        sort_by,
        having: _,
        named_window,
        qualify,
        window_before_qualify: _,
        value_table_mode,
        flavor,
    } = select;
    if *flavor == SelectFlavor::FromFirstNoSelect {
        return ControlFlow::Break(Error::invalid("FROM without SELECT is not available: write SELECT * FROM …"));
    }
    refuse_if(select_modifiers.is_some(), "a modifier between SELECT and the columns")?;
    refuse_if(top.is_some(), "TOP")?;
    refuse_if(exclude.is_some(), "EXCLUDE after the columns")?;
    refuse_if(!lateral_views.is_empty(), "LATERAL VIEW")?;
    refuse_if(prewhere.is_some(), "PREWHERE")?;
    refuse_if(!connect_by.is_empty(), "CONNECT BY")?;
    refuse_if(!cluster_by.is_empty(), "CLUSTER BY")?;
    refuse_if(!distribute_by.is_empty(), "DISTRIBUTE BY")?;
    refuse_if(!sort_by.is_empty(), "SORT BY")?;
    refuse_if(value_table_mode.is_some(), "SELECT AS STRUCT or AS VALUE")?;
    let (GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers)) = group_by;
    refuse_if(!modifiers.is_empty(), "a modifier of GROUP BY (WITH ROLLUP, CUBE or TOTALS)")?;
    for NamedWindowDefinition(_, window) in named_window {
        if let NamedWindowExpr::WindowSpec(spec) = window {
            window_spec(spec)?;
        }
    }
    from.iter().try_for_each(joins)?;
    selection.as_ref().map_or(ControlFlow::Continue(()), has_no_window)?;
    if let GroupByExpr::Expressions(expressions, _) = group_by {
        expressions.iter().try_for_each(has_no_window)?;
    }
    qualify.as_ref().map_or(ControlFlow::Continue(()), names_no_window)
}

/// Checks a table and its alias, and the joins in it.
pub(super) fn table(factor: &TableFactor) -> ControlFlow<Error> {
    let alias = match factor {
        TableFactor::Table {
            name: _,
            alias,
            args,
            with_hints,
            version,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints,
        } => {
            refuse_if(args.is_some(), "a table function")?;
            refuse_if(!with_hints.is_empty(), "a table hint")?;
            refuse_if(version.is_some(), "a version of a table")?;
            refuse_if(*with_ordinality, "WITH ORDINALITY")?;
            refuse_if(!partitions.is_empty(), "PARTITION after a table")?;
            refuse_if(json_path.is_some(), "a JSON path after a table")?;
            refuse_if(sample.is_some(), "TABLESAMPLE")?;
            refuse_if(!index_hints.is_empty(), "an index hint")?;
            alias
        }
        TableFactor::Derived { lateral: _, subquery: _, alias, sample } => {
            refuse_if(sample.is_some(), "TABLESAMPLE")?;
            alias
        }
        TableFactor::NestedJoin { table_with_joins, alias } => {
            joins(table_with_joins)?;
            alias
        }
        TableFactor::UNNEST { .. } => return ControlFlow::Break(Error::invalid(ARRAYS)),
        _ => {
            let message = "table functions and the like are not available: name a stream or a subquery";
            return ControlFlow::Break(Error::invalid(message));
        }
    };
    let Some(TableAlias { explicit: _, name: _, columns, at }) = alias else { return ControlFlow::Continue(()) };
    refuse_if(at.is_some(), "AT after an alias")?;
    if columns.iter().any(|column| column.data_type.is_some()) {
        return ControlFlow::Break(Error::invalid("an alias names columns without their types"));
    }
    ControlFlow::Continue(())
}

fn joins(table: &TableWithJoins) -> ControlFlow<Error> {
    let TableWithJoins { relation: _, joins } = table;
    joins.iter().try_for_each(|Join { relation: _, global, join_operator }| {
        refuse_if(*global, "GLOBAL JOIN")?;
        match join_operator {
            JoinOperator::Semi(_) | JoinOperator::Anti(_) => {
                ControlFlow::Break(Error::invalid("SEMI JOIN and ANTI JOIN need a side: write LEFT or RIGHT before"))
            }
            JoinOperator::AsOf { .. } => refuse_if(true, "ASOF JOIN"),
            JoinOperator::CrossApply | JoinOperator::OuterApply => refuse_if(true, "APPLY"),
            JoinOperator::Join(JoinConstraint::On(on))
            | JoinOperator::Inner(JoinConstraint::On(on))
            | JoinOperator::Left(JoinConstraint::On(on))
            | JoinOperator::LeftOuter(JoinConstraint::On(on))
            | JoinOperator::Right(JoinConstraint::On(on))
            | JoinOperator::RightOuter(JoinConstraint::On(on))
            | JoinOperator::FullOuter(JoinConstraint::On(on)) => has_no_window(on),
            _ => ControlFlow::Continue(()),
        }
    })
}

/// Checks the parts of an expression that would be dropped.
pub(super) fn expr(expr: &Expr) -> ControlFlow<Error> {
    exact_literals::check(expr)?;
    match expr {
        Expr::Array(_) => ControlFlow::Break(Error::invalid(ARRAYS)),
        Expr::Function(called) => function(called),
        Expr::Cast { data_type, .. } => cast(data_type),
        Expr::SimilarTo { .. } => {
            // DataFusion 55 takes the pattern for a regular expression that may match anywhere. No issue is known.
            let instead = "SIMILAR TO is not available: write regexp_like(text, '^(…)$'), or LIKE";
            ControlFlow::Break(Error::invalid(instead))
        }
        Expr::InSubquery { expr, .. } if matches!(**expr, Expr::Tuple(_)) => {
            ControlFlow::Break(Error::invalid("IN compares one value with a subquery: write EXISTS for several"))
        }
        Expr::BinaryOp { op: BinaryOperator::PGBitwiseShiftLeft | BinaryOperator::PGBitwiseShiftRight, .. } => {
            ControlFlow::Break(Error::invalid("shifts are not available: multiply or divide by a power of two"))
        }
        Expr::AtTimeZone { timestamp: _, time_zone } => known_zone(time_zone),
        Expr::Map(_) => refuse_if(true, "a map"),
        Expr::Collate { .. } => refuse_if(true, "COLLATE"),
        Expr::MatchAgainst { .. } => refuse_if(true, "MATCH … AGAINST"),
        Expr::RLike { .. } => {
            ControlFlow::Break(Error::invalid("RLIKE and REGEXP are not available: write regexp_like(text, pattern)"))
        }
        _ => ControlFlow::Continue(()),
    }
}

/// DataFusion 55 takes an unknown zone for UTC. No issue is known, and no release that ends it.
fn known_zone(zone: &Expr) -> ControlFlow<Error> {
    let name = match zone {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(name) => Some(name),
            _ => None,
        },
        _ => None,
    };
    let Some(name) = name else {
        return ControlFlow::Break(Error::invalid("AT TIME ZONE takes a literal, as in 'Europe/Berlin' or '+02:00'"));
    };
    if name.parse::<Tz>().is_err() {
        let shown: String = name.chars().take(60).collect();
        let instead = "write a name, such as Europe/Berlin, or an offset, such as +02:00";
        return ControlFlow::Break(Error::invalid(format!("there is no time zone `{shown}`: {instead}")));
    }
    ControlFlow::Continue(())
}

fn cast(data_type: &DataType) -> ControlFlow<Error> {
    match data_type {
        DataType::Decimal(info) | DataType::Numeric(info) | DataType::Dec(info) if digits(info) > MAX_DIGITS => {
            ControlFlow::Break(Error::invalid(format!("a decimal has at most {MAX_DIGITS} digits")))
        }
        DataType::Varchar(Some(_)) | DataType::Char(Some(_)) | DataType::String(Some(_)) => {
            ControlFlow::Break(Error::invalid("a cast to text cannot state a length: use left(text, length)"))
        }
        _ => ControlFlow::Continue(()),
    }
}

fn digits(info: &ExactNumberInfo) -> u64 {
    match info {
        ExactNumberInfo::None => 0,
        ExactNumberInfo::Precision(digits) | ExactNumberInfo::PrecisionAndScale(digits, _) => *digits,
    }
}

fn function(function: &Function) -> ControlFlow<Error> {
    let Function { name, uses_odbc_syntax: _, parameters, args, filter, null_treatment, over, within_group } = function;
    let name = name.to_string().to_lowercase();
    if name == "unnest" || name == "unnest_outer" {
        return ControlFlow::Break(Error::invalid(ARRAYS));
    }
    refuse_if(*parameters != FunctionArguments::None, "a second list of arguments")?;
    if name == "age" {
        return ControlFlow::Break(Error::invalid("age is not available: subtract, as in now() - p_timestamp"));
    }
    if FORMATS.contains(&&*name) {
        time_format(args)?;
    }
    let (mut distinct, mut ordered, mut nulls) = (false, !within_group.is_empty(), null_treatment.is_some());
    match args {
        FunctionArguments::None => {}
        FunctionArguments::Subquery(_) => return refuse_if(true, "a subquery as the arguments of a function"),
        FunctionArguments::List(FunctionArgumentList { duplicate_treatment, args: _, clauses }) => {
            distinct = *duplicate_treatment == Some(DuplicateTreatment::Distinct);
            ordered |= clauses.iter().any(|clause| matches!(clause, FunctionArgumentClause::OrderBy(_)));
            nulls |= clauses.iter().any(|clause| matches!(clause, FunctionArgumentClause::IgnoreOrRespectNulls(_)));
        }
    }
    if functions::is_scalar(&name) {
        let aggregates = distinct || ordered || nulls || filter.is_some() || over.is_some();
        return refuse_if(aggregates, "DISTINCT, FILTER, ORDER BY, NULLS or OVER with a function of single values");
    }
    refuse_if(distinct && NEVER_DISTINCT.iter().any(|start| name.starts_with(start)), "DISTINCT in this function")?;
    if let Some(over) = over {
        refuse_if(nulls && !TREAT_NULLS.contains(&&*name), "IGNORE or RESPECT NULLS in this function")?;
        let only_window = functions::is_window(&name);
        refuse_if(only_window && (distinct || filter.is_some()), "DISTINCT or FILTER in a window function")?;
        if let WindowType::WindowSpec(spec) = over {
            return window_spec(spec);
        }
    }
    ControlFlow::Continue(())
}

/// A format without `%` would be the answer itself, for every time.
fn time_format(args: &FunctionArguments) -> ControlFlow<Error> {
    let FunctionArguments::List(list) = args else { return ControlFlow::Continue(()) };
    match list.args.get(1) {
        Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value))))
            if let Value::SingleQuotedString(format) = &value.value
                && !format.contains('%') =>
        {
            ControlFlow::Break(Error::invalid("a format of times is written with %, as in '%Y-%m-%d %H:%M:%S'"))
        }
        _ => ControlFlow::Continue(()),
    }
}

fn window_spec(spec: &WindowSpec) -> ControlFlow<Error> {
    let WindowSpec { window_name, partition_by: _, order_by: _, window_frame: _ } = spec;
    refuse_if(window_name.is_some(), "a window that extends a named one")
}

/// Window functions are computed after the rows are chosen, joined and grouped.
fn has_no_window(clause: &Expr) -> ControlFlow<Error> {
    // Those of a subquery belong to its own columns.
    struct Find(usize);
    impl Visitor for Find {
        type Break = Error;

        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<Error> {
            self.0 += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Error> {
            self.0 -= 1;
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
            match expr {
                Expr::Function(Function { over: Some(_), .. }) if self.0 == 0 => ControlFlow::Break(Error::invalid(
                    "a window function cannot stand in WHERE, ON or GROUP BY: write QUALIFY, or compute it in FROM",
                )),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    clause.visit(&mut Find(0))
}

/// Windows are looked up by name in the columns only.
fn names_no_window(clause: &impl Visit) -> ControlFlow<Error> {
    visit_expressions(clause, |expr| {
        let named = matches!(expr, Expr::Function(Function { over: Some(WindowType::NamedWindow(_)), .. }));
        refuse_if(named, "a named window outside the columns of SELECT")
    })
}

fn refuse_if(found: bool, what: &str) -> ControlFlow<Error> {
    if found {
        ControlFlow::Break(Error::invalid(format!("{what} is not available")))
    } else {
        ControlFlow::Continue(())
    }
}
