# SPDX-License-Identifier: Apache-2.0
"""What one real llama-server takes after it has worked, in one configuration."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

THREADS = max(1, (os.cpu_count() or 2) - 1)
PROMPT_WORDS = 560  # one full micro-batch of 512 tokens, and a slot of 1024 still has room
READY_SECONDS = 60
POLL = 0.02  # a third party's readiness has no event for Python; the wait has a deadline


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(path, method, route, body=None, timeout=600):
    connection = UnixConnection(path, timeout)
    try:
        connection.request(method, route, None if body is None else json.dumps(body))
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def pss_alone(pid):
    """The Pss that the process has when no other maps its files, in bytes; mapped weights included.

    Pss divides libraries among all servers that run just now, here or for somebody else: the same server would
    measure 60 MiB more or less. So what is mapped from files counts in full.
    """
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = {key: int(kib) * 1024 for key, kib in re.findall(r"^(\w+): +(\d+) kB", rollup, re.M)}
    return found["Pss_Anon"] + found["Pss_Shmem"] + found["Rss"] - found["Anonymous"]


def wait_ready(server, path, log):
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            if ask(path, "GET", "/health", timeout=5)[0] == 200:
                return
        except OSError:
            pass
        threading.Event().wait(POLL)
    raise RuntimeError(f"llama-server is not ready: {Path(log).read_text()[-800:]}")


def work(path, slots):
    """Fills every slot at once: the compute buffer is touched by a whole micro-batch."""
    failed = []

    def one(number):
        # Words that are one token each in every vocabulary of English, another order for each slot.
        words = " ".join(("the", "of", "and", "to", "in")[(i * (number + 1)) % 5] for i in range(PROMPT_WORDS))
        # The prompt alone: what a random model writes is noise, which the server may refuse to parse.
        status, body = ask(path, "POST", "/completion", {"prompt": words, "n_predict": 0})
        if status != 200:
            failed.append(f"{status}: {body[:200]}")

    threads = [threading.Thread(target=one, args=(i,)) for i in range(slots)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise RuntimeError(f"llama-server did not answer: {failed[0]}")


def measured(binary, point, model):
    """Returns the Pss of a server that has worked with all its slots, in bytes."""
    with tempfile.TemporaryDirectory(prefix="berth-footprints-") as folder:
        path, log = os.path.join(folder, "s.sock"), os.path.join(folder, "log")
        argv = [binary, "-m", model, "--alias", "m", "--host", path, "-c", str(point["context"]),
                "-np", str(point["parallel"]), "--cache-ram", "0", "--no-cache-idle-slots", "-t", str(THREADS),
                "-ctk", point["type"], "-ctv", point["type"]]
        with open(log, "wb") as out, subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out,
                                                      stderr=out) as server:
            try:
                wait_ready(server, path, log)
                work(path, point["parallel"])
                return pss_alone(server.pid)
            finally:
                server.send_signal(signal.SIGKILL)
