# SPDX-License-Identifier: Apache-2.0
"""The same two models under the usual rule: who is in memory stays there as long as it has work.

llama-server's own router does so. Where this llama-server has no router, the rule alone is played:
one process at a time, and a request for the other model waits until nothing runs.
"""
import pathlib
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

import load

READY_SECONDS_MAX = 60
POLL_SECONDS = 0.02
STOP_SECONDS_MAX = 10


def has_router(llama_server):
    done = subprocess.run([llama_server, "--help"], capture_output=True, text=True, check=False)
    return "--models-dir" in done.stdout + done.stderr


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A llama-server on a port of its own, ready for requests."""

    def __init__(self, command, log):
        self.port = free_port()
        with open(log, "wb") as output:
            self._process = subprocess.Popen(
                [*command, "--host", "127.0.0.1", "--port", str(self.port)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        until = time.monotonic() + READY_SECONDS_MAX
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self.stop()
                words = pathlib.Path(log).read_text(errors="replace")[-500:]
                raise load.Broken(f"{command[0]} did not get ready: {words}")
            threading.Event().wait(POLL_SECONDS)

    def _answers(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as reply:
                return reply.status == 200
        except (OSError, urllib.error.URLError):
            return False

    def stop(self):
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def common_arguments(programs):
    return ["-np", "1", "-t", str(programs.threads), "--cache-ram", "0"]


class Router:
    name = "llama-server's router"

    def __init__(self, folder, programs):
        self._folder, self._programs, self._process = folder, programs, None

    def up(self):
        models, preset = self._folder / "models", self._folder / "preset.ini"
        models.mkdir()
        for name in self._programs.contexts:
            (models / f"{name}.gguf").symlink_to(self._programs.llama_model)
        preset.write_text("".join(f"[{name}]\nctx-size = {context}\n\n"
                                  for name, context in self._programs.contexts.items()))
        self._process = Process(
            [self._programs.llama_server, "--models-dir", str(models), "--models-preset", str(preset),
             "--models-max", "1", *common_arguments(self._programs)], self._folder / "router.log")

    def call(self, model):
        return load.ask(("127.0.0.1", self._process.port), model)

    def close(self):
        if self._process:
            self._process.stop()


class Affinity:
    name = "the rule alone"

    def __init__(self, folder, programs):
        self._folder, self._programs = folder, programs
        self._resident, self._process, self._running = None, None, 0
        self._changed = threading.Condition()

    def up(self):
        self._load(load.A)

    def _load(self, model):
        if self._process:
            self._process.stop()
        context = self._programs.contexts[model]
        self._process = Process(
            [self._programs.llama_server, "-m", self._programs.llama_model, "-c", str(context),
             *common_arguments(self._programs)], self._folder / f"alone-{model}.log")
        self._resident = model

    def call(self, model):
        asked = time.monotonic()
        with self._changed:
            self._changed.wait_for(lambda: self._resident == model or self._running == 0)
            if self._resident != model:
                self._load(model)
            self._running += 1
        reply = load.ask(("127.0.0.1", self._process.port), model)
        with self._changed:
            self._running -= 1
            self._changed.notify_all()
        reply.asked = asked
        return reply

    def close(self):
        if self._process:
            self._process.stop()
