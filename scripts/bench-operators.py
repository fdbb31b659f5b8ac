"""The requests of scripts/bench-operators.sh, which starts the server and the provider."""
import http.client
import json
import os
import statistics
import sys
import time
import urllib.parse

SERVER = urllib.parse.urlsplit(os.environ["KEYLOFT_URL"]).netloc
ADMIN = os.environ["KEYLOFT_ADMIN_TOKEN"]
PUBLIC = "127.0.0.1:1"


class Browser:
    """Keeps cookies by host and port, and follows no redirect by itself."""

    def __init__(self):
        self.cookies = {}
        self.connections = {}

    def go(self, url, method="GET", body=None, content_type="application/x-www-form-urlencoded", **headers):
        """The status, where it is sent on to, the body, and how long it took, in milliseconds."""
        at = urllib.parse.urlsplit(url)
        host = SERVER if at.netloc == PUBLIC else at.netloc
        kept = self.cookies.setdefault(host, {})
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in kept.items())
        if body is not None:
            headers["Content-Type"] = content_type
        connection = self.connections.setdefault(host, http.client.HTTPConnection(host))
        path = at.path + (f"?{at.query}" if at.query else "")
        began = time.perf_counter()
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        took = (time.perf_counter() - began) * 1000
        for cookie in answer.headers.get_all("Set-Cookie") or []:
            name, _, rest = cookie.partition("=")
            value = rest.split(";")[0]
            kept[name] = value
            if not value:
                del kept[name]
        to = answer.headers["Location"]
        return answer.status, to and urllib.parse.urljoin(url, to), text, took


def sign_in():
    """How long the requests to this server took, and the token."""
    browser = Browser()
    _, at, _, begin = browser.go(f"http://{SERVER}/auth/corp/login?handoff=1")
    while urllib.parse.urlsplit(at).netloc != PUBLIC:
        status, to, text, _ = browser.go(at)
        forms = iter(("prompt=login&login=alice&password=x", "prompt=consent"))
        while to is None:
            status, to, text, _ = browser.go(at, "POST", next(forms))
        if status >= 400:
            sys.exit(f"{at}: {status} {text}")
        at = to
    status, to, text, callback = browser.go(at)
    if status != 303 or "handoff=" not in to:
        sys.exit(f"the sign-in ended with {status} {to} {text}")
    body = json.dumps({"handoff": to.split("handoff=")[1]})
    status, _, text, exchange = browser.go(f"http://{SERVER}/api/v1/auth/token", "POST", body, "application/json")
    if status != 200:
        sys.exit(f"{status} {text}")
    return (begin, callback, exchange, begin + callback + exchange), json.loads(text)["token"]


def row(name, times, unit):
    ninety = statistics.quantiles(times, n=10)[-1]
    print(f"{name:<44} median {statistics.median(times):8.2f}   nine of ten below {ninety:8.2f} {unit}")


def main():
    sign_ins, checks = map(int, sys.argv[1:])
    body = json.dumps({"email": "alice@example.com", "role": "admin"})
    status, _, text, _ = Browser().go(
        f"http://{SERVER}/api/v1/tenants/default/memberships", "POST", body, "application/json",
        Authorization=f"Bearer {ADMIN}")
    if status >= 300:
        sys.exit(f"{status} {text}")
    token = sign_in()[1]
    all_times = []
    for _ in range(sign_ins):
        times, token = sign_in()
        all_times.append(times)
        time.sleep(6)  # A network may try thirty times a minute, and a sign-in is three tries.
    for name, times in zip(("GET /auth/corp/login", "GET /auth/corp/callback", "POST /api/v1/auth/token", "sign-in"),
                           zip(*all_times)):
        row(name, times, "ms")
    client, of_token, of_admin = Browser(), [], []
    for _ in range(checks):
        for presented, times in ((token, of_token), (ADMIN, of_admin)):
            status, _, text, took = client.go(f"http://{SERVER}/api/v1/auth/me", Authorization=f"Bearer {presented}")
            if status != 200:
                sys.exit(f"{status} {text}")
            times.append(took * 1000)
    row("GET /api/v1/auth/me with a token", of_token, "us")
    row("GET /api/v1/auth/me with the admin token", of_admin, "us")
    print(f"a check takes {statistics.median(of_token) - statistics.median(of_admin):.0f} us more")


main()
