#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""leave_helper.py FIFO HOLDER BYTES: holds memory in the caller's session, also when the caller has
ended. Writes a line to FIFO once the memory is held."""

import subprocess
import sys

fifo, holder, amount = sys.argv[1:]
child = subprocess.Popen([holder, amount, "forever"], stdout=subprocess.PIPE)
child.stdout.readline()
with open(fifo, "w") as out:
    out.write("holding\n")
child.wait()
