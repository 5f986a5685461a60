# SPDX-License-Identifier: Apache-2.0
"""What both sides share: what is asked for, and servers that say when they were executed."""
import pathlib
import time

PICTURE = {"prompt": "a harbour at dawn", "size": "64x64"}
SENTENCE = "In the year 1805 the harbour of the town had eight piers and thirty boats. "
# LC_ALL: the stamp's decimal point. --help and --list-devices start no server.
WRAPPER = """\
#!/bin/bash
LC_ALL=C
case $1 in --*) ;; *) echo "$EPOCHREALTIME" >>'{stamps}' ;; esac
exec '{program}' "$@"
"""


def chat_body(model):
    """A conversation whose cache is worth keeping."""
    return {"model": model, "max_tokens": 4, "temperature": 0,
            "messages": [{"role": "user", "content": SENTENCE * 12 + "What is this text about?"}]}


class Stamps:
    """Programs in a folder that write down when they are executed, then become the real ones.

    The shell that does so takes some milliseconds to start, which lie in the gap of both sides.
    """

    def __init__(self, folder):
        self._folder = pathlib.Path(folder)

    def wrap(self, name, program):
        """Returns the path of a program that stamps and becomes `program`."""
        path = self._folder / name
        path.write_text(WRAPPER.format(stamps=self._file(name), program=program))
        path.chmod(0o755)
        return str(path)

    def count(self, name):
        return len(self._read(name))

    def one_behind(self, name, count):
        """Returns when, on the monotonic clock, `name` was executed after `count` times before."""
        new = self._read(name)[count:]
        if len(new) != 1:
            raise RuntimeError(f"{name} was executed {len(new)} times in one cycle, not once")
        return new[0] - wall_ahead_ns()

    def _file(self, name):
        return self._folder / f"{name}.stamps"

    def _read(self, name):
        file = self._file(name)
        if not file.exists():
            return []
        return [int(line.replace(".", "")) * 1000 for line in file.read_text().split()]


def wall_ahead_ns():
    """Returns how far the wall clock is ahead of the monotonic one, by the closest of some looks."""
    looks = []
    for _ in range(20):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        looks.append((after - before, wall - (before + after) // 2))
    return min(looks)[1]
