//! Queries that are refused, and the words in which they are.

use super::super::functions;
use super::differential::random::Random;
use super::*;

/// Values of each type that a query can name.
const VALUES: &[&str] = &[
    "i",
    "f",
    "t",
    "b",
    "p_timestamp",
    "DATE '2026-01-01'",
    "INTERVAL '1 day'",
    "CAST(1.5 AS DECIMAL(10, 2))",
    "named_struct('a', 1)",
    "NULL",
    "'x'",
    "1",
    "1.5",
    "true",
    "(now() - p_timestamp)",
    "CAST('05:06:07' AS TIME)",
    "CAST(1 AS REAL)",
    "CAST(1 AS SMALLINT)",
    "X'ff'",
    "CAST(1 AS BIGINT UNSIGNED)",
];

const TYPES: &[&str] = &[
    "BIGINT",
    "INT",
    "SMALLINT",
    "TINYINT",
    "DOUBLE",
    "REAL",
    "VARCHAR",
    "BOOLEAN",
    "TIMESTAMP",
    "TIMESTAMP(3)",
    "DATE",
    "TIME",
    "INTERVAL",
    "DECIMAL(10, 2)",
    "DECIMAL(3, 5)",
    "BYTEA",
    "BIGINT UNSIGNED",
    "UUID",
    "nothing",
    "INT[]",
];

const OPERATORS: &[&str] = &[
    "+",
    "-",
    "*",
    "/",
    "%",
    "=",
    "<",
    "<>",
    "AND",
    "OR",
    "||",
    "LIKE",
    "ILIKE",
    "~",
    "!~*",
    "&",
    "|",
    "^",
    "#",
    "->",
    "->>",
    "IS DISTINCT FROM",
    "@>",
    "@@",
    "**",
    "//",
    "OVERLAPS",
    "?",
    "DIV",
    "^@",
    ":=",
    "<<",
    "IN (1, 'x', true, 2) =",
    "BETWEEN 1 AND",
    "[1] =",
];

/// Places for a value.
const PLACES: &[&str] = &[
    "-{}",
    "~{}",
    "NOT {}",
    "{} IS TRUE",
    "{} BETWEEN 1 AND 'x'",
    "CASE WHEN {} THEN 1 END",
    "CASE {} WHEN b THEN 1 ELSE 'x' END",
    "CASE WHEN b THEN {} WHEN true THEN i ELSE p_timestamp END",
    "extract(year FROM {})",
    "extract(nothing FROM {})",
    "{} AT TIME ZONE 'UTC'",
    "count(*) FILTER (WHERE {})",
    "sum(i) OVER (ORDER BY {} RANGE BETWEEN 1 PRECEDING AND CURRENT ROW)",
    "rank() OVER (PARTITION BY {0} ORDER BY {0})",
    "sum(i) OVER (ORDER BY i ROWS {} PRECEDING)",
    "lag(i, {}) OVER (ORDER BY i)",
    "nth_value(i, {}) OVER (ORDER BY i)",
    "ntile({}) OVER (ORDER BY i)",
    "percentile_cont({}) WITHIN GROUP (ORDER BY f)",
    "string_agg(t, {})",
    "substring({} FROM 1 FOR 2)",
    "trim({})",
    "position({} IN t)",
    "ceil({} TO DAY)",
    "INTERVAL {} DAY",
    "(SELECT {}, i FROM v)",
    "(SELECT {} FROM v)",
    "i = ANY ({})",
    "({}).a",
    "{}[1]",
    "sum(sum({}))",
    "grouping({})",
    "i IN (SELECT {} FROM v)",
    "t > ALL (SELECT {} FROM v)",
    "coalesce({}, b)",
    "date_bin({}, p_timestamp)",
    "date_trunc({}, p_timestamp)",
];

const QUERIES: &[&str] = &[
    "SELECT 1 AS x FROM v WHERE {}",
    "SELECT 1 AS x FROM v HAVING {}",
    "SELECT 1 AS x FROM v LIMIT {}",
    "SELECT 1 AS x FROM v OFFSET {}",
    "SELECT 1 AS x FROM v ORDER BY {}",
    "SELECT {}, count(*) AS n FROM v",
    "SELECT {} FROM v UNION SELECT b FROM v",
    "SELECT x FROM (VALUES ({}), (true), ('z')) AS t(x)",
    "SELECT a.i FROM v a JOIN v b ON {}",
];

const OTHERS: &[&str] = &[
    "SELECT nothing FROM v",
    "SELECT I FROM v",
    "SELECT x.i FROM v",
    "SELECT a.i, i FROM v a JOIN v b ON a.i = b.i",
    "SELECT U&'\\0041' AS x",
    "SELECT $1 AS x",
    "SELECT @a AS x",
    "SELECT X'zz' AS x",
    "SELECT INTERVAL '1-2' YEAR TO MONTH AS x",
    "SELECT INTERVAL 'x' AS x",
    "SELECT TIMESTAMP '2026-13-45T00:00:00' AS x",
    "SELECT TIMESTAMP '2024-03-10T02:30:00' AT TIME ZONE 'America/New_York' AS x",
    "SELECT '2024-03-10T02:30:00' AT TIME ZONE 'America/New_York' AS x",
    "SELECT CAST('2024-03-10T02:30:00 Nowhere' AS TIMESTAMP) AS x",
    "SELECT abs(i) AS x FROM v",
    "SELECT -i AS x FROM v",
    "SELECT i / 0 AS x FROM v",
    "SELECT CAST(i AS SMALLINT) AS x FROM v",
    "SELECT CAST(1e30 AS BIGINT) AS x",
    "SELECT CAST(99999 AS DECIMAL(3, 1)) AS x",
    "SELECT gcd(i, 0) AS x FROM v",
    "SELECT date_trunc('day', from_unixtime(99999999999)) AS x",
    "SELECT date_bin(INTERVAL '1 day', p_timestamp, p_timestamp) AS x FROM v",
    "SELECT regexp_like('a', '(a{1000}){1000}') AS x",
    "SELECT t ~ '(a{1000}){1000}' AS x FROM v",
    "SELECT regexp_replace(t, '((a{100}){100}){100}', 'x') AS x FROM v",
    "SELECT regexp_count(t, '(a{1000}){1000}') AS x FROM v",
    "SELECT json_as_text(t, b) AS x FROM v",
    "SELECT t -> f AS x FROM v",
    "SELECT i -> 'a' AS x FROM v",
    "SELECT * FROM (SELECT 1 AS x, 2 AS x) AS a",
    "SELECT i, i FROM v",
    "SELECT * FROM (VALUES (1), (1, 2)) AS a",
    "SELECT array_agg(i)[1] AS x FROM v",
    "SELECT abs(array_agg(i)) AS x FROM v",
    "SELECT * FROM (SELECT array_agg(i) AS l FROM v) WHERE l > 1",
    "SELECT CAST(array_agg(i) AS BIGINT) AS x FROM v",
    "SELECT named_struct('a', 1) + 1 AS x FROM v",
    "SELECT t.a FROM v",
    "SELECT t['a'] AS x FROM v",
    "SELECT i FROM v GROUP BY t",
    "SELECT sum(i) AS x FROM v GROUP BY sum(i)",
    "SELECT i FROM v ORDER BY 1.5",
    "SELECT t LIKE ANY ('a', 'b') AS x FROM v",
    "SELECT round(f, i) AS x FROM v",
    "SELECT abs(x => 1) AS x FROM v",
    "WITH RECURSIVE a AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM a) SELECT * FROM a",
];

/// Words that only people who know the library understand.
const STRANGE: &[&str] = &[
    "Array",
    "Arrow",
    "Binary",
    "Boolean",
    "DataFusion",
    "DataType",
    "Date32",
    "Decimal128",
    "Duration",
    "Exact",
    "Expr",
    "Float32",
    "Float64",
    "Ident",
    "Int16",
    "Int32",
    "Int64",
    "Int64Array",
    "Internal",
    "LargeUtf8",
    "List",
    "MonthDayNano",
    "Null",
    "Parser",
    "Physical",
    "ScalarValue",
    "Signature",
    "Span",
    "Struct",
    "Time64",
    "Timestamp",
    "TypeSignature",
    "UInt64",
    "Utf8",
    "Utf8View",
    "coerce",
    "coercion",
    "expr",
    "physical",
    "plan",
    "signature",
];

fn queries(random: &mut Random) -> Vec<String> {
    let mut queries: Vec<String> = OTHERS.iter().map(|sql| (*sql).to_owned()).collect();
    let of = |expression: String| format!("SELECT {expression} AS x FROM v");
    let scalar = functions::scalar().into_iter().map(|function| (function.name().to_owned(), ""));
    let aggregate = functions::aggregate().into_iter().map(|function| (function.name().to_owned(), ""));
    let window = functions::window().into_iter().map(|function| (function.name().to_owned(), " OVER (ORDER BY i)"));
    for (name, over) in scalar.chain(aggregate).chain(window) {
        for arguments in [0, 1, 1, 2, 2, 3, 4] {
            let given: Vec<_> = (0..arguments).map(|_| random.pick(VALUES)).collect();
            queries.push(of(format!("{name}({}){over}", given.join(", "))));
        }
        queries.push(of(format!("{name}(DISTINCT {}) OVER (ORDER BY i ROWS 1 PRECEDING)", random.pick(VALUES))));
    }
    for value in VALUES {
        for written in TYPES {
            queries.push(of(format!("CAST({value} AS {written})")));
        }
        for operator in OPERATORS {
            queries.push(of(format!("{value} {operator} {}", random.pick(VALUES))));
        }
        for place in PLACES {
            queries.push(of(place.replace("{}", value).replace("{0}", value)));
        }
        queries.extend(QUERIES.iter().map(|query| query.replace("{}", value)));
    }
    queries
}

#[tokio::test]
async fn a_refusal_speaks_of_the_query_and_not_of_the_engine() {
    let seed = std::env::var("KEYLOFT_TEST_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed = seed.unwrap_or_else(|| fresh().as_u128() as u64);
    eprintln!("KEYLOFT_TEST_SEED={seed}");
    let house = House::new();
    let columns = vec![
        ("t", texts(&["", "2026-01-01"])),
        ("i", ints(&[i64::MIN, 3])),
        ("f", floats(&[f64::MIN, 1.5])),
        ("b", Arc::new(arrow::array::BooleanArray::from(vec![true, false])) as ArrayRef),
    ];
    house.store("default", "v", "2026-11-20T10:00:00Z", columns).await;
    let (mut refused, mut unknown, mut wrong) = (0, Vec::new(), Vec::new());
    for sql in queries(&mut Random::new(seed)) {
        let Err(error) = house.ask(everything("default"), request(&sql), Format::NdJson).await else { continue };
        refused += 1;
        let message = error.message();
        let outside_quotes = message.split(['\'', '"', '`']).step_by(2).collect::<Vec<_>>().join(" ");
        if outside_quotes.split(|letter: char| !letter.is_alphanumeric()).any(|word| STRANGE.contains(&word)) {
            wrong.push(format!("{sql}\n  {message}"));
        }
        if message.ends_with("write it in another way") {
            unknown.push(sql);
        }
    }
    assert!(wrong.is_empty(), "seed {seed}\n{}", wrong.join("\n"));
    assert!(refused > 1500, "{refused}");
    assert!(unknown.len() * 50 < refused, "seed {seed}, {} of {refused}\n{}", unknown.len(), unknown.join("\n"));
}

#[tokio::test]
async fn a_refusal_says_what_to_write() {
    let house = House::new();
    house.cars().await;
    for (expression, words) in [
        ("true = 'x' || Name", "BOOLEAN = VARCHAR cannot be computed"),
        ("abs(-9223372036854775807 - Miles_per_Gallon)", "too large"),
        ("json_as_text(Name, true)", "`json_as_text` does not take (VARCHAR, BOOLEAN): cast the arguments"),
        ("sum(Name)", "`sum` does not take"),
        ("abs(1, 2)", "`abs` takes one argument"),
        ("CAST('x' AS BIGINT)", "'x' is not a value of BIGINT"),
        ("CAST(Miles_per_Gallon AS SMALLINT)", "is out of range of SMALLINT"),
        ("CAST(Name AS UUID)", "there is no type UUID: write BIGINT"),
        ("CAST('2026-01-01T00:00:00 Nowhere' AS TIMESTAMP)", "there is no time zone `Nowhere`"),
        ("U&'x'", "a literal of this kind is not available"),
        ("Name ~ '(a{1000}){1000}'", "regular expression is too large"),
        ("date_trunc('day', from_unixtime(99999999999))", "use date_bin"),
        ("p_timestamp + INTERVAL '300000 years' > p_timestamp", "leave the calendar"),
        ("to_timestamp_millis('9999-12-31')", "write CAST('9999-12-31' AS TIMESTAMP(3))"),
        ("to_unixtime('9999-12-31')", "write CAST('9999-12-31' AS TIMESTAMP(3))"),
        ("date_bin(INTERVAL '1 month 1 day', p_timestamp)", "the step of `date_bin` is"),
        ("rank() OVER (ORDER BY X'ff')", "needs a frame of ROWS"),
        ("Miles_per_Gallon # 1", "there is no such operator at Line: 1"),
        (
            "string_agg(Name, ',' ORDER BY Name) AS y, string_agg(Name, ',' ORDER BY Miles_per_Gallon)",
            "aggregates of one SELECT take one ORDER BY",
        ),
    ] {
        let error = house.refused(&format!("SELECT {expression} AS x FROM cars")).await;
        assert!(error.message().contains(words), "{expression}: {error}");
    }
}
