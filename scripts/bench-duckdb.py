"""The queries of scripts/bench-duckdb.sh, which starts the server."""
import os
import pathlib
import statistics
import sys
import time

import duckdb

from client import Node

EVENTS = pathlib.Path("fixtures/events/bird-strikes.ndjson").read_bytes().splitlines(keepends=True)
QUERIES = {
    "group by state": "SELECT state, count(*) AS n FROM strikes GROUP BY state",
    "count": "SELECT count(*) AS n FROM strikes",
    "filter, group by species, sums":
        "SELECT species, count(*) AS n, sum(cost_dollars) AS cost, sum(speed_knots) AS knots "
        "FROM strikes WHERE damage <> 'None' GROUP BY species",
    "count distinct": "SELECT count(DISTINCT airport) AS n FROM strikes",
    "LIKE": "SELECT count(*) AS n FROM strikes WHERE species LIKE '%gull%'",
    "range on a number":
        "SELECT count(*) AS n, sum(cost_dollars) AS cost FROM strikes WHERE speed_knots BETWEEN 100 AND 150",
    "group by two":
        "SELECT state, phase, count(*) AS n, max(cost_dollars) AS most FROM strikes GROUP BY state, phase",
}


def until_merged(node):
    """Waits until nothing is merged any more. Returns the files."""
    before, deadline = None, time.monotonic() + 600
    while time.monotonic() < deadline:
        found = sorted(found["url"] for found in node.objects("strikes"))
        if found == before and len(found) <= 8:
            return [url.removeprefix("file://") for url in found]
        before = found
        time.sleep(5)
    sys.exit("the objects are still being merged")


def timed(run, sql):
    began = time.perf_counter()
    run(sql)
    return (time.perf_counter() - began) * 1000


def in_order(answer):
    whole = lambda value: int(value) if isinstance(value, float) else value
    return sorted((tuple(map(whole, row)) for row in answer), key=repr)


def main():
    rows, rounds = int(sys.argv[1]), int(sys.argv[2])
    node = Node(os.environ["KEYLOFT_URL"])
    for begin in range(0, rows, 20000):
        count = min(20000, rows - begin)
        node.ingest("strikes", b"".join(EVENTS[(begin + at) % len(EVENTS)] for at in range(count)))
    files = until_merged(node)
    print(f"{len(files)} objects, {sum(os.path.getsize(file) for file in files) / 2**20:.0f} MiB")

    os.nice(5)  # As the threads of queries do: whatever else runs on this machine, both get the same share.
    duck = duckdb.connect()
    duck.execute(f"SET threads = {os.cpu_count()}; SET enable_progress_bar = false")
    duck.execute(f"CREATE VIEW strikes AS SELECT * FROM read_parquet({files!r}, union_by_name = true)")
    keyloft = lambda sql: [tuple(row.values()) for row in node.ask(sql)]
    duckdb_ = lambda sql: duck.execute(sql).fetchall()
    print(f"{'query':32} {'first ms':>10} {'second ms':>10} {'keyloft ms':>10} {'duckdb ms':>10} {'ratio':>6}")
    ratios = []
    for name, sql in QUERIES.items():
        # What no query before has read twice comes from the store.
        first, second = timed(keyloft, sql), timed(keyloft, sql)
        if in_order(keyloft(sql)) != in_order(duckdb_(sql)):
            sys.exit(f"{name}: the answers differ")
        turns = [(timed(keyloft, sql), timed(duckdb_, sql)) for _ in range(rounds)]
        ours, theirs = map(statistics.median, zip(*turns))
        ratios.append(ours / theirs)
        print(f"{name:32} {first:10.1f} {second:10.1f} {ours:10.1f} {theirs:10.1f} {ratios[-1]:6.2f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.2f}, highest {max(ratios):.2f}")


main()
