//! The answer to `EXPLAIN`: what the query reads of each stream, and its plans; for a query that would read too much,
//! why it is refused. Nothing is opened for it.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, StringArray, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::Result;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream, displayable};

use super::reads::{Reads, ScanReads};

/// A column: its name, and what it says of a scan.
type Number = (&'static str, fn(&ScanReads) -> u64);

const NUMBERS: &[Number] = &[
    ("days_listed", |scan| scan.days_listed),
    ("days_pruned", |scan| scan.days_pruned),
    ("objects_listed", |scan| scan.listed),
    ("objects_pruned", |scan| scan.pruned),
    ("objects_opened", |scan| scan.opened),
    ("bytes_opened", |scan| scan.bytes),
];

/// One row for each scan of a stream, then one for each plan, or for why there is no physical one.
pub(super) fn rows(
    logical: &LogicalPlan,
    physical: std::result::Result<&dyn ExecutionPlan, &str>,
    reads: &Reads,
) -> Result<SendableRecordBatchStream> {
    let scans = reads.scans();
    let last = match physical {
        Ok(plan) => ("physical_plan", displayable(plan).indent(false).to_string()),
        Err(why) => ("refused", why.to_owned()),
    };
    let plans = [("logical_plan", logical.display_indent().to_string()), last];
    let types = scans.iter().map(|_| "objects").chain(plans.iter().map(|(plan_type, _)| *plan_type));
    let streams = scans.iter().map(|scan| Some(scan.stream.as_str())).chain(plans.iter().map(|_| None));
    let texts = scans.iter().map(|_| None).chain(plans.iter().map(|(_, text)| Some(text.trim_end())));
    let mut fields = vec![Field::new("plan_type", DataType::Utf8, false), Field::new("stream", DataType::Utf8, true)];
    fields.extend(NUMBERS.iter().map(|(name, _)| Field::new(*name, DataType::UInt64, true)));
    fields.push(Field::new("plan", DataType::Utf8, true));
    let mut columns: Vec<datafusion::arrow::array::ArrayRef> =
        vec![Arc::new(StringArray::from_iter_values(types)), Arc::new(streams.collect::<StringArray>())];
    for (_, number) in NUMBERS {
        let numbers = scans.iter().map(|scan| Some(number(scan))).chain(plans.iter().map(|_| None));
        columns.push(Arc::new(numbers.collect::<UInt64Array>()));
    }
    columns.push(Arc::new(texts.collect::<StringArray>()));
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(schema.clone(), columns)?;
    Ok(Box::pin(MemoryStream::try_new(vec![batch], schema, None)?))
}
