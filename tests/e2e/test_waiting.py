# SPDX-License-Identifier: Apache-2.0
"""What status says of jobs that wait: which is next, when it runs, what it waits for (core/predict).
Stand-ins: order and causes, no speeds."""

import unittest

from fast_world import fast_config
from harness import E2eTest, wait_for

SLOW_TOKENS = ("--standin-token-ms", "100")


class Waiting(E2eTest):
    def chatting(self):
        """A reply that runs for a minute, and a picture that waits for its end."""
        berth = self.berth_with(fast_config(llm_arguments=SLOW_TOKENS))
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
        # first for the end of chat's turn, then for that of its work
        self.assertRegex(line, r"^job \d+ for image: in .*; the (turn|running work) of server "
                               r"\"chat\"")
        stream.leave()
        self.assertEqual(200, picture.get().status)

    # ---- what a request is told when it comes ----

    def measured(self, tokens=10, **options):
        """Everything was measured once: both servers, both swaps."""
        berth = self.berth_with(fast_config(llm_arguments=SLOW_TOKENS, **options))
        berth.up()
        berth.wait_state("chat", "ready")
        self.assertEqual(200, berth.chat("Hi", max_tokens=tokens).status)
        self.assertEqual(200, berth.picture().status)
        berth.wait_step("row_cleared")
        return berth

    def test_a_reply_tells_what_was_foretold_and_what_happened(self):
        berth = self.measured()
        stream = berth.stream("Tell a story.", max_tokens=10)
        self.assertTrue(stream.begun.wait(30))
        reply = berth.picture()
        self.assertEqual(200, reply.status)
        eta, waited = (int(reply.headers[name]) for name in ("X-Berth-Eta-Ms", "X-Berth-Waited-Ms"))
        (wait,) = [each for each in berth.api("GET", "/api/v1/waits").json()["waits"]
                   if str(each["job"]) == reply.headers["X-Berth-Job"]]
        self.assertEqual((eta, waited, "image", "ran", False),
                         (wait["eta_ms"], wait["waited_ms"], wait["server"], wait["how"],
                          wait["guess"]))
        decision = berth.cli("explain").stdout
        self.assertIn('has to wait, about', decision)
        stream.finish()

    def test_who_would_wait_for_too_long_is_refused_at_once_and_nothing_moves(self):
        berth = self.measured(tokens=200, image_extra='max_hold = "10s"')  # a reply takes 20 s
        stream = berth.stream("Tell a story.", max_tokens=200)
        self.assertTrue(stream.begun.wait(30))
        closed = len(berth.steps("gate_closed"))
        late = berth.picture()
        self.assertEqual((503, "not_in_time"), (late.status, late.json()["error"]["code"]))
        self.assertGreater(int(late.headers["Retry-After"]), 0)
        self.assertIn("max_hold", late.json()["error"]["message"])
        self.assertEqual(closed, len(berth.steps("gate_closed")))
        stream.leave()

    def test_explain_tells_who_waits_and_for_what(self):
        berth, stream, picture = self.chatting()
        lines = berth.cli("explain").stdout.splitlines()
        self.assertTrue(lines[-1].startswith("job 2 for image: in about "), lines[-1])
        stream.leave()
        self.assertEqual(200, picture.get().status)

    def test_a_held_stream_is_told_for_how_long_and_for_what(self):
        berth = self.berth_with(fast_config(step_ms=1000))
        berth.up()
        picture = berth.picture_later()
        berth.wait_step("dispatched")
        stream = berth.stream("Hi", headers={"X-Berth-Progress": "1"}, max_tokens=1)
        wait_for("the first sign of life", lambda: b"\n\n" in stream.bytes())
        self.assertRegex(stream.bytes().decode(),
                         r'^: waiting for "chat", about .* more \(a guess\): ')
        stream.leave()
        picture.get()


if __name__ == "__main__":
    unittest.main()
