# SPDX-License-Identifier: Apache-2.0
"""What status says of jobs that wait: which is next, when it runs, what it waits for (core/predict).
Stand-ins: order and causes, no speeds."""

import unittest

from fast_world import fast_config
from harness import Berth, E2eTest, wait_for

SLOW_TOKENS = ("--standin-token-ms", "100")


class Waiting(E2eTest):
    def chatting(self):
        """A reply that runs for a minute, and a picture that waits for its end."""
        berth = Berth(fast_config(llm_arguments=SLOW_TOKENS))
        self.addCleanup(berth.close)
        berth.up()
        berth.wait_state("chat", "ready")
        stream = berth.stream("Tell a very long story.", max_tokens=600)
        self.assertTrue(stream.begun.wait(30))
        picture = berth.picture_later()
        wait_for("the picture waits", lambda: berth.status()["waiting"])
        return berth, stream, picture

    def test_a_picture_behind_a_reply_has_a_time_and_names_who_it_waits_for(self):
        berth, stream, picture = self.chatting()
        (waiting,) = berth.status()["waiting"]
        self.assertEqual("image", waiting["server"])
        self.assertEqual(1, waiting["place"])
        self.assertIn('"chat"', waiting["waits_for"])
        self.assertGreater(waiting["eta_ms"], 0)
        self.assertTrue(waiting["guess"], "nobody has measured a swap here yet")
        stream.leave()
        self.assertEqual(200, picture.get().status)
        self.assertEqual([], berth.status()["waiting"])

    def test_behind_a_pin_there_is_no_time_but_a_reason(self):
        berth, stream, picture = self.chatting()
        self.assertEqual(0, berth.cli("pin", "chat").returncode)
        (waiting,) = berth.status()["waiting"]
        self.assertIsNone(waiting["eta_ms"])
        self.assertIn("pinned", waiting["waits_for"])
        berth.cli("unpin", "chat")
        stream.leave()
        self.assertEqual(200, picture.get().status)

    def test_a_person_reads_the_same_in_lines_that_fit_the_terminal(self):
        berth, stream, picture = self.chatting()
        lines = berth.cli("status").stdout.splitlines()
        (line,) = [line for line in lines if line.startswith("job 2 for image: in about ")]
        self.assertLessEqual(len(line), 80)
        self.assertIn("waits for", line)
        stream.leave()
        self.assertEqual(200, picture.get().status)


if __name__ == "__main__":
    unittest.main()
