# SPDX-License-Identifier: Apache-2.0
"""The load of both sides: clients keep model A busy without a pause, one request for B comes."""
import dataclasses
import http.client
import json
import threading
import time

CLIENTS = 2  # with one slot, one request of A runs while the next one waits
FIRST_SECONDS_MAX = 60
AFTER_FAILURE_SECONDS = 0.1
B_SECONDS_MAX = 120  # after A's clients have stopped there is nothing left to wait for
A, B = "a", "b"
QUESTIONS = {A: ("Tell me of the sea.", 24), B: ("And of the mountains?", 8)}


class Broken(Exception):
    """Says which side cannot be measured, and why."""


@dataclasses.dataclass
class Reply:
    status: int
    asked: float
    answered: float
    words: str


@dataclasses.dataclass
class Result:
    waited: float      # seconds until B's answer was read
    status: int        # of B's answer
    replies: list      # of A, in order of their answers
    busy_until: float  # when A's last answer came, in seconds after B was asked

    def a_failed(self):
        return [reply for reply in self.replies if reply.status != 200]

    def a_answered(self):
        return len(self.replies) - len(self.a_failed())


def ask(address, model):
    """Returns the reply to one chat; a broken connection has status 0."""
    question, tokens = QUESTIONS[model]
    asked = time.monotonic()
    connection = http.client.HTTPConnection(*address, timeout=B_SECONDS_MAX)
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(
            {"model": model, "max_tokens": tokens, "temperature": 0,
             "messages": [{"role": "user", "content": question}]}), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        status, words = answer.status, answer.read()[:300].decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        status, words = 0, repr(error)
    finally:
        connection.close()
    return Reply(status, asked, time.monotonic(), words)


class Busy:
    """Clients that ask for A, each again as soon as it has its answer, for so many seconds."""

    def __init__(self, call, seconds):
        self.replies, self.all_have_one = [], threading.Event()
        self._call, self._over, self._have_one = call, threading.Event(), set()
        self._clients = [threading.Thread(target=self._run, args=(number,), daemon=True)
                         for number in range(CLIENTS)]
        self._end = threading.Timer(seconds, self._over.set)
        for thread in (*self._clients, self._end):
            thread.start()

    def _run(self, number):
        while not self._over.is_set():
            reply = self._call(A)
            self.replies.append(reply)
            if reply.status != 200:
                self._over.wait(AFTER_FAILURE_SECONDS)
                continue
            self._have_one.add(number)
            if len(self._have_one) == CLIENTS:
                self.all_have_one.set()

    def join(self):
        for client in self._clients:
            client.join()
        self._end.cancel()


def measure(call, seconds):
    """Keeps A busy for so long, asks for B once both clients have an answer. `call(model)` asks."""
    busy = Busy(call, seconds)
    if not busy.all_have_one.wait(FIRST_SECONDS_MAX):
        raise Broken(f"model {A} has not answered both clients within {FIRST_SECONDS_MAX} s")
    reply = call(B)
    busy.join()
    return Result(reply.answered - reply.asked, reply.status, busy.replies,
                  max(each.answered for each in busy.replies) - reply.asked)
