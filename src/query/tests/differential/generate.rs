//! Queries that a seed decides.

use super::random::Random;
use super::tables::{Columns, Kind};

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

    /// The same columns, where these tell rows apart.
    pub(super) fn told_apart_by(self, table: &str, names: &[&str]) -> Self {
        let ids = names.iter().map(|name| format!("{table}.{name}")).collect();
        Self { ids, ..self }
    }

    pub(super) fn add(&mut self, other: Self) {
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
        let function = match self.random.below(9) {
            0 => "count(*)".to_owned(),
            1 => {
                let kind = self.kind();
                format!("count({distinct}{})", self.expr(kind, sight, 1))
            }
            2 => format!("sum({distinct}{})", self.expr(Kind::Int, sight, 1)),
            3 => format!("avg({})", self.column(Kind::Float, sight)),
            4 => format!("bool_or({})", self.condition(sight, 1)),
            5 => format!("string_agg({0}, ',' ORDER BY {0})", self.column(Kind::Text, sight)),
            6 => format!("{}({})", self.random.pick(&["median", "stddev", "var_pop"]), self.column(Kind::Float, sight)),
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
            (_, 2) if groups.len() == 2 => format!(" GROUP BY CUBE ({})", groups.join(", ")),
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
            outputs.push(match self.random.below(11) {
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
                6 => format!(
                    "{}({column}) OVER ({})",
                    self.random.pick(&["max", "min", "sum", "count"]),
                    partition.trim_end()
                ),
                7 => {
                    let frame = self.random.pick(&[
                        "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING",
                        "ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
                        "ROWS BETWEEN 1 FOLLOWING AND 2 FOLLOWING",
                        "ROWS BETWEEN 1 PRECEDING AND CURRENT ROW",
                        "ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING",
                    ]);
                    let function = self.random.pick(&["sum", "min", "max", "count", "first_value", "last_value"]);
                    format!("{function}({column}) OVER ({partition}ORDER BY {total} {frame})")
                }
                8 => format!("ntile(2) OVER ({partition}ORDER BY {total})"),
                9 => format!("{}() OVER ({partition}ORDER BY {key})", self.random.pick(&["percent_rank", "cume_dist"])),
                _ => format!("lag({column}, 2, 7) OVER ({partition}ORDER BY {total})"),
            });
        }
        let qualify =
            if self.random.one_in(6) { format!(" QUALIFY {} IS NOT NULL", outputs[1]) } else { String::new() };
        let ordered = self.random.one_in(2);
        let order = match (ordered, self.random.one_in(2)) {
            (true, true) => self.order_by_window(&sight, outputs.len()),
            (true, false) => self.order(&sight, outputs.len()),
            _ => String::new(),
        };
        Query { sql: format!("SELECT {} FROM {from}{filter}{qualify}{order}", named(&outputs)), ordered }
    }

    /// An order of all rows: by windows, or by a column and then by windows.
    fn order_by_window(&mut self, sight: &Sight, outputs: usize) -> String {
        let mut keys = Vec::new();
        if self.random.one_in(2) {
            let kind = self.random.pick(&[Kind::Int, Kind::Text]);
            keys.extend(Some(self.column(kind, sight)).filter(|key| key.contains('.')));
        }
        keys.extend((1..outputs).rev().map(|at| format!("c{at}{}", self.direction())));
        keys.extend(sight.ids.iter().cloned());
        format!(" ORDER BY {}, c0{}", keys.join(", "), self.limit())
    }
}

/// The columns of an answer, named by their places.
pub(super) fn named(outputs: &[String]) -> String {
    outputs.iter().enumerate().map(|(at, expr)| format!("{expr} AS c{at}")).collect::<Vec<_>>().join(", ")
}
