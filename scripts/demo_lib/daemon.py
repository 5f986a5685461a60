# SPDX-License-Identifier: Apache-2.0
"""Runs Berth for the demo: its configuration, its commands, and what it leaves behind."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import http.client

import checks
from cycle import IMAGE, LLM

MIB = 1 << 20
# A unix socket's path takes at most 107 bytes; Berth's are up to 40 longer than its state directory.
FOLDER_LENGTH_MAX = 60
COMMAND_SECONDS_MAX = 60
READY_SECONDS_MAX = 60
LEFT_SECONDS_MAX = 3
POLL_SECONDS = 0.1
# The stand-in's own model: any file that is not empty will do.
STANDIN_ARGUMENTS = ["--standin-memory", "460MiB", "--standin-step-ms", "60", "--steps", "24"]
# A real picture on a CPU takes its time.
REAL_ARGUMENTS = ["--steps", "2"]
CONFIG = """\
# A capped pool makes memory scarce: by the rule "at most 3/4" only one of the two servers fits.
listen = "127.0.0.1:0"
state = {state}

[pool.ram]
kind = "capped"
capacity = "{capacity}MiB"

[server.{llm}]
kind = "llama-server"
binary = {llama_server}
model = {llama_model}
port = 0
memory = "{llm_memory}MiB"
wanted = "on"
context = 4096
parallel = 2
threads = {threads}

[server.{image}]
kind = "sd-server"
binary = {sd_server}
model = {sd_model}
port = 0
memory = "{image_memory}MiB"
threads = {threads}
extra_args = {sd_arguments}
"""


class Failure(Exception):
    """Says what went wrong, in a sentence for the user."""


def make_folder():
    """Makes the demo's own directory; its path is short enough for sockets below it."""
    place = tempfile.gettempdir()
    return pathlib.Path(tempfile.mkdtemp(prefix="berth-demo-", dir=place if len(place) < FOLDER_LENGTH_MAX else "/tmp"))


def capacity_mib(llm, image):
    """Returns a capacity with room by the rule (3/4) for the larger server, and not for both."""
    limit = max(llm, image) + min(llm, image) * 5 // 6
    return -(-limit * 4 // 3)


class Berth:
    """One Berth with a state directory of its own."""

    def __init__(self, folder, binary, programs):
        self.folder = folder
        self.state = folder / "state"
        self.config = folder / "berth.toml"
        self.programs = programs
        self._binary = binary
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("BERTH_")}
        self.config.write_text(self._configuration())

    def _configuration(self):
        p = self.programs
        image_memory, model = 500, p.sd_model
        if p.is_standin:
            model = self.folder / "standin.safetensors"
            model.write_text("the stand-in reads no model\n")
        else:
            image_memory = -(-os.path.getsize(model) * 6 // (5 * MIB))
        self.capacity = capacity_mib(300, image_memory)
        texts = {"state": self.state, "llama_server": p.llama_server, "llama_model": p.llama_model,
                 "sd_server": p.sd_server, "sd_model": model}
        return CONFIG.format(
            llm=LLM, image=IMAGE, llm_memory=300, image_memory=image_memory, capacity=self.capacity,
            threads=max(1, len(os.sched_getaffinity(0)) - 1),  # a busy neighbour must not stall all threads
            sd_arguments=json.dumps(STANDIN_ARGUMENTS if p.is_standin else REAL_ARGUMENTS),
            **{name: json.dumps(str(path), ensure_ascii=False) for name, path in texts.items()})

    def run(self, *arguments):
        """Runs a berth command and returns what it says. Raises Failure."""
        command = [str(self._binary), "--config", str(self.config), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, env=self._environment,
                                  stdin=subprocess.DEVNULL, timeout=COMMAND_SECONDS_MAX)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Failure(f"berth {' '.join(arguments)}: {error}") from error
        if done.returncode != 0:
            raise Failure(f"berth {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def status(self):
        return json.loads(self.run("--json", "status"))

    def up(self):
        """Starts Berth in the background and waits until the LLM serves. Returns the status."""
        self.run("up", "--detach")
        until = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < until:
            status = self.status()
            llm = server_in(status, LLM)
            if llm["state"] == "ready":
                return status
            if llm["state"] == "failed":
                break
            time.sleep(POLL_SECONDS)
        raise Failure(f"the LLM did not get ready: {llm['state']}: {llm['failure']}")

    def llm(self):
        """Returns what status and /proc say of the LLM."""
        server = server_in(self.status(), LLM)
        cmdline = b""
        if server["pid"]:
            cmdline = pathlib.Path(f"/proc/{server['pid']}/cmdline").read_bytes()
        return checks.Llm(server["pid"], server["generation"], cmdline, server["state"], server["displaced"])

    def down(self):
        """Ends Berth. Returns the processes that stayed, and how long it took in milliseconds."""
        started = time.monotonic()
        try:
            self.run("down")
            took_ms = (time.monotonic() - started) * 1e3
            until = time.monotonic() + LEFT_SECONDS_MAX
            while (left := self.processes()) and time.monotonic() < until:
                time.sleep(POLL_SECONDS)
            return left, took_ms
        finally:
            for pid, _ in self.processes():
                os.kill(pid, signal.SIGKILL)

    def processes(self):
        """Returns (pid, command line) of everything that names this Berth's directory."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                cmdline = (entry / "cmdline").read_bytes()
            except OSError:
                continue  # it has just ended
            if str(self.folder).encode() in cmdline:
                found.append((int(entry.name), cmdline.replace(b"\0", b" ").decode("utf-8", "replace").strip()))
        return found

    def own_bytes(self):
        """Returns what Berth itself holds in RAM: the resident set of the daemon and its keepers."""
        total = 0
        for pid, cmdline in self.processes():
            if pathlib.Path(cmdline.split()[0]).name in ("berth", "berth-keeper"):
                status = pathlib.Path(f"/proc/{pid}/status").read_text()
                total += int(status.partition("VmRSS:")[2].split()[0]) << 10
        return total

    def last_words(self):
        """Returns the ends of Berth's own log and of its servers', for a failure's report."""
        text = ""
        for log in sorted(self.folder.glob("state/**/*log")):
            if log.is_file():
                text += f"--- {log.relative_to(self.folder)}\n" + "".join(log.read_text(errors="replace").splitlines(True)[-12:])
        return text

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def server_in(status, name):
    return next(server for server in status["servers"] if server["name"] == name)


def addresses_in(status):
    """Returns (host, port) of Berth's one address, and of the LLM's front port."""
    host, port = status["address"].removeprefix("http://").rstrip("/").rsplit(":", 1)
    front = next(each["port"] for each in status["front_ports"] if each["server"] == LLM)
    return (host.strip("[]"), int(port)), (host.strip("[]"), front)


class MemoryWatch:
    """Has Berth take a memory sample every 100 ms; the samples stand in its journal."""

    def __init__(self, address):
        self._address = address
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        connection = http.client.HTTPConnection(*self._address, timeout=COMMAND_SECONDS_MAX)
        while not self._over.wait(POLL_SECONDS):
            try:
                connection.request("GET", "/api/v1/status?refresh=1")
                connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                connection.close()  # the next request opens a new connection
        connection.close()

    def close(self):
        self._over.set()
        self._thread.join()
