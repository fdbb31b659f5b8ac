//! What a query reads: tables, subqueries in the place of tables, and joins of them.

use super::generate::{Generator, Sight};
use super::tables::{Kind, TABLES};

/// The columns that every table has, and those of subqueries that have a further number.
const SHARED: &[(&str, Kind)] = &[("id", Kind::Int), ("k", Kind::Int), ("s", Kind::Text)];
const NUMBERED: &[(&str, Kind)] = &[("id", Kind::Int), ("k", Kind::Int), ("g", Kind::Int), ("s", Kind::Text)];

impl Generator {
    fn table(&mut self) -> (String, Sight) {
        let (table, columns) = self.random.pick(TABLES);
        let alias = self.alias("t");
        let sight = Sight::of(&alias, columns);
        match self.random.below(16) {
            0 => {
                let inner = Sight::of(table, columns);
                let condition = self.condition(&inner, 1);
                (format!("(SELECT * FROM {table} WHERE {condition}) AS {alias}"), sight)
            }
            1 => {
                // A column that is the same in every row.
                let text = self.literal(Kind::Text);
                (format!("(SELECT id, k, {text} AS s FROM {table}) AS {alias}"), Sight::of(&alias, SHARED))
            }
            2 => {
                let sight = Sight::of(&alias, SHARED).told_apart_by(&alias, &["k", "id"]);
                (format!("(SELECT k, count(*) AS id, max(s) AS s FROM {table} GROUP BY k) AS {alias}"), sight)
            }
            3..=8 => self.derived(table, &alias),
            _ => (format!("{table} AS {alias}"), sight),
        }
    }

    /// A subquery that the conditions around it may or may not be moved into.
    fn derived(&mut self, table: &str, alias: &str) -> (String, Sight) {
        let (sql, sight) = if self.random.one_in(3) {
            // One in another, in which `id` is unique.
            let below = self.alias("n");
            let (sql, _) = self.derived_by(table, &Sight::of(table, SHARED), &below, &[0, 2, 3, 6]);
            let (from, inner) = (format!("({sql}) AS {below}"), Sight::of(&below, SHARED));
            self.derived_by(&from, &inner, alias, &[0, 1, 2, 3, 5, 6])
        } else {
            self.derived_by(table, &Sight::of(table, SHARED), alias, &[0, 1, 2, 3, 4, 5, 6])
        };
        (format!("({sql}) AS {alias}"), sight)
    }

    /// A query of one of these shapes, and what can be seen of it under the name `alias`.
    fn derived_by(&mut self, table: &str, inner: &Sight, alias: &str, shapes: &[u64]) -> (String, Sight) {
        let numbered = Sight::of(alias, NUMBERED);
        match self.random.pick(shapes) {
            0 => {
                let number = self.random.pick(&["CAST(NULL AS BIGINT)", "1", "2", "nullif(1, 1)", "id + 1"]);
                (format!("SELECT id, k, {number} AS g, s FROM {table}"), numbered)
            }
            1 => {
                let other = self.random.pick(TABLES).0;
                let condition = self.condition(inner, 1);
                let sql = format!(
                    "SELECT id, k, 1 AS g, s FROM {table} WHERE {condition} UNION ALL SELECT id, k, 2, s FROM {other}"
                );
                (sql, numbered.told_apart_by(alias, &["id", "g"]))
            }
            2 => {
                let direction = self.random.pick(&["", " DESC"]);
                let limit = if self.random.one_in(3) {
                    // All rows, so that it does not matter how those are ordered whose keys are equal.
                    format!("{}{direction} LIMIT 1000", self.random.pick(&["k", "s", "k, s"]))
                } else {
                    let limit = self.random.pick(&["LIMIT 3", "LIMIT 5", "LIMIT 2 OFFSET 1", "OFFSET 2"]);
                    format!("id{direction} {limit}")
                };
                (format!("SELECT id, k, k AS g, s FROM {table} ORDER BY {limit}"), numbered)
            }
            3 => {
                let key = self.random.pick(&["k", "s"]);
                let sql =
                    format!("SELECT id, k, row_number() OVER (PARTITION BY {key} ORDER BY id) AS g, s FROM {table}");
                (sql, numbered)
            }
            4 => {
                let join = self.random.pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
                let other = self.random.pick(TABLES).0;
                let sql = format!(
                    "SELECT x.id, x.k, y.id AS g, y.s FROM {table} AS x {join} {other} AS y ON x.k = y.k AND x.id < y.id"
                );
                (sql, numbered.told_apart_by(alias, &["id", "g"]))
            }
            5 => {
                let sql = format!("SELECT DISTINCT k AS id, k, id % 2 AS g, s FROM {table}");
                (sql, numbered.told_apart_by(alias, &["k", "g", "s"]))
            }
            _ => {
                let number = self.expr(Kind::Int, inner, 1);
                let text = self.expr(Kind::Text, inner, 1);
                (format!("SELECT id, {number} AS k, k AS g, {text} AS s FROM {table}"), numbered)
            }
        }
    }

    pub(super) fn from(&mut self) -> (String, Sight) {
        if self.random.one_in(5) {
            return self.using();
        }
        let (mut sql, mut sight) = self.table();
        for _ in 0..self.random.pick(&[0, 0, 1, 1, 1, 2]) {
            let (table, other) = self.table();
            let join = self.random.pick(&["JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN"]);
            if join == "CROSS JOIN" {
                sql = format!("{sql} CROSS JOIN {table}");
                sight.add(other);
                continue;
            }
            let kind = self.random.pick(&[Kind::Int, Kind::Int, Kind::Text]);
            let (left, right) = (self.column(kind, &sight), self.column(kind, &other));
            let mut on = match self.random.below(10) {
                0 => format!("{left} {} {right}", self.random.pick(&["<", ">=", "<>"])),
                1 => format!("{left} IS NOT DISTINCT FROM {right}"),
                2 if kind == Kind::Int => format!("{left} + 1 = {right}"),
                _ => format!("{left} = {right}"),
            };
            for _ in 0..self.random.pick(&[0, 0, 1, 1, 2]) {
                // Conditions with a literal make columns constant.
                let side = if self.random.one_in(3) { &sight } else { &other };
                let side = side.clone();
                let part = if self.random.one_in(2) {
                    let kind = self.random.pick(&[Kind::Text, Kind::Int]);
                    format!("{} = {}", self.column(kind, &side), self.literal(kind))
                } else {
                    self.condition(&side, 0)
                };
                on = format!("{on} AND {part}");
            }
            sight.add(other);
            sql = format!("{sql} {join} {table} ON {on}");
        }
        (sql, sight)
    }

    /// Joins that merge columns.
    fn using(&mut self) -> (String, Sight) {
        let (mut sql, mut sight) = self.table();
        let natural = self.random.one_in(3);
        if natural {
            let (left, right) = (self.alias("t"), self.alias("t"));
            let join = self.random.pick(&["", "LEFT ", "RIGHT ", "FULL "]);
            let (one, two) = (self.random.pick(TABLES).0, self.random.pick(TABLES).0);
            let sql = format!(
                "(SELECT id AS id_{left}, k, s FROM {one}) AS {left} NATURAL {join}JOIN (SELECT id AS id_{right}, k FROM {two}) AS {right}"
            );
            let columns = vec![
                ("k".to_owned(), Kind::Int),
                (format!("{left}.s"), Kind::Text),
                (format!("id_{left}"), Kind::Int),
                (format!("{right}.id_{right}"), Kind::Int),
            ];
            return (sql, Sight { columns, ids: vec![format!("id_{left}"), format!("id_{right}"), "k".to_owned()] });
        }
        for _ in 0..self.random.pick(&[1, 1, 2]) {
            let (table, other) = self.table();
            let join = self.random.pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "FULL JOIN"]);
            sql = format!("{sql} {join} {table} USING (k)");
            sight.add(other);
        }
        for names in [&mut sight.ids, &mut sight.columns.iter().map(|(name, _)| name.clone()).collect()] {
            names.retain(|name| !name.ends_with(".k"));
        }
        sight.columns.retain(|(name, _)| !name.ends_with(".k"));
        sight.columns.push(("k".to_owned(), Kind::Int));
        sight.ids.push("k".to_owned());
        (sql, sight)
    }
}
