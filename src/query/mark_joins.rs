//! Answers `EXISTS` among the columns of a query, which DataFusion 55 answers in filters only (apache/datafusion#25338
//! brings it; remove this file with the release that has that).
//!
//! Each becomes a join that adds a column with the answer, as DataFusion does it for filters.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result, plan_err};
use datafusion::logical_expr::expr::Exists;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan, LogicalPlanBuilder, Projection, lit, not};
use datafusion::optimizer::decorrelate::PullUpCorrelatedExpr;
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// The rule. It must stand in front of the one that takes subqueries out of filters.
#[derive(Debug)]
pub(super) struct MarkJoins;

impl OptimizerRule for MarkJoins {
    fn name(&self) -> &'static str {
        "mark_joins"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Projection(Projection { expr, input, .. }) = plan else { return Ok(Transformed::no(plan)) };
        let has_exists = |expr: &Expr| expr.exists(|expr| Ok(matches!(expr, Expr::Exists(_))));
        if !expr.iter().map(has_exists).collect::<Result<Vec<_>>>()?.contains(&true) {
            return Ok(Transformed::no(LogicalPlan::Projection(Projection::try_new(expr, input)?)));
        }
        let mut input = Arc::unwrap_or_clone(input);
        let names = NamePreserver::new_for_projection();
        let mut given = Vec::with_capacity(expr.len());
        for expr in expr {
            let name = names.save(&expr);
            let expr = expr.transform_down(|expr| {
                let Expr::Exists(Exists { subquery, negated }) = &expr else { return Ok(Transformed::no(expr)) };
                let alias = config.alias_generator().next("__correlated_sq");
                input = join(input.clone(), &subquery.subquery, &alias)?;
                let mark = Expr::Column(Column::new(Some(alias), "mark"));
                let mark = if *negated { not(mark) } else { mark };
                Ok(Transformed::new(mark, true, TreeNodeRecursion::Jump))
            })?;
            given.push(name.restore(expr.data));
        }
        Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(given, Arc::new(input))?)))
    }
}

/// `input` with a column `mark` of the table `alias`: whether `subquery` has a row.
fn join(input: LogicalPlan, subquery: &LogicalPlan, alias: &str) -> Result<LogicalPlan> {
    let mut pull_up = PullUpCorrelatedExpr::new().with_exists_sub_query(true);
    let rows = subquery.clone().rewrite(&mut pull_up).data()?;
    if !pull_up.can_pull_up {
        return plan_err!("EXISTS of such a subquery is not available among the columns: join the subquery in FROM");
    }
    let rows = LogicalPlanBuilder::from(rows).alias(alias)?.build()?;
    let columns: BTreeSet<_> = pull_up.correlated_subquery_cols_map.values().flatten().cloned().collect();
    let on = conjunction(pull_up.join_filters).map_or_else(|| Ok(lit(true)), |on| within(on, &columns, alias))?;
    LogicalPlanBuilder::from(input).join_on(rows, JoinType::LeftMark, Some(on))?.build()
}

/// A condition that names the subquery's columns by its alias.
fn within(on: Expr, columns: &BTreeSet<Column>, alias: &str) -> Result<Expr> {
    on.transform(|expr| match expr {
        Expr::Column(column) if columns.contains(&column) => {
            Ok(Transformed::yes(Expr::Column(Column::new(Some(alias), column.name))))
        }
        other => Ok(Transformed::no(other)),
    })
    .data()
}
