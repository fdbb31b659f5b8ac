//! What a filter says of one text, computed once per batch.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::take;
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::common::cast::as_boolean_array;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{ColumnarValue, Operator};
use datafusion::physical_expr::expressions::{BinaryExpr, Column, LikeExpr};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_expr_common::physical_expr::is_volatile;

use super::distinct::{Distinct, Seeds};

/// The predicate, with the largest parts that depend on one column of texts alone, and take long, computed once per
/// text.
pub(super) fn once_per_text(
    predicate: Arc<dyn PhysicalExpr>,
    schema: &SchemaRef,
) -> Result<Transformed<Arc<dyn PhysicalExpr>>> {
    predicate.transform_down(|part| match OncePerText::over(&part, schema)? {
        Some(once) => Ok(Transformed::new(Arc::new(once), true, TreeNodeRecursion::Jump)),
        None => Ok(Transformed::no(part)),
    })
}

/// An expression over one column of texts.
#[derive(Debug)]
struct OncePerText {
    /// The original expression.
    inner: Arc<dyn PhysicalExpr>,
    column: usize,
    /// The same over a batch that has this column only.
    of_text: Arc<dyn PhysicalExpr>,
    alone: SchemaRef,
    seeds: Seeds,
}

impl OncePerText {
    fn over(part: &Arc<dyn PhysicalExpr>, schema: &SchemaRef) -> Result<Option<Self>> {
        if part.data_type(schema)? != DataType::Boolean || !takes_long(part)? || is_volatile(part) || connects(part)? {
            return Ok(None);
        }
        let columns = collect_columns(part);
        let mut columns = columns.iter();
        let (Some(column), None) = (columns.next(), columns.next()) else { return Ok(None) };
        let field = schema.field(column.index());
        if field.data_type() != &DataType::Utf8View {
            return Ok(None);
        }
        let alone: Arc<dyn PhysicalExpr> = Arc::new(Column::new(column.name(), 0));
        let of_text = part.clone().transform_up(|node| match node.is::<Column>() {
            true => Ok(Transformed::yes(alone.clone())),
            false => Ok(Transformed::no(node)),
        })?;
        Ok(Some(Self {
            inner: part.clone(),
            column: column.index(),
            of_text: of_text.data,
            alone: Arc::new(Schema::new(vec![field.clone()])),
            seeds: Seeds::default(),
        }))
    }
}

/// Whether a part searches texts, or calls a function. To compare a text with another takes less than to find out which
/// one it is.
fn takes_long(part: &Arc<dyn PhysicalExpr>) -> Result<bool> {
    part.exists(|node| {
        let is_search = node.downcast_ref::<BinaryExpr>().is_some_and(|node| {
            use Operator::{RegexIMatch, RegexMatch, RegexNotIMatch, RegexNotMatch};
            matches!(node.op(), RegexMatch | RegexIMatch | RegexNotMatch | RegexNotIMatch)
        });
        Ok(is_search || node.is::<LikeExpr>() || node.is::<ScalarFunctionExpr>())
    })
}

/// Whether a part connects others. What is right of `AND` and `OR` is computed for few rows where it matters for few,
/// and must not fail for the others: how many rows have a text decides that, not how many texts there are.
fn connects(part: &Arc<dyn PhysicalExpr>) -> Result<bool> {
    part.exists(|node| {
        let node = node.downcast_ref::<BinaryExpr>();
        Ok(node.is_some_and(|node| matches!(node.op(), Operator::And | Operator::Or)))
    })
}

impl PartialEq for OncePerText {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for OncePerText {}

impl Hash for OncePerText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for OncePerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inner)
    }
}

impl PhysicalExpr for OncePerText {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.inner.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.inner.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let texts = batch.column(self.column);
        let distinct = texts.as_string_view_opt().and_then(|texts| Distinct::of(texts, &self.seeds));
        let Some(distinct) = distinct else { return self.inner.evaluate(batch) };
        let few = take(texts, &UInt32Array::from(distinct.rows), None)?;
        let few = RecordBatch::try_new(self.alone.clone(), vec![few])?;
        match self.of_text.evaluate(&few)? {
            ColumnarValue::Array(said) => {
                let said = as_boolean_array(&said)?;
                let of_rows = |of_texts: &BooleanBuffer| {
                    BooleanBuffer::collect_bool(texts.len(), |row| of_texts.value(distinct.places[row] as usize))
                };
                let nulls = said.nulls().map(|nulls| NullBuffer::new(of_rows(nulls.inner())));
                Ok(ColumnarValue::Array(Arc::new(BooleanArray::new(of_rows(said.values()), nulls))))
            }
            scalar @ ColumnarValue::Scalar(_) => Ok(scalar),
        }
    }

    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.inner.return_field(schema)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        // It is a whole: what it has inside is over another batch.
        Vec::new()
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(self)
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}
