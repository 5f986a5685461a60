# SPDX-License-Identifier: Apache-2.0
"""What Berth must not take, as data: name, door, bytes, status, code, whether the connection ends.

In the bytes stand @PORT@ for the port of the door and @TOKEN@ for the real token. `code` None: the
reply has no envelope to look at.
"""

OPEN, CLOSED = False, True
HOST = "Host: 127.0.0.1:@PORT@\r\n"
CHAT = '{"model":"chat","messages":[{"role":"user","content":"Hi"}]}'
STOP = "/api/v1/servers/chat/stop?wait=0"
BEARER = "Authorization: Bearer @TOKEN@\r\n"


def get(path="/v1/models", headers="", host=HOST):
    return f"GET {path} HTTP/1.1\r\n{host}{headers}\r\n"


def post(path="/v1/chat/completions", headers="", body=CHAT, kind="application/json", host=HOST):
    return (f"POST {path} HTTP/1.1\r\n{host}Content-Type: {kind}\r\n"
            f"Content-Length: {len(body.encode())}\r\n{headers}\r\n{body}")


def framed(lines, rest=""):
    """A chat whose framing headers are given."""
    return f"POST /v1/chat/completions HTTP/1.1\r\n{HOST}{lines}\r\n{rest}"


def chunked(body):
    return framed("Transfer-Encoding: chunked\r\n", body)


def host(text):
    return get(host=f"Host: {text}\r\n")


HIDDEN = get("/api/v1/status")  # pipelined behind a bad request: must never be answered

HOSTS = [(f"Host {text or '(empty)'}", "main", host(text), 403, "forbidden", CLOSED) for text in (
    "evil.example:@PORT@", "127.0.0.1.evil.example:@PORT@", "127.0.0.1", "localhost",
    "localhost:1", "", "a@127.0.0.1:@PORT@", "localhost%00:@PORT@", "0x7f.1:@PORT@",
    "2130706433:@PORT@", "[::ffff:127.0.0.1]:@PORT@", "127.0.0.1:@PORT@, evil.example",
    "localhost..:@PORT@", "127.0.0.2:@PORT@", "http://127.0.0.1:@PORT@")] + [
    ("foreign Host, own X-Forwarded-Host", "main",
     get(host="Host: evil.example\r\nX-Forwarded-Host: 127.0.0.1:@PORT@\r\n"), 403, "forbidden",
     CLOSED),
    ("foreign Host with the token", "main",
     post(STOP, BEARER, "", host="Host: evil.example:@PORT@\r\n"), 403, "forbidden", CLOSED),
    ("foreign Host on a front port", "front", host("evil.example:@PORT@"), 403, "forbidden",
     CLOSED),
    ("two Hosts", "main", get(host=HOST + "Host: evil.example\r\n"), 400, "bad_request", CLOSED),
    ("no Host", "main", get(host=""), 400, "bad_request", CLOSED),
    ("no Host in HTTP/1.0", "main", "GET /v1/models HTTP/1.0\r\n\r\n", 403, "forbidden", CLOSED),
    ("target of another host", "main", get("http://evil.example/v1/models"), 400, "bad_request",
     CLOSED),
    ("target and Host of another host", "main",
     get("http://evil.example/v1/models", host="Host: evil.example\r\n"), 403, "forbidden", CLOSED),
]

PAGES = [(f"chat with Origin {origin}", "main", post(headers=f"Origin: {origin}\r\n"), 403,
          "forbidden", CLOSED) for origin in (
    "http://evil.example", "null", "https://127.0.0.1:@PORT@", "file://",
    "http://127.0.0.1:@PORT@.evil.example", "chrome-extension://abcdef", "")] + [
    ("read with a foreign Origin", "main", get(headers="Origin: http://localhost:3000\r\n"), 403,
     "forbidden", CLOSED),
    ("front port with a foreign Origin", "front", get("/health", "Origin: http://evil.example\r\n"),
     403, "forbidden", CLOSED),
    ("own Origin and a foreign one", "main",
     get(headers="Origin: http://127.0.0.1:@PORT@\r\nOrigin: http://evil.example\r\n"), 403,
     "forbidden", CLOSED),
    ("foreign Origin with the token", "main",
     post(STOP, BEARER + "Origin: http://evil.example\r\n", ""), 403, "forbidden", CLOSED),
    ("events for another site", "main", get("/api/v1/events", "Sec-Fetch-Site: cross-site\r\n"),
     403, "forbidden", CLOSED),
    ("picture for a page of the same site", "main", get("/health", "Sec-Fetch-Site: same-site\r\n"),
     403, "forbidden", CLOSED),
    ("preflight", "main",
     f"OPTIONS {STOP} HTTP/1.1\r\n{HOST}Origin: http://evil.example\r\n"
     "Access-Control-Request-Method: POST\r\n\r\n", 403, "forbidden", CLOSED),
    ("WebSocket of a foreign page", "main",
     get("/api/v1/events", "Origin: http://evil.example\r\nConnection: Upgrade\r\n"
         "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), 403, "forbidden", CLOSED),
    ("chat from a form as text/plain", "main", post(kind="text/plain"), 415, "unsupported_type",
     CLOSED),
    ("the same in capitals on a front port", "front", post(kind="TEXT/PLAIN; charset=UTF-8"), 415,
     "unsupported_type", CLOSED),
    ("chat from a form with files", "main", post(kind="multipart/form-data; boundary=x"), 415,
     "unsupported_type", CLOSED),
    ("shutdown from a form", "main",
     post("/api/v1/shutdown", BEARER, "a=b", "application/x-www-form-urlencoded"), 415,
     "unsupported_type", CLOSED),
]


def stop(name, headers, status=401, code="unauthorized", path=STOP, end=CLOSED):
    return (name, "main", post(path, headers, ""), status, code, end)


TOKENS = [stop(f"{path} without the token", "", path=path) for path in (
    "/api/v1/servers/chat/start", "/api/v1/servers/chat/stop", "/api/v1/servers/chat/pin",
    "/api/v1/servers/chat/unpin", "/api/v1/servers/chat/clear-saved-state",
    "/api/v1/footprints/forget", "/api/v1/leases", "/api/v1/holds", "/api/v1/shutdown",
    "/%61pi/v1/shutdown")] + [
    stop("a wrong token", f"Authorization: Bearer {'0' * 64}\r\n"),
    stop("the token cut by its last character", "Authorization: Bearer @TOKEN63@\r\n"),
    stop("the token and one character more", "Authorization: Bearer @TOKEN@0\r\n"),
    stop("the token in capitals", "Authorization: Bearer @TOKEN_UPPER@\r\n"),
    stop("the token as Basic", "Authorization: Basic @TOKEN@\r\n"),
    stop("the token without a scheme", "Authorization: @TOKEN@\r\n"),
    stop("the token in a cookie", "Cookie: token=@TOKEN@\r\n"),
    stop("the token in the query", "", path=STOP + "&token=@TOKEN@"),
    stop("an injection for a token", "Authorization: Bearer ' OR 1=1--\r\n"),
    stop("two different tokens", BEARER + "X-Api-Key: other\r\n", 400, "bad_request"),
    stop("Authorization twice", BEARER + BEARER, 400, "bad_request"),
    stop("no control API on front ports", BEARER, 404, "not_found", end=OPEN)[:1] +
    ("front",) + stop("", BEARER, 404, "not_found", end=OPEN)[2:],
    ("a read that would change", "main", get("/api/v1/shutdown", BEARER), 405,
     "method_not_allowed", OPEN),
    ("a method in a header", "main",
     get("/api/v1/shutdown", BEARER + "X-HTTP-Method-Override: POST\r\n"), 405,
     "method_not_allowed", OPEN),
    stop("two slashes", "", 404, "not_found", "//api/v1/shutdown", OPEN),
]

IDS = [(f"id {text[:20]}", "main", get(f"/api/v1/servers/{text}/logs"), 404, "not_found", OPEN)
       for text in ("../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e", ".", "chat%00",
                    "-rf", "C:%5Cx", "%5C%5Chost%5Cshare", "a" * 300, "CHAT", "chat%20",
                    "chat%0d%0aX-Injected:%201")] + [
    (f"model {text!r}", "main", post(body='{"model":"%s"}' % text), 404, "not_found", OPEN)
    for text in ("../../etc/passwd", "chat\\u0000", "..%2fchat", "C:\\\\x", "-rf", "CHAT")]

INJECTIONS = [(name, "main", get(headers=lines), 400, "bad_request", CLOSED) for name, lines in (
    ("CR alone in a value", "X-Berth-Client: a\rX-Injected: b\r\n"),
    ("LF alone at the end of a line", "X-Berth-Client: a\nX-Injected: b\r\n"),
    ("NUL in a value", "X-Berth-Client: a\0b\r\n"),
    ("DEL in a value", "X-Berth-Client: a\x7f\r\n"),
    ("a folded line", "X-Berth-Client: a\r\n b\r\n"),
    ("a space before the colon", "X-Berth-Client : a\r\n"),
    ("a space in a name", "X Berth: a\r\n"),
    ("no name", ": a\r\n"),
    ("no colon", "X-Berth-Client\r\n"))] + [
    ("encoded line end in the target", "main", get("/%0d%0aX-Injected:%20b"), 404, "not_found",
     OPEN),
    ("a parent that is no number", "main", post(headers="X-Berth-Parent: x\r\n"), 400,
     "bad_request", OPEN),
    ("a number in the query that is none", "main", get("/api/v1/explain?limit=1e9"), 400,
     "bad_request", OPEN),
    ("an answer to events that never were", "main",
     get("/api/v1/events", "Last-Event-ID: x\r\n"), 400, "bad_request", OPEN),
]

SMUGGLING = [(name, "main", request + HIDDEN, 400, "bad_request", CLOSED) for name, request in (
    ("length and chunks",
     framed("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
    ("two lengths", framed("Content-Length: 4\r\nContent-Length: 5\r\n", "abcd")),
    ("the same length twice", framed("Content-Length: 4\r\nContent-Length: 4\r\n", "abcd")),
    ("a list of lengths", framed("Content-Length: 4, 4\r\n", "abcd")),
    ("a signed length", framed("Content-Length: +4\r\n", "abcd")),
    ("a hexadecimal length", framed("Content-Length: 0x4\r\n", "abcd")),
    ("an empty length", framed("Content-Length:\r\n", "abcd")),
    ("a length of 31 digits", framed(f"Content-Length: 1{'0' * 30}\r\n", "abcd")),
    ("a disguised length", framed("Content_Length: 4\r\nContent-Length: 0\r\n")),
    ("an unknown coding", framed("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n")),
    ("identity", framed("Transfer-Encoding: identity\r\n")),
    ("chunked twice", framed("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n")),
    ("chunks in HTTP/1.0",
     f"POST / HTTP/1.0\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("a negative chunk", chunked("-2\r\nab\r\n0\r\n\r\n")),
    ("a chunk with 0x", chunked("0x2\r\nab\r\n0\r\n\r\n")),
    ("a chunk of 17 digits", chunked("00000000000000002\r\nab\r\n0\r\n\r\n")),
    ("a chunk longer than it says", chunked("1\r\nabc\r\n0\r\n\r\n")),
    ("a trailer about who asks", chunked(f"2\r\n{{}}\r\n0\r\n{BEARER}\r\n")),
    ("the line of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("a version that is none", f"GET / HTTP/1.32\r\n{HOST}\r\n"),
    ("a version in small letters", f"GET / http/1.1\r\n{HOST}\r\n"),
    ("a tunnel", f"CONNECT evil.example:80 HTTP/1.1\r\n{HOST}\r\n"),
    ("an expectation that is none", framed("Content-Length: 4\r\nExpect: 202-x\r\n", "abcd")))]

SIZES = [
    ("a target of 8 KiB and a byte", "main", get("/" + "a" * (8 << 10)), 414, "too_large", CLOSED),
    ("a target without an end", "main", "GET /" + "a" * (64 << 10), 414, "too_large", CLOSED),
    ("101 headers", "main", get(headers="X-A: b\r\n" * 100), 431, "too_large", CLOSED),
    ("a head of more than 16 KiB", "main", get(headers=f"X-A: {'b' * (16 << 10)}\r\n"), 431,
     "too_large", CLOSED),
    ("a body of 32 MiB and a byte", "main", framed(f"Content-Length: {(32 << 20) + 1}\r\n"), 413,
     "too_large", CLOSED),
    ("a chunk of 1 GiB", "main", chunked("40000000\r\n" + "a" * 1000), 413, "too_large", CLOSED),
    ("a stranger's 30 MiB, which are not waited for", "main",
     f"POST {STOP} HTTP/1.1\r\n{HOST}Content-Length: {30 << 20}\r\n\r\n", 401, "unauthorized",
     CLOSED),
]

# Sent, and then nothing or too little more: answered when the time of that phase is over.
SLOW = [
    ("a head that stops", "main", f"GET / HTTP/1.1\r\n{HOST}X-A: ", 408, "deadline", CLOSED),
    ("a body that stops", "main", framed("Content-Length: 4\r\n", "a"), 408, "deadline", CLOSED),
    ("chunks that stop", "main", chunked("4\r\na"), 408, "deadline", CLOSED),
]

CASES = HOSTS + PAGES + TOKENS + IDS + INJECTIONS + SMUGGLING + SIZES
