# SPDX-License-Identifier: Apache-2.0
"""Both servers as stand-ins, which load in milliseconds; and what is known of their processes."""

import itertools
import json
import os
import signal
import socket
import threading
from pathlib import Path

from harness import BIN, config, real_llama

LLAMA_STANDIN = BIN / "llama-server-standin"
SLACK = 'stop_deadline = "1s"'


def fast_config(llm_arguments=(), llm_extra="", binary=LLAMA_STANDIN, step_ms=2, standin_memory=24,
                **options):
    arguments = ["--standin-memory", "24MiB", *llm_arguments]
    return config(binary=binary, standin_memory=standin_memory, step_ms=step_ms,
                  llm_extra=f"extra_args = {json.dumps(arguments)}\n{llm_extra}", **options)


def real_model():
    return real_llama()[1]


def with_ports(text):
    """Each `port = 0` becomes a port of its own: a client that comes again needs the same."""
    while "port = 0" in text:
        text = text.replace("port = 0", f"port = {free_port()}", 1)
    return text


def _ports():
    """Ports that the kernel gives to nobody unasked; each process begins at a place of its own."""
    given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    end = max(given, 16384)
    return itertools.cycle(range(end - 1 - os.getpid() * 70 % (end // 2), end // 4, -1))


_PORTS, _PORTS_LOCK = _ports(), threading.Lock()


def free_port():
    """A port that is free, and stays so while its Berth is down: nobody gets it for port 0."""
    while True:
        with _PORTS_LOCK, socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port := next(_PORTS)))
                return port
            except OSError:
                pass  # somebody has it


def place(berth, server, generation=None):
    """The keeper's directory of one start, by default of the newest."""
    return Path(f"{berth.state}/s/servers/{server}/{generation or berth.starts(server)[-1]}")


def record_of(berth, server, generation=None):
    """What the keeper says of the server's process."""
    return json.loads((place(berth, server, generation) / "pid").read_text())


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def kill_berth(berth):
    """kill -9 of the daemon and of nothing else."""
    os.kill(berth.process.pid, signal.SIGKILL)
    berth.wait_killed()
