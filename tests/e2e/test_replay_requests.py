# SPDX-License-Identifier: Apache-2.0
"""A server that dies under its clients (design section 7): who has no byte of a reply yet just waits."""

import http.client
import json
import os
import signal
import threading
import unittest

from harness import BIN, E2eTest, wait_for

CHATS = "/v1/chat/completions"
BACK_OFF_NS = 10**9  # the first one


class Client(threading.Thread):
    """Asks one question after the other, each on a connection of its own, and remembers how it went."""

    def __init__(self, port, name, streams):
        super().__init__(daemon=True)
        self.port, self.name, self.streams = port, name, streams
        self.stop = threading.Event()
        self.calls, self.failed, self.answered = 0, [], 0
        self.received = 0  # bytes of the call that runs now, the head included
        self.start()

    def run(self):
        while not self.stop.is_set():
            self.received = 0
            self.calls += 1
            try:
                self.ask()
                self.answered += 1
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.failed.append((self.received, repr(error)))

    def ask(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=90)
        try:
            connection.request("POST", CHATS, json.dumps(
                {"model": "chat", "stream": self.streams, "max_tokens": 40, "messages": [
                    {"role": "user", "content": f"I am {self.name}. Story {self.calls}, please."}]}))
            reply = connection.getresponse()
            assert reply.status == 200, (reply.status, reply.read())
            self.received = 1
            body = b""
            while piece := reply.read1(65536):
                body += piece
                self.received += len(piece)
            assert not self.streams or body.endswith(b"data: [DONE]\n\n"), body[-200:]
            assert self.streams or json.loads(body)["choices"], body
        finally:
            connection.close()


class AServerIsKilledUnderSteadyChats(E2eTest):
    KILLS = 3
    PARALLEL = 2  # this many calls are with the server, and may have begun when it is killed

    def test_no_call_without_a_byte_of_its_reply_is_lost(self):
        berth = self.berth(parallel=self.PARALLEL, context=2048).up()
        berth.wait_state("chat", "ready")
        port = berth.port()
        clients = [Client(port, name, streams) for name, streams in
                   (("Ann", True), ("Bob", False), ("Cid", True), ("Dee", False))]
        try:
            for _ in range(self.KILLS):
                before = [client.answered for client in clients]
                wait_for("every client is answered again", lambda: all(
                    client.answered > count for client, count in zip(clients, before)), 60)
                pid = berth.wait_state("chat", "ready")["pid"]
                wait_for("one stream under way, and a call beside it that has no byte yet", lambda: (
                    sum(client.streams and client.received > 1 for client in clients) == 1
                    and berth.server("chat")["running"] == self.PARALLEL), 60)
                os.kill(pid, signal.SIGKILL)
                wait_for("its successor", lambda: (server := berth.server("chat"))["state"] == "ready"
                         and server["pid"] != pid)
        finally:
            for client in clients:
                client.stop.set()
        for client in clients:
            client.join(90)
            self.assertFalse(client.is_alive())

        failed = [failure for client in clients for failure in client.failed]
        self.assertEqual([], [failure for failure in failed if failure[0] == 0],
                         "no call that had no byte of its reply")
        self.assertLessEqual(len(failed), self.KILLS * self.PARALLEL, failed)
        calls = sum(client.calls for client in clients)
        self.assertEqual(calls, len(failed) + sum(client.answered for client in clients))
        jobs = berth.steps().count("job_arrived")
        print(f"{calls} calls, {len(failed)} cut in the middle, {jobs - calls} sent again")
        self.assertGreater(jobs, calls, "no kill hit a call without a byte")  # it can end just then
        self.assert_restarted_at_once(berth)

    def assert_restarted_at_once(self, berth):
        """Only the look at the memory lies between the exit and the next start: no back-off."""
        records = [r for r in berth.journal() if r["kind"] in ("event", "action")]
        exits = [r for r in records if r["name"] == "server_changed"]
        self.assertEqual(self.KILLS, len(exits))
        for gone in exits:
            start = next(r for r in records if r["name"] == "move_to" and r["n"] > gone["n"])
            self.assertEqual("resident", start["rung"])
            between = [r for r in records if gone["n"] < r["n"] < start["n"]]
            fired = [r["timer"] for r in between if r["name"] == "timer_fired"]
            self.assertEqual([], [r for r in between if r["name"] == "set_timer" and
                                  r["timer"] in fired and r["at_ns"] - r["t_ns"] >= BACK_OFF_NS])


class AServerThatDiesOnDemand(E2eTest):
    """What a stand-in does at a request that is named by its number."""

    def dying(self, faults, **options):
        arguments = json.dumps(["--standin-memory", "100MiB", "--standin-faults", faults])
        berth = self.berth(binary=BIN / "llama-server-standin", llm_extra=f"extra_args = {arguments}",
                           **options).up()
        berth.wait_state("chat", "ready")
        return berth

    def test_a_request_that_died_without_a_byte_is_answered_by_the_next_process(self):
        berth = self.dying("die_request=2")
        first = berth.chat("Hi")
        again = berth.chat("Hi")
        self.assertEqual((200, first.json()["choices"]), (again.status, again.json()["choices"]))
        self.assertEqual(("1", "3"), (first.headers["X-Berth-Job"], again.headers["X-Berth-Job"]))
        self.assertEqual(2, len(berth.starts("chat")))

    def test_a_reply_that_has_begun_is_not_begun_again(self):
        berth = self.dying("die_reply=1")
        stream = berth.stream("Hi").finish()
        self.assertIsInstance(stream.error, http.client.IncompleteRead)
        self.assertEqual(1, berth.steps().count("job_arrived"))
        berth.wait_state("chat", "ready")

    def test_a_request_that_kills_every_process_is_answered_with_the_reason(self):
        berth = self.dying("die_request=1")
        reply = berth.chat("Hi")
        self.assertEqual(502, reply.status)
        error = reply.json()["error"]
        self.assertEqual("server_gone", error["code"])
        self.assertIn("berth logs chat", error["message"])
        self.assertEqual(2, berth.steps().count("job_arrived"))
        berth.wait_state("chat", "ready")
        self.assertEqual(3, len(berth.starts("chat")), "for those who wait behind it")


if __name__ == "__main__":
    unittest.main()
