#!/usr/bin/env bash
# Makes fixtures/events/*.ndjson from the npm package vega-datasets. The result is committed, so you only run this to
# change it. Needs npm and python3. Sources and licences: fixtures/events/README.md.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm pack --silent vega-datasets@3.2.1 >/dev/null && tar -xzf vega-datasets-3.2.1.tgz)

python3 - "$work/package/data" fixtures/events <<'PYTHON'
import csv, datetime, itertools, json, pathlib, sys

source, target = map(pathlib.Path, sys.argv[1:])

def write(name, rows):
    lines = (json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)
    (target / name).write_text("".join(lines), encoding="utf-8")

def instant(millis):
    at = datetime.datetime.fromtimestamp(millis / 1000, datetime.timezone.utc)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")

def earthquakes():
    for feature in sorted(json.loads((source / "earthquakes.json").read_text())["features"],
                          key=lambda feature: feature["properties"]["time"]):
        what, where = feature["properties"], feature["geometry"]["coordinates"]
        row = {
            "event_id": feature["id"],
            "time": instant(what["time"]),
            "magnitude": what["mag"],
            "magnitude_type": what["magType"],
            "place": what["place"],
            "kind": what["type"],
            "longitude": where[0],
            "latitude": where[1],
            "depth_km": where[2],
            "felt_reports": what["felt"],
            "significance": what["sig"],
            "tsunami": bool(what["tsunami"]),
            "network": what["net"],
            "status": what["status"],
        }
        # Keep the fraction of a whole number in a column of fractions.
        for field in ("magnitude", "longitude", "latitude", "depth_km"):
            row[field] = None if row[field] is None else float(row[field])
        yield {field: value for field, value in row.items() if value is not None}

def bird_strikes():
    names = {
        "Flight Date": "flight_date", "Airport Name": "airport", "Origin State": "state",
        "Aircraft Make Model": "aircraft", "Aircraft Airline Operator": "operator",
        "Phase of flight": "phase", "Time of day": "time_of_day", "Wildlife Species": "species",
        "Wildlife Size": "wildlife_size", "Effect Amount of damage": "damage",
        "Cost Total $": "cost_dollars", "Speed IAS in knots": "speed_knots",
    }
    numbers = {"cost_dollars", "speed_knots"}
    with open(source / "birdstrikes.csv", encoding="utf-8", newline="") as file:
        for record in itertools.islice(csv.DictReader(file), 2000):
            row = {name: record[column].strip() for column, name in names.items() if record[column].strip()}
            yield {name: int(value) if name in numbers else value for name, value in row.items()}

write("earthquakes.ndjson", earthquakes())
write("bird-strikes.ndjson", bird_strikes())
PYTHON
wc -lc fixtures/events/*.ndjson
