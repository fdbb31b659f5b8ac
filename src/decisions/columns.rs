//! Events as a stream holds them: columns, in which nested names are joined by `_`.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type};

use crate::policy::Value;
use crate::policy::event::{Arrival, Event, Json, Names};
use crate::policy::set::{Traffic, TrafficFormat};
use crate::stream::Field;

/// Our fields under the names of `POST /api/v1/decide`.
const OURS: [(&str, &str); 19] = [
    ("observed_at", "observedAt"),
    ("client_ip", "clientIp"),
    ("country", "country"),
    ("asn", "asn"),
    ("tls_version", "tls.version"),
    ("tls_ja3", "tls.ja3"),
    ("tls_ja4", "tls.ja4"),
    ("request_method", "request.method"),
    ("request_scheme", "request.scheme"),
    ("request_host", "request.host"),
    ("request_path", "request.path"),
    ("request_query", "request.query"),
    ("request_bytes", "request.bytes"),
    ("user_agent", "request.headers.user-agent"),
    ("referer", "request.headers.referer"),
    ("content_type", "request.headers.content-type"),
    ("response_status", "response.status"),
    ("response_bytes", "response.bytes"),
    ("duration_ms", "response.durationMs"),
];
/// The columns of headers, cookies and payloads under those names, and what our fields begin with.
const FAMILIES: [(&str, &str, &str); 3] = [
    ("request_headers_", "request.headers.", "request_header_"),
    ("request_cookies_", "request.cookies.", "request_cookie_"),
    ("payload_", "payload.", "payload_"),
];

/// The columns of some events that mean something to policies.
#[derive(Debug)]
pub struct Columns {
    names: Names,
    /// With the place of the name of each. Of several with one name, the last that an event has counts.
    columns: Vec<(usize, Vec<ArrayRef>)>,
    rows: usize,
}

impl Columns {
    /// Those of these columns that the traffic of a set names.
    pub fn new(traffic: &Traffic, fields: &[Field], columns: &[ArrayRef]) -> Self {
        let names = names(traffic, fields);
        let mut named = Vec::new();
        for (name, dotted) in names.theirs().enumerate() {
            let places = fields.iter().enumerate().filter(|(_, field)| holds(field, dotted)).map(|(at, _)| at);
            let arrays: Vec<ArrayRef> = places.filter_map(|at| columns.get(at).cloned()).collect();
            named.extend((!arrays.is_empty()).then_some((name, arrays)));
        }
        Self { columns: named, names, rows: columns.first().map_or(0, Array::len) }
    }

    /// How many events there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Some of them, which arrived like that.
    pub fn part<'a>(&'a self, rows: Range<usize>, arrival: Arrival<'a>) -> Rows<'a> {
        Rows { columns: self, rows: rows.start..rows.end.min(self.rows), arrival }
    }

    /// Hands on the event of a row.
    pub fn event<T>(&self, row: usize, arrival: Arrival<'_>, then: impl FnOnce(&Event<'_>) -> T) -> T {
        let given = self.columns.iter().filter_map(|(name, columns)| {
            let value = columns.iter().rev().find_map(|column| value(column, row))?;
            Some((*name, value))
        });
        then(&Event::of_given(&self.names, given, arrival))
    }
}

/// Some rows of columns, one after the other.
#[derive(Debug)]
pub struct Rows<'a> {
    columns: &'a Columns,
    rows: Range<usize>,
    arrival: Arrival<'a>,
}

impl Rows<'_> {
    /// When they arrived.
    pub fn received_at_ms(&self) -> i64 {
        self.arrival.received_at_ms
    }

    /// Hands on each event, in order.
    pub fn each(&self, mut then: impl FnMut(&Event<'_>)) {
        for row in self.rows.clone() {
            self.columns.event(row, self.arrival, &mut then);
        }
    }
}

/// The names that events with these fields are read by.
pub(super) fn names(traffic: &Traffic, fields: &[Field]) -> Names {
    match traffic.format {
        TrafficFormat::Ecs => Names::ecs(),
        TrafficFormat::Map => mapped(&traffic.map),
        TrafficFormat::Keyloft => mapped(&ours(fields)),
    }
}

/// Whether a column holds what stands under a dotted name: `{"url": {"path": ...}}` is the column `url_path`,
/// `{"url.path": ...}` is `url.path`.
pub(super) fn holds(column: &Field, dotted: &str) -> bool {
    let flat = |byte: u8| if byte == b'.' { b'_' } else { byte };
    column.name.len() == dotted.len() && column.name.bytes().map(flat).eq(dotted.bytes().map(flat))
}

/// Names that a set was checked with; what is no field has no meaning.
fn mapped(map: &BTreeMap<String, String>) -> Names {
    Names::of_map(map).unwrap_or_else(|_| Names::of_map(&BTreeMap::new()).unwrap_or_else(|_| Names::ecs()))
}

/// The names of `decide`, with the headers, cookies and payloads that there are columns of.
fn ours(fields: &[Field]) -> BTreeMap<String, String> {
    let mut map: BTreeMap<String, String> =
        OURS.iter().map(|(ours, theirs)| ((*ours).to_owned(), (*theirs).to_owned())).collect();
    map.insert("response_decision".to_owned(), "response.decision".to_owned());
    for field in fields {
        for (column, theirs, ours) in FAMILIES {
            if let Some(name) = field.name.strip_prefix(column) {
                let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
                map.insert(format!("{ours}{plain}"), format!("{theirs}{name}"));
            }
        }
    }
    map
}

/// The value of a row; none of null.
fn value(column: &ArrayRef, row: usize) -> Option<Value<'_>> {
    if column.is_null(row) {
        return None;
    }
    Some(match column.data_type() {
        DataType::Boolean => Value::Bool(column.as_boolean().value(row)),
        DataType::Int64 => Value::Int(column.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => match Json::of_number(column.as_primitive::<Float64Type>().value(row)) {
            Json::Int(whole) => Value::Int(whole),
            other => Value::Text(other.value().text().into_owned().into()),
        },
        DataType::Utf8 => Value::Text(column.as_string::<i32>().value(row).into()),
        DataType::Utf8View => Value::Text(column.as_string_view().value(row).into()),
        _ => return None,
    })
}
