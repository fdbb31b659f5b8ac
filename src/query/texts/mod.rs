//! Texts that repeat are compared, hashed and searched once per batch, not once per row.
//!
//! A column of texts is mostly the same few texts: Parquet stores each once, in a dictionary, and the views that are
//! read from it are equal bit by bit. DataFusion 55 looks at the text of every row, and takes longer still where it is
//! given dictionaries (apache/datafusion#21878 and #23993, open; no release ends it).
//!
//! - [`distinct`]: the texts of a batch that differ.
//! - [`predicates`]: a filter computes what it says of one text once.
//! - [`codes`]: numbers for texts.
//! - [`groups`]: groups by these numbers.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};

use self::groups::GroupTexts;

mod codes;
mod distinct;
mod groups;
mod predicates;
#[cfg(test)]
mod tests;

/// Has a plan look once at texts that repeat. Comes last: other rules do not know what it puts in.
#[derive(Debug)]
pub(super) struct RepeatedTexts;

impl PhysicalOptimizerRule for RepeatedTexts {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            if let Some(filter) = plan.downcast_ref::<FilterExec>() {
                let predicate = predicates::once_per_text(filter.predicate().clone(), &filter.input().schema())?;
                if predicate.transformed {
                    let filter = FilterExecBuilder::from(filter).with_predicate(predicate.data).build()?;
                    return Ok(Transformed::yes(Arc::new(filter) as Arc<dyn ExecutionPlan>));
                }
            } else if let Some(aggregate) = plan.downcast_ref::<AggregateExec>()
                && let Some(groups) = GroupTexts::instead_of(aggregate)?
            {
                return Ok(Transformed::yes(Arc::new(groups) as Arc<dyn ExecutionPlan>));
            }
            Ok(Transformed::no(plan))
        })
        .map(|done| done.data)
    }

    fn name(&self) -> &'static str {
        "repeated_texts"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
