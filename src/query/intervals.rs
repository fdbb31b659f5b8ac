//! Refuses intervals where DataFusion 55 takes them apart into months, days and nanoseconds, to sort, to group or to
//! find equal ones: 25 hours came before a day, and 30 days were not a month (apache/datafusion#8468, open; no release
//! ends it). Comparisons of two intervals are computed by [`super::exact`]. The difference of two instants is no
//! interval of this kind: it is a number of nanoseconds, which sorts and groups.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, plan_err};
use datafusion::logical_expr::expr::{AggregateFunction, Between, InList, ScalarFunction, Sort, WindowFunction};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Case, Distinct, Expr, ExprSchemable, LogicalPlan};

/// Aggregates that sort what they are given, or find equal ones.
const ORDERED: &[&str] = &["approx_distinct", "approx_median", "max", "median", "min", "percentile_cont"];
/// Functions that compare their arguments.
const COMPARING: &[&str] = &["greatest", "least", "nullif"];

/// Checks a plan with all its subqueries.
///
/// # Errors
/// A plan error when an interval is sorted, grouped or made distinct.
pub(super) fn check(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|plan| {
        let schema = merge_schema(&plan.inputs());
        let is_found = match plan {
            LogicalPlan::Sort(sort) => has_interval(sort.expr.iter().map(|key| &key.expr), &schema),
            LogicalPlan::Aggregate(aggregate) => has_interval(&aggregate.group_expr, &schema),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                input.schema().fields().iter().any(|field| is_interval(field.data_type()))
            }
            LogicalPlan::Distinct(Distinct::On(on)) => has_interval(&on.on_expr, &schema),
            LogicalPlan::Join(join) => has_interval(join.on.iter().map(|(left, _)| left), &schema),
            _ => false,
        };
        if is_found || plan.expressions().iter().any(|expr| within(expr, &schema)) {
            return plan_err!(
                "an interval or a row cannot be sorted, grouped or made distinct, nor stand in min, max, greatest, \
                 least, nullif or CASE … WHEN: compute a number of an interval first, as in extract(epoch FROM …), and \
                 name the values of a row one by one"
            );
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map(drop)
}

/// Rows are compared as wholes: their intervals, zeros and nulls by other rules than those of values.
fn is_interval(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Interval(_) | DataType::Struct(_))
}

fn has_interval<'a>(exprs: impl IntoIterator<Item = &'a Expr>, schema: &DFSchema) -> bool {
    // The rule that settles types reports what has none.
    exprs.into_iter().any(|expr| match expr {
        Expr::GroupingSet(set) => has_interval(set.distinct_expr(), schema),
        expr => expr.get_type(schema).is_ok_and(|found| is_interval(&found)),
    })
}

fn is_row(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|found| matches!(found, DataType::Struct(_)))
}

/// Whether there is such a place within an expression.
fn within(expr: &Expr, schema: &DFSchema) -> bool {
    let keys = |keys: &[Sort]| has_interval(keys.iter().map(|key| &key.expr), schema);
    expr.exists(|expr| {
        Ok(match expr {
            Expr::AggregateFunction(AggregateFunction { func, params }) => {
                let compares = params.distinct || ORDERED.contains(&func.name());
                keys(&params.order_by) || compares && has_interval(&params.args, schema)
            }
            Expr::WindowFunction(called) => {
                let WindowFunction { fun, params } = &**called;
                let compares = params.distinct || ORDERED.contains(&fun.name());
                keys(&params.order_by)
                    || has_interval(&params.partition_by, schema)
                    || compares && has_interval(&params.args, schema)
            }
            Expr::ScalarFunction(ScalarFunction { func, args }) => {
                COMPARING.contains(&func.name()) && has_interval(args, schema)
            }
            Expr::Case(Case { expr: Some(operand), .. }) => has_interval([&**operand], schema),
            Expr::BinaryExpr(BinaryExpr { left, .. }) => is_row(left, schema),
            Expr::Between(Between { expr, .. }) | Expr::InList(InList { expr, .. }) => is_row(expr, schema),
            _ => false,
        })
    })
    .unwrap_or(false)
}
