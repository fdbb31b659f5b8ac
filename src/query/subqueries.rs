//! Subqueries answer as SQL says, wherever they stand, or are refused with what to write instead.
//!
//! DataFusion 55 loses the third truth value of `IN`, `NOT IN`, `ANY` and `ALL` when nulls are about
//! (apache/datafusion#25340, ended by 56; #25336, #25347, #25473, #25480, open), knows subqueries in `WHERE` only
//! (#17770,
//! #25338), and takes a correlated `LIMIT`, `OFFSET`, window or aggregate apart in ways that change what `EXISTS` and
//! `IN` see (#24960 and #25283, open; more in [`super::correlation`]).
//!
//! Before a plan is analysed, this file
//! 1. replaces each quantified comparison by `EXISTS`, which has two truth values: `x IN (SELECT y …)` is true when a
//!    row has `y = x`, else null when a row has a null `y` or when `x` is null and there is a row, else false;
//! 2. moves subqueries out of the places that DataFusion does not know, into a projection or a filter;
//! 3. refuses correlated subqueries whose parts cannot be pulled apart ([`super::correlation`]).
//!
//! What is left are `EXISTS` in filters, which DataFusion turns into joins, and in projections, for which
//! [`super::mark_joins`] does.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ExprSchema, Result, ScalarValue, Spans, plan_err};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Case, Expr, ExprSchemable, Filter, Join, JoinType, LogicalPlan, LogicalPlanBuilder,
    Operator, Projection, Sort, Subquery, Window, binary_expr, lit, not,
};

use super::correlation::{check_correlated, check_scalar, gives_one_row, is_correlated, stripped};

/// How many tables a plan may read after quantified comparisons were written out, each of which reads its subquery up
/// to three times.
const MAX_SCANS: usize = 512;

/// Rewrites a plan. See the module.
///
/// # Errors
/// A plan error when a subquery stands where, or is of a kind that, cannot be answered.
pub(super) fn exact(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut names = Names(0);
    let plan = plan.transform_up_with_subqueries(|plan| names.rewrite(plan))?.data;
    Ok(plan)
}

/// What is asked of a truth value where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    /// Whether it is true: null is as good as false.
    True,
    /// Whether it is false: null is as good as true.
    False,
    /// All three.
    Exact,
}

/// Gives names to what is added.
struct Names(usize);

impl Names {
    fn next(&mut self, what: &str) -> String {
        self.0 += 1;
        format!("__keyloft_{what}_{}", self.0)
    }

    fn rewrite(&mut self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        if !plan.expressions().iter().any(has_subquery) {
            return Ok(Transformed::no(plan));
        }
        let plan = match plan {
            LogicalPlan::Filter(filter) => {
                let predicate = self.expr(filter.predicate, filter.input.schema(), Ask::True)?;
                LogicalPlan::Filter(Filter::try_new(predicate, filter.input)?)
            }
            LogicalPlan::Projection(Projection { expr, input, .. }) => {
                let given =
                    expr.into_iter().map(|expr| self.named(expr, input.schema())).collect::<Result<Vec<_>>>()?;
                LogicalPlan::Projection(Projection::try_new(given, input)?)
            }
            LogicalPlan::Aggregate(aggregate) => {
                let mut below = Below::default();
                let groups = self.lift(aggregate.group_expr, aggregate.input.schema(), &mut below)?;
                let aggregates = self.lift(aggregate.aggr_expr, aggregate.input.schema(), &mut below)?;
                let input = below.under(aggregate.input)?;
                LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(input), groups, aggregates)?)
            }
            LogicalPlan::Window(window) => {
                let mut below = Below::default();
                let columns: Vec<_> = window.input.schema().columns();
                let exprs = self.lift(window.window_expr, window.input.schema(), &mut below)?;
                let given = exprs.iter().map(|expr| Expr::Column(Column::from_name(expr.schema_name().to_string())));
                let given: Vec<_> = columns.into_iter().map(Expr::Column).chain(given).collect();
                let window = Window::try_new(exprs, Arc::new(below.under(window.input)?))?;
                LogicalPlanBuilder::from(LogicalPlan::Window(window)).project(given)?.build()?
            }
            LogicalPlan::Sort(Sort { expr, input, fetch }) => {
                let mut below = Below::default();
                let columns = input.schema().columns();
                let mut keys = Vec::with_capacity(expr.len());
                for key in expr {
                    let expr = self.lifted(key.expr.clone(), input.schema(), &mut below)?;
                    keys.push(key.with_expr(expr));
                }
                let sort = Sort { expr: keys, input: Arc::new(below.under(input)?), fetch };
                LogicalPlanBuilder::from(LogicalPlan::Sort(sort))
                    .project(columns.into_iter().map(Expr::Column))?
                    .build()?
            }
            LogicalPlan::Join(join) => self.join(join)?,
            plan => {
                let known = |expr: &Expr| !has_boolean_subquery(expr) && !has_correlated_scalar(expr);
                if !plan.expressions().iter().all(known) {
                    return plan_err!("a subquery cannot stand here: write it into WHERE, or join it");
                }
                plan
            }
        };
        if scans(&plan) > MAX_SCANS {
            return plan_err!("the query nests too many of IN, NOT IN, ANY and ALL: write joins or EXISTS");
        }
        Ok(Transformed::yes(plan))
    }

    /// A filter on top of an inner join does what its condition does.
    fn join(&mut self, join: Join) -> Result<LogicalPlan> {
        let in_keys = join.on.iter().any(|(left, right)| has_subquery(left) || has_subquery(right));
        let condition = match join.filter {
            Some(filter) if join.join_type == JoinType::Inner && !in_keys => filter,
            _ => {
                return plan_err!(
                    "a subquery cannot stand in ON of an outer join: compute it in a subquery around the table, \
                     and name its column"
                );
            }
        };
        let joined = LogicalPlan::Join(Join::try_new(
            join.left,
            join.right,
            join.on,
            None,
            join.join_type,
            join.join_constraint,
            join.null_equality,
            join.null_aware,
        )?);
        let condition = self.expr(condition, joined.schema(), Ask::True)?;
        Ok(LogicalPlan::Filter(Filter::try_new(condition, Arc::new(joined))?))
    }

    fn named(&mut self, expr: Expr, schema: &DFSchema) -> Result<Expr> {
        let name = NamePreserver::new_for_projection().save(&expr);
        Ok(name.restore(self.expr(expr, schema, Ask::Exact)?))
    }

    /// Expressions without subqueries, which are computed below instead.
    fn lift(&mut self, exprs: Vec<Expr>, schema: &DFSchema, below: &mut Below) -> Result<Vec<Expr>> {
        let mut lifted = Vec::with_capacity(exprs.len());
        for expr in exprs {
            let name = expr.schema_name().to_string();
            let changes = has_boolean_subquery(&expr) || has_correlated_scalar(&expr);
            if changes && matches!(expr, Expr::GroupingSet(_)) {
                return plan_err!("a subquery cannot stand in ROLLUP, CUBE or GROUPING SETS: compute it in FROM");
            }
            let expr = self.lifted(expr, schema, below)?;
            lifted.push(if changes { expr.alias(name) } else { expr });
        }
        Ok(lifted)
    }

    fn lifted(&mut self, expr: Expr, schema: &DFSchema, below: &mut Below) -> Result<Expr> {
        let changed = expr.transform_down(|expr| {
            let moves = match &expr {
                Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_) => true,
                Expr::ScalarSubquery(subquery) => is_correlated(subquery),
                _ => false,
            };
            if !moves {
                return Ok(Transformed::no(expr));
            }
            let name = self.next("subquery");
            below.0.push(self.expr(expr, schema, Ask::Exact)?.alias(&name));
            let column = Expr::Column(Column::new_unqualified(name));
            Ok(Transformed::new(column, true, TreeNodeRecursion::Jump))
        })?;
        Ok(changed.data)
    }

    /// The expression with `EXISTS` in the place of quantified comparisons.
    fn expr(&mut self, expr: Expr, schema: &DFSchema, ask: Ask) -> Result<Expr> {
        if !has_subquery(&expr) {
            return Ok(expr);
        }
        Ok(match expr {
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
                binary_expr(self.expr(*left, schema, ask)?, op, self.expr(*right, schema, ask)?)
            }
            Expr::Not(inner) => {
                let inner_ask = match ask {
                    Ask::True => Ask::False,
                    Ask::False => Ask::True,
                    Ask::Exact => Ask::Exact,
                };
                not(self.expr(*inner, schema, inner_ask)?)
            }
            Expr::IsTrue(inner) => Expr::IsTrue(Box::new(self.expr(*inner, schema, Ask::True)?)),
            Expr::IsNotTrue(inner) => Expr::IsNotTrue(Box::new(self.expr(*inner, schema, Ask::True)?)),
            Expr::IsFalse(inner) => Expr::IsFalse(Box::new(self.expr(*inner, schema, Ask::False)?)),
            Expr::IsNotFalse(inner) => Expr::IsNotFalse(Box::new(self.expr(*inner, schema, Ask::False)?)),
            Expr::Exists(Exists { subquery, negated }) => {
                let found = exists(&subquery)?;
                if negated { not(found) } else { found }
            }
            Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
                self.any(*expr, Operator::Eq, &subquery, negated, schema, ask)?
            }
            Expr::SetComparison(SetComparison { expr, subquery, op, quantifier: SetQuantifier::Any }) => {
                self.any(*expr, op, &subquery, false, schema, ask)?
            }
            // Every row compares so when none compares the other way.
            Expr::SetComparison(SetComparison { expr, subquery, op, quantifier: SetQuantifier::All }) => {
                let Some(other) = op.negate() else { return plan_err!("ALL needs a comparison before it") };
                self.any(*expr, other, &subquery, true, schema, ask)?
            }
            Expr::ScalarSubquery(subquery) => {
                check_scalar(&subquery)?;
                Expr::ScalarSubquery(subquery)
            }
            other => other.map_children(|child| Ok(Transformed::yes(self.expr(child, schema, Ask::Exact)?)))?.data,
        })
    }

    /// `value op ANY (subquery)`, or its negation.
    fn any(
        &mut self,
        value: Expr,
        op: Operator,
        subquery: &Subquery,
        negated: bool,
        schema: &DFSchema,
        ask: Ask,
    ) -> Result<Expr> {
        let value = self.expr(value, schema, Ask::Exact)?;
        let fields = subquery.subquery.schema().fields();
        let [field] = &fields[..] else { return plan_err!("a subquery after IN, ANY or ALL gives one column") };
        if gives_one_row(&subquery.subquery) {
            check_scalar(subquery)?;
            let compared = binary_expr(value, op, Expr::ScalarSubquery(subquery.clone()));
            return Ok(if negated { not(compared) } else { compared });
        }
        let rows = stripped(&subquery.subquery, false);
        check_correlated(&rows)?;
        // A name that neither query has: a subquery may read the very table that the query around it reads.
        let name = self.next("any");
        let given = Expr::Column(Column::from(rows.schema().qualified_field(0))).alias(&name);
        let column = Expr::Column(Column::new_unqualified(name));
        let some = |predicate: Option<Expr>| match predicate {
            Some(predicate) => {
                found(LogicalPlanBuilder::from(rows.clone()).project([given.clone()])?.filter(predicate)?.build()?)
            }
            None => found(rows.clone()),
        };
        let matching = some(Some(binary_expr(seen_from_within(value.clone(), schema)?, op, column.clone())))?;
        let mut unknown = Vec::new();
        if field.is_nullable() {
            unknown.push(some(Some(column.is_null()))?);
        }
        if value.nullable(schema)? {
            unknown.push(value.is_null().and(some(None)?));
        }
        let unknown = unknown.into_iter().reduce(Expr::or).unwrap_or_else(|| lit(false));
        Ok(match (ask, negated) {
            (Ask::True, false) => matching,
            (Ask::True, true) => not(matching).and(not(unknown)),
            (Ask::False, false) => matching.or(unknown),
            (Ask::False, true) => not(matching),
            (Ask::Exact, _) => Expr::Case(Case::new(
                None,
                vec![
                    (Box::new(matching), Box::new(lit(!negated))),
                    (Box::new(unknown), Box::new(lit(ScalarValue::Boolean(None)))),
                ],
                Some(Box::new(lit(negated))),
            )),
        })
    }
}

/// What is computed below a node, for it.
#[derive(Default)]
struct Below(Vec<Expr>);

impl Below {
    fn under(self, input: Arc<LogicalPlan>) -> Result<LogicalPlan> {
        if self.0.is_empty() {
            return Ok(Arc::unwrap_or_clone(input));
        }
        let columns = input.schema().columns().into_iter().map(Expr::Column);
        let given: Vec<_> = columns.chain(self.0).collect();
        Ok(LogicalPlan::Projection(Projection::try_new(given, input)?))
    }
}

/// Whether a subquery has a row.
fn exists(subquery: &Subquery) -> Result<Expr> {
    if gives_one_row(&subquery.subquery) {
        return Ok(lit(true));
    }
    let rows = stripped(&subquery.subquery, true);
    check_correlated(&rows)?;
    found(rows)
}

/// `EXISTS`: of rows that do not depend on the query around them, one is enough.
fn found(rows: LogicalPlan) -> Result<Expr> {
    let outer_ref_columns = rows.all_out_ref_exprs();
    let rows =
        if outer_ref_columns.is_empty() { LogicalPlanBuilder::from(rows).limit(0, Some(1))?.build()? } else { rows };
    let subquery = Subquery { subquery: Arc::new(rows), outer_ref_columns, spans: Spans::new() };
    Ok(Expr::Exists(Exists { subquery, negated: false }))
}

/// An expression of the query around a subquery, as the subquery names it.
fn seen_from_within(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let seen = expr.transform_down(|expr| match expr {
        Expr::Column(column) => {
            let field = schema.field_from_column(&column)?.clone();
            Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
        }
        Expr::OuterReferenceColumn(..) => {
            plan_err!("IN, ANY and ALL within a subquery cannot compare a column of the query around it: write EXISTS")
        }
        Expr::ScalarSubquery(subquery) if !is_correlated(&subquery) => {
            Ok(Transformed::new(Expr::ScalarSubquery(subquery), false, TreeNodeRecursion::Jump))
        }
        Expr::ScalarSubquery(_) | Expr::Exists(_) => {
            plan_err!("a correlated subquery cannot stand before IN, ANY or ALL: compute it in FROM")
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(seen.data)
}

fn has_subquery(expr: &Expr) -> bool {
    has(expr, |expr| {
        matches!(expr, Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_) | Expr::ScalarSubquery(_))
    })
}

fn has_boolean_subquery(expr: &Expr) -> bool {
    has(expr, |expr| matches!(expr, Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_)))
}

fn has_correlated_scalar(expr: &Expr) -> bool {
    has(expr, |expr| matches!(expr, Expr::ScalarSubquery(subquery) if is_correlated(subquery)))
}

fn has(expr: &Expr, is: impl Fn(&Expr) -> bool) -> bool {
    expr.exists(|expr| Ok(is(expr))).unwrap_or(true)
}

/// How many tables a plan reads.
fn scans(plan: &LogicalPlan) -> usize {
    let mut scans = 0;
    let _ = plan.apply_with_subqueries(|plan| {
        scans += usize::from(matches!(plan, LogicalPlan::TableScan(_) | LogicalPlan::Values(_)));
        Ok(TreeNodeRecursion::Continue)
    });
    scans
}
