# SPDX-License-Identifier: Apache-2.0
"""A real Chromium that opens a hostile page, and the web server of its author."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DEADLINE = 90
NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium():
    """The browser's program; a missing one is a failure, never a skip."""
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return found
    raise AssertionError(f"no browser: none of {', '.join(NAMES)} is found by PATH; on Debian "
                         "scripts/test installs chromium, elsewhere install one by hand")


class Author(ThreadingHTTPServer):
    """Serves the page to whoever asks, and takes what it reports."""

    daemon_threads = True

    def __init__(self, page, address=("127.0.0.1", 0)):
        super().__init__(address, Answers)
        self.page, self.report, self.reported = page, None, threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self):
        return self.server_address[1]

    def wait(self):
        if not self.reported.wait(DEADLINE):
            raise AssertionError("the page did not report: does the browser run?")
        return self.report

    def close(self):
        self.shutdown()
        self.server_close()


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):  # noqa: N802 - the name is the library's
        self.answer(self.server.page.encode())

    def do_POST(self):  # noqa: N802
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(b"")
        if self.path == "/report":
            self.server.report = json.loads(body)
            self.server.reported.set()

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Naive(ThreadingHTTPServer):
    """A server without a door: shows that the attacks work where nobody stops them."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), NaiveAnswers)
        self.changed = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self):
        return self.server_address[1]

    def close(self):
        self.shutdown()
        self.server_close()


class NaiveAnswers(BaseHTTPRequestHandler):
    def do_GET(self):  # noqa: N802
        self.answer()

    def do_POST(self):  # noqa: N802
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.changed.append(self.path)
        self.answer()

    def answer(self):
        body = b'{"secret":"NAIVE"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Rebinding(threading.Thread):
    """The name's second address: first its author answers there, then everything goes to `victim`.

    So the page and the victim have one origin, as after the DNS was changed under the browser; its
    cache of names cannot be waited for in a test.
    """

    def __init__(self, page, victim):
        super().__init__(daemon=True)
        self.page, self.victim, self.passed_on = page.encode(), victim, 0
        # The victim's port of another loopback address: the Host is exactly what it would be.
        self.listener = socket.create_server(("127.0.0.2", victim))
        self.start()

    def run(self):
        is_served = False
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return  # closed
            if is_served:
                self.passed_on += 1
                self.connect(client)
            else:
                is_served = self.serve_page(client)

    def serve_page(self, client):
        """Browsers open connections which they then do not use; those do not count."""
        with client:
            if not client.recv(65536):
                return False
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n"
                           b"Content-Length: %d\r\n\r\n%s" % (len(self.page), self.page))
        return True

    def connect(self, client):
        victim = socket.create_connection(("127.0.0.1", self.victim))
        for source, sink in ((client, victim), (victim, client)):
            threading.Thread(target=pump, args=(source, sink), daemon=True).start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one of the two has left


class Browser:
    """Opens one page, with every foreign name mapped to an address of this machine."""

    def __init__(self, url, rules):
        self.profile = tempfile.mkdtemp(prefix="berth-browser-")
        command = [chromium(), "--headless=new", "--disable-gpu", "--no-first-run",
                   "--disable-background-networking", "--disable-component-update",
                   "--disable-dev-shm-usage", f"--user-data-dir={self.profile}",
                   f"--host-resolver-rules={rules}"]
        if os.geteuid() == 0:
            command.append("--no-sandbox")  # Chromium refuses to run as root with one
        self.log = open(os.path.join(self.profile, "log"), "wb")
        self.process = subprocess.Popen([*command, url], stdout=self.log, stderr=self.log,
                                        start_new_session=True)

    def close(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.profile, ignore_errors=True)
