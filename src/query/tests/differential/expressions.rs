//! Expressions over the tables in sight.

use super::generate::{Generator, Sight};
use super::tables::{Kind, TABLES};

impl Generator {
    /// A column of this kind, or a literal when there is none.
    pub(super) fn column(&mut self, kind: Kind, sight: &Sight) -> String {
        let found: Vec<&str> =
            sight.columns.iter().filter(|(_, found)| *found == kind).map(|(name, _)| name.as_str()).collect();
        if found.is_empty() { self.literal(kind) } else { self.random.pick(&found).to_owned() }
    }

    pub(super) fn literal(&mut self, kind: Kind) -> String {
        match kind {
            Kind::Int => self.random.pick(&["0", "1", "2", "3"]).to_owned(),
            Kind::Float => self.random.pick(&["0.0", "1.0", "2.5"]).to_owned(),
            Kind::Text => self.random.pick(&["'x'", "'y'", "''", "'xy'"]).to_owned(),
            Kind::Bool => self.random.pick(&["true", "false", "CAST(NULL AS BOOLEAN)"]).to_owned(),
        }
    }

    pub(super) fn kind(&mut self) -> Kind {
        self.random.pick(&[Kind::Int, Kind::Int, Kind::Text, Kind::Float, Kind::Bool])
    }

    pub(super) fn expr(&mut self, kind: Kind, sight: &Sight, depth: u32) -> String {
        if kind == Kind::Bool {
            return self.condition(sight, depth);
        }
        if depth == 0 || self.random.one_in(2) {
            return if self.random.one_in(8) { self.literal(kind) } else { self.column(kind, sight) };
        }
        let depth = depth - 1;
        match self.random.below(if matches!(kind, Kind::Text) { 8 } else { 7 }) {
            0 => {
                let (first, second) = (self.expr(kind, sight, depth), self.expr(kind, sight, depth));
                format!("coalesce({first}, {second})")
            }
            1 => {
                let condition = self.condition(sight, depth);
                let (then, other) = (self.expr(kind, sight, depth), self.expr(kind, sight, depth));
                let other = if self.random.one_in(3) { String::new() } else { format!(" ELSE {other}") };
                format!("CASE WHEN {condition} THEN {then}{other} END")
            }
            2 => format!("nullif({}, {})", self.expr(kind, sight, depth), self.literal(kind)),
            3 if kind != Kind::Text => {
                let (left, right) = (self.expr(kind, sight, depth), self.expr(kind, sight, depth));
                format!("({left} {} {right})", self.random.pick(&["+", "-", "*"]))
            }
            3 => format!("upper({})", self.expr(kind, sight, depth)),
            4 if kind == Kind::Int => format!("({} % 3)", self.expr(kind, sight, depth)),
            4 => {
                let operand = self.expr(kind, sight, depth);
                let of = self.random.pick(&["min", "max"]);
                if self.subqueries_left() { self.scalar(kind, sight, of) } else { operand }
            }
            5 if kind == Kind::Int && self.subqueries_left() => self.scalar(kind, sight, "count"),
            5 => self.column(kind, sight),
            6 => self.call(kind, sight, depth),
            _ => format!("({} || {})", self.expr(kind, sight, depth), self.expr(kind, sight, depth)),
        }
    }

    /// A call of a function, or a cast.
    fn call(&mut self, kind: Kind, sight: &Sight, depth: u32) -> String {
        let mut operand = |kind| self.expr(kind, sight, depth);
        let (first, second) = (operand(kind), operand(kind));
        let text = operand(Kind::Text);
        let whole = operand(Kind::Int);
        match (kind, self.random.below(4)) {
            (_, 0) => format!("greatest({first}, {second})"),
            (_, 1) => format!("least({first}, {second})"),
            (Kind::Int, 2) => format!("length({text})"),
            (Kind::Int | Kind::Float, 3) => format!("abs({first})"),
            (Kind::Float, _) => format!("CAST({whole} AS DOUBLE)"),
            (Kind::Text, 2) => format!("CAST({whole} AS VARCHAR)"),
            (Kind::Text, _) => format!("substr({first}, 1, 1)"),
            _ => first,
        }
    }

    pub(super) fn condition(&mut self, sight: &Sight, depth: u32) -> String {
        let leaf = depth == 0;
        let below = depth.saturating_sub(1);
        match self.random.below(if leaf { 7 } else { 17 }) {
            0 | 1 => {
                let kind = self.random.pick(&[Kind::Int, Kind::Int, Kind::Text, Kind::Float]);
                let (left, right) = (self.expr(kind, sight, below), self.expr(kind, sight, below));
                format!("{left} {} {right}", self.random.pick(&["=", "<>", "<", ">", "<=", ">="]))
            }
            2 => {
                let kind = self.kind();
                format!("{} IS {}NULL", self.column(kind, sight), self.random.pick(&["", "NOT "]))
            }
            3 => {
                let kind = self.random.pick(&[Kind::Int, Kind::Text]);
                let null = if self.random.one_in(5) { ", NULL" } else { "" };
                let (left, one, two) = (self.column(kind, sight), self.literal(kind), self.literal(kind));
                format!("{left} {}IN ({one}, {two}{null})", self.random.pick(&["", "NOT "]))
            }
            4 => format!(
                "{} {}LIKE '{}'",
                self.column(Kind::Text, sight),
                self.random.pick(&["", "NOT "]),
                self.random.pick(&["x%", "%y", "_", "%"])
            ),
            5 => self.column(Kind::Bool, sight),
            6 => {
                // Conditions on one column, some of which have the literal first.
                let kind = self.random.pick(&[Kind::Int, Kind::Text, Kind::Float]);
                let column = self.column(kind, sight);
                let (one, two) = (self.bound(kind, &column), self.bound(kind, &column));
                format!("({one} AND {two})")
            }
            7 | 8 => {
                let (left, right) = (self.condition(sight, below), self.condition(sight, below));
                format!("({left} {} {right})", self.random.pick(&["AND", "OR"]))
            }
            9 => format!("NOT ({})", self.condition(sight, below)),
            10 => {
                let test = self.random.pick(&["TRUE", "FALSE", "NULL", "NOT TRUE", "NOT FALSE", "NOT NULL"]);
                format!("({}) IS {test}", self.condition(sight, below))
            }
            11 => {
                // Without parentheses: how tightly it binds matters.
                let kind = self.random.pick(&[Kind::Int, Kind::Text]);
                let (left, right) = (self.column(kind, sight), self.column(kind, sight));
                let rest = self.condition(sight, 0);
                let (not, operator) = (self.random.pick(&["", "NOT "]), self.random.pick(&["AND", "OR"]));
                format!("({left} IS {not}DISTINCT FROM {right} {operator} {rest})")
            }
            12 | 13 if self.subqueries_left() => self.within(sight),
            14 | 15 if self.subqueries_left() => self.exists(sight),
            16 if self.subqueries_left() => {
                let left = self.column(Kind::Int, sight);
                let operator = self.random.pick(&["=", "<>", "<", ">="]);
                let quantifier = self.random.pick(&["ANY", "ALL"]);
                let rows = self.subquery(Kind::Int, sight);
                format!("{left} {operator} {quantifier} ({rows})")
            }
            _ => {
                let (of, low, high) =
                    (self.column(Kind::Int, sight), self.literal(Kind::Int), self.column(Kind::Int, sight));
                format!("{of} {}BETWEEN {low} AND {high}", self.random.pick(&["", "NOT "]))
            }
        }
    }

    fn bound(&mut self, kind: Kind, column: &str) -> String {
        let literal = self.literal(kind);
        let operator = self.random.pick(&["=", "<", ">", "<=", ">="]);
        if self.random.one_in(2) {
            format!("{column} {operator} {literal}")
        } else {
            format!("{literal} {operator} {column}")
        }
    }

    fn subqueries_left(&mut self) -> bool {
        let left = self.subqueries > 0;
        self.subqueries = self.subqueries.saturating_sub(1);
        left
    }

    fn within(&mut self, sight: &Sight) -> String {
        let kind = self.random.pick(&[Kind::Int, Kind::Int, Kind::Text]);
        let left = if self.random.one_in(6) { self.literal(kind) } else { self.expr(kind, sight, 1) };
        let not = self.random.pick(&["", "NOT "]);
        let rows = self.subquery(kind, sight);
        format!("{left} {not}IN ({rows})")
    }

    fn exists(&mut self, sight: &Sight) -> String {
        let rows = self.subquery(Kind::Int, sight);
        format!("{}EXISTS ({rows})", self.random.pick(&["", "NOT "]))
    }

    fn scalar(&mut self, kind: Kind, sight: &Sight, of: &str) -> String {
        let (from, inner) = self.inner();
        let argument = if of == "count" { "*".to_owned() } else { self.column(kind, &inner) };
        let condition = self.inner_condition(&inner, sight);
        format!("(SELECT {of}({argument}) FROM {from}{condition})")
    }

    /// A subquery of one column, often one that names columns of the query around it.
    fn subquery(&mut self, kind: Kind, sight: &Sight) -> String {
        let (from, inner) = self.inner();
        let column = self.column(kind, &inner);
        let condition = self.inner_condition(&inner, sight);
        let distinct = if self.random.one_in(8) { "DISTINCT " } else { "" };
        let group =
            if distinct.is_empty() && self.random.one_in(10) { format!(" GROUP BY {column}") } else { String::new() };
        let column =
            if group.is_empty() { self.random.pick(&[column.as_str(), column.as_str()]).to_owned() } else { column };
        format!("SELECT {distinct}{column} FROM {from}{condition}{group}")
    }

    fn inner(&mut self) -> (String, Sight) {
        let (table, columns) = self.random.pick(TABLES);
        let alias = self.alias("q");
        let sight = Sight::of(&alias, columns);
        (format!("{table} AS {alias}"), sight)
    }

    fn inner_condition(&mut self, inner: &Sight, outer: &Sight) -> String {
        let mut parts = Vec::new();
        if self.random.one_in(2) {
            parts.push(self.condition(inner, 1));
        }
        if self.random.one_in(2) {
            let kind = self.random.pick(&[Kind::Int, Kind::Int, Kind::Text]);
            let (left, right) = (self.column(kind, inner), self.column(kind, outer));
            let operator = self.random.pick(&["=", "=", "=", "<", ">=", "<>"]);
            parts.push(format!("{left} {operator} {right}"));
        }
        if parts.is_empty() { String::new() } else { format!(" WHERE {}", parts.join(" AND ")) }
    }
}
