#!/usr/bin/env bash
# SQL over HTTP beside DuckDB on the same Parquet objects: seven queries over ROWS bird strikes (default 3,000,000),
# compacted, both with as many threads as this machine has cores. The two take turns, ROUNDS times (default 15); printed
# are medians and their ratio. Both must give the same answers. Loopback only.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
rows=${ROWS:-3000000}; rounds=${ROUNDS:-15}
cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1)

keyloft=$(keyloft_program)
work=$(mktemp -d); server=
trap 'stop_keyloft; rm -rf "$work"' EXIT
scripts/duckdb.sh "$work/duckdb"
. "$work/duckdb/env"
start_keyloft "$work" "$work/store" --log-filter warn --compaction-interval 1s
echo "$("$keyloft" --version) on $(nproc) cores (${cpu:-unknown}), $rows rows, medians of $rounds turns"
KEYLOFT_INGESTION_KEY=$(issue writer ingestion) KEYLOFT_QUERY_KEY=$(issue reader query)
export KEYLOFT_INGESTION_KEY KEYLOFT_QUERY_KEY

"$KEYLOFT_TEST_DUCKDB" - "$rows" "$rounds" "$work/store" <<'PYTHON'
import http.client, json, os, statistics, sys, time, urllib.parse
import duckdb

rows, rounds, store = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
url = urllib.parse.urlsplit(os.environ["KEYLOFT_URL"])
connection = http.client.HTTPConnection(url.hostname, url.port, timeout=600)
admin = {"Authorization": "Bearer " + os.environ["KEYLOFT_ADMIN_TOKEN"]}
writer = {"X-API-KEY": os.environ["KEYLOFT_INGESTION_KEY"], "X-P-Stream": "strikes", "Content-Type": "application/x-ndjson"}
reader = {"X-API-KEY": os.environ["KEYLOFT_QUERY_KEY"], "Content-Type": "application/json"}

def call(method, path, headers, body=None):
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    text = response.read()
    if response.status != 200:
        sys.exit(f"{method} {path}: {response.status} {text[:500]}")
    return json.loads(text)

with open("fixtures/events/bird-strikes.ndjson", "rb") as file:
    lines = file.readlines()
for begin in range(0, rows, 20000):
    count = min(20000, rows - begin)
    call("POST", "/api/v1/ingest", writer, b"".join(lines[(begin + i) % len(lines)] for i in range(count)))

def objects():
    return call("GET", "/api/v1/tenants/default/logstream/strikes/objects", admin)["items"]

least = None
deadline = time.monotonic() + 600
while time.monotonic() < deadline:  # until nothing is merged any more
    found = sorted(found["url"] for found in objects())
    if found == least and len(found) <= 8:
        break
    least = found
    time.sleep(5)
files = [found["url"].removeprefix("file://") for found in objects()]
print(f"{len(files)} objects, {sum(os.path.getsize(file) for file in files) / 2**20:.0f} MiB")

queries = {
    "group by state": "SELECT state, count(*) AS n FROM strikes GROUP BY state",
    "count": "SELECT count(*) AS n FROM strikes",
    "filter, group by species, sums": "SELECT species, count(*) AS n, sum(cost_dollars) AS cost, sum(speed_knots) AS knots "
        "FROM strikes WHERE damage <> 'None' GROUP BY species",
    "count distinct": "SELECT count(DISTINCT airport) AS n FROM strikes",
    "LIKE": "SELECT count(*) AS n FROM strikes WHERE species LIKE '%gull%'",
    "range on a number": "SELECT count(*) AS n, sum(cost_dollars) AS cost FROM strikes WHERE speed_knots BETWEEN 100 AND 150",
    "group by two": "SELECT state, phase, count(*) AS n, max(cost_dollars) AS most FROM strikes GROUP BY state, phase",
}
os.nice(5)  # as the threads of queries do: whatever else runs on this machine, both get the same share
duck = duckdb.connect()
duck.execute(f"SET threads = {os.cpu_count()}; SET enable_progress_bar = false")
duck.execute(f"CREATE VIEW strikes AS SELECT * FROM read_parquet({files!r}, union_by_name = true)")

def keyloft(sql):
    return [tuple(row.values()) for row in call("POST", "/api/v1/query", reader, json.dumps({"query": sql}))]

def timed(run, sql):
    began = time.perf_counter()
    answer = run(sql)
    return (time.perf_counter() - began) * 1000, answer

def in_order(answer):
    return sorted((tuple(int(value) if isinstance(value, float) else value for value in row) for row in answer), key=repr)

print(f"{'query':32} {'keyloft ms':>10} {'duckdb ms':>10} {'ratio':>6}")
ratios = []
for name, sql in queries.items():
    run_duck = lambda sql: duck.execute(sql).fetchall()
    if in_order(keyloft(sql)) != in_order(run_duck(sql)):
        sys.exit(f"{name}: the answers differ")
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(timed(keyloft, sql)[0])
        theirs.append(timed(run_duck, sql)[0])
    ours, theirs = statistics.median(ours), statistics.median(theirs)
    ratios.append(ours / theirs)
    print(f"{name:32} {ours:10.1f} {theirs:10.1f} {ratios[-1]:6.2f}", flush=True)
print(f"median ratio {statistics.median(ratios):.2f}, highest {max(ratios):.2f}")
PYTHON
