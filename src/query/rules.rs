//! The rules of the optimiser: DataFusion's own, in its order, and ours in front of those that need them.

use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::optimizer::analyzer::function_rewrite::ApplyFunctionRewrites;
use datafusion::optimizer::{Analyzer, AnalyzerRule, Optimizer, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;

use super::checked_arithmetic;
use super::constants::ForgetConstants;
use super::filters::MergeFilters;
use super::frame_bounds::CheckFrames;
use super::interrupt::{Interrupt, InterruptJoins};
use super::mark_joins::MarkJoins;
use super::null_safe_joins::KeepNullSafe;
use super::numbers::CompareNumbers;
use super::offsets::SkipSorted;
use super::projection_aliases::RenameAliases;
use super::same_names::MoveByName;
use super::texts::RepeatedTexts;
use super::wrong_orders::{ForgetOrders, MergeByAll};

/// DataFusion's physical rule that adds, moves and leaves out sorts.
const SORTING: &str = "EnsureRequirements";

type Analysis = Arc<dyn AnalyzerRule + Send + Sync>;
type Physical = Arc<dyn PhysicalOptimizerRule + Send + Sync>;
type Logical = Arc<dyn OptimizerRule + Send + Sync>;

/// The rules that settle types. What has to see the types that were written stands in front of DataFusion's own.
pub(super) fn analysis() -> Vec<Analysis> {
    let mut rules = Analyzer::new().rules;
    rules.insert(0, Arc::new(ApplyFunctionRewrites::new(vec![Arc::new(CompareNumbers)])));
    rules.extend(checked_arithmetic::rules());
    rules.push(Arc::new(CheckFrames));
    rules
}

/// The rules for logical plans.
pub(super) fn logical() -> Vec<Logical> {
    let mut rules = Vec::new();
    for rule in Optimizer::new().rules {
        match rule.name() {
            "decorrelate_predicate_subquery" => rules.push(Arc::new(MarkJoins) as Logical),
            "optimize_projections" => rules.push(Arc::new(RenameAliases)),
            _ => {}
        }
        rules.push(match rule.name() {
            "push_down_filter" => Arc::new(MergeFilters(rule)),
            "extract_equijoin_predicate" => Arc::new(KeepNullSafe::in_equations(rule)),
            "eliminate_cross_join" => Arc::new(KeepNullSafe::in_order(rule)),
            _ => rule,
        });
    }
    rules
}

/// The rules for physical plans. What is known of rows is corrected first, because the others rest on it.
pub(super) fn physical(interrupt: &Interrupt, constants: ForgetConstants) -> Vec<Physical> {
    let mut rules: Vec<_> = PhysicalOptimizer::new().rules.into_iter().map(MoveByName::wrap).collect();
    if let Some(sorting) = rules.iter().position(|rule| rule.name() == SORTING) {
        rules.insert(sorting + 1, Arc::new(MergeByAll));
    }
    rules.insert(0, Arc::new(ForgetOrders));
    rules.insert(0, Arc::new(constants));
    rules.insert(0, Arc::new(SkipSorted));
    rules.push(Arc::new(InterruptJoins(interrupt.clone())));
    rules.push(Arc::new(RepeatedTexts));
    rules
}

/// Whether a physical rule of DataFusion failed, or the last one found that the others had made an invalid plan.
pub(super) fn failed_in_physical(error: &DataFusionError) -> bool {
    let DataFusionError::Context(name, _) = error else { return false };
    PhysicalOptimizer::new().rules.iter().any(|rule| rule.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_that_ours_wrap_or_stand_in_front_of_are_still_called_so() {
        let names: Vec<_> = logical().iter().map(|rule| rule.name().to_owned()).collect();
        for pair in [["mark_joins", "decorrelate_predicate_subquery"], ["rename_aliases", "optimize_projections"]] {
            assert!(names.windows(2).any(|window| window == pair), "{names:?}");
        }
        for wrapped in ["push_down_filter", "extract_equijoin_predicate", "eliminate_cross_join"] {
            assert!(names.iter().any(|name| name == wrapped), "{names:?}");
        }
        let moving =
            PhysicalOptimizer::new().rules.iter().filter(|rule| rule.name().starts_with("FilterPushdown")).count();
        assert_eq!(moving, 2);
        assert!(PhysicalOptimizer::new().rules.iter().any(|rule| rule.name() == SORTING));
    }
}
