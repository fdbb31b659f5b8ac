use super::{Set, value, values};
use crate::policy::ActionBits;

fn lines(source: &str, event: &[(&str, &'static str)]) -> Vec<String> {
    let mut set = Set::default();
    let program = set.compile(source).unwrap();
    let event: Vec<_> = event.iter().map(|(name, text)| (*name, value(text))).collect();
    let steps = program.explain(&values(&set.fields, &event), &ActionBits::default(), &set.fields);
    let line = |step: &crate::policy::Step| {
        let fields = step.fields.iter().map(|seen| format!(" {}={}", seen.name, seen.value.as_deref().unwrap_or("-")));
        let indent = "  ".repeat(step.depth as usize);
        let (place, fields) = (step.place, fields.collect::<String>());
        format!("{indent}{}:{}+{} {} {}{fields}", place.line, place.column, place.length, step.truth, step.expression)
    };
    steps.iter().map(line).collect()
}

#[test]
fn every_condition_is_explained_in_the_order_of_the_source() {
    let source = "user_agent.matches('bot') && !(request_method == 'GET' || response_status in [401])";
    let event = [("user_agent", "a bot"), ("request_method", "GET")];
    assert_eq!(
        lines(source, &event),
        [
            "1:1+83 false user_agent.matches('bot') && !(request_method == 'GET' || response_status in [401])",
            "  1:1+25 true user_agent.matches('bot') user_agent=a bot",
            "  1:30+54 false !(request_method == 'GET' || response_status in [401])",
            "    1:31+53 true (request_method == 'GET' || response_status in [401])",
            "      1:32+23 true request_method == 'GET' request_method=GET",
            "      1:59+24 false response_status in [401] response_status=-",
        ]
    );
}

#[test]
fn a_value_that_may_be_a_secret_is_hidden() {
    let source = "request_cookie_session == 'canary' || payload_card == 'canary' || request_query_token == 'canary' || \
                  request_header_authorization.startsWith('canary') || request_path == '/canary'";
    let event = [
        ("request_cookie_session", "canary"),
        ("payload_card", "canary"),
        ("request_header_authorization", "canary"),
        ("request_path", "/open"),
    ];
    let values: Vec<String> = lines(source, &event).into_iter().filter(|line| line.contains('=')).collect();
    let seen = |name: &str| values.iter().find_map(|line| line.split(&format!(" {name}=")).nth(1)).unwrap().to_owned();
    assert_eq!(seen("request_cookie_session"), "(hidden)");
    assert_eq!(seen("payload_card"), "(hidden)");
    assert_eq!(seen("request_header_authorization"), "(hidden)");
    assert_eq!(seen("request_query_token"), "-");
    assert_eq!(seen("request_path"), "/open");
}

#[test]
fn what_is_computed_in_a_condition_is_explained_with_it() {
    let lines = lines("(request_method == 'GET' ? 1 : response_status + 2) > 0 ? true : has(referer)", &[]);
    assert_eq!(
        lines,
        [
            "1:1+77 false (request_method == 'GET' ? 1 : response_status + 2) > 0 ? true : has(referer)",
            "  1:1+55 false (request_method == 'GET' ? 1 : response_status + 2) > 0 request_method=- response_status=-",
            "  1:59+4 true true",
            "  1:66+12 false has(referer) referer=-",
        ]
    );
}
