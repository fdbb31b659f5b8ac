//! Keeps conditions on one column from being merged into others.
//!
//! DataFusion 55 merges the comparisons of a column with literals, which is wrong
//! - when the literal stands first: `s = 'x' AND 'x' = s` became false, and `s >= 'x' AND 'x' < s` became `s >= 'x'`
//!   (apache/datafusion#24763 ends the former);
//! - when the literal is null: `id > NULL AND id > 2` became `id > 2` (apache/datafusion#25207 ends it);
//! - when it is `-0.0`: `f = 0.0 AND f = -0.0` became false. No report upstream is known.
//!
//! It does so while it moves conditions towards the tables, and such literals come up on the way: from a column that a
//! subquery computes, and from the other side of a join. So the rule that moves them is wrapped, and is given each
//! condition with the literal behind the column, without a sign of zero, and nothing in the place of null. No release
//! ends all of it: remove this file when `conditions_on_one_column_are_merged_into_what_they_say` passes without it.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Filter, LogicalPlan, Operator, lit};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// DataFusion's rule, which is given filters whose conditions it merges rightly.
#[derive(Debug)]
pub(super) struct MergeFilters(pub(super) Arc<dyn OptimizerRule + Send + Sync>);

impl OptimizerRule for MergeFilters {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let plan = plain(plan)?;
        let mut done = self.0.rewrite(plan.data, config)?;
        done.transformed |= plan.transformed;
        Ok(done)
    }
}

/// The plan with plain conditions in the filter at its top and in those right below it, with which it is merged.
fn plain(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Filter(filter) = plan else { return Ok(Transformed::no(plan)) };
    let conditions = split_conjunction(&filter.predicate);
    let changed: Vec<_> = conditions.iter().map(|condition| plain_condition(condition)).collect();
    let here = changed.iter().any(Option::is_some);
    let below = match &*filter.input {
        LogicalPlan::Filter(_) => Some(plain(LogicalPlan::clone(&filter.input))?).filter(|below| below.transformed),
        _ => None,
    };
    if !here && below.is_none() {
        return Ok(Transformed::no(LogicalPlan::Filter(filter)));
    }
    let conditions = conditions.into_iter().zip(changed).map(|(old, new)| new.unwrap_or_else(|| old.clone()));
    let predicate = conjunction(conditions).unwrap_or_else(|| lit(true));
    let input = below.map_or_else(|| filter.input.clone(), |below| Arc::new(below.data));
    Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(predicate, input)?)))
}

/// A comparison of a column with a literal, as it can be merged with others; `None` when it can already.
fn plain_condition(condition: &Expr) -> Option<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return None };
    if !matches!(op, Operator::Eq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq) {
        return None;
    }
    let (column, op, literal, swapped) = match (&**left, &**right) {
        (Expr::Column(_), Expr::Literal(literal, _)) => (left, *op, literal, false),
        (Expr::Literal(literal, _), Expr::Column(_)) => (right, op.swap()?, literal, true),
        _ => return None,
    };
    if literal.is_null() {
        return Some(lit(ScalarValue::Boolean(None)));
    }
    let literal = match literal {
        ScalarValue::Float64(Some(zero)) if *zero == 0.0 && zero.is_sign_negative() => lit(0.0),
        _ if swapped => lit(literal.clone()),
        _ => return None,
    };
    Some(Expr::BinaryExpr(BinaryExpr::new(column.clone(), op, Box::new(literal))))
}
