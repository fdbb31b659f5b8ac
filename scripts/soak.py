"""The load of scripts/soak.sh, which starts the nodes and the store."""
import collections
import datetime
import hashlib
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid

from client import ADMIN, Node

MINUTES, NODES, PIDS = float(sys.argv[1]), sys.argv[2].split(), sys.argv[3].split()
STREAMS = [f"soak-{number}" for number in range(10)]
REQUESTS_A_SECOND, EVENTS, WRITERS = 40, 20, 8
BUCKET = os.environ["AWS_ENDPOINT"] + "/keyloft"
SAMPLE = [json.loads(line) for line in pathlib.Path("fixtures/events/earthquakes.ndjson").read_bytes().splitlines()]

lock = threading.Lock()
counts = collections.Counter()
errors = []
acknowledged = dict.fromkeys(STREAMS, 0)
ended = threading.Event()


def note(what, error):
    with lock:
        counts["errors"] += 1
        errors.append(f"{datetime.datetime.now():%H:%M:%S} {what}: {error}")
        if len(errors) <= 20:
            print(errors[-1], flush=True)


def write(place):
    """Sends requests at its share of the rate, in turn to every node."""
    nodes = [Node(url) for url in NODES]
    dice = random.Random(place)
    due = time.monotonic() + place / REQUESTS_A_SECOND
    number = place
    while not ended.is_set():
        time.sleep(max(0, due - time.monotonic()))
        due += WRITERS / REQUESTS_A_SECOND
        stream = dice.choice(STREAMS)
        lines = "".join(json.dumps({**event, "n": 1}) + "\n" for event in dice.choices(SAMPLE, k=EVENTS))
        node = nodes[number % len(nodes)]
        number += 1
        began = time.monotonic()
        try:
            node.ingest(stream, lines)
        except Exception as error:
            note(f"ingest into {stream}", error)
            node.connection.close()
            continue
        with lock:
            counts["requests"] += 1
            counts["slowest_ms"] = max(counts["slowest_ms"], int((time.monotonic() - began) * 1000))
            acknowledged[stream] += EVENTS


def query():
    """A query a second: nothing that was acknowledged before it may be missing."""
    nodes = [Node(url) for url in NODES]
    dice = random.Random("queries")
    while not ended.is_set():
        stream, node = dice.choice(STREAMS), dice.choice(nodes)
        with lock:
            least = acknowledged[stream]
        began = time.monotonic()
        try:
            if least and dice.random() < 0.5:
                found = node.ask(f'SELECT sum(n) AS n FROM "{stream}"')[0]["n"]
                if found < least:
                    note(f"query of {stream}", f"{found} events of {least} that were acknowledged")
            elif least:
                node.ask(f"SELECT magnitude_type, count(*) AS n FROM \"{stream}\" "
                         "WHERE p_timestamp > now() - INTERVAL '5 minutes' GROUP BY magnitude_type")
        except Exception as error:
            note(f"query of {stream}", error)
            node.connection.close()
        with lock:
            counts["queries"] += 1
            counts["slowest_query_ms"] = max(counts["slowest_query_ms"], int((time.monotonic() - began) * 1000))
        time.sleep(max(0, 1 - (time.monotonic() - began)))


def s3(method, path, source=None):
    command = ["curl", "-fsS", "-X", method, "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", "KEYLOFT:KEYLOFTKEYLOFT"]
    command += ["-H", f"x-amz-content-sha256: {hashlib.sha256(b'').hexdigest()}"]
    if source:
        command += ["-H", f"x-amz-copy-source: /keyloft/soak/{source}"]
    return subprocess.run([*command, BUCKET + path], capture_output=True, text=True, check=True).stdout


def stored():
    """The names of all objects of events in the store."""
    names, after = [], ""
    while True:
        page = s3("GET", f"?list-type=2&max-keys=1000&prefix=soak%2Fstreams%2F{after}")
        names += [name for name in re.findall("<Key>([^<]+)</Key>", page) if name.endswith(".parquet")]
        if "<IsTruncated>true" not in page or not names:
            return names
        after = "&start-after=" + urllib.parse.quote(re.findall("<Key>([^<]+)</Key>", page)[-1], safe="")


def memory(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) // 1024


def put_old_objects(node):
    """An object of a day long past into every stream: it is out of retention as it comes."""
    day = datetime.datetime.now(datetime.timezone.utc).date() - datetime.timedelta(days=random.randrange(30, 60))
    for stream in STREAMS:
        found = node.objects(stream)
        if found:
            s3("PUT", f"/soak/streams/{stream}/date%3D{day}/1200-{uuid.uuid4()}.parquet", found[0]["object"])
            counts["old"] += 1


def main():
    admin = Node(NODES[0])
    for stream in STREAMS:
        path = f"/api/v1/tenants/default/logstream/{stream}"
        admin.call("PATCH", path, ADMIN, json.dumps({"retentionDays": 1}))
    threads = [threading.Thread(target=write, args=(place,)) for place in range(WRITERS)]
    threads.append(threading.Thread(target=query))
    for thread in threads:
        thread.start()
    began = time.monotonic()
    print(f"{'minute':>6} {'requests':>9} {'queries':>8} {'errors':>7} {'slowest':>8} {'query':>7} "
          f"{'MiB of each node':>18} {'stored':>7} {'of old days':>11} {'shown':>6}")
    minute = 0
    while time.monotonic() - began < MINUTES * 60:
        time.sleep(max(0, began + 60 * (minute + 1) - time.monotonic()))
        minute += 1
        try:
            if minute % 2 == 0 and minute < MINUTES - 10:
                put_old_objects(admin)
            names = stored()
            shown = sum(len(admin.objects(stream)) for stream in STREAMS)
        except Exception as error:
            note("administration", error)
            admin.connection.close()
            continue
        today = f"{datetime.datetime.now(datetime.timezone.utc).date()}"
        old = sum(today not in name for name in names)
        with lock:
            print(f"{minute:6} {counts['requests']:9} {counts['queries']:8} {counts['errors']:7} "
                  f"{counts['slowest_ms']:6}ms {counts['slowest_query_ms']:5}ms "
                  f"{' '.join(f'{memory(pid):5}' for pid in PIDS):>18} {len(names):7} {old:11} {shown:6}", flush=True)
            counts["slowest_ms"] = counts["slowest_query_ms"] = 0
    ended.set()
    for thread in threads:
        thread.join()
    wrong = 0
    for stream in STREAMS:
        for url in NODES:
            found = Node(url).ask(f'SELECT count(*) AS n FROM "{stream}"')[0]["n"]
            # A request without an answer may have been stored: there is none without an error.
            if found != acknowledged[stream]:
                wrong += 1
                print(f"{stream} on {url}: {found} events, {acknowledged[stream]} were acknowledged")
    total = sum(acknowledged.values())
    print(f"{total} events acknowledged in {counts['requests']} requests, {counts['old']} old objects put, "
          f"{counts['errors']} errors, {wrong} wrong sums")
    sys.exit(1 if wrong or counts["errors"] else 0)


main()
