# SPDX-License-Identifier: Apache-2.0
"""The same cycle without an orchestrator: kill, spawn, and look every millisecond."""
import http.client
import json
import pathlib
import signal
import socket
import subprocess
import time

import phases
from cycle import IMAGE, LLM
from sides import DEADLINE_SECONDS, PICTURE, Broken, chat_body, when


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=DEADLINE_SECONDS)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server process with the commands of a shell script."""

    def __init__(self, command, log, connect, health):
        self._connect, self._health, self._log = connect, health, log
        with open(log, "wb") as output:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output,
                                             stderr=subprocess.STDOUT)
        self.executed_at = time.monotonic_ns()  # Popen returns when it is

    def wait_ready(self):
        """Returns when it answered."""
        return when(self._answers, f"a server of the bare side is ready; see {self._log}")

    def _answers(self):
        if self._process.poll() is not None:
            words = pathlib.Path(self._log).read_text(errors="replace")[-500:]
            raise Broken(f"a server of the bare side ended: {words}")
        try:
            connection = self._connect()
            connection.request("GET", self._health)
            status = connection.getresponse().status
            connection.close()
        except OSError:
            return False  # it does not listen yet
        return status == 200

    def ask(self, path, body):
        """Returns when the request was sent, and when its reply was read."""
        connection = self._connect()
        sent = time.monotonic_ns()
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        connection.close()
        if response.status != 200:
            raise Broken(f"a server of the bare side answers {response.status} to {path}")
        return sent, time.monotonic_ns()

    def stop(self):
        """Returns when it was told to end, and when it was seen gone."""
        told = time.monotonic_ns()
        self._process.send_signal(signal.SIGTERM)
        return told, when(lambda: self._process.poll() is not None, "a server of the bare side ends")

    def kill(self):
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


class BareSide:
    """Runs the LLM with Berth's own command line, on a socket of its own."""

    def __init__(self, folder, llm_command, programs):
        self._folder = folder
        self._socket = f"{folder}/bare.sock"
        self._llm_command = [programs.llama_server, *llm_command[1:]]
        self._llm_command[self._llm_command.index("--host") + 1] = self._socket
        self._port = free_port()
        self._image_command = [programs.sd_server, "-m", programs.sd_model, "--listen-ip", "127.0.0.1",
                               "--listen-port", str(self._port), "-s", "-1", *programs.sd_arguments]
        self._servers = []

    def close(self):
        for server in self._servers:
            server.kill()

    def cycle(self):
        """Starts an LLM, then does the cycle with it. Returns the phases."""
        llm = self._start_llm()
        llm.wait_ready()
        llm.ask("/v1/chat/completions", chat_body(LLM))
        moments = {"asked": time.monotonic_ns()}
        moments["llm_stopping"], moments["llm_gone"] = llm.stop()
        image = self._start_image()
        moments["image_exec"], moments["image_ready"] = image.executed_at, image.wait_ready()
        moments["picture_sent"], moments["picture_done"] = image.ask("/v1/images/generations", PICTURE)
        moments["image_stopping"], moments["image_gone"] = image.stop()
        llm = self._start_llm()
        moments["llm_exec"], moments["llm_ready"] = llm.executed_at, llm.wait_ready()
        moments["chat_sent"], _ = llm.ask("/v1/chat/completions", chat_body(LLM))
        llm.stop()
        self._servers.clear()
        return phases.cut(moments, {})

    def _start(self, name, command, connect, health):
        self._servers.append(Server(command, f"{self._folder}/bare-{name}.log", connect, health))
        return self._servers[-1]

    def _start_llm(self):
        pathlib.Path(self._socket).unlink(missing_ok=True)  # or it exits with 1

        def connect():
            return UnixConnection(self._socket)
        return self._start(LLM, self._llm_command, connect, "/health")

    def _start_image(self):
        def connect():
            return http.client.HTTPConnection("127.0.0.1", self._port, timeout=DEADLINE_SECONDS)
        return self._start(IMAGE, self._image_command, connect, "/sdcpp/v1/capabilities")
