//! What the library says of a query, in the words of SQL: clients know its types by the names that `CAST` takes.

use super::type_names;

/// What is said when nothing better is known.
pub(super) const OTHERWISE: &str = "the query engine cannot run this query: write it in another way";

/// Prefixes that say which part of the library complains.
const PARTS: &[&str] = &["Cast error: ", "Invalid argument error: ", "Parser error: ", "Internal error: "];

/// What quotes the query itself, whose words are not to be changed.
const QUOTES: &[&str] =
    &["No field named ", "Invalid function ", "Expected: ", "Ambiguous reference ", "WITH query name "];

/// What holds names of the query, among words of the library.
const NAMES: &[&str] =
    &["Aggregate function ", "Cannot find column ", "Column in SELECT ", "For SELECT DISTINCT", "HAVING clause "];

/// Words that only people who know the library understand.
const OF_THE_LIBRARY: &[&str] = &[
    "Array",
    "Arrow",
    "DataFusion",
    "DataType",
    "Expr",
    "Ident",
    "Physical",
    "ScalarValue",
    "Signature",
    "Span",
    "TypeSignature",
    "coerce",
    "coercion",
    "expr",
    "physical",
    "plan",
    "signature",
];

/// A complaint, as it is shown.
pub(super) fn plain(line: &str) -> String {
    let mut line = line;
    while let Some(rest) = PARTS.iter().find_map(|part| line.strip_prefix(part)) {
        line = rest;
    }
    if QUOTES.iter().any(|start| line.starts_with(start)) {
        return line.to_owned();
    }
    if let Some(ours) =
        of_a_function(line).or_else(|| of_types(line)).or_else(|| of_a_value(line)).or_else(|| known(line))
    {
        return ours;
    }
    let written = type_names::in_sql(line);
    let is_strange = |word: &str| OF_THE_LIBRARY.contains(&word);
    let has_names = NAMES.iter().any(|start| line.starts_with(start));
    if !has_names && outside_quotes(&written).split(|letter: char| !letter.is_alphanumeric()).any(is_strange) {
        return OTHERWISE.to_owned();
    }
    written
}

/// A text without what stands in it between quotes, which the client wrote.
fn outside_quotes(text: &str) -> String {
    text.split(['\'', '"', '`']).step_by(2).collect::<Vec<_>>().join(" ")
}

/// Complaints about the arguments of a function.
fn of_a_function(line: &str) -> Option<String> {
    let said = |name: &str, rest: &str| Some(format!("`{}` {rest}", name.to_lowercase()));
    if let Some((_, called)) = line.split_once("argument types '") {
        let (name, types) = called.split_once('(')?;
        let types = types.rsplit_once(")'")?.0;
        if types.is_empty() {
            return said(name, "takes an argument");
        }
        if line.contains("expected zero argument") {
            return said(name, "takes no argument");
        }
        let count = ["expects ", "expected "].iter().find_map(|word| {
            let (count, rest) = line.split_once(word)?.1.split_once(' ')?;
            rest.starts_with("argument").then(|| count.parse::<usize>().ok())?
        });
        return match count {
            Some(1) => said(name, "takes one argument"),
            Some(count) => said(name, &format!("takes {count} arguments")),
            None => said(name, &format!("does not take ({}): cast the arguments", type_names::in_sql(types))),
        };
    }
    if let Some(rest) = line.strip_prefix("Function '") {
        let (name, rest) = rest.split_once('\'')?;
        let given = rest.split("but received ").find_map(|given| Some(given.split_once("(DataType: ")?.1));
        return match given.and_then(|given| given.rsplit_once(')')) {
            Some((given, _)) => said(name, &format!("does not take {}: cast it", type_names::in_sql(given))),
            None => said(name, "does not take these arguments: cast them"),
        };
    }
    if let Some((name, given)) = line.split_once(" function unsupported data type at index ") {
        let given = given.split_once(": ")?.1;
        return said(name, &format!("does not take {} there: cast it", type_names::in_sql(given)));
    }
    if let Some(rest) = line.strip_prefix("Unsupported data type ") {
        let (given, name) = rest.split_once(" for function ")?;
        return said(name, &format!("does not take {}: cast it", type_names::in_sql(given)));
    }
    if let Some(rest) = line.strip_prefix("Support for '") {
        let (name, rest) = rest.split_once("' for data type ")?;
        let given = type_names::in_sql(rest.split_once(" is not")?.0);
        return said(name, &format!("does not take {given}: cast it"));
    }
    if let Some(rest) = line.strip_prefix("[return_type] ") {
        let (name, given) = rest.split_once(" not supported for ")?;
        return said(name, &format!("does not take {}: cast it", type_names::in_sql(given)));
    }
    if let Some((name, rest)) = line.split_once("(DISTINCT)")
        && !name.contains(' ')
        && rest.contains("not ")
    {
        return said(name, "of distinct values is not available: leave out DISTINCT");
    }
    None
}

/// Complaints about types that do not go together.
fn of_types(line: &str) -> Option<String> {
    let apart = |what: &str| {
        let what = type_names::in_sql(what);
        if what.contains("INTERVAL") && what.contains(['*', '/', '%']) {
            return Some("intervals can be added and subtracted only".to_owned());
        }
        Some(format!("{what} cannot be computed: cast what does not fit"))
    };
    if line.starts_with("Cannot infer common ") {
        let (_, operands) = line.split_once("operation ")?;
        return apart(&operands.replace("BIT_XOR", "^"));
    }
    if let Some(rest) = line.strip_prefix("Cannot coerce arithmetic expression ") {
        return apart(rest.split_once(" to valid types").map_or(rest, |(what, _)| what));
    }
    if let Some(rest) = line.strip_prefix("Cannot get result type for ") {
        let (_, operands) = rest.split_once("operation ")?;
        return apart(
            operands
                .rsplit_once(": Invalid ")
                .map_or(operands, |(what, _)| what.rsplit_once(": Invalid ").map_or(what, |(what, _)| what)),
        );
    }
    for start in
        ["Invalid arithmetic operation: ", "Invalid string/binary operation: ", "Invalid comparison operation: "]
    {
        if let Some(operands) = line.strip_prefix(start) {
            return apart(&operands.replace('!', "- "));
        }
    }
    if let Some(rest) = line.strip_prefix("There isn't a common type to coerce ") {
        let (left, rest) = rest.split_once(" and ")?;
        let (right, operator) = rest.split_once(" in ")?;
        return apart(&format!("{left} {} {right}", operator.split_once(' ')?.0));
    }
    if let Some(rest) = line.strip_prefix("Failed to coerce case (") {
        let (case, when) = rest.split_once(") and ")?;
        let when = when.split_once('(')?.1.split_once(") to common")?.0;
        return apart(&format!("CASE of {case} and {when}"));
    }
    if let Some(rest) = line.strip_prefix("Failed to coerce types ") {
        return apart(&format!("BETWEEN of {}", rest.split_once(" in BETWEEN")?.0));
    }
    if let Some(given) = line.strip_prefix("Cannot run range queries on datatype: ") {
        let given = type_names::in_sql(given.trim_end_matches('.'));
        return Some(format!(
            "a window in the order of {given} needs a frame of ROWS, such as ROWS UNBOUNDED PRECEDING"
        ));
    }
    if line.starts_with("Failed to coerce then (") {
        return Some("the results of a CASE have types that do not go together: cast them".to_owned());
    }
    if let Some(rest) = line.strip_prefix("Can not find compatible types to compare ") {
        let (value, list) = rest.split_once(" with ")?;
        return apart(&format!("{value} IN ({})", list.trim_matches(['[', ']'])));
    }
    if let Some(rest) =
        line.strip_prefix("Unsupported CAST from ").or_else(|| line.strip_prefix("Cannot automatically convert "))
    {
        let (from, to) = rest.split_once(" to ")?;
        return Some(format!("{} cannot be cast to {}", type_names::in_sql(from), type_names::in_sql(to)));
    }
    if let Some(rest) = line.strip_prefix("Casting from ") {
        let (from, to) = rest.split_once(" to ")?;
        let to = to.split_once(" not supported").map_or(to, |(to, _)| to);
        return Some(format!("{} cannot be cast to {}", type_names::in_sql(from), type_names::in_sql(to)));
    }
    if let Some(given) = line.strip_prefix("Unsupported SQL type ") {
        let known = "BIGINT, DOUBLE, DECIMAL(p, s), VARCHAR, BOOLEAN, TIMESTAMP, DATE, TIME or INTERVAL";
        return Some(format!("there is no type {given}: write {known}"));
    }
    if let Some(rest) = line.strip_prefix("Incompatible inputs for Union: ") {
        let (_, rest) = rest.split_once("of type ")?;
        let (one, rest) = rest.split_once(", but got incompatible type ")?;
        return apart(&format!("UNION of {one} and {}", rest.split_once(" on ")?.0));
    }
    if let Some(rest) = line.strip_prefix("Unary operator '") {
        let (operator, rest) = rest.split_once('\'')?;
        let given = rest
            .split_once(", got ")
            .map_or_else(String::new, |(_, given)| format!(", not {}", type_names::in_sql(given)));
        let takes = if operator == "NOT" { "a boolean" } else { "a number or an interval" };
        return Some(format!("{operator} takes {takes}{given}"));
    }
    None
}

/// Complaints about values.
fn of_a_value(line: &str) -> Option<String> {
    for start in ["Cannot cast string '", "Cannot cast value '"] {
        if let Some(rest) = line.strip_prefix(start) {
            let (value, found) = rest.rsplit_once("' to value of ")?;
            let found = type_names::in_sql(found.strip_suffix(" type").unwrap_or(found));
            return Some(format!("'{value}' is not a value of {found}"));
        }
    }
    let out_of = |value: &str, found: &str| Some(format!("{value} is out of range of {}", type_names::in_sql(found)));
    if let Some(rest) = line.strip_prefix("Can't cast value ") {
        let (value, found) = rest.rsplit_once(" to type ")?;
        return out_of(value, found);
    }
    if let Some(rest) = line.strip_prefix("value of ") {
        let (value, found) = rest.split_once(" is out of range ")?;
        return out_of(value, found);
    }
    for middle in [" is too large to store in a Decimal", " is too small to store in a Decimal"] {
        if let Some((value, rest)) = line.split_once(middle) {
            let digits = rest.split_once("precision ")?.1.split('.').next()?;
            return Some(format!("{value} is out of range of a DECIMAL of {digits} digits"));
        }
    }
    if let Some(rest) = line.strip_prefix("Cannot cast to ") {
        let (found, value) = rest.split_once(". Overflowing on ")?;
        return out_of(value, found);
    }
    if let Some((_, rest)) = line.split_once("Array overflow on ") {
        return Some(format!("the result of {rest} is out of range"));
    }
    if let Some(rest) = line.strip_prefix("Invalid timezone \"") {
        let (zone, _) = rest.rsplit_once("\":")?;
        let instead = "write a name, such as Europe/Berlin, or an offset, such as +02:00";
        return Some(format!("there is no time zone `{zone}`: {instead}"));
    }
    if line == "Timestamp out of range" {
        return Some("an instant and an interval together leave the calendar: write a shorter interval".to_owned());
    }
    if let Some(rest) = line.strip_prefix("Timestamp ") {
        return rest
            .contains("out of range")
            .then(|| "`date_trunc` reaches from 1677 to 2262 only: use date_bin beyond".to_owned());
    }
    if line.starts_with("Too many columns! ") {
        return Some("a subquery gives one column here".to_owned());
    }
    if let Some(rest) = line.strip_prefix("Projections require unique expression names but the expression ") {
        let name = rest.split_once(" at position ")?.0.trim_matches('"');
        let name = type_names::in_sql(name.rsplit_once(" AS ").map_or(name, |(_, alias)| alias));
        return Some(format!("two columns are named `{name}`: rename one with AS"));
    }
    if let Some(rest) = line.strip_prefix("Schema contains duplicate ") {
        let (_, name) = rest.split_once("field name ")?;
        let name = type_names::in_sql(name.trim_matches('"'));
        return Some(format!("two columns are named `{name}`: rename one with AS"));
    }
    if let Some((before, _)) = line.split_once(" at Line: ")
        && before.starts_with("No infix parser for token ")
    {
        let (_, place) = line.split_once(" at Line: ")?;
        return Some(format!("there is no such operator at Line: {place}"));
    }
    if let Some(rest) = line.strip_prefix("Argument ") {
        let (argument, _) = rest.split_once(" to grouping function")?;
        return Some(format!("{} does not stand in GROUP BY, which `grouping` asks for", type_names::in_sql(argument)));
    }
    if line.starts_with("Operator ") && line.ends_with(" is not yet supported") {
        return Some("this operator is not available".to_owned());
    }
    if line.starts_with("nth_value not supported for n") {
        return Some("`nth_value` takes a literal number".to_owned());
    }
    None
}

/// Complaints that are known by a part of theirs.
fn known(line: &str) -> Option<String> {
    if line.contains("The dates that can be represented as nanoseconds")
        || line.ends_with("exceeds the representable i64 range")
    {
        let advice = "write CAST('9999-12-31' AS TIMESTAMP(3))";
        return Some(format!("this instant needs a type of milliseconds, which reach beyond 1677 and 2262: {advice}"));
    }
    let (_, ours) = KNOWN.iter().find(|(theirs, _)| line.contains(theirs))?;
    Some((*ours).to_owned())
}

/// Parts of complaints, and what is said in their place.
const KNOWN: &[(&str, &str)] = &[
    ("nested_expressions", "arrays are not supported"),
    ("Substring without for/from is not valid", "`substr` takes a text and a position"),
    ("Unsupported interval argument", "INTERVAL takes a literal: multiply an interval by a number for others"),
    ("Span(Location(", "an expression of this kind is not available"),
    (
        "Physical plan does not support logical expression",
        "an expression cannot stand where it does: compute it in FROM",
    ),
    ("physical plan is not yet implemented for GROUPING", "`grouping` stands in a query with GROUP BY only"),
    ("Unsupported ast node in sqltorel", "an expression of this kind is not available"),
    ("not supported by ExprPlanner", "an expression of this kind is not available"),
    ("Unsupported Value '", "a literal of this kind is not available"),
    ("has no type information", "variables are not available"),
    ("was not provided a value for execution", "parameters are not available: write the values"),
    ("Unsupported binary operator", "this operator is not available"),
    ("Unsupported SQL unary operator", "this operator is not available"),
    ("is not supported in the physical expr", "this operator is not available for these types"),
    (
        "Conflicting ordering requirements in aggregate",
        "aggregates of one SELECT take one ORDER BY: compute each in a subquery, and join them",
    ),
    ("Unsupported JOIN operator", "a join of this kind is not available"),
    ("AvgAccumulator for (", "`avg` does not take a value without a type: cast it"),
    ("Unsupported data type Array(", "a function does not take a value of this type: cast it"),
    ("user-defined coercion failed", "a function does not take arguments of these types: cast them"),
    ("Unavailable default cast", "a function does not take arguments of these types: cast them"),
    ("`retract_batch` is not implemented", "this aggregate cannot be computed over a window that moves"),
    ("Cannot create filter with non-boolean predicate", "a condition must be a boolean"),
    ("Join condition must be boolean type", "a condition must be a boolean"),
    ("There is only support Literal types", "a window function takes a literal there"),
    ("must be Float32 or Float64 literal", "`percentile_cont` takes a literal number from 0 to 1"),
    ("Granularity of `date_trunc`", "the first argument of `date_trunc` is a literal, such as 'hour'"),
    ("DATE_BIN only supports literal", "the step and the origin of `date_bin` are literals"),
    (
        "DATE_BIN stride does not support combination",
        "the step of `date_bin` is of years and months, or of days and less: write one of the two",
    ),
    (
        "overflows timestamp nanoseconds",
        "`to_timestamp` reaches from 1677 to 2262 only: write to_timestamp_seconds beyond",
    ),
    ("IntervalMonthDayNano {", "a time is out of range"),
    ("Invalid explain format", "EXPLAIN takes no options: no ANALYZE, VERBOSE or FORMAT"),
    ("Unsupported Interval Expression", "an interval is written with its units, as in INTERVAL '1 year 2 months'"),
    ("Only identifiers and literals are supported in tuples", "a row holds names and literals"),
    ("Unsupported LIMIT expression", "LIMIT and OFFSET take numbers"),
    ("Format error", "not a format of times: write it with %, as in '%Y-%m-%d %H:%M:%S'"),
    ("column types must match schema types", "a function does not take these arguments"),
    ("Cannot cast timezone to different timezone", "clocks that change skip or repeat this local time in the zone"),
    ("error computing timezone offset", "clocks that change skip or repeat this local time in the zone"),
    ("Compiled regex exceeds size limit", "the regular expression is too large"),
    ("CompiledTooBig", "the regular expression is too large"),
    ("Regular expression did not compile", "not a regular expression, or one that is too large"),
    ("Divide by zero", "division by zero"),
    ("Unable to cast to Date32", "a date is out of range"),
    ("non UTF-8 data", "the bytes are no text"),
    ("Cannot access field at argument", "a field is read from a struct only"),
    ("invalid digit found in string", "ORDER BY and GROUP BY take a whole number of a column"),
    ("should satisfy `0 < precision", "a decimal has at most 38 digits, and no more behind the point than altogether"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_told_in_the_words_of_sql() {
        for (theirs, ours) in [
            (
                "Function 'abs' expects 1 arguments but received 2. No function matches the given name and argument types \
                 'abs(Binary, Decimal128(10, 2))'. You might need to add explicit type casts.",
                "`abs` takes one argument",
            ),
            (
                "Failed to coerce arguments to satisfy a call to 'bool_and' function: coercion from Timestamp(ms, \"UTC\") \
                 to the signature Exact(Boolean) failed. No function matches the given name and argument types \
                 'bool_and(Timestamp(ms, \"UTC\"))'. You might need to add explicit type casts.",
                "`bool_and` does not take (TIMESTAMP): cast the arguments",
            ),
            (
                "Cannot infer common argument type for comparison operation Boolean = Utf8View",
                "BOOLEAN = VARCHAR cannot be computed: cast what does not fit",
            ),
            ("Cast error: Cannot cast string 'Int64' to value of Int64 type", "'Int64' is not a value of BIGINT"),
            ("No field named Int64.", "No field named Int64."),
            ("Internal error: something with a DataType", OTHERWISE),
            ("'the plan' is odd", "'the plan' is odd"),
        ] {
            assert_eq!(plain(theirs), ours);
        }
    }
}
