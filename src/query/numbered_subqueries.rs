//! Gives subqueries that differ names that differ.
//!
//! DataFusion 55 names an expression with a subquery by what stands around it, so that two aggregates over different
//! subqueries, and two subqueries that a query groups by, had one name and were refused. No report upstream is known,
//! and no release that ends it. So the second subquery and those after it are written as `CASE WHEN 1 = 1 THEN … END`,
//! with a number for each. The same subquery has the same number wherever it stands.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, Expr, GroupByExpr, Ident, OrderBy, Query, Select, SelectItem, SetExpr, Value, VisitMut,
    VisitorMut,
};

/// Numbers the subqueries that stand in what it visits, and not those within them.
#[derive(Default)]
pub(super) struct NumberSubqueries {
    known: Vec<Expr>,
    /// How many queries this is within.
    depth: usize,
}

/// Numbers the subqueries of each `SELECT` of a query that groups by several.
pub(super) fn number_grouped(query: &mut Query) {
    match &mut *query.body {
        SetExpr::Select(select) => number_groups(select, query.order_by.as_mut()),
        body => number_branches(body),
    }
}

fn number_branches(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => number_groups(select, None),
        SetExpr::SetOperation { left, right, .. } => {
            number_branches(left);
            number_branches(right);
        }
        _ => {} // A query in parentheses is visited itself.
    }
}

fn number_groups(select: &mut Select, order_by: Option<&mut OrderBy>) {
    let is_grouped = match &select.group_by {
        GroupByExpr::All(_) => true,
        GroupByExpr::Expressions(groups, _) => !groups.is_empty(),
    };
    let mut found = NumberSubqueries::default();
    if is_grouped {
        // The groups may be named by their place in the list.
        let _ = select.group_by.clone().visit(&mut found);
        let _ = select.projection.clone().visit(&mut found);
    }
    // One for a value is named by what it computes.
    if found.known.iter().filter(|known| !matches!(known, Expr::Subquery(_))).count() < 2 {
        return;
    }
    let mut numbers = NumberSubqueries::default();
    let _ = select.group_by.visit(&mut numbers);
    for item in &mut select.projection {
        let name = match item {
            SelectItem::UnnamedExpr(expr) => Some(expr.to_string()),
            _ => None,
        };
        let _ = item.visit(&mut numbers);
        if let (SelectItem::UnnamedExpr(expr), Some(name)) = (&*item, name)
            && expr.to_string() != name
        {
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', name) };
        }
    }
    let _ = select.having.visit(&mut numbers);
    if let Some(order_by) = order_by {
        let _ = order_by.visit(&mut numbers);
    }
}

impl VisitorMut for NumberSubqueries {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        match expr {
            Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } => {
                // The subquery has to stand there itself.
                if let Expr::Case { conditions, .. } = right.as_mut() {
                    if let Some(numbered) = conditions.pop() {
                        **right = numbered.result;
                    }
                } else if !matches!(**right, Expr::Subquery(_)) {
                    return ControlFlow::Continue(());
                }
            }
            Expr::Exists { .. } | Expr::InSubquery { .. } | Expr::Subquery(_) => {}
            _ => return ControlFlow::Continue(()),
        }
        let number = self.known.iter().position(|known| known == expr).unwrap_or_else(|| {
            self.known.push(expr.clone());
            self.known.len() - 1
        });
        if number > 0 {
            let value = || Box::new(Expr::Value(Value::Number(number.to_string(), false).into()));
            let condition = Expr::BinaryOp { left: value(), op: BinaryOperator::Eq, right: value() };
            let result = std::mem::replace(expr, Expr::Value(Value::Null.into()));
            *expr = Expr::Case {
                case_token: AttachedToken::empty(),
                end_token: AttachedToken::empty(),
                operand: None,
                conditions: vec![CaseWhen { condition, result }],
                else_result: None,
            };
        }
        ControlFlow::Continue(())
    }
}
