use crate::policy::{Field, Fields, Kind, TooManyFields, Value, Values};

#[test]
fn every_field_is_found_by_its_name_again() {
    let families = ["request_query_Page", "request_header_x_trace", "request_cookie__ga", "payload_user_email"];
    for name in Field::names().chain(families) {
        let field = Field::parse(name).unwrap();
        assert_eq!(field.name(), name);
        assert_eq!(Field::parse(&field.name()).unwrap(), field);
    }
    assert_eq!(Field::parse("payload_user_email").unwrap(), Field::Payload("user_email".into()));
    assert_eq!(Field::parse("payload_bytes").unwrap(), Field::PayloadBytes);
    assert_eq!(Field::parse("request_path_raw").unwrap().kind(), Kind::Text);
    assert_eq!(Field::parse("payload_amount").unwrap().kind(), Kind::Any);
}

#[test]
fn an_unknown_field_comes_with_the_names_nearest_to_it() {
    let nearest = |name: &str| Field::parse(name).unwrap_err().nearest;
    assert_eq!(nearest("request_methd"), ["request_method"]);
    assert_eq!(nearest("Request_Path"), ["request_path"]);
    assert_eq!(nearest("ip"), ["client_ip"]);
    assert_eq!(nearest("method"), ["request_method"]);
    assert_eq!(nearest("host"), ["referer_host", "request_host"]);
    assert_eq!(nearest("request_headers_x_trace"), ["request_header_x_trace"]);
    assert_eq!(nearest("request_header_X_Trace"), ["request_header_x_trace"]);
    assert_eq!(nearest("something_else_altogether"), Vec::<String>::new());
    for name in ["", "payload_", "request_header_", "request_header_ä", "payload_a-b", &"_".repeat(5_000)] {
        assert!(Field::parse(name).is_err(), "{name}");
    }
}

#[test]
fn a_field_that_may_hold_a_secret_says_so() {
    let secret = |name: &str| Field::parse(name).unwrap().is_secret();
    let secrets = ["request_query", "request_query_q", "request_cookie_a", "request_header_x_session", "payload_a"];
    assert!(secrets.into_iter().all(secret));
    assert!(!["request_path", "user_agent", "request_header_accept", "payload_bytes"].into_iter().any(secret));
}

#[test]
fn a_set_reads_so_many_fields_and_no_more() {
    let mut fields = Fields::default();
    let slot = fields.slot(Field::Door).unwrap();
    assert_eq!(fields.slot(Field::Door).unwrap(), slot);
    for number in 1..Fields::MAX {
        fields.slot(Field::Query(number.to_string().into())).unwrap();
    }
    assert_eq!(fields.slot(Field::Asn), Err(TooManyFields));
    assert_eq!(fields.slot(Field::Door).unwrap(), slot);
    assert_eq!(fields.iter().len(), usize::from(Fields::MAX));
    let values = Values::read(&fields, |field| match field {
        Field::Door => Value::Text("decide".into()),
        _ => Value::Absent,
    });
    assert_eq!(values.get(slot).text(), "decide");
    assert_eq!(Values::default().get(slot), &Value::Absent);
}

#[test]
fn every_value_can_be_read_in_every_way() {
    let mapped = Value::Text("::ffff:192.0.2.1".into());
    assert_eq!(mapped.ip(), "192.0.2.1".parse().ok());
    assert_eq!(Value::Ip("2001:db8::1".parse().unwrap()).text(), "2001:db8::1");
    assert_eq!((Value::Int(-5).text().into_owned(), Value::Int(-5).bool()), ("-5".to_owned(), None));
    assert_eq!((Value::Text("5".into()).int(), Value::Bool(true).int()), (None, None));
    assert_eq!((Value::Absent.text().into_owned(), Value::Absent.is_present()), (String::new(), false));
    assert!(Value::Text("".into()).is_present());
}
