//! Queries that a seed decides.

use super::random::Random;
use super::tables::{Columns, Kind, TABLES};

/// The columns that can be named, as they are written.
#[derive(Debug, Clone, Default)]
pub(super) struct Sight {
    pub(super) columns: Vec<(String, Kind)>,
    /// What makes an order of rows total.
    pub(super) ids: Vec<String>,
}

impl Sight {
    pub(super) fn of(alias: &str, columns: Columns) -> Self {
        Self {
            columns: columns.iter().map(|(name, kind)| (format!("{alias}.{name}"), *kind)).collect(),
            ids: vec![format!("{alias}.id")],
        }
    }

    fn add(&mut self, other: Self) {
        self.columns.extend(other.columns);
        self.ids.extend(other.ids);
    }
}

/// A query, and whether its rows come in one order only.
pub(super) struct Query {
    pub(super) sql: String,
    pub(super) ordered: bool,
}

pub(super) struct Generator {
    pub(super) random: Random,
    /// How many more subqueries the query may have.
    pub(super) subqueries: u32,
    aliases: u32,
}

impl Generator {
    pub(super) fn new(random: Random) -> Self {
        Self { random, subqueries: 0, aliases: 0 }
    }

    pub(super) fn alias(&mut self, letter: &str) -> String {
        self.aliases += 1;
        format!("{letter}{}", self.aliases)
    }

    pub(super) fn query(&mut self) -> Query {
        self.aliases = 0;
        self.subqueries = if self.random.one_in(3) { 0 } else { 2 };
        match self.random.below(12) {
            0..=3 => self.rows(),
            4 | 5 => self.groups(),
            6 | 7 => self.windows(),
            8 => self.set_operation(),
            9 => self.common_table(),
            10 => self.star(),
            _ => self.distinct(),
        }
    }

    fn table(&mut self) -> (String, Sight) {
        let (table, columns) = self.random.pick(TABLES);
        let alias = self.alias("t");
        let sight = Sight::of(&alias, columns);
        match self.random.below(9) {
            0 => {
                let inner = Sight::of(table, columns);
                let condition = self.condition(&inner, 1);
                (format!("(SELECT * FROM {table} WHERE {condition}) AS {alias}"), sight)
            }
            1 => {
                // A column that is the same in every row.
                let text = self.literal(Kind::Text);
                let sight = Sight {
                    columns: vec![
                        (format!("{alias}.id"), Kind::Int),
                        (format!("{alias}.k"), Kind::Int),
                        (format!("{alias}.s"), Kind::Text),
                    ],
                    ids: vec![format!("{alias}.id")],
                };
                (format!("(SELECT id, k, {text} AS s FROM {table}) AS {alias}"), sight)
            }
            2 => {
                let sight = Sight {
                    columns: vec![
                        (format!("{alias}.k"), Kind::Int),
                        (format!("{alias}.id"), Kind::Int),
                        (format!("{alias}.s"), Kind::Text),
                    ],
                    ids: vec![format!("{alias}.k"), format!("{alias}.id")],
                };
                (format!("(SELECT k, count(*) AS id, max(s) AS s FROM {table} GROUP BY k) AS {alias}"), sight)
            }
            _ => (format!("{table} AS {alias}"), sight),
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
            let mut on = format!("{left} = {right}");
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

    pub(super) fn filter(&mut self, sight: &Sight) -> String {
        if self.random.one_in(2) { String::new() } else { format!(" WHERE {}", self.condition(sight, 2)) }
    }

    pub(super) fn direction(&mut self) -> &'static str {
        self.random.pick(&["", "", " DESC", " NULLS FIRST", " DESC NULLS LAST"])
    }

    pub(super) fn limit(&mut self) -> &'static str {
        self.random.pick(&["", "", " LIMIT 3", " LIMIT 2 OFFSET 1", " LIMIT 100", " OFFSET 2"])
    }

    pub(super) fn outputs(&mut self, sight: &Sight, count: u64) -> Vec<String> {
        (0..count)
            .map(|_| {
                let kind = self.kind();
                self.expr(kind, sight, 2)
            })
            .collect()
    }

    fn rows(&mut self) -> Query {
        let (from, sight) = self.from();
        let count = 1 + self.random.below(3);
        let outputs = self.outputs(&sight, count);
        let filter = self.filter(&sight);
        let ordered = !self.random.one_in(3);
        let order = if ordered { self.order(&sight, outputs.len()) } else { String::new() };
        Query { sql: format!("SELECT {} FROM {from}{filter}{order}", named(&outputs)), ordered }
    }

    /// An order of all rows: by some expressions, then by what tells rows apart, then by all that is shown.
    fn order(&mut self, sight: &Sight, outputs: usize) -> String {
        let mut keys = Vec::new();
        for _ in 0..1 + self.random.below(2) {
            let kind = self.kind();
            let depth = u32::from(self.random.one_in(3));
            let key = match kind {
                Kind::Bool => self.column(Kind::Text, sight),
                kind => self.expr(kind, sight, depth),
            };
            // A literal would be the number of a column.
            if key.contains('.') && !key.starts_with(char::is_numeric) && !key.contains("SELECT") {
                keys.push(format!("{key}{}", self.direction()));
            }
        }
        for id in &sight.ids {
            keys.push(format!("{id}{}", self.direction()));
        }
        keys.extend((1..=outputs).map(|at| at.to_string()));
        format!(" ORDER BY {}{}", keys.join(", "), self.limit())
    }

    fn aggregate(&mut self, sight: &Sight) -> String {
        let distinct = self.random.pick(&["", "", "DISTINCT "]);
        let function = match self.random.below(7) {
            0 => "count(*)".to_owned(),
            1 => {
                let kind = self.kind();
                format!("count({distinct}{})", self.expr(kind, sight, 1))
            }
            2 => format!("sum({distinct}{})", self.expr(Kind::Int, sight, 1)),
            3 => format!("avg({})", self.column(Kind::Float, sight)),
            4 => format!("bool_or({})", self.condition(sight, 1)),
            _ => {
                let kind = self.random.pick(&[Kind::Int, Kind::Text, Kind::Float]);
                format!("{}({})", self.random.pick(&["min", "max"]), self.expr(kind, sight, 1))
            }
        };
        let filter =
            if self.random.one_in(4) { format!(" FILTER (WHERE {})", self.condition(sight, 0)) } else { String::new() };
        format!("{function}{filter}")
    }

    fn groups(&mut self) -> Query {
        let (from, sight) = self.from();
        let filter = self.filter(&sight);
        let mut groups = Vec::new();
        for _ in 0..self.random.below(3) {
            let kind = self.random.pick(&[Kind::Int, Kind::Text, Kind::Bool]);
            let depth = u32::from(self.random.one_in(3));
            let group = self.expr(kind, &sight, depth);
            // A literal would be the number of a column.
            if (group.contains('.') || group == "k") && !groups.contains(&group) {
                groups.push(group);
            }
        }
        let aggregates: Vec<_> = (0..1 + self.random.below(3)).map(|_| self.aggregate(&sight)).collect();
        let group = match (groups.is_empty(), self.random.below(5)) {
            (true, _) => String::new(),
            (_, 0) => format!(" GROUP BY ROLLUP ({})", groups.join(", ")),
            (_, 1) => format!(" GROUP BY GROUPING SETS (({}), ({}))", groups.join(", "), groups[0]),
            _ => format!(" GROUP BY {}", groups.join(", ")),
        };
        let having = match self.random.below(4) {
            0 => format!(
                " HAVING {} {} {}",
                self.aggregate_of_ints(&sight),
                self.random.pick(&[">", "<=", "IS DISTINCT FROM"]),
                self.literal(Kind::Int)
            ),
            _ => String::new(),
        };
        let outputs: Vec<_> = groups.into_iter().chain(aggregates).collect();
        let ordered = self.random.one_in(2);
        let order = if ordered {
            let keys: Vec<_> = (1..=outputs.len()).rev().map(|at| format!("{at}{}", self.direction())).collect();
            format!(" ORDER BY {}{}", keys.join(", "), self.limit())
        } else {
            String::new()
        };
        Query { sql: format!("SELECT {} FROM {from}{filter}{group}{having}{order}", named(&outputs)), ordered }
    }

    fn aggregate_of_ints(&mut self, sight: &Sight) -> String {
        match self.random.below(3) {
            0 => "count(*)".to_owned(),
            1 => format!("sum({})", self.column(Kind::Int, sight)),
            _ => format!("max({})", self.column(Kind::Int, sight)),
        }
    }

    fn windows(&mut self) -> Query {
        let (from, sight) = self.from();
        let filter = self.filter(&sight);
        let mut outputs = self.outputs(&sight, 1);
        for _ in 0..1 + self.random.below(2) {
            let partition = if self.random.one_in(2) {
                let kind = self.random.pick(&[Kind::Int, Kind::Text]);
                format!("PARTITION BY {} ", self.column(kind, &sight))
            } else {
                String::new()
            };
            let kind = self.random.pick(&[Kind::Int, Kind::Text]);
            let key = format!("{}{}", self.column(kind, &sight), self.direction());
            let ids: Vec<_> = sight.ids.iter().map(|id| format!("{id}{}", self.random.pick(&["", " DESC"]))).collect();
            let total = format!("{key}, {}", ids.join(", "));
            let column = self.column(Kind::Int, &sight);
            outputs.push(match self.random.below(7) {
                0 => format!("row_number() OVER ({partition}ORDER BY {total})"),
                1 => format!("rank() OVER ({partition}ORDER BY {key})"),
                2 => format!("dense_rank() OVER ({partition}ORDER BY {key})"),
                3 => format!("sum({column}) OVER ({partition}ORDER BY {key})"),
                4 => format!(
                    "{}({column}) OVER ({partition}ORDER BY {total})",
                    self.random.pick(&["lag", "lead", "first_value", "last_value"])
                ),
                5 => format!(
                    "count({column}) OVER ({partition}ORDER BY {total} ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)"
                ),
                _ => format!("max({column}) OVER ({})", partition.trim_end()),
            });
        }
        let qualify =
            if self.random.one_in(6) { format!(" QUALIFY {} IS NOT NULL", outputs[1]) } else { String::new() };
        let ordered = self.random.one_in(2);
        let order = if ordered { self.order(&sight, outputs.len()) } else { String::new() };
        Query { sql: format!("SELECT {} FROM {from}{filter}{qualify}{order}", named(&outputs)), ordered }
    }
}

/// The columns of an answer, named by their places.
pub(super) fn named(outputs: &[String]) -> String {
    outputs.iter().enumerate().map(|(at, expr)| format!("{expr} AS c{at}")).collect::<Vec<_>>().join(", ")
}
