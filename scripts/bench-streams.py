"""The queries of scripts/bench-streams.sh, which starts the server."""
import datetime
import os
import pathlib
import shutil
import statistics
import sys
import time
import uuid

from client import Node

EVENTS = pathlib.Path("fixtures/events/earthquakes.ndjson").read_bytes().splitlines(keepends=True)
DIRECTORY = pathlib.Path(os.environ["KEYLOFT_DIRECTORY"])
node = Node(os.environ["KEYLOFT_URL"])


def has_more(stream, than):
    try:
        return len(node.objects(stream)) > than
    except RuntimeError as refusal:
        # A list of objects is refused for a day of more than 100,000.
        if "query_too_large" in str(refusal):
            return True
        raise


def until_merged(stream, at_most, patience):
    began = time.monotonic()
    while has_more(stream, at_most):
        if time.monotonic() - began > patience:
            sys.exit(f"{stream} still has more than {at_most} objects after {patience} s")
        # What arrives has the node visit the day.
        node.ingest(stream, EVENTS[0])
        time.sleep(2)
    return time.monotonic() - began


def until_removed(stream, patience):
    """Waits until what was replaced is gone from the directory."""
    began = time.monotonic()
    while len(list((DIRECTORY / f"streams/{stream}").glob("date=*/**/*.parquet"))) > len(node.objects(stream)):
        if time.monotonic() - began > patience:
            sys.exit(f"objects of {stream} that were replaced are there after {patience} s")
        time.sleep(2)
    return time.monotonic() - began


def with_as_many_objects(first, second):
    """Gives the stream with fewer objects as many as the other has, by single events: a day that is not over keeps up
    to seven that are not merged yet, and each costs a query. Returns how many."""
    for _ in range(50):
        count = {stream: len(node.objects(stream)) for stream in (first, second)}
        fewer = min(count, key=count.get)
        if count[first] == count[second]:
            return count[first]
        node.ingest(fewer, EVENTS[0])
    sys.exit(f"{first} and {second} never have as many objects: {count}")


def beside(name, rounds, first, second):
    """Two queries in turns: their medians in milliseconds, and the ratio of the first to the second."""
    times = ([], [])
    for _ in range(rounds):
        for place, sql in enumerate((first, second)):
            began = time.perf_counter()
            node.ask(sql)
            times[place].append((time.perf_counter() - began) * 1000)
    ours, theirs = map(statistics.median, times)
    print(f"{name:44} {ours:8.2f} {theirs:8.2f} {ours / theirs:6.2f}", flush=True)


def main():
    made, rounds = int(sys.argv[1]), int(sys.argv[2])
    node.ingest("many", EVENTS[0])
    took = until_merged("many", 4, 1800)
    print(f"{made} objects merged in {took:.0f} s, into {len(node.objects('many'))}")
    rows = node.ask("SELECT count(*) AS n FROM many")[0]["n"]
    for begin in range(0, rows, 5000):
        node.ingest("one", EVENTS[0] * min(5000, rows - begin))
    until_merged("one", 2, 300)

    print(f"{'':44} {'ms':>8} {'beside':>8} {'ratio':>6}")
    count = "SELECT count(*) AS n FROM {}"
    groups = "SELECT magnitude_type, count(*) AS n, avg(magnitude) AS mean FROM {} GROUP BY magnitude_type"
    for when in ("replaced", "removed"):
        if when == "removed":
            print(f"what was replaced went within {until_removed('many', 1200):.0f} s")
        print(f"many and one consist of {with_as_many_objects('many', 'one')} objects each")
        for name, sql in (("count(*)", count), ("groups", groups)):
            beside(f"{name}, {made} {when} / one object", rounds, sql.format("many"), sql.format("one"))

    for stream in ("month", "minutes"):
        for _ in range(20):
            node.ingest(stream, b"".join(EVENTS * 6))
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
    print(f"30 days in {len(node.objects('month'))} objects, the last minutes in {len(node.objects('minutes'))}")
    minutes = [int(node.ask(last.format(stream, 60))[0]["n"]) for stream in ("month", "minutes")]
    if minutes[0] != minutes[1]:
        sys.exit(f"the last minutes differ: {minutes}")
    beside("last hour of 30 days / only that", rounds, last.format("month", 60), last.format("minutes", 60))
    beside("last five minutes of 30 days / only these", rounds, last.format("month", 5), last.format("minutes", 5))


main()
