//! Queries of further shapes: set operations, common tables, all columns of a join, distinct rows.

use super::generate::{Generator, Query, named};
use super::tables::{Kind, TABLES};

impl Generator {
    pub(super) fn set_operation(&mut self) -> Query {
        let kinds: Vec<_> =
            (0..1 + self.random.below(2)).map(|_| self.random.pick(&[Kind::Int, Kind::Text, Kind::Float])).collect();
        let mut sides = Vec::new();
        for _ in 0..2 {
            let (from, sight) = self.from();
            let outputs: Vec<_> = kinds.iter().map(|kind| self.expr(*kind, &sight, 1)).collect();
            let filter = self.filter(&sight);
            sides.push(format!("SELECT {} FROM {from}{filter}", named(&outputs)));
        }
        let operation = self.random.pick(&["UNION", "UNION ALL", "INTERSECT", "EXCEPT"]);
        let ordered = self.random.one_in(2);
        let keys: Vec<_> = (1..=kinds.len()).map(|at| format!("{at}{}", self.direction())).collect();
        let order = if ordered { format!(" ORDER BY {}{}", keys.join(", "), self.limit()) } else { String::new() };
        Query { sql: format!("{} {operation} {}{order}", sides[0], sides[1]), ordered }
    }

    pub(super) fn common_table(&mut self) -> Query {
        let (from, sight) = self.from();
        let filter = self.filter(&sight);
        let (k, s) = (self.expr(Kind::Int, &sight, 1), self.expr(Kind::Text, &sight, 1));
        // A join with itself of a join has tens of thousands of rows.
        let distinct = if from.contains(" JOIN ") { "DISTINCT " } else { "" };
        let join = self.random.pick(&["JOIN", "LEFT JOIN", "FULL JOIN"]);
        let on = self.random.pick(&["x.k = y.k", "x.k = y.k AND y.s = 'x'", "x.s = y.s AND x.k < y.k"]);
        let where_ = self.random.pick(&[
            "",
            " WHERE x.k IS NOT NULL",
            " WHERE x.k IN (SELECT k FROM w)",
            " WHERE y.s NOT IN (SELECT s FROM w)",
        ]);
        let outputs = ["x.k", "x.s", "y.k", "y.s"].map(str::to_owned);
        let order = self.random.pick(&[
            " ORDER BY 4, 3, 2, 1",
            " ORDER BY y.s, x.k, 2, 3, 4 LIMIT 5",
            " ORDER BY 1 DESC, 2, 3, 4 LIMIT 4",
        ]);
        let sql = format!(
            "WITH w AS (SELECT {distinct}{k} AS k, {s} AS s FROM {from}{filter}) SELECT {} FROM w AS x {join} w AS y ON {on}{where_}{order}",
            named(&outputs)
        );
        Query { sql, ordered: true }
    }

    /// All columns of a join that merges some.
    pub(super) fn star(&mut self) -> Query {
        let join = self.random.pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
        let (one, two) = (self.random.pick(TABLES).0, self.random.pick(TABLES).0);
        let (left, right) = (self.random.pick(&["p", "r"]), self.random.pick(&["o", "s"]));
        let (natural, using) = self.random.pick(&[("", " USING (k)"), ("NATURAL ", "")]);
        let third = if self.random.one_in(3) {
            format!(
                " {} (SELECT k, s AS s_m FROM {}) AS m USING (k)",
                self.random.pick(&["JOIN", "LEFT JOIN", "FULL JOIN"]),
                self.random.pick(TABLES).0
            )
        } else {
            String::new()
        };
        let sql = format!(
            "SELECT * FROM (SELECT id AS id_one, k, s FROM {one}) AS {left} {natural}{join} (SELECT id AS id_two, k FROM {two}) AS {right}{using}{third}"
        );
        Query { sql, ordered: false }
    }

    pub(super) fn distinct(&mut self) -> Query {
        let (from, sight) = self.from();
        let filter = self.filter(&sight);
        let outputs = self.outputs(&sight, 2);
        let ordered = self.random.one_in(2);
        let keys: Vec<_> = (1..=outputs.len()).map(|at| format!("{at}{}", self.direction())).collect();
        let order = if ordered { format!(" ORDER BY {}{}", keys.join(", "), self.limit()) } else { String::new() };
        Query { sql: format!("SELECT DISTINCT {} FROM {from}{filter}{order}", named(&outputs)), ordered }
    }
}
