#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Stands between Berth and a real llama-server and keeps every byte that the server sends.

Called like llama-server. Replies go to `<slot save path>/../../replies/<n>`, bodies only.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

REAL = os.environ["BERTH_REAL_SERVER"]


def relay(source, sink, record):
    while True:
        try:
            data = source.recv(65536)
        except OSError:
            data = b""
        if record is not None and data:
            record.write(data)
            record.flush()
        if not data:
            break
        try:
            sink.sendall(data)
        except OSError:
            break
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def main():
    arguments = sys.argv[1:]
    if "--host" not in arguments:  # --help, --list-devices
        os.execv(REAL, [REAL, *arguments])
    at = arguments.index("--host") + 1
    outer, inner = arguments[at], arguments[at] + ".real.sock"
    arguments[at] = inner
    saved = arguments[arguments.index("--slot-save-path") + 1]
    folder = Path(saved).parent.parent / "replies"
    folder.mkdir(exist_ok=True)
    Path(inner).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(outer)
    listener.listen(64)
    server = subprocess.Popen([REAL, *arguments])
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    threading.Thread(target=lambda: os._exit(server.wait()), daemon=True).start()
    count = 0
    while True:
        client, _ = listener.accept()
        upstream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            upstream.connect(inner)
        except OSError:
            client.close()
            continue
        count += 1
        record = open(folder / f"{os.getpid()}-{count}", "wb")
        threading.Thread(target=relay, args=(client, upstream, None), daemon=True).start()
        threading.Thread(target=relay, args=(upstream, client, record), daemon=True).start()


if __name__ == "__main__":
    main()
