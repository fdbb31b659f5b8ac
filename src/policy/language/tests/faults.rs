use super::{Set, faults};
use crate::policy::{Actions, Fault, Fields, Patterns, Scope, compile};

#[track_caller]
fn fault(source: &str, expected: &str) {
    assert_eq!(faults(source), [expected], "{source}");
}

#[test]
fn a_name_that_does_not_exist_comes_with_those_that_do() {
    fault("request_methd == 'POST'", "1:1+13 there is no field request_methd (did you mean request_method?)");
    fault("true &&\n  ip == ''", "2:3+2 there is no field ip (did you mean client_ip?)");
    fault("user_agent.contain('a')", "1:12+7 there is no function contain (did you mean contains?)");
    fault("starts_with(user_agent, 'a')", "1:1+11 there is no function starts_with (did you mean startsWith?)");
    fault("action('logni')", "1:8+7 there is no action 'logni' (did you mean login?)");
    fault("action('zebra')", "1:8+7 there is no action 'zebra'");
    fault("login", "1:1+5 there is no field login (an action is asked for by action('login'))");
    fault("request_method == POST", "1:19+4 there is no field POST (texts stand between quotes: '…')");
    fault("request.method == 'POST'", "1:1+14 names of fields hold no point (write request_method)");
    fault("[1, 2].exists(x, x == 1)", "1:8+6 there is no function exists (there are no macros)");
    fault("user_agent.toLowerCase() == 'a'", "1:12+11 there is no function toLowerCase (lowerAscii())");
    let (mut fields, mut patterns, actions) = (Fields::default(), Patterns::default(), Actions::none());
    let mut scope = Scope { fields: &mut fields, patterns: &mut patterns, actions: &actions };
    let faults = compile("action('login')", &mut scope).unwrap_err();
    assert_eq!(faults[0].to_string(), ":1:8: no action can be asked for here: actions are judged later");
}

#[test]
fn types_that_do_not_fit_are_told() {
    fault("user_agent", "1:1+10 an expression is true or false, and this is a text (user_agent != '')");
    fault("response_status", "1:1+15 an expression is true or false, and this is a number (has(response_status))");
    fault("response_status == '401'", "1:1+24 a number is not compared with a text (401)");
    fault("user_agent == 5", "1:1+15 a text is not compared with a number ('5')");
    fault("response_status == duration('5s')", "1:1+33 a number is not compared with a duration");
    fault(
        "request_method in 'GET'",
        "1:19+5 a list of literals stands here (['GET']; whether a text holds another one: a.contains(b))",
    );
    fault("request_method in [request_host]", "1:20+12 literals that are texts stand in this list");
    fault("response_status in [401, 'x']", "1:26+3 literals that are numbers stand in this list");
    fault("request_method in []", "1:19+2 this is never true: the list is empty");
    fault("request_malformed in [true]", "1:1+17 true and false stand in no list (request_malformed)");
    fault("has(request_path + 'a')", "1:5+18 has asks for a field (has(referer))");
    fault("user_agent - 'a' == ''", "1:14+3 - is between numbers, and these are texts");
    fault("user_agent + 5 == ''", "1:14+1 texts are joined with texts, and this is a number");
    fault(
        "response_status + duration('1s') > 5",
        "1:1+15 a duration is added to a duration, and this is a number (duration('5s'))",
    );
    fault(
        "payload_a < payload_b",
        "1:1+21 parts of the payload may be texts or numbers (say which: 0 + payload_a is a number)",
    );
    fault(
        "payload_a + payload_b == 5",
        "1:1+9 parts of the payload may be texts or numbers (say which: '' + … joins texts, 0 + … adds numbers)",
    );
    fault("true < false", "1:1+12 true and false have no order here");
    fault("client_ip < '10.0.0.0'", "1:1+22 addresses have no order here (ip_in(client_ip, ['10.0.0.0/8']))");
    fault("true ? 1 : 'a'", "1:8+7 both choices are alike, and these are a number and a text");
    fault(
        "user_agent.matches(referer)",
        "1:20+7 a pattern is a literal: it is compiled once (user_agent.matches('(?i)bot|crawl'))",
    );
    fault("matches(user_agent)", "1:1+19 matches is not called so (user_agent.matches('(?i)bot|crawl'))");
    fault("[1] == 1", "1:1+3 a list stands behind in, or in ip_in");
    fault("!user_agent", "1:2+10 ! turns true and false around, and this is a text (user_agent != '')");
}

#[test]
fn a_literal_that_no_value_can_equal_is_a_fault() {
    fault("request_method == 'post'", "1:19+6 this is never true: methods are in upper case ('POST')");
    fault("'post' != request_method", "1:1+6 this is always true: methods are in upper case ('POST')");
    fault("request_method in ['GET', 'post']", "1:27+6 this is never true: methods are in upper case ('POST')");
    fault("request_path == 'login'", "1:17+7 this is never true: paths begin with / ('/login')");
    fault("request_path.startsWith('login')", "1:25+7 this is never true: paths begin with / ('/login')");
    fault("request_path == '/a//b'", "1:17+7 this is never true: slashes are merged ('/a/b')");
    fault("request_path.contains('?id=')", "1:23+6 this is never true: the query stands in request_query");
    fault("request_path.contains('/../')", "1:23+6 this is never true: the points of a path are resolved");
    fault("request_path == '/a b'", "1:17+6 this is never true: paths have this escaped ('/a%20b')");
    fault("door == 'queue'", "1:9+7 this is never true: events come by decide, ingest or gateway");
    fault(
        "request_path == '/%7Ea%2fb'",
        "1:17+11 this is never true: paths are decoded once, in what needs no escape ('/~a%2Fb')",
    );
    fault("request_host == 'Shop.example'", "1:17+14 this is never true: hosts are in lower case ('shop.example')");
    fault("request_host == 'shop.example:443'", "1:17+18 this is never true: a host has no port ('shop.example')");
    fault(
        "request_host == 'https://shop.example/'",
        "1:17+23 this is never true: a host has no scheme ('shop.example')",
    );
    fault("request_host == 'shop.example.'", "1:17+15 this is never true: a host has no final point ('shop.example')");
    fault(
        "request_host == 'bücher.example'",
        "1:17+16 this is never true: hosts are in punycode ('xn--bcher-kva.example')",
    );
    fault("country == 'de'", "1:12+4 this is never true: countries are in upper case ('DE')");
    fault("country in ['DEU']", "1:13+5 this is never true: countries have two letters");
    fault(
        "client_ip == '10.0.0.0/8'",
        "1:14+12 this is never true: this is no address (ip_in(client_ip, ['10.0.0.0/8']))",
    );
    fault("client_ip == ''", "1:14+2 this is never true: this is no address ('203.0.113.7')");
    fault("client_network == '10.0.0.7'", "1:19+10 this is never true: networks end with their size ('10.0.0.7/32')");
    fault(
        "client_network == '10.0.0.0/8'",
        "1:19+12 this is never true: networks of clients are /32 (ip_in(client_ip, ['10.0.0.0/8']))",
    );
    fault("ip_in(client_ip, ['10.0.0.1/8'])", "1:19+12 the network has bits beyond its mask ('10.0.0.0/8')");
    fault(
        "ip_in(client_network, ['10.0.0.0/8'])",
        "1:7+14 this is never true: client_network is a network, not an address (client_ip)",
    );
    fault("response_status == 4011", "1:20+4 this is never true: a status is 100 to 599");
    fault("hour_of_day > 23", "1:15+2 this is never true: hours are 0 to 23");
    fault("day_of_week == 7", "1:16+1 this is never true: days are 0 (Sunday) to 6 (Saturday)");
    fault("0 > duration_ms", "1:1+1 this is never true: it is never negative");
    fault(
        "observed_at < '24.12.2026'",
        "1:15+12 this is never true: instants are in UTC, with milliseconds ('2027-01-31T12:00:00.000Z')",
    );
    fault(
        "user_agent.lowerAscii().contains('Bot')",
        "1:34+5 this is never true: lowerAscii() has no upper case ('bot')",
    );
    for fine in [
        "request_path == '*' || request_path.endsWith('.php') || request_path.contains('%2F') || request_path == ''",
        "request_host == '[2001:db8::1]' || request_host.endsWith('.example') || request_host == ''",
        "request_method.lowerAscii() == 'post' && request_path.startsWith('/a/..b/') && country != 'DE'",
        "client_network in ['10.0.0.7/32', '2001:db8::/64'] || response_status < 599 || request_path == '/café'",
    ] {
        assert_eq!(faults(fine), Vec::<String>::new(), "{fine}");
    }
}

#[test]
fn what_is_no_expression_is_told_where_it_ends_to_be_one() {
    fault("", "1:1+0 a value is missing");
    fault("  // nothing", "1:13+0 a value is missing");
    fault("request_method = 'POST'", "1:16+1 = means nothing here (equality is ==)");
    fault("true & false", "1:6+1 & means nothing here (and is &&)");
    fault("true and false", "1:6+3 and cannot stand here: the expression has ended before (and is &&)");
    fault("2 * 3 == 6", "1:3+1 * means nothing here (arithmetic is + - %)");
    fault("1.5 > 1", "1:1+3 1.5 is no whole number (there are whole numbers only)");
    fault("5u > 1", "1:1+2 5u is no whole number (5)");
    fault("1e3 > 1", "1:1+3 1e3 is no whole number (there are whole numbers only)");
    fault("9223372036854775808 > 1", "1:1+19 9223372036854775808 is too large (numbers have 64 bits with their sign)");
    fault(
        "99999999999999999999 > 1",
        "1:1+20 99999999999999999999 is too large (numbers have 64 bits with their sign)",
    );
    fault("b'a' == 'a'", "1:1+4 there are no bytes, only text (leave out b)");
    fault("referer == null", "1:12+4 there is no null (whether a field is there: has(client_ip))");
    fault("user_agent == 'a", "1:15+1 the text has no end (it ends with ')");
    fault("user_agent == 'a\nb'", "1:15+1 the text has no end (it ends with ')");
    fault(
        r"user_agent == 'a\d'",
        r"1:17+2 there is no such escape (a backslash is \\, and a pattern is best a raw text: r'\d+')",
    );
    fault(
        r"'\ud800' == ''",
        r"1:2+2 there is no such escape (a backslash is \\, and a pattern is best a raw text: r'\d+')",
    );
    fault("(true", "1:6+0 ) is missing, which ends what stands in parentheses");
    fault("true)", "1:5+1 ) cannot stand here: the expression has ended before");
    fault("true ? 1", "1:9+0 : is missing, which ends the first choice of ?");
    fault("has(referer", "1:12+0 ) is missing, which ends the arguments");
    fault("request_query[0] == 'a'", "1:14+1 [ cannot stand here: lists are not indexed");
    fault("{'a': 1", "1:1+1 { means nothing here (there are no maps)");
    fault("for == 1", "1:1+3 for is a reserved word of CEL");
    fault("true #", "1:6+1 # means nothing here");
    fault("user_agent.matches('(')", "1:20+3 the pattern cannot be read from its character 1: unclosed group");
    fault(
        "user_agent.matches('a(?=b)')",
        "1:20+8 the pattern cannot be read from its character 2: look-around, including look-ahead and look-behind, is not supported",
    );
    fault("user_agent.matches(r'\\pL{1000}')", "1:20+12 the pattern is too large: repeat fewer things fewer times");
}

#[test]
fn all_faults_come_at_once_in_the_order_of_their_places() {
    let source = "request_methd == 'POST' &&\n  request_path == 'login' || (response_status == '401' &&\r\n\tuser_agent.contain('ä'))";
    assert_eq!(
        faults(source),
        [
            "1:1+13 there is no field request_methd (did you mean request_method?)",
            "2:19+7 this is never true: paths begin with / ('/login')",
            "2:31+24 a number is not compared with a text (401)",
            "3:13+7 there is no function contain (did you mean contains?)",
        ]
    );
    assert_eq!(faults("'a == # $ \u{0}").len(), 1, "what stands behind an open quote is its text");
    assert_eq!(faults("1.5 == $ # 'a\\q'").len(), 4);
}

#[test]
fn a_place_is_counted_in_characters() {
    fault("'ü😀' == foo", "1:9+3 there is no field foo (texts stand between quotes: '…')");
    fault("'''ü\r\nx\ry\n''' ==\r\n foo", "5:2+3 there is no field foo (texts stand between quotes: '…')");
}

#[test]
fn a_fault_is_json_with_its_place() {
    let faults = Set::default().compile("request_methd == ''").unwrap_err();
    let fault = faults[0].clone().at("policies[3].expression");
    assert_eq!(
        serde_json::to_string(&fault).unwrap(),
        concat!(
            r#"{"path":"policies[3].expression","line":1,"column":1,"length":13,"#,
            r#""message":"there is no field request_methd","hint":"did you mean request_method?"}"#
        )
    );
    let whole = Fault::new("policies", "there are more than 200");
    assert_eq!(serde_json::to_string(&whole).unwrap(), r#"{"path":"policies","message":"there are more than 200"}"#);
}

#[test]
fn characters_that_cannot_be_seen_are_written_as_escapes() {
    fault("'a\u{202e}b' == ''", r"1:3+1 U+202E cannot be seen (write it as \u202e)");
    fault("'a\u{0}' == ''", r"1:3+1 U+0000 cannot be seen (write it as \u0000)");
    fault("true // \u{2066}", r"1:9+1 U+2066 cannot be seen (write it as \u2066)");
    fault("true\u{0}", "1:5+1 U+0000 means nothing here");
    fault("true \u{202e}", "1:6+1 U+202E means nothing here");
    fault("true\u{a0}", "1:5+1 U+00A0 means nothing here");
    assert_eq!(faults(r"'\u202e\u0000' != ''"), Vec::<String>::new());
}
