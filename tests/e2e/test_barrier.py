# SPDX-License-Identifier: Apache-2.0
"""Memory is free only when it is seen free, both ways (issue 3, must show 5)."""

import os
import unittest

from harness import BIN, HERE, E2eTest, real_llama

DEADLINE = 'release_deadline = "3s"'
MIB = 1 << 20


class TheBarrierWaits(E2eTest):
    def free_when_room_was_seen(self, berth, server):
        return next(r for r in berth.journal() if r["kind"] == "decision" and
                    r["name"] == "room_seen" and r["server"] == server)

    def samples_before(self, berth, record):
        return [r for r in berth.journal() if r["kind"] == "event" and r["name"] == "measured" and
                r["n"] < record["n"]]

    def test_before_the_newcomer_starts(self):
        berth = self.berth(binary=self.wrapper("0.5", 200), policy=DEADLINE).up()
        berth.wait_state("chat", "ready")
        self.assertEqual(200, berth.picture().status)
        seen = self.free_when_room_was_seen(berth, "image")
        self.assertGreaterEqual(seen["numbers"]["free_bytes"], 400 * MIB)
        self.assertGreater(len(self.samples_before(berth, seen)), 5, "it was seen to wait")
        first = self.samples_before(berth, seen)[0]
        self.assertLess(first["pools"][0]["free_bytes"], 400 * MIB)

    def test_before_the_victim_comes_back(self):
        berth = self.berth(faults="helper=0.5:350MiB", standin_memory=20, policy=DEADLINE).up()
        berth.wait_state("chat", "ready")
        self.assertEqual(200, berth.picture().status)
        berth.wait_step("row_cleared")
        gone = berth.record("step", "newcomer_gone")
        room = berth.record("step", "room_for_victim")
        samples = [r for r in berth.journal() if r["kind"] == "event" and
                   r["name"] == "measured" and gone["n"] < r["n"] < room["n"]]
        self.assertGreater(len(samples), 5, "it was seen to wait")
        self.assertLess(samples[0]["pools"][0]["free_bytes"], 300 * MIB)
        self.assertGreaterEqual(samples[-1]["pools"][0]["free_bytes"], 300 * MIB)

    def test_memory_that_never_comes_is_an_error_with_the_holders_name_and_the_llm_is_back(self):
        berth = self.berth(binary=self.wrapper("forever", 250), policy=DEADLINE).up()
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

    def wrapper(self, seconds, mebibytes):
        """A real llama-server that leaves a process in its session when it exits. The process holds
        its memory before the server starts: a busy machine must not turn the order around."""
        server, _ = real_llama()
        folder = self.new_folder()
        path = f"{folder}/llama-server"
        with open(path, "w") as script:
            script.write(f"""#!/bin/sh
case "$*" in *--host*)
  rm -f "{folder}/held"; mkfifo "{folder}/held"
  "{HERE}/leave_helper.py" "{folder}/held" "{BIN}/memory-holder" {mebibytes}MiB {seconds} &
  read -r line < "{folder}/held" ;;
esac
exec "{server}" "$@"
""")
        os.chmod(path, 0o755)
        return path


if __name__ == "__main__":
    unittest.main()
