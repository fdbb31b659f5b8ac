//! `USING` and `NATURAL` joins give one column for each name that both sides share.
//!
//! DataFusion 55 takes a column of either side for it: in a RIGHT or FULL join the one of the left side, which is null
//! where only the right side has a row (apache/datafusion#22881), and for `*` the one whose table comes first in the
//! alphabet, which is null for the same reason in a LEFT join. No release ends that yet.
//!
//! So such joins are planned here, with a projection above them in which the shared column stands once: the one of the
//! left side, of the right side in a RIGHT join, and whichever is not null in a FULL join. The other ones cannot be
//! named any more; [`MergeColumns::advise`] says what to write then. An inner or LEFT join keeps all its columns when
//! the query names the one of the right side, does not ask for `*` and has no other such join: DataFusion is right
//! then, or says that a name is ambiguous.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::common::{Column, DataFusionError, JoinType, Result, SchemaError, plan_err};
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::logical_expr::expr_rewriter::normalize_col;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{
    self, Join, JoinConstraint, JoinOperator, ObjectName, Query, Select, SelectItem, TableFactor, TableWithJoins,
    VisitMut, VisitorMut, visit_expressions,
};
use parking_lot::Mutex;

use crate::error::Error;

/// Puts every join that [`MergeColumns`] plans into parentheses of its own, which is what it recognises them by.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] for `table.*` where that would leave the shared columns out.
pub(super) fn mark(query: &mut Query) -> crate::error::Result<()> {
    match query.visit(&mut Mark::default()) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

#[derive(Default)]
struct Mark {
    /// Of each `SELECT` around: whether all its `USING` joins are planned here.
    all: Vec<bool>,
}

impl VisitorMut for Mark {
    type Break = Error;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        let star = select.projection.iter().any(|item| matches!(item, SelectItem::Wildcard(_)));
        let (mut merging, mut one_sided) = (0, true);
        select.from.iter().for_each(|from| count(from, &mut merging, &mut one_sided));
        let whole_table = |item: &SelectItem| matches!(item, SelectItem::QualifiedWildcard(..));
        if !one_sided && select.projection.iter().any(whole_table) {
            let message = "name the columns, or join with ON: table.* would lack those that USING or NATURAL merges";
            return ControlFlow::Break(Error::invalid(message));
        }
        let all = star || merging > 1 || !one_sided || !names_the_right_side(select);
        if all {
            select.from.iter_mut().for_each(|from| enclose(from, from.joins.len()));
        }
        self.all.push(all);
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _: &mut Select) -> ControlFlow<Error> {
        self.all.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        if let TableFactor::NestedJoin { table_with_joins, .. } = factor
            && self.all.last() == Some(&true)
        {
            // Its last join is recognised as it is.
            enclose(table_with_joins, table_with_joins.joins.len().saturating_sub(1));
        }
        ControlFlow::Continue(())
    }
}

/// Counts the joins that merge columns, and finds whether the left side's column is the shared one in all of them.
fn count(table: &TableWithJoins, merging: &mut usize, one_sided: &mut bool) {
    let relations = std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation));
    for relation in relations {
        if let TableFactor::NestedJoin { table_with_joins, .. } = relation {
            count(table_with_joins, merging, one_sided);
        }
    }
    for (kind, _) in table.joins.iter().filter_map(merges) {
        *merging += 1;
        *one_sided &= matches!(kind, JoinType::Inner | JoinType::Left);
    }
}

/// Whether a query with one inner or LEFT join that merges columns names such a column of the right table.
fn names_the_right_side(select: &Select) -> bool {
    let Some(join) = select.from.iter().flat_map(|from| &from.joins).find(|join| merges(join).is_some()) else {
        return false;
    };
    let Some((_, JoinConstraint::Using(names))) = merges(join) else { return false };
    let table = match &join.relation {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            Some(&alias.name)
        }
        TableFactor::Table { name, .. } => name.0.last().and_then(|part| part.as_ident()),
        _ => None,
    };
    let Some(table) = table.map(|table| &table.value) else { return false };
    let named = visit_expressions(select, |expr| match expr {
        ast::Expr::CompoundIdentifier(parts)
            if let [.., of, name] = &parts[..]
                && of.value == *table
                && names
                    .iter()
                    .any(|key| key.0.last().and_then(|key| key.as_ident()).is_some_and(|key| key == name)) =>
        {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    named.is_break()
}

/// Encloses the last of the first `joins` joins that merges columns, with all in front of it.
fn enclose(table: &mut TableWithJoins, joins: usize) {
    let Some(last) = table.joins[..joins].iter().rposition(|join| merges(join).is_some()) else { return };
    let rest = table.joins.split_off(last + 1);
    let inner = TableWithJoins {
        relation: std::mem::replace(&mut table.relation, nothing()),
        joins: std::mem::replace(&mut table.joins, rest),
    };
    table.relation = TableFactor::NestedJoin { table_with_joins: Box::new(inner), alias: None };
}

/// What stands for a table while it is moved.
fn nothing() -> TableFactor {
    let empty = TableWithJoins {
        relation: TableFactor::UNNEST {
            alias: None,
            array_exprs: Vec::new(),
            with_offset: false,
            with_offset_alias: None,
            with_ordinality: false,
        },
        joins: Vec::new(),
    };
    TableFactor::NestedJoin { table_with_joins: Box::new(empty), alias: None }
}

fn merges(join: &Join) -> Option<(JoinType, &JoinConstraint)> {
    let (kind, constraint) = match &join.join_operator {
        JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => (JoinType::Inner, constraint),
        JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => (JoinType::Left, constraint),
        JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => (JoinType::Right, constraint),
        JoinOperator::FullOuter(constraint) => (JoinType::Full, constraint),
        _ => return None,
    };
    let lateral = matches!(&join.relation, TableFactor::Derived { lateral: true, .. });
    let merges = matches!(constraint, JoinConstraint::Using(_) | JoinConstraint::Natural);
    (merges && !lateral).then_some((kind, constraint))
}

/// Plans the joins of one query that [`mark`] enclosed.
#[derive(Debug, Default)]
pub(super) struct MergeColumns {
    /// The shared names, for [`MergeColumns::advise`].
    merged: Mutex<HashSet<String>>,
    joins: AtomicUsize,
}

impl MergeColumns {
    /// A better answer for an error in planning: a column that cannot be named behind such a join.
    pub(super) fn advise(&self, error: &DataFusionError) -> Option<Error> {
        let DataFusionError::SchemaError(error, _) = error.find_root() else { return None };
        let SchemaError::FieldNotFound { field, .. } = &**error else { return None };
        let table = field.relation.as_ref()?;
        let merged = self.merged.lock();
        merged.contains(&field.name).then(|| {
            let name = format!("{table}.{}", field.name);
            let name = &name[..name.floor_char_boundary(200)];
            Error::invalid(format!(
                "`{name}` cannot be named here, because USING or NATURAL merges it: write the name alone, or join with ON"
            ))
        })
    }
}

impl RelationPlanner for MergeColumns {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let TableFactor::NestedJoin { mut table_with_joins, alias } = relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let Some((kind, constraint)) = table_with_joins.joins.last().and_then(merges) else {
            let relation = TableFactor::NestedJoin { table_with_joins, alias };
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let constraint = constraint.clone();
        let Some(last) = table_with_joins.joins.pop() else { return plan_err!("a join is missing") };
        let right = last.relation;
        let left = if table_with_joins.joins.is_empty() {
            context.plan(table_with_joins.relation)?
        } else {
            context.plan(TableFactor::NestedJoin { table_with_joins, alias: None })?
        };
        let right = context.plan(right)?;
        let names = match constraint {
            JoinConstraint::Using(names) => {
                names.into_iter().map(|name| single(name, context)).collect::<Result<Vec<_>>>()?
            }
            _ => shared(&left, &right)?,
        };
        self.merged.lock().extend(names.iter().cloned());
        // A column without a table could not be joined further with a table that has one of the same name.
        let table = format!("__using_{}", self.joins.fetch_add(1, Ordering::Relaxed));
        let plan = merge(left, right, kind, &names, &table)?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

fn single(name: ObjectName, context: &dyn RelationPlannerContext) -> Result<String> {
    match name.0.as_slice() {
        [part] if let Some(name) = part.as_ident() => Ok(context.normalize_ident(name.clone())),
        _ => plan_err!("USING takes names of columns without their tables"),
    }
}

fn shared(left: &LogicalPlan, right: &LogicalPlan) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for field in left.schema().fields() {
        if right.schema().fields().iter().any(|other| other.name() == field.name()) && !names.contains(field.name()) {
            names.push(field.name().clone());
        }
    }
    if names.is_empty() {
        return plan_err!("a NATURAL join of tables without a column in common: write CROSS JOIN");
    }
    Ok(names)
}

fn merge(
    left: LogicalPlan,
    right: LogicalPlan,
    kind: JoinType,
    names: &[String],
    table_of_merged: &str,
) -> Result<LogicalPlan> {
    let keys = |side: &LogicalPlan| names.iter().map(|name| key(name, side)).collect::<Result<Vec<_>>>();
    let (left_keys, right_keys) = (keys(&left)?, keys(&right)?);
    let mut given = Vec::new();
    let mut placed = HashSet::new();
    for (table, field) in left.schema().iter() {
        match names.iter().position(|name| name == field.name()) {
            None => given.push(Expr::Column(Column::from((table, field)))),
            Some(at) if placed.insert(at) => {
                let of = |keys: &[Column]| Expr::Column(keys[at].clone());
                given.push(match kind {
                    JoinType::Right => of(&right_keys),
                    JoinType::Full => coalesce(vec![of(&left_keys), of(&right_keys)])
                        .alias_qualified(Some(table_of_merged), &names[at]),
                    _ => of(&left_keys),
                });
            }
            Some(_) => {}
        }
    }
    for (table, field) in right.schema().iter() {
        if !names.contains(field.name()) {
            given.push(Expr::Column(Column::from((table, field))));
        }
    }
    LogicalPlanBuilder::from(left).join(right, kind, (left_keys, right_keys), None)?.project(given)?.build()
}

fn key(name: &str, side: &LogicalPlan) -> Result<Column> {
    match normalize_col(Expr::Column(Column::from_name(name)), side)? {
        Expr::Column(column) => Ok(column),
        _ => plan_err!("USING takes names of columns"),
    }
}
