# SPDX-License-Identifier: Apache-2.0
"""Many clients over swaps: each is answered, and nothing of them is left behind.

bench/clients does the same with 1,000 and 2,000.
"""

import os
import random
import threading
import unittest

from fast_world import fast_config, place
from harness import Berth, E2eTest, Later, Stream, wait_for

CLIENTS = 100
DISCONNECTS = 200
ONE_REPLY = {"Connection": "close"}  # or the client's own connection stays for its next request
SEED = int(os.environ.get("BERTH_SEED", "20261128"))


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class ManyClients(E2eTest):
    def setUp(self):
        self.images = self.gate()
        self.world = Berth(fast_config(step_ms=40, image_binary=self.images.program))
        self.addCleanup(self.world.close)
        self.world.up().wait_state("chat", "ready")
        self.swap()  # what is made once is there
        self.held = self.open()

    def swap(self):
        """One picture, and the LLM is back."""
        self.assertEqual(200, self.world.picture().status)
        self.world.wait_state("chat", "ready")

    def open(self):
        """Open files of Berth and of the LLM's server, when nothing is under way."""
        wait_for("nothing runs", lambda: all(
            (s["running"], s["waiting"]) == (0, 0) for s in self.world.status()["servers"]))
        daemon = self.world.process.pid
        before = None
        def settled():  # the last connections close a moment after their replies
            nonlocal before
            before, last = (descriptors(daemon), descriptors(self.world.server("chat")["pid"])), before
            return before == last and before
        return wait_for("connections are closed", settled)

    def begin_picture(self):
        """Asks for a picture; returns when the LLM has to go."""
        count = self.world.steps().count("gate_closed")
        picture = Later(self.world.picture)
        self.world.wait_step("gate_closed", count + 1)
        return picture

    def assert_nothing_is_left(self):
        self.world.wait_state("chat", "ready")
        wait_for("no more files are open than before", lambda: all(
            now <= before for now, before in zip(self.open(), self.held)))
        log = place(self.world, "chat") / "log"
        wait_for("every slot that worked is free", lambda: (text := log.read_text()).count(
            "processing task") == text.count("stop processing"))
        self.assertEqual(200, self.world.chat("Hi").status)

    def test_a_hundred_clients_are_held_through_a_swap_and_each_is_answered(self):
        self.images.shut()  # the LLM stays out until all are there
        picture = self.begin_picture()
        body = {"model": "chat", "max_tokens": 2, "stream": True,
                "messages": [{"role": "user", "content": "Hi"}]}
        port = self.world.port()
        clients = [Stream(port, "/v1/chat/completions", body, ONE_REPLY) for _ in range(CLIENTS)]
        wait_for("all wait", lambda: self.world.server("chat")["waiting"] == CLIENTS)
        self.images.open()
        self.assertEqual(200, picture.get().status)
        for client in clients:
            client.finish()
        self.assertEqual([], [c.error or c.status for c in clients if c.error or c.status != 200])
        self.assertEqual(CLIENTS, sum(b"data: [DONE]" in c.bytes() for c in clients))
        self.assert_nothing_is_left()

    def test_two_hundred_clients_leave_at_random_through_swaps(self):
        draw = random.Random(SEED)
        port, body = self.world.port(), {"model": "chat", "max_tokens": 30, "stream": True,
                                         "messages": [{"role": "user", "content": "Tell a story."}]}
        pictures, leaving = [], []
        for _ in range(4):
            pictures.append(Later(self.world.picture))
            for _ in range(DISCONNECTS // 4):
                client = Stream(port, "/v1/chat/completions", body, ONE_REPLY)
                timer = threading.Timer(draw.uniform(0.01, 1.5), client.leave_if_there)
                timer.start()
                leaving.append((client, timer))
        for picture in pictures:
            self.assertEqual(200, picture.get().status)
        for client, timer in leaving:
            timer.join()
            client.finish()
        left = sum(b"[DONE]" not in client.bytes() for client, _ in leaving)
        self.assertGreater(left, DISCONNECTS // 2, f"seed {SEED}: they really left")
        self.assert_nothing_is_left()


if __name__ == "__main__":
    unittest.main()
