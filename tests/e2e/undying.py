#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""undying.py FILE PROGRAM ARGUMENT...: runs a program that no signal ends, as one whose GPU driver
hangs: it dies, but never to the end, and keeps its memory.

A tracer, whose pid stands in FILE, holds it in the kernel where it exits (PTRACE_O_TRACEEXIT). When
the tracer is killed the program ends.
"""

import ctypes
import os
import signal
import sys

PTRACE_CONT, PTRACE_SEIZE = 7, 0x4206
PTRACE_O_TRACEEXIT, PTRACE_EVENT_EXIT = 0x40, 6
WALL = 0x40000000

ptrace = ctypes.CDLL(None, use_errno=True).ptrace
ptrace.argtypes = [ctypes.c_long] * 4
ptrace.restype = ctypes.c_long


def hold(pid, file, ready):
    os.setsid()  # Berth kills the session of a server
    if ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACEEXIT) != 0:
        sys.exit(f"ptrace: {os.strerror(ctypes.get_errno())}")
    with open(file, "w") as out:
        out.write(str(os.getpid()))
    os.write(ready, b"!")
    for descriptor in (0, 1, 2, ready):
        os.close(descriptor)
    while True:
        _, status = os.waitpid(pid, WALL)
        if status >> 8 == signal.SIGTRAP | PTRACE_EVENT_EXIT << 8:
            signal.pause()
        stopped_by = status >> 8 & 0xFF
        ptrace(PTRACE_CONT, pid, 0, 0 if stopped_by == signal.SIGTRAP else stopped_by)


def main():
    file, program = sys.argv[1:3]
    main_pid = os.getpid()
    reading, writing = os.pipe()
    if os.fork() == 0:
        hold(main_pid, file, writing)
    os.close(writing)
    if os.read(reading, 1) != b"!":
        sys.exit("the tracer did not come up")
    os.execv(program, [program, *sys.argv[3:]])


if __name__ == "__main__":
    main()
