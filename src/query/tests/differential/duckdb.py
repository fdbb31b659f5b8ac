"""Answers SQL with DuckDB: one JSON object a line in, one a line out."""
import datetime
import decimal
import json
import sys

import duckdb

connection = duckdb.connect(":memory:")
connection.execute("SET threads = 1")
connection.execute("SET default_null_order = 'nulls_last_on_asc_first_on_desc'")


def plain(value):
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    return value


for line in sys.stdin:
    try:
        request = json.loads(line)
        connection.execute(f"PRAGMA {'disable' if request.get('plain') else 'enable'}_optimizer")
        found = connection.execute(request["sql"], request.get("values") or None)
        names = [column[0] for column in found.description or []]
        rows = [[plain(value) for value in row] for row in found.fetchall()]
        answer = {"names": names, "rows": rows}
    except Exception as error:
        answer = {"error": str(error).split("\n")[0]}
    print(json.dumps(answer), flush=True)
