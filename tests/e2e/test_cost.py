# SPDX-License-Identifier: Apache-2.0
"""What a chat costs (issue 3, "Must show" 7), and a swap."""

import os
import re
import shutil
import subprocess
import unittest
from pathlib import Path

from fast_world import fast_config
from harness import E2eTest

SYNCS = "fsync,fdatasync,sync_file_range,sync,syncfs,msync"
WATCHES = "inotify_init,inotify_init1,inotify_add_watch,inotify_rm_watch"
CHATS = 5
SWAPS = 3


class Trace:
    """Counts the calls of a process, all its threads, and nothing that it starts: LeakSanitizer
    refuses to run under ptrace."""

    def __init__(self, pid, calls, folder):
        if not shutil.which("strace"):
            raise AssertionError("no strace: run scripts/setup, which installs it")
        self.path = Path(folder, "trace")
        threads = os.listdir(f"/proc/{pid}/task")
        attach = [word for thread in threads for word in ("-p", thread)]
        self.process = subprocess.Popen(
            ["strace", *attach, "-e", f"trace={calls}", "-e", "signal=none", "-o", self.path],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in threads:
            said = self.process.stderr.readline()
            if "attached" not in said:
                self.process.kill()
                raise AssertionError(f"strace cannot trace the daemon (is ptrace allowed?): {said}")

    def end(self):
        self.process.terminate()
        self.process.wait(30)
        self.process.stderr.close()
        return re.findall(r"(?m)^\d+ +([a-z_0-9]+)\(", self.path.read_text())


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
        berth.cli("stop", "chat")
        self.assertNotEqual([], trace.end())

    def test_swaps_neither_make_nor_close_an_inotify_instance(self):
        # To close one takes the kernel 12 ms, which somebody who waits for a server would wait too.
        berth = self.berth_with(fast_config(policy='linger_max = "0s"'))
        berth.up()
        berth.wait_state("chat", "ready")
        before = self.inotify_instances(berth)
        trace = Trace(berth.process.pid, WATCHES, berth.state)
        self.addCleanup(trace.process.kill)
        for number in range(1, SWAPS + 1):
            self.assertEqual(200, berth.picture().status)
            berth.wait_step("row_cleared", number)
        calls = trace.end()
        self.assertEqual([], [call for call in calls if call.startswith("inotify_init")])
        self.assertEqual(2 * SWAPS, calls.count("inotify_add_watch"), "the trace sees each start")
        # A server's watch goes with its next start, and the first picture server had none before.
        self.assertEqual(2 * SWAPS - 1, calls.count("inotify_rm_watch"))
        self.assertEqual((1, before), (len(before), self.inotify_instances(berth)))

    def inotify_instances(self, berth):
        folder = f"/proc/{berth.process.pid}/fd"
        return [name for name in os.listdir(folder)
                if os.readlink(f"{folder}/{name}") == "anon_inode:inotify"]


if __name__ == "__main__":
    unittest.main()
