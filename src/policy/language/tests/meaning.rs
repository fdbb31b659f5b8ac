use super::{Set, holds_for, value, values};
use crate::policy::{ActionBits, Value};

/// A request that most of these are asked of.
fn request() -> Vec<(&'static str, Value<'static>)> {
    let mut event: Vec<(&str, Value<'_>)> = [
        ("request_method", "POST"),
        ("request_path", "/login/form"),
        ("request_host", "shop.example"),
        ("user_agent", "Mozilla/5.0 (compatible; GoogleBot/2.1) ü"),
        ("response_status", "401"),
        ("duration_ms", "1500"),
        ("hour_of_day", "13"),
        ("payload_user", "ann"),
        ("payload_amount", "250"),
        ("payload_code", "007x"),
        ("payload_flag", "true"),
        ("request_header_x_empty", ""),
        ("observed_at", "2026-11-29T06:52:00.000Z"),
    ]
    .map(|(name, text)| (name, value(text)))
    .into();
    event.push(("client_ip", Value::Ip("192.0.2.7".parse().unwrap())));
    event
}

#[track_caller]
fn holds(source: &str) {
    assert!(holds_for(source, &request()), "{source} is false");
    // Its opposite is false, however it is put.
    assert!(!holds_for(&format!("!({source})"), &request()), "!({source}) is true");
    assert!(holds_for(&format!("({source}) ? true : false"), &request()), "{source} does not hold in a choice");
}

#[test]
fn conditions_mean_what_they_mean_in_cel() {
    for source in [
        "request_method == 'POST' && request_path.startsWith('/login')",
        "request_method == \"POST\" || request_method == \"GET\"",
        "false || true && true && (true || true && false)",
        "(true || true) && false ? false : true || true && false",
        "1 + 2 % 2 == 1 && 5 - 2 - 1 == 2 && 7 % 4 % 2 == 1 && -2 % 3 + 4 < 3 == true",
        "!(true && false || false)",
        "request_method in ['GET', 'POST']",
        "!(request_method in ['GET', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'])",
        "user_agent.contains('Bot') && !user_agent.contains('bot')",
        "user_agent.lowerAscii().contains('googlebot')",
        "user_agent.matches('(?i)googlebot|crawl') && matches(user_agent, '^Mozilla')",
        "user_agent.size() == 41 && size('ü') == 1",
        "user_agent.endsWith('ü')",
        "request_host + request_path == 'shop.example/login/form'",
        "'b' > 'a' && 'a' < 'aa' && 'ä' > 'z' && '' < 'a'",
        "response_status % 100 == 1 && -7 % 3 == -1 && 7 % -3 == 1",
        "response_status - 1 == 400 && 1 + 2 - 4 == -1",
        "-response_status == -401 && - -401 == response_status",
        "response_status >= 400 && response_status < 500 && response_status != 404",
        "0x191 == response_status",
        "response_status in [400, 401, 403]",
        "(request_method == 'GET' ? 10 : 20) == 20",
        "(true ? false : true) ? false : true",
        "request_method == 'GET' ? false : request_method == 'POST' ? true : false",
        "(true == true) == !false && (1 == 1) != (1 == 2)",
        "action('login') && !action('search')",
        "-9223372036854775808 < 0 && 9223372036854775807 > 0",
        "true // the rest of a line is a comment\n && // and so is this ' \" \n true",
        "observed_at >= '2026-11-29' && observed_at < '2026-12-24T18:00'",
        "!!true && !!!false",
    ] {
        holds(source);
    }
}

#[test]
fn texts_are_written_as_in_cel() {
    for source in [
        r#"'a' == "a" && '''a''' == """a""""#,
        r#"'''x''x''' == "x''x""#,
        r"r'\d\n' == '\\d\\n' && R'\' == '\\'",
        r"'\x41\u0042\U00000043\104' == 'ABCD' && '\377' == 'ÿ' && '\xFF' == 'ÿ'",
        r"'\a\b\f\n\r\t\v\?\`' != '' && size('\a\b\f\n\r\t\v\?\`') == 9",
        "'''a\nb''' == 'a\\nb'",
        r#"'it\'s' == "it's" && "\"" == '"'"#,
        "size('') == 0 && size('😀') == 1 && size('e\\u0301') == 2",
        "r'''a'b''' == \"a'b\"",
    ] {
        holds(source);
    }
}

#[test]
fn an_absent_field_is_no_error() {
    for source in [
        "referer == '' && referer.size() == 0 && !has(referer)",
        "has(request_header_x_empty) && request_header_x_empty == ''",
        "!(response_bytes == 0) && !(response_bytes != 0) && !(response_bytes < 1) && !(response_bytes >= 0)",
        "!(response_bytes + 1 > 0) && !(response_bytes in [0, 1]) && !(-response_bytes < 0)",
        "!(referer.startsWith('http')) && referer.startsWith('') && !referer.matches('.')",
        "!payload_missing && !(payload_missing == true) && !(payload_missing == false) && !(payload_missing == 0)",
        "payload_missing == '' && !has(payload_missing) && has(payload_flag)",
        "!request_malformed",
        "(response_bytes > 0 ? 'large' : 'small') == 'small'",
    ] {
        holds(source);
    }
    assert!(holds_for("!(client_ip == '192.0.2.7') && !(client_ip != '192.0.2.7') && !has(client_ip)", &[]));
    assert!(!holds_for("ip_in(client_ip, ['0.0.0.0/0', '::/0'])", &[]));
}

#[test]
fn what_overflows_is_null() {
    for source in [
        "!(9223372036854775807 + response_status > 0) && !(9223372036854775807 + response_status <= 0)",
        "!(-9223372036854775808 - response_status < 0)",
        "!(-(-9223372036854775807 - response_status) == 0)",
        "!(response_status % 0 == 0) && !(response_status % 0 != 0)",
        "!(-9223372036854775808 % -1 == 0)",
        "!(9223372036854775807 + 1 == 0) && !(9223372036854775807 + 1 != 0)",
        "!((9223372036854775807 + response_status) in [0])",
        "(9223372036854775807 + 1 - 1 == 0 ? 1 : 2) == 2",
    ] {
        holds(source);
    }
}

#[test]
fn a_part_of_the_payload_is_what_is_asked_for() {
    for source in [
        "payload_user == 'ann' && payload_user.startsWith('a') && payload_user in ['bob', 'ann']",
        "payload_amount == 250 && payload_amount > 100 && payload_amount in [250]",
        "payload_amount == '250' && payload_amount.size() == 3 && payload_amount + '!' == '250!'",
        "0 + payload_amount > 0 && payload_amount - 50 == 200 && payload_amount % 100 == 50",
        "!(payload_code == 7) && !(payload_code > 0) && payload_code == '007x'",
        "payload_flag && payload_flag == true && payload_flag != false && payload_flag == 'true'",
        "!payload_user && !payload_amount",
        "payload_user != payload_code && payload_missing == payload_other",
        "(true ? payload_amount : payload_user) == 250 && (false ? payload_amount : payload_user) == 'ann'",
        "(true ? payload_amount : 5) == 250",
    ] {
        holds(source);
    }
}

#[test]
fn addresses_are_compared_as_addresses() {
    for source in [
        "client_ip == '192.0.2.7' && client_ip == '::ffff:192.0.2.7' && client_ip != '192.0.2.8'",
        "'192.0.2.7' == client_ip && client_ip == client_ip && client_ip == '64:ff9b::192.0.2.7'",
        "ip_in(client_ip, ['64:ff9b::192.0.2.0/120']) && ip_in(client_ip, ['::ffff:192.0.2.7'])",
        "client_ip in ['2001:db8::1', '192.0.2.7']",
        "ip_in(client_ip, ['192.0.2.0/24']) && ip_in(client_ip, ['10.0.0.0/8', '192.0.2.7'])",
        "!ip_in(client_ip, ['192.0.2.8/29', '2001:db8::/32'])",
        "client_ip.startsWith('192.0.') && client_ip + '' == '192.0.2.7' && size(client_ip) == 9",
        "(true ? client_ip : client_ip) == '192.0.2.7'",
    ] {
        holds(source);
    }
    let forwarded = [("request_header_x_real_ip", value("::ffff:10.1.2.3"))];
    assert!(holds_for("ip_in(request_header_x_real_ip, ['10.0.0.0/8'])", &forwarded));
    let none = [("request_header_x_real_ip", value("unknown"))];
    assert!(!holds_for("ip_in(request_header_x_real_ip, ['0.0.0.0/0'])", &none));
}

#[test]
fn durations_compare_with_milliseconds() {
    for source in [
        "duration_ms > duration('1s') && duration_ms == duration('1.5s') && duration_ms == 1500",
        "duration_ms < '1m' && '1s' < duration_ms && duration_ms in ['1500ms'] && duration_ms in [1, 1500]",
        "duration('1m') + duration('30s') == duration('1m30s') && duration_ms - duration('500ms') == duration('1s')",
        "duration_ms in [duration('1500ms')] && -duration('1s') < duration('0')",
    ] {
        holds(source);
    }
}

#[test]
fn a_program_knows_what_it_reads() {
    let mut set = Set::default();
    let program = set.compile("request_method == 'GET' && has(referer) && request_method != 'PUT'").unwrap();
    assert_eq!(program.fields().len(), 2);
    assert!(!program.reads_response());
    for source in ["response_status == 401", "true || response_bytes > 0", "has(duration_ms)"] {
        assert!(set.compile(source).unwrap().reads_response(), "{source}");
    }
    assert_eq!(program.source(), "request_method == 'GET' && has(referer) && request_method != 'PUT'");
}

#[test]
fn equal_patterns_are_compiled_once() {
    let mut set = Set::default();
    let many = (0..100).map(|_| set.compile("user_agent.matches('bot')").unwrap()).collect::<Vec<_>>();
    set.compile("referer.matches('bot') || referer.matches('crawl')").unwrap();
    assert_eq!((set.patterns.len(), many.len()), (2, 100));
    let values = values(&set.fields, &[("user_agent", value("a bot"))]);
    assert!(many.iter().all(|program| program.eval(&values, &ActionBits::default())));
}
