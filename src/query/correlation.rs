//! What a correlated subquery may hold: its conditions on the query around it must be such that they can be pulled out
//! of it.
//!
//! DataFusion 55 pulls out conditions that it must not, and answers wrongly: past `OFFSET` (apache/datafusion#25283,
//! open) and past an aggregate without groups (apache/datafusion#24960, open). Others it leaves where they are, and
//! fails in words about its plan: comparisons other than `=` below an aggregate (apache/datafusion#14554, open) and
//! `LIMIT` (apache/datafusion#5808, open). No release ends any of them. [`check_scalar`] and [`check_correlated`]
//! refuse all in words about the query; with a release that has one of these, the arm for it can go.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Distinct, Expr, JoinType, LogicalPlan, Operator, Subquery};

/// Leaves out what at the top of a subquery does not change whether it has a row (of a value): an order, duplicates,
/// and for `EXISTS` a limit that lets one row through.
pub(super) fn stripped(plan: &LogicalPlan, limits: bool) -> LogicalPlan {
    match plan {
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => stripped(&sort.input, limits),
        LogicalPlan::Distinct(Distinct::All(input)) => stripped(input, limits),
        LogicalPlan::Limit(limit) if limits && lets_one_through(limit) => stripped(&limit.input, limits),
        LogicalPlan::Subquery(subquery) => stripped(&subquery.subquery, limits),
        other => other.clone(),
    }
}

fn lets_one_through(limit: &datafusion::logical_expr::Limit) -> bool {
    use datafusion::logical_expr::{FetchType, SkipType};
    matches!(limit.get_skip_type(), Ok(SkipType::Literal(0)))
        && matches!(limit.get_fetch_type(), Ok(FetchType::Literal(None | Some(1..))))
}

/// Whether a subquery always gives one row: an aggregate without groups.
pub(super) fn gives_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => gives_one_row(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => gives_one_row(&alias.input),
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => gives_one_row(&sort.input),
        LogicalPlan::Subquery(subquery) => gives_one_row(&subquery.subquery),
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        _ => false,
    }
}

pub(super) fn check_scalar(subquery: &Subquery) -> Result<()> {
    if !is_correlated(subquery) {
        return Ok(());
    }
    let mut plan = &*subquery.subquery;
    loop {
        plan = match plan {
            LogicalPlan::Projection(projection) => &projection.input,
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            // What is filtered after it was aggregated.
            LogicalPlan::Filter(filter) if matches!(&*filter.input, LogicalPlan::Aggregate(_)) => &filter.input,
            LogicalPlan::Aggregate(aggregate) => {
                check_correlated(&aggregate.input)?;
                if !compares_by_equality(&aggregate.input) {
                    return plan_err!(
                        "a subquery for one value can compare columns of the query around it by = only, on its own \
                         columns: write a join with GROUP BY"
                    );
                }
                return Ok(());
            }
            _ => {
                return plan_err!(
                    "a subquery for one value that names a column of the query around it must be an aggregate: write \
                     min(…), max(…) or count(*) without LIMIT, or a join"
                );
            }
        };
    }
}

/// Whether all conditions on columns of the query around a plan have the form `column = …`. An aggregate can be grouped
/// by that column then.
fn compares_by_equality(plan: &LogicalPlan) -> bool {
    let mut all = true;
    let _ = plan.apply(|plan| {
        if let LogicalPlan::Filter(filter) = plan {
            let mut outer = split_conjunction(&filter.predicate).into_iter().filter(|part| part.contains_outer());
            all &= outer.all(|part| match part {
                Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
                    let is_column = |expr: &Expr| matches!(expr, Expr::Column(_));
                    is_column(left) && !right.any_column_refs() || is_column(right) && !left.any_column_refs()
                }
                _ => false,
            });
        }
        Ok(TreeNodeRecursion::Continue)
    });
    all
}

/// Checks that the conditions that name columns of the query around can be pulled out of a subquery.
pub(super) fn check_correlated(plan: &LogicalPlan) -> Result<()> {
    depends(plan).map(drop)
}

/// Whether `plan` names columns of the query around it, in a way that can be answered.
fn depends(plan: &LogicalPlan) -> Result<bool> {
    let mut below = Vec::new();
    for input in plan.inputs() {
        below.push(depends(input)?);
    }
    let here = plan.contains_outer_reference();
    if here && !matches!(plan, LogicalPlan::Filter(_)) {
        return plan_err!(
            "a subquery can name columns of the query around it in its WHERE only; IN can often be written as EXISTS"
        );
    }
    if !below.contains(&true) {
        return Ok(here);
    }
    let lets_through = match plan {
        LogicalPlan::Filter(_) | LogicalPlan::Projection(_) | LogicalPlan::Subquery(_) => true,
        LogicalPlan::Aggregate(aggregate) => {
            !aggregate.group_expr.is_empty()
                && !aggregate.group_expr.iter().any(|group| matches!(group, Expr::GroupingSet(_)))
                && (aggregate.aggr_expr.is_empty() || compares_by_equality(&aggregate.input))
        }
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::Inner => true,
            JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti => !below[1],
            JoinType::Right | JoinType::RightSemi | JoinType::RightAnti => !below[0],
            _ => false,
        },
        _ => false,
    };
    if !lets_through {
        return plan_err!(
            "a subquery that names columns of the query around it cannot have LIMIT, OFFSET, DISTINCT, window functions, \
             UNION, HAVING without groups, groups with another comparison than =, another subquery or an outer join \
             around its WHERE: write a join, or min(…) and max(…)"
        );
    }
    Ok(true)
}

pub(super) fn is_correlated(subquery: &Subquery) -> bool {
    !subquery.outer_ref_columns.is_empty()
}
