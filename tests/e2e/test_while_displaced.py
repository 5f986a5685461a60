# SPDX-License-Identifier: Apache-2.0
"""What clients see while their server is displaced (design section 7): hold, refuse, fallback,
max_hold, signs of life, a full queue. Stand-ins: orders, counts and codes, no speeds."""

import json
import unittest

from fast_world import LLAMA_STANDIN, SLACK, fast_config, real_model
from harness import SLOW_STEP_MS, E2eTest, Stream, wait_for

SLOW_TOKENS = ("--standin-token-ms", "100")
PROGRESS = {"X-Berth-Progress": "1"}


def small_server(fallback_arguments=("--standin-memory", "4MiB")):
    return f'''
[server.small]
kind = "llama-server"
binary = "{LLAMA_STANDIN}"
model = "{real_model()}"
memory = "20MiB"
extra_args = {json.dumps(list(fallback_arguments))}
'''


class WhileDisplaced(E2eTest):
    def world(self, more="", **options):
        berth = self.berth_with(fast_config(**options) + more)
        return berth.up()

    def drawing(self, *arguments, **options):
        """The LLM is displaced and a picture is drawn, which takes a minute."""
        berth = self.world(*arguments, step_ms=SLOW_STEP_MS, **options)
        berth.wait_state("chat", "ready")
        return berth, berth.drawing()

    def chatting(self, **options):
        """A reply that runs for a minute."""
        berth = self.world(llm_arguments=SLOW_TOKENS, parallel=2, **options)
        berth.wait_state("chat", "ready")
        stream = berth.stream("Tell a very long story.", max_tokens=600)
        self.assertTrue(stream.begun.wait(30))
        return berth, stream

    def decisions(self, berth, name):
        return [r for r in berth.journal() if r["kind"] == "decision" and r["name"] == name]

    def test_the_slots_are_shown_as_they_are_and_as_they_were_last_while_displaced(self):
        berth, stream = self.chatting(step_ms=SLOW_STEP_MS)
        port = berth.server("chat")["front_port"]
        slots = berth.get("/slots", port=port)
        self.assertEqual([True, False], sorted((slot["is_processing"] for slot in slots.json()), reverse=True))
        self.assertEqual(slots.body, berth.get("/slots", port=port).body, "it is not asked again at once")
        stream.leave()
        picture = berth.drawing()
        self.assertEqual("absent", berth.server("chat")["state"])
        self.assertEqual((200, slots.body), ((reply := berth.get("/slots", port=port)).status, reply.body))
        self.assertTrue(picture.is_alive(), "nobody waited for the picture")
        self.assertEqual([1], berth.starts("image"))

    # ---- refuse, fallback ----

    def test_a_refused_request_is_told_when_to_try_again_and_leaves_nothing_behind(self):
        berth, picture = self.drawing(llm_extra=f'while_displaced = "refuse"\n{SLACK}')
        refused = berth.chat("Hi")
        self.assertEqual(503, refused.status)
        self.assertEqual("displaced", refused.json()["error"]["code"])
        self.assertIn('"image"', refused.json()["error"]["message"])
        self.assertGreaterEqual(int(refused.headers["Retry-After"]), 1)
        self.assertEqual("2", refused.headers["X-Berth-Job"])
        self.assertEqual(0, berth.server("chat")["waiting"])
        self.assertTrue(picture.is_alive(), "the answer came while the picture was drawn")
        berth.end_drawing(picture)
        berth.wait_step("row_cleared")
        self.assertEqual(200, berth.chat("Hi").status)

    def test_the_fallback_answers_and_is_named(self):
        berth, picture = self.drawing(
            small_server(), llm_extra=f'while_displaced = "fallback"\nfallback = "small"\n{SLACK}')
        reply = berth.chat("Hi")
        self.assertEqual(200, reply.status)
        self.assertEqual("small", reply.headers["X-Berth-Server"])
        self.assertTrue(picture.is_alive(), "nobody waited for the picture")
        self.assertEqual(1, len(self.decisions(berth, "uses_fallback")))
        berth.end_drawing(picture)
        berth.wait_step("row_cleared")
        self.assertEqual("chat", berth.chat("Hi").headers["X-Berth-Server"])

    # ---- max_hold ----

    def test_an_answer_of_504_leaves_no_work_behind(self):
        berth, stream = self.chatting(image_extra='max_hold = "3s"')
        pid = berth.server("chat")["pid"]
        late = berth.picture()
        self.assertEqual(504, late.status)
        self.assertEqual("held_too_long", late.json()["error"]["code"])
        self.assertEqual("2", late.headers["X-Berth-Job"])
        self.assertEqual(200, berth.chat("Hi", max_tokens=1).status, "the gate is open again")
        # Where Berth is held up, the time is over before the LLM's turn: then nothing has begun.
        begun = len(berth.steps("gate_closed"))
        self.assertEqual(begun, len(self.decisions(berth, "claim_fell")))
        self.assertEqual(0, berth.server("image")["waiting"])
        self.assertFalse(berth.server("chat")["displaced"])
        self.assertTrue(stream.is_alive())
        stream.leave()
        wait_for("the reply is over", lambda: berth.server("chat")["running"] == 0)
        self.assertEqual(pid, berth.server("chat")["pid"])
        self.assertEqual([], berth.starts("image"), "nobody moved, then or later")

    def test_a_load_that_has_begun_is_finished_and_its_request_answered(self):
        berth = self.world(llm_arguments=("--standin-faults", "slow_load=6"), wanted="on_demand",
                           llm_extra='max_hold = "3s"')
        self.assertEqual(200, berth.chat("Hi").status)

    def test_a_client_that_leaves_takes_its_place_and_its_swap_with_it(self):
        berth, stream = self.chatting()
        picture = Stream(berth.port(), "/v1/images/generations",
                         {"model": "image", "prompt": "x", "size": "64x64"})
        berth.wait_step("row_committed")
        picture.leave()
        berth.wait_step("row_cleared")
        self.assertEqual(0, berth.server("image")["waiting"])
        self.assertEqual(1, len(self.decisions(berth, "claim_fell")))
        self.assertEqual(200, berth.chat("Hi", max_tokens=1).status)
        stream.leave()
        self.assertNotIn("victim_stopping", berth.steps())

    # ---- a full queue ----

    def test_more_than_queue_max_are_answered_429_with_a_time(self):
        berth, picture = self.drawing(policy="queue_max = 1")
        second = berth.picture_later()
        wait_for("one waits", lambda: berth.server("image")["waiting"] == 1)
        third = berth.picture()
        self.assertEqual(429, third.status)
        self.assertEqual("queue_full", third.json()["error"]["code"])
        self.assertGreaterEqual(int(third.headers["Retry-After"]), 1)
        self.assertEqual("3", third.headers["X-Berth-Job"])
        self.assertEqual([True, True], [picture.is_alive(), second.is_alive()])

    # ---- signs of life ----

    def test_a_held_stream_gets_signs_of_life_and_then_its_reply(self):
        berth, picture = self.drawing()
        stream = berth.stream("Hi", headers=PROGRESS, max_tokens=8)
        self.assertTrue(stream.begun.wait(30))
        self.assertTrue(picture.is_alive(), "its first bytes came while the picture was drawn")
        self.assertEqual(200, stream.status)
        self.assertEqual("text/event-stream", stream.headers["Content-Type"])
        self.assertEqual("2", stream.headers["X-Berth-Job"])
        berth.end_drawing(picture)
        text = stream.finish().bytes().decode()
        self.assertTrue(text.startswith(': waiting for "chat", about '), text[:60])
        self.assertTrue(text.endswith("data: [DONE]\n\n"), text[-60:])

    def test_a_stream_that_was_begun_is_told_of_an_error_by_an_event(self):
        berth, picture = self.drawing()
        stream = berth.stream("Hi", headers=PROGRESS)
        self.assertTrue(stream.begun.wait(30))
        berth.cli("stop", "chat")
        last = stream.finish().events()[-1]
        self.assertEqual("stopped_by_user", last["error"]["code"])
        self.assertIsNone(stream.error, "the stream ends cleanly")
        self.assertTrue(picture.is_alive(), "it was told while the picture was drawn")


if __name__ == "__main__":
    unittest.main()
