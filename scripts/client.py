"""A client for the scripts that measure. KEYLOFT_ADMIN_TOKEN, KEYLOFT_INGESTION_KEY and KEYLOFT_QUERY_KEY are set."""
import http.client
import json
import os
import urllib.parse

ADMIN = {"Authorization": "Bearer " + os.environ["KEYLOFT_ADMIN_TOKEN"], "Content-Type": "application/json"}
READER = {"X-API-KEY": os.environ["KEYLOFT_QUERY_KEY"], "Content-Type": "application/json"}
WRITER = {"X-API-KEY": os.environ["KEYLOFT_INGESTION_KEY"], "Content-Type": "application/x-ndjson"}


class Node:
    """A kept connection to one node. Whatever is not 200 is an error."""

    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=600)

    def call(self, method, path, headers, body=None):
        self.connection.request(method, path, body, headers)
        response = self.connection.getresponse()
        text = response.read()
        if response.status != 200:
            raise RuntimeError(f"{method} {path}: {response.status} {text[:500]}")
        return json.loads(text)

    def ask(self, sql):
        return self.call("POST", "/api/v1/query", READER, json.dumps({"query": sql}))

    def ingest(self, stream, lines):
        self.call("POST", "/api/v1/ingest", {**WRITER, "X-P-Stream": stream}, lines)

    def objects(self, stream):
        """The objects that a stream consists of."""
        found, cursor = [], ""
        while True:
            path = f"/api/v1/tenants/default/logstream/{stream}/objects?limit=10000{cursor}"
            page = self.call("GET", path, ADMIN)
            found += page["items"]
            if not page["nextCursor"]:
                return found
            cursor = "&cursor=" + page["nextCursor"]
