# SPDX-License-Identifier: Apache-2.0
"""Memory is free only when it is seen free, both ways (issue 3, must show 5)."""

import os
import signal
import unittest

from harness import BIN, HERE, E2eTest, real_llama, wait_for

DEADLINE = 'release_deadline = "3s"'
MIB = 1 << 20


class TheBarrierWaits(E2eTest):
    def free_when_room_was_seen(self, berth, server):
        return next(r for r in berth.journal() if r["kind"] == "decision" and
                    r["name"] == "room_seen" and r["server"] == server)

    def samples_after(self, berth, step):
        begun = berth.record("step", step)
        return [r for r in berth.journal() if r["kind"] == "event" and r["name"] == "measured" and
                begun and r["n"] > begun["n"]]

    def end_holder(self, berth, step, program):
        """Ends who holds memory after that step, once Berth was seen to wait; returns samples."""
        samples = wait_for("it was seen to wait", lambda: (
            seen := self.samples_after(berth, step))[5:] and seen)
        os.kill(next(h["pid"] for h in samples[-1]["holders"] if h["program"] == program),
                signal.SIGKILL)
        return samples

    def test_before_the_newcomer_starts(self):
        berth = self.berth(binary=self.wrapper(200)).up()
        berth.wait_state("chat", "ready")
        picture = berth.picture_later()
        samples = self.end_holder(berth, "victim_gone", "memory-holder")
        self.assertLess(samples[0]["pools"][0]["free_bytes"], 400 * MIB)
        self.assertLess(samples[-1]["pools"][0]["free_bytes"], 400 * MIB)
        self.assertEqual(200, picture.get().status)
        seen = self.free_when_room_was_seen(berth, "image")
        self.assertGreater(seen["n"], samples[-1]["n"])
        self.assertGreaterEqual(seen["numbers"]["free_bytes"], 400 * MIB)

    def test_before_the_victim_comes_back(self):
        berth = self.berth(faults="helper=forever:350MiB", standin_memory=20).up()
        berth.wait_state("chat", "ready")
        self.assertEqual(200, berth.picture().status)
        waited = self.end_holder(berth, "newcomer_gone", "sd-helper")
        self.assertLess(waited[0]["pools"][0]["free_bytes"], 300 * MIB)
        self.assertLess(waited[-1]["pools"][0]["free_bytes"], 300 * MIB)
        berth.wait_step("row_cleared")
        room = berth.record("step", "room_for_victim")
        samples = [r for r in self.samples_after(berth, "newcomer_gone") if r["n"] < room["n"]]
        self.assertGreater(room["n"], waited[-1]["n"])
        self.assertGreaterEqual(samples[-1]["pools"][0]["free_bytes"], 300 * MIB)

    def test_memory_that_never_comes_is_an_error_with_the_holders_name_and_the_llm_is_back(self):
        berth = self.berth(binary=self.wrapper(250), policy=DEADLINE).up()
        berth.wait_state("chat", "ready")
        reply = berth.picture()
        self.assertEqual(503, reply.status)
        self.assertEqual("memory_not_released", reply.json()["error"]["code"])
        self.assertIn("memory-holder (pid", reply.json()["error"]["message"])
        berth.wait_step("row_cleared")
        self.assertEqual(200, berth.chat("Hi").status)

    def test_on_the_way_back_too(self):
        berth = self.berth(faults="helper=forever:350MiB", standin_memory=20,
                           policy=DEADLINE).up()
        berth.wait_state("chat", "ready")
        self.assertEqual(200, berth.picture().status)
        berth.wait_step("row_cleared")
        failed = berth.record("decision", "room_not_seen", "chat")
        self.assertIn("sd-helper (pid", failed["error"]["message"])
        self.assertEqual(200, berth.chat("Hi").status)

    def wrapper(self, mebibytes):
        """A real llama-server that leaves a process in its session when it exits. The process holds
        its memory before the server starts: a busy machine must not turn the order around."""
        server, _ = real_llama()
        folder = self.new_folder()
        path = f"{folder}/llama-server"
        with open(path, "w") as script:
            script.write(f"""#!/bin/sh
case "$*" in *--host*)
  rm -f "{folder}/held"; mkfifo "{folder}/held"
  "{HERE}/leave_helper.py" "{folder}/held" "{BIN}/memory-holder" {mebibytes}MiB &
  read -r line < "{folder}/held" ;;
esac
exec "{server}" "$@"
""")
        os.chmod(path, 0o755)
        return path


if __name__ == "__main__":
    unittest.main()
