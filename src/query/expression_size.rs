//! Refuses plans in which a short text stands for a huge expression.
//!
//! `SELECT a || a AS a FROM (SELECT a || a AS a FROM …)` doubles with every level: in the values, and in the plan when
//! the optimiser pushes a filter through. The memory pool of DataFusion 55 counts neither; no issue is known, and no
//! release ends that. So every expression is weighed as if the columns that it names were written out. Ordinary queries
//! do not come near the limit.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue, plan_err};
use datafusion::logical_expr::{Aggregate, Distinct, Expr, LogicalPlan};

/// The heaviest expression, in bytes of text or what stands for them: twice the longest query.
const MAX_WEIGHT: u64 = 128 * 1024;
/// A column of a stream.
const COLUMN: u64 = 16;
/// A value that may be as large as the memory pool: it can be shown, but not be multiplied.
const COLLECTED: u64 = MAX_WEIGHT / 2;

/// Checks a plan before it is optimised.
///
/// # Errors
/// A plan error when an expression weighs too much.
pub(super) fn check(plan: &LogicalPlan) -> Result<()> {
    weigh(plan, 0).map(drop)
}

/// The weight of each column that `plan` gives; `outer` is the heaviest column around a correlated subquery.
#[allow(clippy::needless_pass_by_value)]
fn weigh(plan: &LogicalPlan, outer: u64) -> Result<Vec<u64>> {
    let inputs = plan.inputs();
    let mut weights = Vec::with_capacity(inputs.len());
    for input in &inputs {
        weights.push(weigh(input, outer)?);
    }
    let sight = Sight { schemas: inputs.iter().map(|input| &**input.schema()).collect(), weights: &weights, outer };
    let expressions = plan.expressions().iter().map(|expr| sight.weigh_capped(expr)).collect::<Result<Vec<_>>>()?;
    let heaviest = weights.iter().flatten().chain(&expressions).copied().max().unwrap_or(COLUMN);
    let columns = plan.schema().fields().len();
    let mut given = match plan {
        LogicalPlan::Projection(_) => expressions,
        LogicalPlan::Aggregate(Aggregate { aggr_expr, .. }) => {
            // Groups first (as many as columns are left), then the aggregates.
            let mut given = vec![heaviest.min(COLLECTED); columns.saturating_sub(aggr_expr.len())];
            let groups = expressions.len() - aggr_expr.len();
            given.iter_mut().zip(&expressions[..groups]).for_each(|(given, expr)| *given = *expr);
            given.extend(aggr_expr.iter().map(collected));
            given
        }
        LogicalPlan::TableScan(_) | LogicalPlan::EmptyRelation(_) => vec![COLUMN; columns],
        LogicalPlan::Window(_) | LogicalPlan::Join(_) => weights.concat(),
        LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::Distinct(Distinct::All(_)) => weights.concat(),
        _ => vec![heaviest; columns],
    };
    if given.len() < columns {
        given.resize(columns, if matches!(plan, LogicalPlan::Window(_)) { COLLECTED.min(heaviest) } else { heaviest });
    } else if given.len() > columns {
        // A semi join or a mark join gives one side, and either is at most this heavy.
        given = vec![heaviest; columns];
    }
    Ok(given)
}

fn collected(expr: &Expr) -> u64 {
    let mut weight = COLUMN;
    let _ = expr.apply(|expr| {
        if let Expr::AggregateFunction(function) = expr
            && matches!(function.func.name(), "string_agg" | "array_agg")
        {
            weight = COLLECTED;
        }
        Ok(TreeNodeRecursion::Continue)
    });
    weight
}

/// The columns that an expression can name.
struct Sight<'a> {
    schemas: Vec<&'a DFSchema>,
    weights: &'a [Vec<u64>],
    outer: u64,
}

impl Sight<'_> {
    fn weigh_capped(&self, expr: &Expr) -> Result<u64> {
        let weight = self.weigh(expr)?;
        if weight > MAX_WEIGHT {
            return plan_err!("an expression is too large once the columns that it names are written out");
        }
        Ok(weight)
    }

    fn weigh(&self, expr: &Expr) -> Result<u64> {
        Ok(match expr {
            Expr::Literal(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)), _) => {
                text.len() as u64 + 1
            }
            Expr::Column(column) => {
                let found = self.schemas.iter().zip(self.weights).find_map(|(schema, weights)| {
                    schema.maybe_index_of_column(column).and_then(|at| weights.get(at)).copied()
                });
                found.unwrap_or_else(|| self.heaviest())
            }
            Expr::OuterReferenceColumn(..) => self.outer.max(COLUMN),
            Expr::ScalarSubquery(subquery) => self.below(&subquery.subquery)?,
            Expr::Exists(exists) => self.below(&exists.subquery.subquery)?,
            Expr::InSubquery(within) => self.weigh(&within.expr)? + self.below(&within.subquery.subquery)?,
            Expr::ScalarFunction(function) => {
                let mut parts = function.args.iter().map(|arg| self.weigh(arg)).collect::<Result<Vec<_>>>()?;
                let sum = parts.iter().fold(1, |sum: u64, part| sum.saturating_add(*part));
                match function.func.name() {
                    name @ ("replace" | "regexp_replace") => {
                        if !matches!(function.args.get(2), None | Some(Expr::Literal(..))) {
                            return plan_err!("the replacement of {name} must be a literal");
                        }
                        let replacement = parts.get(2).copied().unwrap_or(1);
                        sum.saturating_add(parts[0].saturating_mul(replacement))
                    }
                    "concat_ws" => sum.saturating_add(parts.swap_remove(0).saturating_mul(function.args.len() as u64)),
                    _ => sum,
                }
            }
            other => {
                let mut sum: u64 = 1;
                other.apply_children(|child| {
                    sum = sum.saturating_add(self.weigh(child)?);
                    Ok::<_, DataFusionError>(TreeNodeRecursion::Continue)
                })?;
                sum
            }
        })
    }

    fn heaviest(&self) -> u64 {
        self.weights.iter().flatten().copied().max().unwrap_or(COLUMN)
    }

    fn below(&self, plan: &LogicalPlan) -> Result<u64> {
        let weights = weigh(plan, self.heaviest().max(self.outer))?;
        Ok(weights.into_iter().max().unwrap_or(1))
    }
}
