# SPDX-License-Identifier: Apache-2.0
"""Runs a real Berth with real processes, for the end-to-end tests.

Environment, set by CTest: BERTH_BIN (folder of the built programs), and by scripts/test:
BERTH_TEST_LLAMA_SERVER and BERTH_TEST_MODEL (a real llama-server and a real small LLM).
"""

import base64
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
from pathlib import Path

BIN = Path(os.environ["BERTH_BIN"])
HERE = Path(__file__).resolve().parent
THREADS = max(1, (os.cpu_count() or 2) - 1)
POLL = 0.02  # third parties (files, /proc) offer no event to Python; each wait has a deadline


def wait_for(what, condition, deadline=30.0):
    """Returns the first true value of condition(); fails with `what` at the deadline."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline} s: {what}")
        threading.Event().wait(POLL)


def real_llama():
    """The real llama-server and model; a missing one is a failure, never a skip."""
    server, model = os.environ.get("BERTH_TEST_LLAMA_SERVER"), os.environ.get("BERTH_TEST_MODEL")
    if not server or not model:
        raise AssertionError("no real llama-server: run scripts/test, which fetches one")
    return server, model


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=60):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


def finished(connection):
    """Reads the reply and closes the connection."""
    try:
        response = connection.getresponse()
        return Reply(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


class Stream(threading.Thread):
    """A streamed chat, read in a thread of its own; every byte is kept with its time."""

    def __init__(self, port, path, body, headers=None, read_slowly=None):
        super().__init__(daemon=True)
        self.request = (port, path, json.dumps(body), headers or {})
        self.pieces, self.error, self.status, self.headers = [], None, None, {}
        self.begun = threading.Event()
        self.sock = None
        self.sent_at = self.ended_at = None
        self.start()

    def run(self):
        port, path, body, headers = self.request
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
            self.sent_at = time.monotonic_ns()
            connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
            self.sock = connection.sock
            response = connection.getresponse()
            self.status, self.headers = response.status, dict(response.getheaders())
            while True:
                piece = response.read1(65536)
                if not piece:
                    break
                self.pieces.append((time.monotonic_ns(), piece))
                self.begun.set()
        except (OSError, http.client.HTTPException) as error:
            self.error = error
        self.ended_at = time.monotonic_ns()
        self.begun.set()

    def leave(self):
        """The client goes away."""
        wait_for("it has asked", lambda: self.sock)  # Berth may know of it before its own thread
        self.sock.shutdown(socket.SHUT_RDWR)

    def leave_if_there(self):
        """The same, wherever it is: it may not be connected yet, or have its answer already."""
        wait_for("it has asked", lambda: self.sock or self.ended_at)
        try:
            self.leave()
        except OSError:
            pass

    def bytes(self):
        return b"".join(piece for _, piece in self.pieces)

    def finish(self, deadline=90):
        self.join(deadline)
        if self.is_alive():
            raise AssertionError("the stream does not end")
        return self

    def events(self):
        return [json.loads(line[6:]) for line in self.bytes().decode().split("\n")
                if line.startswith("data: {")]

    def content(self):
        return "".join(event["choices"][0]["delta"].get("content") or ""
                       for event in self.events() if event.get("choices"))

    def timings(self):
        return next(event["timings"] for event in reversed(self.events()) if "timings" in event)


class Berth:
    """One state directory and the daemon on it."""

    def __init__(self, config, environment=None):
        self.state = tempfile.mkdtemp(prefix="berth-")
        self.config_path = os.path.join(self.state, "berth.toml")
        self.environment = environment or {}
        self.log_path = os.path.join(self.state, "up.log")
        self.process = None
        Path(self.config_path).write_text(
            f'listen = "127.0.0.1:0"\nstate = "{self.state}/s"\n' + config)

    # ---- the daemon ----

    def up(self, environment=None, wait=True):
        env = {**os.environ, **self.environment, **(environment or {})}
        log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            [BIN / "berth", "--config", self.config_path, "up"], stdout=log, stderr=log, env=env,
            start_new_session=True)
        log.close()
        if wait:
            wait_for("berth is up", lambda: self.alive_and_answers() or self.process.poll(), 60)
            if self.process.poll() is not None:
                raise AssertionError("berth up failed: " + Path(self.log_path).read_text())
        return self

    def alive_and_answers(self):
        try:
            return self.api("GET", "/api/v1/status").status == 200
        except OSError:
            return False

    def down(self):
        return self.cli("down")

    def wait_killed(self, deadline=60):
        self.process.wait(deadline)
        return self.process.returncode

    def close(self):
        """Ends everything and checks that nothing is left."""
        if self.process and self.process.poll() is None:
            try:
                self.cli("down", check=False)
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
        left = self.processes()
        for pid, _ in left:
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.state, ignore_errors=True)
        if left:
            raise AssertionError(f"left running: {left}")

    def processes(self):
        """Every process that names this state directory, and the helpers of their sessions."""
        found, sessions = [], set()
        stats = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                cmdline = Path(f"/proc/{entry}/cmdline").read_bytes()
                stat = Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if stat[0] == "Z":
                continue
            stats.append((int(entry), int(stat[3]), cmdline))
            if self.state.encode() in cmdline and int(entry) != os.getpid():
                sessions.add(int(stat[3]))
        for pid, session, cmdline in stats:
            if self.state.encode() in cmdline or session in sessions:
                found.append((pid, cmdline.replace(b"\0", b" ").decode(errors="replace")))
        return found

    # ---- commands and requests ----

    def cli(self, *arguments, check=True, timeout=90):
        done = subprocess.run([BIN / "berth", "--config", self.config_path, *arguments],
                              capture_output=True, text=True, timeout=timeout)
        if check and done.returncode != 0:
            raise AssertionError(f"berth {arguments}: {done.returncode}: {done.stderr}")
        return done

    def api(self, method, path, body=None, timeout=60):
        connection = UnixConnection(f"{self.state}/s/control.sock", timeout)
        connection.request(method, path, body)
        return finished(connection)

    def status(self):
        return self.api("GET", "/api/v1/status").json()

    def server(self, name):
        return next(s for s in self.status()["servers"] if s["name"] == name)

    def port(self):
        return int(self.status()["address"].rsplit(":", 1)[1])

    def post(self, path, body, headers=None, timeout=120, port=None):
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port(), timeout=timeout)
        data = body if isinstance(body, (str, bytes)) else json.dumps(body)
        connection.request("POST", path, data, {"Content-Type": "application/json",
                                                **(headers or {})})
        return finished(connection)

    def get(self, path, headers=None, port=None, timeout=30):
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port(), timeout=timeout)
        connection.request("GET", path, headers=headers or {})
        return finished(connection)

    def chat(self, messages, model="chat", timeout=120, port=None, **options):
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        return self.post("/v1/chat/completions",
                         {"model": model, "messages": messages, "max_tokens": 8,
                          "temperature": 0, **options}, timeout=timeout, port=port)

    def stream(self, messages, model="chat", headers=None, **options):
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        return Stream(self.port(), "/v1/chat/completions",
                      {"model": model, "messages": messages, "max_tokens": 60, "temperature": 0,
                       "stream": True, **options}, headers)

    def picture(self, timeout=120, model="image", port=None, **options):
        return self.post("/v1/images/generations",
                         {"model": model, "prompt": "a harbour at dawn", "size": "64x64",
                          **options}, timeout=timeout, port=port)

    def picture_later(self, **options):
        """Asks for a picture in a thread; .result is its reply."""
        return Later(lambda: self.picture(**options))

    def drawing(self):
        """A picture that is drawn; with SLOW_STEP_MS it ends by end_drawing()."""
        picture = Stream(self.port(), "/v1/images/generations",
                         {"model": "image", "prompt": "a harbour at dawn", "size": "64x64"})
        wait_for("it is drawn", lambda: self.server("image")["running"] == 1)
        return picture

    def end_drawing(self, picture):
        """Its client leaves, and its server dies: nothing else ends what is drawn."""
        picture.leave()
        os.kill(self.server("image")["pid"], signal.SIGKILL)

    # ---- what happened ----

    def journal(self):
        path = Path(f"{self.state}/s/journal.jsonl")
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("}")]

    def steps(self, *names):
        return [r["name"] for r in self.journal() if r["kind"] == "step" and
                (not names or r["name"] in names)]

    def record(self, kind, name, server=None):
        for r in self.journal():
            if r["kind"] == kind and r["name"] == name and server in (None, r.get("server")):
                return r
        return None

    def wait_step(self, name, count=1, deadline=60):
        wait_for(f"step {name} x{count}: {self.steps()[-12:]}",
                 lambda: self.steps().count(name) >= count, deadline)

    def wait_state(self, server, state, deadline=60):
        return wait_for(f"{server} is {state}",
                        lambda: (s := self.server(server))["state"] == state and s, deadline)

    def starts(self, server):
        root = Path(f"{self.state}/s/servers/{server}")
        return sorted(int(p.name) for p in root.iterdir()) if root.exists() else []

    def recorded_replies(self, server):
        """Bodies of chunked replies that recording_llama_server.py kept, joined without framing."""
        bodies = []
        for path in Path(f"{self.state}/s/replies").iterdir():
            head, _, rest = path.read_bytes().partition(b"\r\n\r\n")
            if b"chunked" not in head.lower():
                continue
            body = b""
            while rest and (size := int(rest.partition(b"\r\n")[0], 16)):
                _, _, rest = rest.partition(b"\r\n")
                body, rest = body + rest[:size], rest[size + 2:]
            bodies.append(body)
        return bodies

    def rows(self):
        """Rows of the store; only while no Berth runs."""
        import sqlite3
        db = sqlite3.connect(f"{self.state}/s/berth.db")
        try:
            db.row_factory = sqlite3.Row
            return {row["name"]: dict(row) for row in db.execute("SELECT * FROM server")}
        finally:
            db.close()  # Berth wants to be alone with it


class Later(threading.Thread):
    def __init__(self, call):
        super().__init__(daemon=True)
        self.call, self.result, self.error, self.ended_at = call, None, None, None
        self.start()

    def run(self):
        try:
            self.result = self.call()
        except Exception as error:  # noqa: BLE001 - shown by get()
            self.error = error
        self.ended_at = time.monotonic_ns()

    def get(self, deadline=90):
        self.join(deadline)
        if self.is_alive():
            raise AssertionError("no reply")
        if self.error:
            raise self.error
        return self.result


def png_size(reply):
    """Returns (width, height) of the first picture of an OpenAI images reply."""
    data = base64.b64decode(reply.json()["data"][0]["b64_json"])
    assert data[:8] == b"\x89PNG\r\n\x1a\n", data[:8]
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def cmdline(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes()


MIB = 1 << 20
SLOW_STEP_MS = 3000  # a picture takes a minute
ONE_STEP = 'x<sd_cpp_extra_args>{"sample_params":{"sample_steps":1}}</sd_cpp_extra_args>'
SD_STANDIN = BIN / "sd-server-standin"


class Gate:
    """A program in place of a server; while the gate is shut the server does not begin to load."""

    def __init__(self, folder, program):
        self.program, self.bar = folder / Path(program).name, folder / "bar"
        self.program.write_text(f"""#!/bin/sh
case "$*" in *--host*|*--listen-port*) [ ! -p "{self.bar}" ] || read -r line < "{self.bar}" ;; esac
exec "{program}" "$@"
""")
        self.program.chmod(0o755)

    def shut(self):
        os.mkfifo(self.bar)

    def open(self):
        self.end = open(self.bar, "r+b", buffering=0)  # kept, for it may be read later
        self.end.write(b"\n")
        self.bar.unlink()


def config(capacity=600, llm=300, image=400, llm_extra="", image_extra="", policy="", faults="",
           standin_memory=None, step_ms=20, binary=None, parallel=1, wanted="on", context=2048,
           image_binary=SD_STANDIN):
    """A pool in which the LLM and the picture server do not fit together (limit 3/4)."""
    server, model = real_llama()
    arguments = ["--standin-memory", f"{standin_memory or image - 60}MiB",
                 "--standin-step-ms", str(step_ms)]
    if faults:
        arguments += ["--standin-faults", faults]
    return f'''
[pool.ram]
kind = "capped"
capacity = "{capacity}MiB"

[server.chat]
kind = "llama-server"
binary = "{binary or server}"
model = "{model}"
memory = "{llm}MiB"
context = {context}
parallel = {parallel}
threads = {THREADS}
wanted = "{wanted}"
port = 0
{llm_extra}

[server.image]
kind = "sd-server"
binary = "{image_binary}"
model = "{model}"
memory = "{image}MiB"
threads = {THREADS}
extra_args = {json.dumps(arguments)}
port = 0
{image_extra}

[policy]
swap_guess = "300ms"
{policy}
'''


LONG_TEXT = " ".join(
    f"In the year {1800 + i} the harbour of the town had {i + 3} piers and {i * 7 + 11} boats."
    for i in range(24))


class E2eTest(unittest.TestCase):
    """Each test has its own Berth; nothing may be left of it."""

    def berth(self, *args, **options):
        environment = options.pop("environment", None)
        return self.berth_with(config(*args, **options), environment)

    def berth_with(self, text, environment=None):
        """A Berth with that configuration, not up yet."""
        berth = Berth(text, environment)
        self.addCleanup(berth.close)
        return berth

    def new_folder(self):
        """An empty folder, gone after the test."""
        path = Path(tempfile.mkdtemp(prefix="berth-"))
        self.addCleanup(shutil.rmtree, path, ignore_errors=True)
        return path

    def gate(self, program=SD_STANDIN):
        return Gate(self.new_folder(), program)

    def assert_order(self, names, wanted):
        """`wanted` is a subsequence of `names`."""
        rest = iter(names)
        missing = [name for name in wanted if name not in rest]
        self.assertEqual([], missing, f"not in this order in {names}")
