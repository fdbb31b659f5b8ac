use super::*;

async fn two_tenants() -> House {
    let house = House::new();
    house.cars().await;
    house.store("acme", "cars", "2026-11-20T10:00:00Z", vec![("Name", texts(&["acme-only"]))]).await;
    house.store("acme", "payroll", "2026-11-20T10:00:00Z", vec![("Name", texts(&["secret"]))]).await;
    house
}

#[tokio::test]
async fn a_tenant_sees_its_own_streams_and_no_others() {
    let house = two_tenants().await;
    let ask = |tenant, sql| house.ask(everything(tenant), request(sql), Format::JsonArray);
    assert_eq!(ask("acme", "SELECT Name FROM cars").await.unwrap(), r#"[{"Name":"acme-only"}]"#);
    assert!(!ask("default", "SELECT * FROM cars").await.unwrap().contains("acme"));
    for name in [
        "payroll",
        "acme.payroll",
        "acme.cars",
        "\"acme/streams/payroll\"",
        "keyloft.acme.payroll",
        "streams.payroll",
        "\"../acme/streams/payroll\"",
        "'acme/streams/payroll/date=2026-11-20/x.parquet'",
        "\"keyloft://bucket/acme\"",
        "\"/etc/passwd\"",
        "\"file:///etc/passwd.csv\"",
        "information_schema.tables",
        "\"cars.parquet\"",
        "keyloft.information_schema.columns",
        "public.payroll",
        "a.b.c.d",
        "pg_catalog.pg_tables",
    ] {
        let error = house.refused(&format!("SELECT * FROM {name}")).await;
        assert!(!error.message().contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn a_stream_outside_the_patterns_is_as_if_it_did_not_exist() {
    let house = two_tenants().await;
    let ask = |sql: String| {
        let house = &house;
        async move { house.ask(only("acme", "car*"), request(&sql), Format::JsonArray).await }
    };
    assert!(ask("SELECT * FROM cars".into()).await.is_ok());
    for template in
        ["SELECT * FROM %", "DESCRIBE %", "WITH x AS (SELECT * FROM %) SELECT 1", "SELECT (SELECT 1 FROM %)"]
    {
        let hidden = ask(template.replace('%', "payroll")).await.unwrap_err();
        let absent = ask(template.replace('%', "pumpkin")).await.unwrap_err();
        assert_eq!((hidden.kind(), absent.kind()), (ErrorKind::Invalid, ErrorKind::Invalid));
        assert_eq!(hidden.message().replace("payroll", "pumpkin"), absent.message());
    }
}

#[tokio::test]
async fn a_secret_in_a_query_is_not_quoted() {
    let house = House::new();
    house.cars().await;
    for prefix in ["kl_ing_", "kl_qry_", "kl_svc_", "kl_adm_"] {
        let secret = format!("{prefix}0123456789");
        for sql in [
            format!("SELECT * FROM {secret}"),
            format!("SELECT {secret} FROM cars"),
            format!("SELECT CAST('{secret}' AS BIGINT) AS n"),
        ] {
            let error = house.refused(&sql).await;
            assert!(!error.message().contains(prefix) && error.message().contains("take it out"), "{error}");
        }
    }
}

#[tokio::test]
async fn only_objects_that_are_events_of_the_stream_are_read() {
    let house = House::new();
    house.cars().await;
    for path in [
        "streams/cars/date=2026-11-20/note.parquet",
        "streams/cars/x.parquet",
        "streams/cars/date=2026-11-20/a/b.parquet",
    ] {
        let path = object_store::path::Path::parse(path).unwrap();
        house.bucket.object_store().put(&path, "not parquet".into()).await.unwrap();
    }
    house.store("default", "cars-2", "2026-11-20T10:00:00Z", vec![("Name", texts(&["other"]))]).await;
    assert_eq!(house.json("SELECT count(*) AS n FROM cars").await, r#"[{"n":3}]"#);
}

#[tokio::test]
async fn the_time_range_holds_for_every_table_and_cannot_be_read_around() {
    let house = House::new();
    for (n, time) in
        ["2026-11-18T23:59:59.999Z", "2026-11-19T00:00:00Z", "2026-11-19T12:00:00Z", "2026-11-20T00:00:00Z"]
            .iter()
            .enumerate()
    {
        house.store("default", "e", time, vec![("n", ints(&[n as i64]))]).await;
    }
    let range = |sql: &str, start: &str, end: &str| {
        let sql = QueryRequest::new(sql, Some(at(start)), Some(at(end))).unwrap();
        house.ask(everything("default"), sql, Format::JsonArray)
    };
    let (start, end) = ("2026-11-19T00:00:00Z", "2026-11-20T00:00:00Z");
    assert_eq!(range("SELECT n FROM e ORDER BY n", start, end).await.unwrap(), r#"[{"n":1},{"n":2}]"#);
    for sql in [
        "SELECT count(*) AS n FROM e WHERE true OR p_timestamp IS NULL",
        "SELECT count(*) AS n FROM (SELECT n AS p_timestamp FROM e)",
        "WITH e2 AS (SELECT * FROM e) SELECT count(*) AS n FROM e2",
        "SELECT count(*) AS n FROM e UNION ALL SELECT 2 WHERE false",
        "SELECT count(*) AS n FROM e x LEFT JOIN e y ON x.n = y.n",
    ] {
        assert_eq!(range(sql, start, end).await.unwrap(), r#"[{"n":2}]"#, "{sql}");
    }
    assert_eq!(range("SELECT n FROM e", start, start).await.unwrap(), "[]");
    let open = QueryRequest::new("SELECT count(*) AS n FROM e", Some(at(start)), None).unwrap();
    assert_eq!(house.ask(everything("default"), open, Format::JsonArray).await.unwrap(), r#"[{"n":3}]"#);
    assert!(range("DESCRIBE e", start, end).await.unwrap().contains("p_timestamp"));
}

#[tokio::test]
async fn an_object_that_is_broken_is_not_the_clients_fault_and_is_named() {
    let house = House::new();
    house.cars().await;
    let (tenant, stream) = (TenantId::default(), StreamName::parse("cars").unwrap());
    let name = ObjectName::events(tenant, stream, at("2026-11-20T00:00:00Z"), fresh());
    let path = name.path();
    house.put(name, b"this is no Parquet file".to_vec()).await;
    let error = house.ask(everything("default"), request("SELECT * FROM cars"), Format::JsonArray).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.message().starts_with(&format!("the object `{path}` cannot be read: it is damaged")), "{error}");
}
