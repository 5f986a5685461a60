#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""leave_helper.py FIFO HOLDER BYTES SECONDS: holds memory in the caller's session and goes on for
SECONDS after the caller has ended. Writes a line to FIFO once the memory is held."""

import os
import select
import subprocess
import sys

fifo, holder, amount, seconds = sys.argv[1:]
server = os.pidfd_open(os.getppid())
child = subprocess.Popen([holder, amount, "forever"], stdout=subprocess.PIPE)
child.stdout.readline()
with open(fifo, "w") as out:
    out.write("holding\n")
select.select([server], [], [])
if seconds == "forever":
    child.wait()
try:
    child.wait(float(seconds))
except subprocess.TimeoutExpired:
    child.kill()
