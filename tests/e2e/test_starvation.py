# SPDX-License-Identifier: Apache-2.0
"""One busy model must not starve the others: two real llama-servers of which only one fits."""

import threading
import time
import unittest

from harness import THREADS, E2eTest, real_llama, wait_for
from turns_seen import Story, complaints_of

BOUND_MAX = 30.0  # seconds
SECONDS = 15  # for which two clients keep A busy, at least, and until B is answered


def two_models():
    server, model = real_llama()
    one = f'''
[server.{{name}}]
kind = "llama-server"
binary = "{server}"
model = "{model}"
memory = "300MiB"
context = {{context}}
threads = {THREADS}
job_limit = "11s"
port = 0
'''
    return ('[pool.ram]\nkind = "capped"\ncapacity = "600MiB"\n' +
            one.format(name="a", context=1024) + one.format(name="b", context=2048) +
            '[policy]\nageing = "1s"\nswap_guess = "1s"\n')


class OneBusyModel(E2eTest):
    def keep_busy(self, berth, port, replies, over):
        while not over.is_set():
            replies.append(berth.chat("Tell me of the sea.", model="a", max_tokens=24, port=port).status)

    def test_does_not_starve_the_other_and_the_bound_printed_before_holds(self):
        berth = self.berth_with(two_models())
        berth.up()
        self.assertEqual(200, berth.chat("Hi", model="a").status)
        bound = berth.server("b")["bound_ms"] / 1000
        print(f"bound of a request for b: {bound:.1f} s", flush=True)
        self.assertLessEqual(bound, BOUND_MAX)
        replies, over = [], threading.Event()
        clients = [threading.Thread(target=self.keep_busy, args=(berth, berth.port(), replies, over))
                   for _ in range(2)]
        for client in clients:
            client.start()
        try:
            self.check_b(berth, replies, bound, over)
        finally:
            over.set()
            for client in clients:
                client.join()
        self.assertEqual({200}, set(replies), "A lost nothing")
        self.assertEqual([], complaints_of(Story(berth.journal())))

    def check_b(self, berth, replies, bound, over):
        started = time.monotonic()
        wait_for("both are at it", lambda: len(replies) >= 2)
        asked = time.monotonic()
        try:
            answer = berth.chat("And of the mountains?", model="b", timeout=2 * BOUND_MAX)
        except TimeoutError:
            self.fail(f"b starves: no answer in {2 * BOUND_MAX} s, its bound was {bound:.1f} s")
        waited = time.monotonic() - asked
        answered = len(replies)
        print(f"b was answered after {waited:.1f} s; a had {answered} answers by then", flush=True)
        self.assertEqual(200, answer.status)
        self.assertLessEqual(waited, bound)
        wait_for("A comes back and goes on", lambda: len(replies) > answered + 2)
        over.wait(SECONDS - (time.monotonic() - started))


if __name__ == "__main__":
    unittest.main()
