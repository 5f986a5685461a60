# SPDX-License-Identifier: Apache-2.0
"""kill -9 of Berth at every step of a cycle and of its own recovery (issue 4, must show 4)."""

import concurrent.futures
import http.client
import json
import signal
import subprocess
import time
import unittest

from fast_world import fast_config, lives, record_of, with_ports
from harness import Berth, Later, cmdline, config, wait_for

# Where a step also happens outside the cycle, ":N" says which one is meant: the LLM's own start
# and the first chat come before it.
CYCLE = ("job_arrived:2", "gate_closed", "row_committed", "drained", "state_saved",
         "victim_stopping", "victim_gone", "room_for_newcomer", "newcomer_ready:2",
         "dispatched:2", "job_done:2", "linger_over", "newcomer_stopping", "newcomer_gone",
         "room_for_victim", "victim_ready", "state_restored", "row_cleared")
WITH_THE_REAL_SERVER = ("row_committed", "state_saved", "victim_gone", "newcomer_ready:2",
                        "victim_ready", "state_restored")
# Berth finds the image server resident and the LLM displaced: it moves both.
RECOVERY = ("recovery_begun", "recovery_found",
            "recovery_before_commit:1", "recovery_after_commit:1",
            "recovery_before_commit:2", "recovery_after_commit:2",
            "recovery_before_move:1", "recovery_after_move:1",
            "recovery_before_move:2", "recovery_after_move:2")
AT_ONCE = 20.0  # seconds; a client that is not told waits for its own limit, a minute
CHAT = {"model": "chat", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
CLOSED = (OSError, http.client.HTTPException)


class Crash:
    """One Berth that is killed, perhaps twice, and comes back."""

    def __init__(self, text):
        self.berth = Berth(with_ports(text))

    def run(self, points):
        try:
            self.argv = self.die_in_a_cycle(points[0])
            for point in points[1:]:
                self.berth.up({"BERTH_FAILPOINT": point}, wait=False)
                self.expect_kill()
            self.come_back()
            self.berth.down()
            assert not (left := self.berth.processes()), f"orphans: {left}"
            assert self.berth.rows()["chat"]["displaced_by"] is None, "the row is not cleared"
        finally:
            self.berth.close()

    def die_in_a_cycle(self, point):
        """Returns the command line of the LLM, which had answered a chat."""
        berth = self.berth.up({"BERTH_FAILPOINT": point})
        llm = berth.wait_state("chat", "ready")
        argv = cmdline(llm["pid"])
        self.port = llm["front_port"]
        assert berth.chat("Hi").status == 200
        port = berth.port()
        clients = [Later(lambda: berth.post("/v1/images/generations", {
            "model": "image", "prompt": "a harbour", "size": "64x64"}, port=port))]
        if point != "linger_over":  # nobody lingers when somebody waits
            clients.append(Later(self.chat_while_displaced))
        self.expect_kill()
        killed_at = time.monotonic()
        for client in clients:
            client.join(AT_ONCE)
            assert not client.is_alive(), "a client hangs"
            assert client.ended_at < (killed_at + AT_ONCE) * 1e9
            if client.error:
                assert isinstance(client.error, CLOSED), client.error
            else:
                assert client.result.status == 200, client.result.body
        return argv

    def chat_while_displaced(self):
        wait_for("the gate is closed", lambda: self.berth.process.poll() is not None or
                 "gate_closed" in self.berth.steps())
        return self.berth.post("/v1/chat/completions", CHAT, port=self.port)

    def expect_kill(self):
        status = self.berth.wait_killed(30)
        assert status == -signal.SIGKILL, f"it was not killed but ended with {status}"

    def come_back(self):
        berth = self.berth
        before = berth.starts("chat")
        survivor = record_of(berth, "chat")["pid"]
        survived = lives(survivor)
        curl = subprocess.Popen(
            ["curl", "-sS", "--fail", "--retry", "60", "--retry-delay", "1", "--retry-all-errors",
             "--max-time", "60", "-H", "Content-Type: application/json", "-d", json.dumps(CHAT),
             f"http://127.0.0.1:{self.port}/v1/chat/completions"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        berth.up()
        answer, said = curl.communicate(timeout=60)
        assert curl.returncode == 0, f"curl --retry: {said}"
        assert json.loads(answer)["choices"], answer
        back = berth.wait_state("chat", "ready")
        wait_for("the row is cleared", lambda: not berth.server("chat")["displaced"])
        assert cmdline(back["pid"]) == self.argv, "another command line"
        executed = berth.starts("chat")[len(before):]
        if survived:
            assert (back["pid"], executed) == (survivor, []), f"executed again: {executed}"
        else:
            assert len(executed) == 1, f"executed {len(executed)} times: {executed}"


def failures(text, all_points, at_a_time):
    """Returns "point: what went wrong" for each that did."""
    def attempt(points):
        try:
            Crash(text).run(points)
        except Exception as error:  # noqa: BLE001 - told with its point
            return f"{' then '.join(points)}: {type(error).__name__}: {error}"
        return None

    with concurrent.futures.ThreadPoolExecutor(at_a_time) as pool:
        return [failure for failure in pool.map(attempt, all_points) if failure]


class TheLlmComesBackAfterKillNine(unittest.TestCase):
    maxDiff = None

    def test_at_every_step_of_a_cycle(self):
        self.assertEqual([], failures(fast_config(), [(point,) for point in CYCLE], 3))

    def test_at_every_step_of_the_recovery_from_a_kill(self):
        twice = [("newcomer_ready:2", point) for point in RECOVERY]
        self.assertEqual([], failures(fast_config(), twice, 3))

    def test_with_a_real_server_too(self):
        points = [(point,) for point in WITH_THE_REAL_SERVER]
        self.assertEqual([], failures(config(), points, 1))


if __name__ == "__main__":
    unittest.main()
