"""The queries of scripts/bench-streams.sh, which starts the server."""
import datetime
import http.client
import json
import os
import pathlib
import shutil
import statistics
import sys
import time
import urllib.parse
import uuid

EVENT = pathlib.Path("fixtures/events/earthquakes.ndjson").read_bytes().splitlines(keepends=True)
DIRECTORY = pathlib.Path(os.environ["KEYLOFT_DIRECTORY"])
URL = urllib.parse.urlsplit(os.environ["KEYLOFT_URL"])
ADMIN = {"Authorization": "Bearer " + os.environ["KEYLOFT_ADMIN_TOKEN"]}
READER = {"X-API-KEY": os.environ["KEYLOFT_QUERY_KEY"], "Content-Type": "application/json"}
connection = http.client.HTTPConnection(URL.hostname, URL.port, timeout=600)


def call(method, path, headers, body=None):
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    text = response.read()
    if response.status != 200:
        sys.exit(f"{method} {path}: {response.status} {text[:500]}")
    return json.loads(text)


def ingest(stream, lines):
    headers = {"X-API-KEY": os.environ["KEYLOFT_INGESTION_KEY"], "X-P-Stream": stream}
    call("POST", "/api/v1/ingest", {**headers, "Content-Type": "application/x-ndjson"}, b"".join(lines))


def ask(sql):
    return call("POST", "/api/v1/query", READER, json.dumps({"query": sql}))


def objects(stream):
    found, cursor = [], ""
    while True:
        page = call("GET", f"/api/v1/tenants/default/logstream/{stream}/objects?limit=10000{cursor}", ADMIN)
        found += page["items"]
        if not page["nextCursor"]:
            return found
        cursor = "&cursor=" + page["nextCursor"]


def until_merged(stream, at_most, patience):
    began = time.monotonic()
    while len(objects(stream)) > at_most:
        if time.monotonic() - began > patience:
            sys.exit(f"{stream} still has {len(objects(stream))} objects after {patience} s")
        # What arrives has the node visit the day.
        ingest(stream, EVENT[:1])
        time.sleep(2)
    return time.monotonic() - began


def beside(name, rounds, first, second):
    """Two queries in turns: their medians in milliseconds, and the ratio of the first to the second."""
    times = ([], [])
    for _ in range(rounds):
        for place, sql in enumerate((first, second)):
            began = time.perf_counter()
            ask(sql)
            times[place].append((time.perf_counter() - began) * 1000)
    ours, theirs = map(statistics.median, times)
    print(f"{name:44} {ours:8.2f} {theirs:8.2f} {ours / theirs:6.2f}", flush=True)


def main():
    made, rounds = int(sys.argv[1]), int(sys.argv[2])
    ingest("many", EVENT[:1])
    took = until_merged("many", 4, 1800)
    print(f"{made} objects merged in {took:.0f} s, into {len(objects('many'))}")
    rows = ask("SELECT count(*) AS n FROM many")[0]["n"]
    for begin in range(0, rows, 5000):
        ingest("one", EVENT[:1] * min(5000, rows - begin))
    until_merged("one", 2, 300)

    print(f"{'':44} {'ms':>8} {'beside':>8} {'ratio':>6}")
    count = "SELECT count(*) AS n FROM {}"
    groups = "SELECT magnitude_type, count(*) AS n, avg(magnitude) AS mean FROM {} GROUP BY magnitude_type"
    for name, sql in (("count(*)", count), ("groups", groups)):
        beside(f"{name}, {made} objects merged / one object", rounds, sql.format("many"), sql.format("one"))

    for stream in ("month", "minutes"):
        for _ in range(20):
            ingest(stream, EVENT * 6)
        until_merged(stream, 2, 300)
    source = next((DIRECTORY / "streams/month").glob("date=*/**/*.parquet"))
    today = datetime.datetime.now(datetime.timezone.utc).date()
    for age in range(1, 30):
        day = today - datetime.timedelta(days=age)
        folder = DIRECTORY / f"streams/month/date={day}"
        folder.mkdir()
        for _ in range(4):  # Read for what its name says: if a query opened one, its answer would be another.
            shutil.copy(source, folder / f"1200-{uuid.uuid4()}.parquet")
    last = ("SELECT count(*) AS n, avg(magnitude) AS mean FROM {} WHERE p_timestamp > now() - INTERVAL '{} minutes'")
    print(f"30 days in {len(objects('month'))} objects, the last minutes in {len(objects('minutes'))}")
    minutes = [int(ask(last.format(stream, 60))[0]["n"]) for stream in ("month", "minutes")]
    if minutes[0] != minutes[1]:
        sys.exit(f"the last minutes differ: {minutes}")
    beside("last hour of 30 days / only that", rounds, last.format("month", 60), last.format("minutes", 60))
    beside("last five minutes of 30 days / only these", rounds, last.format("month", 5), last.format("minutes", 5))


main()
