# SPDX-License-Identifier: Apache-2.0
"""The seed's questions in each state of the LLM: would an offload be needed, what state is saved?
(issue 7, must show 1). Stand-ins: answers and codes, no speeds."""

import datetime
import unittest

from fast_world import SLACK, fast_config
from harness import SLOW_STEP_MS, E2eTest, cmdline


class Questions(E2eTest):
    def world(self, **options):
        berth = self.berth_with(fast_config(**options))
        return berth.up()

    def would(self, berth, name="image"):
        """The answer over the main address, which must be the one over the control socket."""
        path = f"/api/v1/servers/{name}/would-need-offload"
        reply = berth.get(path)
        self.assertEqual(200, reply.status, reply.body)
        self.assertEqual(reply.json(), berth.api("GET", path).json())
        return reply.json()

    def saved(self, berth, name="chat"):
        reply = berth.get(f"/api/v1/servers/{name}/saved-state")
        self.assertEqual(200, reply.status, reply.body)
        return reply.json()["saved_state"]

    def assert_quiet(self, berth):
        """Nobody would leave, and nothing is saved."""
        self.assertFalse(self.would(berth)["would_need_offload"], self.would(berth))
        self.assertEqual([], self.would(berth)["victims"])
        self.assertIsNone(self.saved(berth))

    def test_idle_the_llm_would_leave_and_asking_moves_nothing(self):
        berth = self.world()
        berth.wait_state("chat", "ready")
        self.assertEqual({"would_need_offload": True, "server": "image", "victims": ["chat"],
                          "text": 'a request for "image" would put out "chat" for a while'},
                         self.would(berth))
        self.assertIsNone(self.saved(berth))
        self.assertEqual(0, berth.steps().count("job_arrived"))

    def test_starting_the_llm_would_leave_too(self):
        berth = self.world(llm_arguments=("--standin-faults", "slow_load=60"))
        berth.wait_state("chat", "starting")
        self.assertEqual(["chat"], self.would(berth)["victims"])
        self.assertIsNone(self.saved(berth))

    def test_displaced_the_llm_has_left_and_its_command_line_is_kept(self):
        berth = self.world(step_ms=SLOW_STEP_MS, llm_extra=SLACK)
        pid = berth.wait_state("chat", "ready")["pid"]
        argv = [word.decode() for word in cmdline(pid).split(b"\0")[:-1]]
        picture = berth.drawing()
        self.assertFalse(self.would(berth)["would_need_offload"])
        saved = self.saved(berth)
        self.assertEqual(argv[1:], saved["config"]["argv"][1:])
        self.assertEqual(berth.server("chat")["front_port"], saved["config"]["port"])
        self.assertEqual((2048, 1), (saved["config"]["context_size"], saved["config"]["parallel"]))
        self.assertEqual((True, "image", "restore"),
                         (saved["was_running"], saved["displaced_by"], saved["after"]))
        since = datetime.datetime.fromisoformat(saved["saved_at"].replace("Z", "+00:00"))
        age = datetime.datetime.now(datetime.timezone.utc) - since
        self.assertLess(abs(age.total_seconds()), 60)
        berth.end_drawing(picture)
        berth.wait_step("row_cleared")
        self.assertIsNone(self.saved(berth), "it is back")

    def test_displaced_and_cleared_the_state_is_kept_for_a_request(self):
        berth = self.world(step_ms=SLOW_STEP_MS, llm_extra=SLACK)
        berth.wait_state("chat", "ready")
        picture = berth.drawing()
        self.assertEqual(200, berth.api("POST", "/api/v1/servers/chat/clear-saved-state").status)
        self.assertEqual("on_request", self.saved(berth)["after"])
        self.assertTrue(picture.is_alive(), "it is drawn on")

    def test_failed_the_llm_does_not_run(self):
        # On demand: nobody tries it again meanwhile, as would be done for one that is wanted on.
        berth = self.world(llm_arguments=("--standin-faults", "die_start"), wanted="on_demand")
        self.assertEqual(503, berth.chat("Hi").status)
        self.assert_quiet(berth)

    def test_off_the_llm_does_not_run(self):
        berth = self.world()
        berth.wait_state("chat", "ready")
        berth.cli("stop", "chat")
        self.assert_quiet(berth)

    def test_where_no_llm_was_ever_asked_for_nobody_would_leave(self):
        self.assert_quiet(self.world(wanted="on_demand"))

    def test_beside_an_llm_that_leaves_room_nobody_would_leave(self):
        berth = self.world(llm=60, image=60, standin_memory=20)
        berth.wait_state("chat", "ready")
        self.assert_quiet(berth)
        self.assertIn("would put nobody out", self.would(berth)["text"])

    def test_for_an_image_server_that_is_off_nobody_would_leave(self):
        berth = self.world()
        berth.wait_state("chat", "ready")
        berth.cli("stop", "image")
        answer = self.would(berth)
        self.assertFalse(answer["would_need_offload"])
        self.assertIn("refused", answer["text"])

    def test_for_a_pinned_llm_the_sentence_names_it(self):
        berth = self.world()
        berth.wait_state("chat", "ready")
        self.assertEqual(200, berth.api("POST", "/api/v1/servers/chat/pin").status)
        answer = self.would(berth)
        self.assertFalse(answer["would_need_offload"])
        self.assertIn('"chat", which is pinned', answer["text"])

    def test_an_unknown_server_is_named(self):
        berth = self.world()
        for question in ("would-need-offload", "saved-state"):
            reply = berth.get(f"/api/v1/servers/nobody/{question}")
            self.assertEqual((404, "not_found"), (reply.status, reply.json()["error"]["code"]))


if __name__ == "__main__":
    unittest.main()
