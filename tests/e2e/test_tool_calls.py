# SPDX-License-Identifier: Apache-2.0
"""A tool call inside the LLM's own turn (design section 6, rule 6), with a real llama-server."""

import unittest

from harness import E2eTest


class ToolCalls(E2eTest):
    def caller(self, berth):
        """A reply that runs, and the number of its job."""
        stream = berth.stream("Tell me a long story.", max_tokens=1500)
        stream.begun.wait(60)
        self.assertEqual(200, stream.status)
        return stream, stream.headers["X-Berth-Job"]

    def call(self, berth, parent):
        return berth.post("/v1/images/generations",
                          {"model": "image", "prompt": "a harbour", "size": "64x64"},
                          {"X-Berth-Parent": parent})

    def test_a_call_that_needs_its_callers_place_is_answered_409_at_once(self):
        berth = self.berth().up()
        berth.wait_state("chat", "ready")
        stream, job = self.caller(berth)
        reply = self.call(berth, job)
        self.assertEqual(409, reply.status)
        self.assertEqual("conflict", reply.json()["error"]["code"])
        self.assertIn(f"<- {job}", reply.json()["error"]["message"])
        self.assertTrue(stream.is_alive(), "its caller goes on: nobody waited for its end")
        stream.leave()
        self.assertEqual(1, len(berth.starts("chat")), "nothing was displaced for it")

    def test_a_call_runs_where_both_fit(self):
        berth = self.berth(capacity=1200).up()
        berth.wait_state("chat", "ready")
        stream, job = self.caller(berth)
        reply = self.call(berth, job)
        self.assertEqual(200, reply.status)
        stream.leave()
        arrived = berth.record("event", "job_arrived", "image")
        self.assertEqual(int(job), arrived.get("parent"), "it was known as a call of that reply")
        self.assertEqual(1, len(berth.starts("chat")), "its caller stayed where it is")

    def test_without_the_header_it_waits_like_any_other(self):
        berth = self.berth().up()
        berth.wait_state("chat", "ready")
        stream, _ = self.caller(berth)
        picture = berth.picture_later()
        stream.leave()
        self.assertEqual(200, picture.get().status)


if __name__ == "__main__":
    unittest.main()
