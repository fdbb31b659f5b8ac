//! Keeps `SELECT v + 1 AS v FROM (SELECT v + 1 AS v FROM …)` two additions.
//!
//! DataFusion 55 drops one of two consecutive projections that are written alike, which is wrong when a projection
//! gives a name that it also reads (apache/datafusion#24686 mends it: this file goes with the release that has that).
//! So the lower of two projections never gives such a name: before every use of that rule it is renamed.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{Optimizer, OptimizerConfig, OptimizerRule};

/// The rule that drops projections.
const DROPS: &str = "optimize_projections";

/// DataFusion's own rules, in its order, and ours in front of the one that needs it.
pub(super) fn rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules = Optimizer::new().rules;
    let mut at = 0;
    while let Some(found) = rules[at..].iter().position(|rule| rule.name() == DROPS) {
        rules.insert(at + found, Arc::new(RenameShadows));
        at += found + 2;
    }
    rules
}

/// Renames what the lower of two projections gives under a name that it also reads.
#[derive(Debug)]
struct RenameShadows;

impl OptimizerRule for RenameShadows {
    fn name(&self) -> &'static str {
        "rename_shadows"
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
        let shadows = shadows(lower);
        if !shadows.contains(&true) {
            return Ok(Transformed::no(plan));
        }
        let renamed: Vec<Option<String>> = shadows
            .into_iter()
            .map(|shadow| shadow.then(|| config.alias_generator().next("__keyloft_shadow")))
            .collect();
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
fn shadows(projection: &Projection) -> Vec<bool> {
    let read: Vec<_> = projection.expr.iter().flat_map(Expr::column_refs).collect();
    let shadows = |expr: &Expr| match expr {
        Expr::Alias(alias) => {
            let itself = matches!(&*alias.expr, Expr::Column(column) if column.name == alias.name);
            !itself && read.iter().any(|column| column.name == alias.name)
        }
        _ => false,
    };
    projection.expr.iter().map(shadows).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_that_drops_projections_is_still_called_so() {
        assert!(rules().windows(2).any(|pair| pair[0].name() == "rename_shadows" && pair[1].name() == DROPS));
    }
}
