# SPDX-License-Identifier: Apache-2.0
"""Berth's control socket on a TCP port, for checkers that know TCP only.

What would go on for ever ends here: a lease or hold after the word that decides it, events after those that are
there. Who starts or stops a server does not wait: a rival may be pinned.
"""

import http.client
import http.server
import re
import sys
import threading

from harness import UnixConnection

DECIDED = (b'"granted"', b'"refused"', b'"revoked"')
QUIET = 0.2  # seconds without an event


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.forward  # any method: what is allowed is Berth's word
        raise AttributeError(name)

    def forward(self):
        length = int(self.headers.get("Content-Length") or 0)
        headers = {name: value for name, value in self.headers.items()
                   if name.lower() not in ("host", "connection", "content-length", "accept-encoding")}
        path = self.path.replace("wait=1", "wait=0")
        if re.search(r"/(start|stop)(\?|$)", path) and "wait=" not in path:
            path += ("&" if "?" in path else "?") + "wait=0"
        upstream = UnixConnection(self.server.socket_path, 60)
        try:
            upstream.request(self.command, path, self.rfile.read(length) if length else None, headers)
            reply = upstream.getresponse()
            body = read(reply, upstream)
        finally:
            upstream.close()
        self.send_response(reply.status)
        for name, value in reply.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


def read(reply, upstream):
    kind = reply.headers.get("Content-Type", "")
    if kind.startswith("application/x-ndjson"):
        body = b""
        while not any(word in body for word in DECIDED) and (piece := reply.read1(65536)):
            body += piece
        return body
    if kind.startswith("text/event-stream"):
        upstream.sock.settimeout(QUIET)
        body = b""
        try:
            while piece := reply.read1(65536):
                body += piece
        except TimeoutError:
            pass
        return body
    try:
        return reply.read()
    except http.client.IncompleteRead as error:
        return error.partial


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """A checker that hangs up is no error."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Bridge:
    """Use it in a `with`; `.url` is where the checker asks."""

    def __init__(self, berth):
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.socket_path = f"{berth.state}/s/control.sock"
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
