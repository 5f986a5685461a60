# SPDX-License-Identifier: Apache-2.0
"""What a chat costs (issue 3, "Must show" 7)."""

import re
import shutil
import subprocess
import unittest
from pathlib import Path

from harness import E2eTest

SYNCS = "fsync,fdatasync,sync_file_range,sync,syncfs,msync"
CHATS = 5


class Trace:
    """Counts the calls of a process and all its threads."""

    def __init__(self, pid, calls, folder):
        if not shutil.which("strace"):
            raise AssertionError("no strace: run scripts/setup, which installs it")
        self.path = Path(folder, "trace")
        self.process = subprocess.Popen(
            ["strace", "-f", "-p", str(pid), "-e", f"trace={calls}", "-e", "signal=none",
             "-o", self.path], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        said = self.process.stderr.readline()
        if "attached" not in said:
            self.process.kill()
            raise AssertionError(f"strace cannot trace the daemon (is ptrace allowed?): {said}")

    def end(self):
        self.process.terminate()
        self.process.wait(30)
        self.process.stderr.close()
        return [line for line in self.path.read_text().splitlines()
                if re.search(r"\b[a-z_]*sync[a-z_]*\(", line)]


class Cost(E2eTest):
    def test_a_chat_syncs_nothing_to_the_disk(self):
        berth = self.berth().up()
        berth.wait_state("chat", "ready")
        trace = Trace(berth.process.pid, SYNCS, berth.state)
        self.addCleanup(trace.process.kill)
        for number in range(CHATS):
            self.assertEqual(200, berth.chat(f"What is {number} + {number}?").status)
        berth.wait_step("job_done", CHATS)
        self.assertEqual([], trace.end())

    def test_the_trace_would_see_a_sync(self):
        berth = self.berth().up()
        berth.wait_state("chat", "ready")
        trace = Trace(berth.process.pid, SYNCS, berth.state)
        self.addCleanup(trace.process.kill)
        berth.cli("stop", "chat")  # no new process: LeakSanitizer refuses to run under ptrace
        self.assertNotEqual([], trace.end())


if __name__ == "__main__":
    unittest.main()
