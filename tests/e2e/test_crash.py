# SPDX-License-Identifier: Apache-2.0
"""kill -9 of Berth in the middle of a cycle (issue 3, must show 6)."""

import http.client
import signal
import unittest

from harness import E2eTest, cmdline, wait_for


class TheLlmComesBackAfterKillNine(E2eTest):
    def crash_at(self, step):
        berth = self.berth().up({"BERTH_FAILPOINT": step})
        server = berth.wait_state("chat", "ready")
        argv = cmdline(server["pid"])
        self.assertEqual(200, berth.chat("Hi").status)
        with self.assertRaises((OSError, http.client.HTTPException)):
            berth.picture()  # a closed connection at once, never a hang
        self.assertEqual(-signal.SIGKILL, berth.wait_killed())
        self.assertEqual("image", berth.rows()["chat"]["displaced_by"])
        before = berth.starts("chat")

        berth.up()
        back = berth.wait_state("chat", "ready")
        self.assertEqual(argv, cmdline(back["pid"]), "the same argv, byte by byte")
        self.assertEqual(len(before) + 1, len(berth.starts("chat")), "exactly one exec of it")
        self.assertEqual(200, berth.chat("Hi").status)
        wait_for("the row is cleared", lambda: not berth.server("chat")["displaced"])
        berth.down()
        self.assertIsNone(berth.rows()["chat"]["displaced_by"])

    def test_while_nobody_is_resident(self):
        self.crash_at("victim_gone")

    def test_while_the_image_server_is_resident(self):
        self.crash_at("newcomer_ready:2")  # the first is the LLM's own start

    def test_a_stop_that_never_happened_clears_the_displacement(self):
        berth = self.berth().up({"BERTH_FAILPOINT": "row_committed"})
        pid = berth.wait_state("chat", "ready")["pid"]
        with self.assertRaises((OSError, http.client.HTTPException)):
            berth.picture()
        berth.wait_killed()
        berth.up()
        self.assertEqual(pid, berth.wait_state("chat", "ready")["pid"], "it was taken over")
        self.assertEqual(200, berth.chat("Hi").status)
        self.assertIsNotNone(berth.record("decision", "recovered_never_stopped"))


if __name__ == "__main__":
    unittest.main()
