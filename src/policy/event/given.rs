//! Which names of a sender give the value of a field, so that only those need to be read.

use super::names::{Meaning, Names};
use crate::policy::Field;

impl Names {
    /// The names that the value of a field comes from. Fields that come with the key, and the way and the time of the
    /// event, need none.
    pub fn of_field<'n>(&'n self, field: &'n Field) -> impl Iterator<Item = &'n str> {
        self.meanings().filter(move |(meaning, _)| meaning.gives(field)).map(|(_, theirs)| theirs)
    }

    /// The names that say what an event is, whatever fields are read: whether it has an answer, and whether that was
    /// our own decision.
    pub fn of_kind(&self) -> impl Iterator<Item = &str> {
        let says = |meaning: &Meaning| matches!(meaning, Meaning::Decision | Meaning::Field(Field::ResponseStatus));
        self.meanings().filter(move |(meaning, _)| says(meaning)).map(|(_, theirs)| theirs)
    }
}

impl Meaning {
    /// Whether the value of a field may come from it.
    fn gives(&self, wanted: &Field) -> bool {
        let stated = match self {
            Self::Decision => return false,
            Self::Target => {
                return matches!(wanted, Field::RequestScheme | Field::RequestHost) || is_of_path(wanted);
            }
            Self::RequestLine => {
                let of_target = matches!(wanted, Field::RequestScheme | Field::RequestHost) || is_of_path(wanted);
                return of_target || *wanted == Field::RequestMethod;
            }
            Self::Nanoseconds | Self::Seconds => return *wanted == Field::DurationMs,
            Self::Field(field) => field,
        };
        if stated == wanted {
            return true;
        }
        match (stated, wanted) {
            (Field::ClientIp, Field::ClientNetwork) | (Field::Referer, Field::RefererHost) => true,
            (Field::RequestPath, wanted) => is_of_path(wanted),
            (Field::RequestQuery, Field::Query(_)) => true,
            (Field::Query(_), Field::RequestQuery) => true,
            (Field::Header(name), wanted) => matches!(
                (&**name, wanted),
                ("user_agent", Field::UserAgent)
                    | ("content_type", Field::ContentType)
                    | ("referer", Field::Referer | Field::RefererHost)
                    | ("cookie", Field::Cookie(_))
            ),
            _ => false,
        }
    }
}

/// Whether a field is a part of a path with its query.
fn is_of_path(field: &Field) -> bool {
    matches!(field, Field::RequestPath | Field::RequestPathRaw | Field::RequestQuery | Field::Query(_))
}

/// Whether a field needs no column: it comes with the key or with the event itself.
pub fn comes_with_every_event(field: &Field) -> bool {
    matches!(
        field,
        Field::SourceId
            | Field::TrustLevel
            | Field::KeyId
            | Field::Door
            | Field::ObservedAt
            | Field::HourOfDay
            | Field::DayOfWeek
            | Field::RequestMalformed
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::policy::event::{Arrival, Door, Event, Json};

    fn given(names: &Names, field: &str) -> Vec<String> {
        let field = Field::parse(field).unwrap();
        names.of_field(&field).map(str::to_owned).collect()
    }

    #[test]
    fn the_names_of_a_field_are_all_that_its_value_may_come_from() {
        let ecs = Names::ecs();
        assert_eq!(given(&ecs, "client_network"), ["source.ip", "client.ip", "source.address", "client.address"]);
        assert_eq!(given(&ecs, "request_query_id"), ["url.original", "url.full", "url.path", "url.query"]);
        assert_eq!(given(&ecs, "referer_host"), ["http.request.referrer"]);
        assert!(given(&ecs, "payload_bytes").is_empty() && given(&ecs, "request_cookie_a").is_empty());
        let map = BTreeMap::from([("request_header_cookie".to_owned(), "c".to_owned())]);
        assert_eq!(given(&Names::of_map(&map).unwrap(), "request_cookie_session"), ["c"]);
    }

    /// What is stated under every single name shows in no field that the name is not said to give.
    #[test]
    fn no_field_comes_from_another_name() {
        for names in [Names::ecs(), Names::nginx()] {
            for theirs in names.theirs() {
                for value in [Json::Int(204), Json::Text("GET http://u@a.example:80/p?q=1 HTTP/1.1".into())] {
                    let json = Json::Object(vec![(theirs.into(), value)]);
                    let event = Event::of_names(&names, &json, Arrival::new(Door::Ingest, 0));
                    let fields = Field::names().chain(["request_query_q", "request_cookie_a", "payload_a"]);
                    for field in fields.filter_map(|name| Field::parse(name).ok()) {
                        let comes = event.value(&field).is_present() && !comes_with_every_event(&field);
                        let said = names.of_field(&field).any(|name| name == theirs);
                        assert!(!comes || said, "{theirs} gives {field:?}");
                    }
                }
            }
        }
    }
}
