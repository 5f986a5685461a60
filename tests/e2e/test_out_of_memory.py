# SPDX-License-Identifier: Apache-2.0
"""A server that dies for lack of memory is tried again with more memory counted for it."""

import os
import signal
import unittest

from fast_world import fast_config
from harness import MIB, E2eTest, wait_for

MORE = 9 / 8  # what the core counts after a death for lack of memory


class OutOfMemory(E2eTest):
    def world(self, server):
        """Both servers as stand-ins; the next load of `server` finds no room, once."""
        folder = self.new_folder()
        flag = folder / "no-room"
        flag.touch()
        fault = f"once={flag}:out_of_memory"
        arguments = ["--standin-faults", fault] if server == "chat" else []
        berth = self.berth_with(fast_config(llm_arguments=arguments, wanted="on_demand",
                                            faults=fault if server == "image" else ""))
        return berth.up()

    def assert_raised(self, berth, server, before):
        found = berth.server(server)
        self.assertEqual((before * MIB * MORE, "learned"),
                         (found["footprint_bytes"], found["footprint_source"]))
        self.assertEqual(1, len(self.decisions(berth, "needs_more", server)))
        self.assertRegex(" ".join(berth.cli("explain").stdout.split()),
                         rf'needs_more "{server}" ran out of memory; [0-9.]+ MiB are counted for it')

    def decisions(self, berth, name, server):
        return [r for r in berth.journal() if r["kind"] == "decision" and r["name"] == name
                and r["server"] == server]

    def test_a_start_without_room_is_an_answer_and_the_next_request_is_served(self):
        berth = self.world("chat")
        refused = berth.chat("Hi")
        error = refused.json()["error"]
        self.assertEqual((503, "out_of_memory"), (refused.status, error["code"]))
        self.assertGreaterEqual(int(refused.headers["Retry-After"]), 1)
        for words in ('server "chat" did not start: it ran out of memory (exit code 1)',
                      "failed to allocate buffer of size", "smaller model or context",
                      "`berth logs chat`"):
            self.assertIn(words, error["message"])
        self.assertIn("ran out of memory", berth.server("chat")["failure"])
        wait_for("the back-off is over", lambda: berth.chat("Hi").status == 200)
        self.assert_raised(berth, "chat", 300)

    def test_what_it_was_found_to_need_outlives_berth(self):
        berth = self.world("chat")
        self.assertEqual(503, berth.chat("Hi").status)
        berth.down()
        berth.wait_killed()
        berth.up()
        found = berth.server("chat")
        self.assertEqual((300 * MIB * MORE, "learned", 300 * MIB * MORE),
                         (found["footprint_bytes"], found["footprint_source"], found["known_bytes"]))
        (row,) = berth.api("GET", "/api/v1/footprints").json()["footprints"]
        self.assertEqual(("chat", "raised", True), (row["server"], row["stage"], row["current"]))

    def test_a_picture_server_that_finds_no_room_is_started_again_and_the_picture_drawn(self):
        berth = self.world("image")
        self.assertEqual(200, berth.picture().status, "the client just waits")
        self.assertEqual([1, 2], berth.starts("image"))
        ended = berth.record("event", "server_changed", "image")
        self.assertEqual("out_of_memory", ended["fact"])
        self.assertIn("killed by signal 6 (SIGABRT), out of memory: [ERROR] ggml_extend.hpp:70   "
                      "- CUDA error: out of memory", ended["detail"])
        self.assert_raised(berth, "image", 400)

    def test_a_server_that_somebody_kills_is_not_said_to_lack_memory(self):
        berth = self.world("none")
        self.assertEqual(200, berth.chat("Hi").status)
        os.kill(berth.server("chat")["pid"], signal.SIGKILL)
        wait_for("its death is told", lambda: self.decisions(berth, "exited", "chat"))
        self.assertEqual("exited", berth.record("event", "server_changed", "chat")["fact"])
        self.assertEqual([], self.decisions(berth, "needs_more", "chat"))
        self.assertEqual(300 * MIB, berth.server("chat")["footprint_bytes"])
        self.assertEqual(200, berth.chat("Hi").status)


if __name__ == "__main__":
    unittest.main()
