# SPDX-License-Identifier: Apache-2.0
"""What the tests of all stand-ins share: one running process and what can be seen of it."""
import http.client
import json
import os
import re
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time

MIB = 1 << 20


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pss(pid):
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        return int(re.search(r"^Pss:\s+(\d+) kB", rollup.read(), re.M).group(1)) * 1024


def wait_until(true, what, seconds=20):
    """Polls files and memory of another process, which sends no event."""
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            raise AssertionError(f"not within {seconds} s: {what}")
        threading.Event().wait(0.01)


class Standin:
    """One running stand-in, in a session of its own; its streams are files. `{folder}` in an
    argument is its folder, which holds the model, a file like any other."""

    model = "model"
    working_directory = None

    def __init__(self, *command):
        self.folder = tempfile.TemporaryDirectory(prefix="berth-")
        with open(self.path(self.model), "wb") as model:
            model.write(b"weights")
        self.start(*command)

    def start(self, *command):
        self.started = time.monotonic()
        command = [os.path.abspath(command[0]), *command[1:]]
        with open(self.path("out"), "wb") as out, open(self.path("err"), "wb") as err:
            self.process = subprocess.Popen(
                [part.replace("{folder}", self.folder.name) for part in command],
                stdin=subprocess.DEVNULL, start_new_session=True, stdout=out, stderr=err,
                cwd=self.working_directory or self.folder.name)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def out(self):
        with open(self.path("out"), "rb") as log:
            return log.read()

    def err(self):
        with open(self.path("err"), "rb") as log:
            return log.read()

    def connection(self, timeout):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(self, method, path, body=None, timeout=20):
        connection = self.connection(timeout)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None)
            reply = connection.getresponse()
            self.headers = reply.headers
            data = reply.read()
            return reply.status, json.loads(data) if data else None
        finally:
            connection.close()

    def exit(self, seconds=10):
        return self.process.wait(seconds)

    def check_helper(self, test, memory):
        """The helper has its memory, survives TERM of the group, and leaves after its time."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as children:
            helper = int(children.read())
        watched = os.pidfd_open(helper)
        test.assertEqual(os.getsid(helper), self.process.pid)
        test.assertGreater(pss(helper), memory)
        os.killpg(self.process.pid, signal.SIGTERM)
        self.exit()
        test.assertEqual(select.select([watched], [], [], 0.2)[0], [], "the helper stays")
        test.assertTrue(select.select([watched], [], [], 10)[0], "the helper leaves in time")
        os.close(watched)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()
