//! Keeps `SELECT v + 1 AS v FROM (SELECT v + 1 AS v FROM …)` two additions.
//!
//! DataFusion 55 drops one of two consecutive projections that are written alike, which is wrong when a projection
//! gives a name that it also reads (apache/datafusion#24686; remove this file with the release that has that). So
//! before every use of that rule such a name is changed in the lower of the two projections.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// Renames what the lower of two projections gives under a name that it also reads.
#[derive(Debug)]
pub(super) struct RenameAliases;

impl OptimizerRule for RenameAliases {
    fn name(&self) -> &'static str {
        "rename_aliases"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Projection(upper) = &plan else { return Ok(Transformed::no(plan)) };
        let LogicalPlan::Projection(lower) = &*upper.input else { return Ok(Transformed::no(plan)) };
        let reused = reused(lower);
        if !reused.contains(&true) {
            return Ok(Transformed::no(plan));
        }
        let renamed: Vec<Option<String>> =
            reused.into_iter().map(|reused| reused.then(|| config.alias_generator().next("__keyloft_alias"))).collect();
        let given = lower.expr.iter().zip(&renamed).map(|(expr, name)| match name {
            Some(name) => expr.clone().unalias().alias(name),
            None => expr.clone(),
        });
        let names = NamePreserver::new_for_projection();
        let read = upper.expr.iter().map(|expr| {
            let name = names.save(expr);
            let expr = expr.clone().transform(|expr| {
                let Expr::Column(column) = &expr else { return Ok(Transformed::no(expr)) };
                match &renamed[lower.schema.index_of_column(column)?] {
                    Some(name) => Ok(Transformed::yes(Expr::Column(Column::from_name(name)))),
                    None => Ok(Transformed::no(expr)),
                }
            })?;
            Ok(name.restore(expr.data))
        });
        let lower = Projection::try_new(given.collect(), lower.input.clone())?;
        let upper = Projection::try_new(read.collect::<Result<_>>()?, Arc::new(LogicalPlan::Projection(lower)))?;
        Ok(Transformed::yes(LogicalPlan::Projection(upper)))
    }
}

/// For each expression, whether it gives a name under which the projection reads something else.
fn reused(projection: &Projection) -> Vec<bool> {
    let read: Vec<_> = projection.expr.iter().flat_map(Expr::column_refs).collect();
    let reused = |expr: &Expr| match expr {
        Expr::Alias(alias) => {
            let itself = matches!(&*alias.expr, Expr::Column(column) if column.name == alias.name);
            !itself && read.iter().any(|column| column.name == alias.name)
        }
        _ => false,
    };
    projection.expr.iter().map(reused).collect()
}
