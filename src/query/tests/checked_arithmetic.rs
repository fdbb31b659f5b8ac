use super::*;

async fn large() -> House {
    let house = House::new();
    let columns = vec![("a", ints(&[i64::MAX, i64::MAX, 1])), ("b", ints(&[1, 2, 3])), ("k", texts(&["x", "x", "y"]))];
    house.store("default", "nums", "2026-11-20T10:00:00Z", columns).await;
    house
}

#[tokio::test]
async fn an_integer_that_is_too_large_is_an_error_wherever_it_comes_up() {
    let house = large().await;
    let mut wrong = Vec::new();
    let told = |error: &Error| ["too large", "out of range"].iter().any(|words| error.message().contains(words));
    for sql in [
        "SELECT 9223372036854775807 + 1 AS x",
        "SELECT -9223372036854775807 - 2 AS x",
        "SELECT 9223372036854775807 * 2 AS x",
        "SELECT -(-9223372036854775807 - 1) AS x",
        "SELECT a + b AS x FROM nums",
        "SELECT a * b AS x FROM nums",
        "SELECT b FROM nums WHERE a + b > 0",
        "SELECT b FROM nums ORDER BY a + b",
        "SELECT max(a + b) AS x FROM nums",
        "SELECT sum(a + 1) AS x FROM nums",
        "SELECT a + b AS x, count(*) AS n FROM nums GROUP BY a + b",
        "SELECT count(*) AS n FROM nums GROUP BY ROLLUP (a + b)",
        "SELECT count(*) AS n FROM nums x JOIN nums y ON x.a + y.b = y.a",
        "SELECT count(*) AS n FROM nums x JOIN nums y ON x.a + y.b > y.a",
        "SELECT sum(a) AS x FROM nums",
        "SELECT k, sum(a) AS x FROM nums GROUP BY k",
        "SELECT sum(a) OVER () AS x FROM nums",
        "SELECT sum(a) OVER (ORDER BY b ROWS 1 PRECEDING) AS x FROM nums",
        "SELECT (SELECT sum(a) FROM nums) AS x",
    ] {
        match house.ask(everything("default"), request(sql), Format::JsonArray).await {
            Err(error) if error.kind() == ErrorKind::Invalid && told(&error) => {}
            other => wrong.push(format!("{sql}: {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn a_sum_of_decimals_that_is_too_large_is_an_error_and_others_are_exact() {
    let house = large().await;
    let largest = "CAST('99999999999999999999999999999999999999' AS DECIMAL(38,0))";
    for sql in [
        format!("SELECT sum({largest}) AS x FROM nums"),
        format!("SELECT k, sum({largest}) AS x FROM nums GROUP BY k"),
        format!("SELECT sum({largest}) AS x FROM nums GROUP BY ROLLUP (k)"),
        "SELECT CAST(1 AS DECIMAL(39,0)) AS x".to_owned(),
    ] {
        let error = house.ask(everything("default"), request(&sql), Format::JsonArray).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{sql}: {error}");
    }
    for (sql, answer) in [
        (
            "SELECT CAST(sum(CAST(b AS DECIMAL(38,2))) AS VARCHAR) AS x, \
             CAST(avg(CAST(b AS DECIMAL(38,2))) AS VARCHAR) AS y FROM nums"
                .to_owned(),
            r#"[{"x":"6.00","y":"2.000000"}]"#,
        ),
        (
            format!("SELECT CAST(sum({largest}) AS VARCHAR) AS x FROM nums WHERE b = 1"),
            r#"[{"x":"99999999999999999999999999999999999999"}]"#,
        ),
    ] {
        assert_eq!(house.ask(everything("default"), request(&sql), Format::JsonArray).await.unwrap(), answer, "{sql}");
    }
}

#[tokio::test]
async fn the_two_zeros_of_floats_are_one_value_in_every_count() {
    let house = House::new();
    let columns = vec![("f", floats(&[0.0, -0.0, 1.5])), ("k", texts(&["x", "x", "y"]))];
    house.store("default", "zeros", "2026-11-20T10:00:00Z", columns).await;
    for sql in [
        "SELECT count(DISTINCT f) AS n FROM zeros",
        "SELECT n FROM (SELECT count(DISTINCT f) AS n, count(DISTINCT k) AS m FROM zeros)",
        "SELECT count(*) AS n FROM (SELECT DISTINCT f FROM zeros)",
        "SELECT count(*) AS n FROM (SELECT f, count(*) FROM zeros GROUP BY f)",
    ] {
        let answer = house.ask(everything("default"), request(sql), Format::JsonArray).await.unwrap();
        assert_eq!(answer, r#"[{"n":2}]"#, "{sql}");
    }
}

#[tokio::test]
async fn integers_that_fit_are_computed_as_before() {
    let house = large().await;
    let mut wrong = Vec::new();
    for (sql, answer) in [
        ("SELECT 9223372036854775806 + 1 AS x", r#"[{"x":9223372036854775807}]"#),
        ("SELECT b + 1, -b AS m FROM nums WHERE b * 2 = 4", r#"[{"nums.b + Int64(1)":3,"m":-2}]"#),
        ("SELECT sum(b), sum(DISTINCT b) AS d FROM nums", r#"[{"sum(nums.b)":6,"d":6}]"#),
        ("SELECT sum(a) - sum(a) AS x FROM nums WHERE b <> 2 AND a < 2", r#"[{"x":0}]"#),
        (
            "SELECT k, sum(b) AS s FROM nums GROUP BY k HAVING sum(b) + 1 > 3 ORDER BY sum(b), k",
            r#"[{"k":"x","s":3},{"k":"y","s":3}]"#,
        ),
        (
            "SELECT k, sum(b + 1) AS s FROM nums GROUP BY ROLLUP (k) ORDER BY s, k",
            r#"[{"k":"y","s":4},{"k":"x","s":5},{"k":null,"s":9}]"#,
        ),
        (
            "SELECT b, sum(b) OVER (ORDER BY b) AS s FROM nums ORDER BY b",
            r#"[{"b":1,"s":1},{"b":2,"s":3},{"b":3,"s":6}]"#,
        ),
        ("SELECT sum(DISTINCT b) OVER (ORDER BY b) AS s FROM nums ORDER BY b", r#"[{"s":1},{"s":3},{"s":6}]"#),
        ("SELECT sum(b) AS b FROM nums WHERE false", r#"[{"b":null}]"#),
        ("SELECT b FROM nums x WHERE b = (SELECT sum(y.b) FROM nums y WHERE y.k = x.k)", r#"[{"b":3}]"#),
        (
            "SELECT b + 0 AS b, count(*) AS n FROM nums GROUP BY b + 0 ORDER BY b",
            r#"[{"b":1,"n":1},{"b":2,"n":1},{"b":3,"n":1}]"#,
        ),
        ("SELECT b FROM nums ORDER BY b LIMIT 1 + 1", r#"[{"b":1},{"b":2}]"#),
        ("SELECT arrow_typeof(sum(b) + b + 1) AS t FROM nums GROUP BY b LIMIT 1", r#"[{"t":"Int64"}]"#),
    ] {
        match house.ask(everything("default"), request(sql), Format::JsonArray).await {
            Ok(found) if found == answer => {}
            other => wrong.push(format!("{sql}: {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
