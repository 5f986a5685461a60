# SPDX-License-Identifier: Apache-2.0
"""The seed's cycle on a real llama-server (issue 3, must show 2 and 3)."""

import json
import os
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path

from harness import (HERE, LONG_TEXT, THREADS, E2eTest, UnixConnection, cmdline, finished,
                     png_size, real_llama, wait_for)

CYCLE = ["job_arrived", "gate_closed", "row_committed", "drained", "state_saved",
         "victim_stopping", "victim_gone", "room_for_newcomer", "newcomer_ready", "dispatched",
         "job_done", "linger_over", "newcomer_stopping", "newcomer_gone", "room_for_victim",
         "victim_ready", "state_restored", "row_cleared"]


def turns(topic):
    """A conversation of two turns; the first has more than 500 prompt tokens."""
    first = [{"role": "system", "content": "You answer in short sentences."},
             {"role": "user", "content": f"{topic} {LONG_TEXT} What is this text about?"}]
    return first, "And what comes next?"


def second_turn(first, answer, question):
    return first + [{"role": "assistant", "content": answer}, {"role": "user", "content": question}]


class UndisturbedServer:
    """A llama-server with the same options that nobody ever stops."""

    def __init__(self, parallel, context):
        server, model = real_llama()
        self.folder = tempfile.TemporaryDirectory(prefix="berth-")
        self.socket = f"{self.folder.name}/a.sock"
        self.process = subprocess.Popen(
            [server, "-m", model, "--alias", "chat", "--host", self.socket, "-c", str(context),
             "-np", str(parallel), "--cache-ram", "0", "--no-cache-idle-slots", "-t", str(THREADS)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("the undisturbed server is ready", self.ready)

    def ready(self):
        try:
            connection = UnixConnection(self.socket)
            connection.request("GET", "/health")
            return finished(connection).status == 200
        except OSError:
            return False

    def chat(self, messages, **options):
        connection = UnixConnection(self.socket, 120)
        connection.request("POST", "/v1/chat/completions", json.dumps(
            {"model": "chat", "messages": messages, "max_tokens": 8, "temperature": 0, **options}),
            {"Content-Type": "application/json"})
        return finished(connection).json()

    def close(self):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()


def text_of(reply):
    return reply["choices"][0]["message"]["content"]


def in_cache(reply):
    """Tokens that a reply leaves in its slot: prompt + generated - 1."""
    timings = reply["timings"]
    return timings["cache_n"] + timings["prompt_n"] + timings["predicted_n"] - 1


class TheLlmComesBackExactlyAsItWas(E2eTest):
    def check(self, topics, parallel):
        context = 2048 * parallel
        berth = self.berth(parallel=parallel, context=context).up()
        before = berth.wait_state("chat", "ready")
        argv = cmdline(before["pid"])
        undisturbed = UndisturbedServer(parallel, context)
        self.addCleanup(undisturbed.close)

        conversations = []
        for topic in topics:
            first, question = turns(topic)
            ours, theirs = berth.chat(first).json(), undisturbed.chat(first)
            self.assertGreaterEqual(ours["usage"]["prompt_tokens"], 500)
            self.assertEqual(text_of(theirs), text_of(ours))
            conversations.append((first, question, ours))

        self.assertEqual((64, 64), png_size(berth.picture()))
        berth.wait_step("row_cleared")
        after = berth.wait_state("chat", "ready")
        self.assertNotEqual(before["pid"], after["pid"], "it was really stopped")
        self.assertEqual(argv, cmdline(after["pid"]), "the same argv, byte by byte")
        self.assert_order(berth.steps(), CYCLE)

        for first, question, answer in conversations:
            messages = second_turn(first, text_of(answer), question)
            ours, theirs = berth.chat(messages).json(), undisturbed.chat(messages)
            self.assertGreaterEqual(ours["timings"]["cache_n"], 0.99 * in_cache(answer))
            self.assertEqual(text_of(theirs), text_of(ours), "as if nobody had stopped it")

    def test_one_conversation_in_one_slot(self):
        self.check(["First."], parallel=1)

    def test_two_conversations_in_two_slots(self):
        self.check(["Ships of the north.", "A quite different story, of trains."], parallel=2)

    def test_a_new_chat_after_the_return_takes_an_empty_slot(self):
        berth = self.berth(parallel=2, context=4096).up()
        berth.wait_state("chat", "ready")
        first, question = turns("Ships of the north.")
        answer = berth.chat(first).json()
        self.assertEqual([1], self.slots_with_tokens(berth), "a fresh server takes the highest")
        self.assertEqual(200, berth.picture().status)
        berth.wait_step("row_cleared")
        newcomer, _ = turns("A quite different story, of trains.")
        berth.chat(newcomer)
        messages = second_turn(first, text_of(answer), question)
        again = berth.chat(messages).json()
        self.assertGreaterEqual(again["timings"]["cache_n"], 0.99 * in_cache(answer))

    def slots_with_tokens(self, berth):
        connection = UnixConnection(f"{berth.state}/s/run/chat.sock")
        connection.request("GET", "/slots")
        return [slot["id"] for slot in finished(connection).json() if slot.get("n_prompt_tokens")]


class NobodyIsCutOff(E2eTest):
    def test_a_stream_that_runs_when_a_picture_is_asked_for_is_complete(self):
        record = self.new_folder()
        binary = os.path.join(record, "llama-server")
        Path(binary).write_text(f"#!/bin/sh\nexport BERTH_REAL_SERVER='{real_llama()[0]}'\n"
                                f"exec '{HERE}/recording_llama_server.py' \"$@\"\n")
        os.chmod(binary, 0o755)
        berth = self.berth(binary=binary, llm=340, image=420, capacity=700,
                           standin_memory=300).up()
        berth.wait_state("chat", "ready")
        undisturbed = UndisturbedServer(1, 2048)
        self.addCleanup(undisturbed.close)
        question = [{"role": "user", "content": "Tell a story about a lighthouse."}]
        berth.chat(question)  # warm on both sides
        undisturbed.chat(question)
        stream = berth.stream(question, max_tokens=120)
        self.assertTrue(stream.begun.wait(30))
        picture = berth.picture_later()
        berth.wait_step("gate_closed")
        self.assertIn("chat", berth.record("decision", "offload")["victims"])
        held = subprocess.Popen(  # a plain curl: no retry, no special header
            ["curl", "-sS", "-w", "\n%{http_code}", f"http://127.0.0.1:{berth.port()}"
             "/v1/chat/completions", "-H", "Content-Type: application/json", "-d",
             json.dumps({"model": "chat", "max_tokens": 4, "messages":
                         [{"role": "user", "content": "Hi"}]})],
            stdout=subprocess.PIPE, text=True)
        self.assertEqual(200, picture.get().status)
        output, _ = held.communicate(timeout=90)
        self.assertEqual("200", output.rsplit("\n", 1)[1], output)

        stream.finish()
        self.assertIsNone(stream.error)
        journal = berth.journal()
        drained = next(r for r in journal if r["kind"] == "step" and r["name"] == "drained")
        stopping = next(r for r in journal if r["name"] == "victim_stopping")
        self.assertLess(drained["n"], stopping["n"])
        self.assertTrue(stream.bytes().endswith(b"data: [DONE]\n\n"))
        sent = max(berth.recorded_replies("chat"), key=len)
        self.assertEqual(sent, stream.bytes(), "every byte that the server sent")
        warm = undisturbed.chat(question, max_tokens=120)
        self.assertEqual(text_of(warm), stream.content())
        picture_answered = berth.record("event", "job_ended")
        self.assertIsNotNone(picture_answered)

    def test_reads_polled_all_the_time_never_cause_or_delay_a_move(self):
        berth = self.berth(wanted="on_demand").up()
        port = berth.port()
        stop = threading.Event()
        statuses = []

        def poll():
            while not stop.wait(0.05):
                statuses.append(berth.get("/health", port=port).status)
                statuses.append(berth.get("/v1/models", port=port).status)

        poller = threading.Thread(target=poll)
        poller.start()
        try:
            wait_for("forty reads", lambda: len(statuses) > 40)
            self.assertEqual([], [r for r in berth.journal() if r["name"] == "move_to"],
                             "reads start nobody")
            berth.chat("Hi")
            berth.picture()
            berth.wait_step("row_cleared")
            self.assert_order(berth.steps(), CYCLE)
            count = len(statuses)
            wait_for("twenty more reads", lambda: len(statuses) > count + 20)
            moves = [r for r in berth.journal() if r["kind"] == "action" and
                     r["name"] == "move_to"]
            self.assertEqual(5, len(moves), "LLM up, down, picture up, down, LLM up; no more")
        finally:
            stop.set()
            poller.join()
        self.assertEqual({200}, set(statuses))

    def test_the_picture_is_answered_before_the_llm_is_loaded_again(self):
        gate = self.gate(real_llama()[0])
        berth = self.berth(binary=gate.program).up()
        berth.wait_state("chat", "ready")
        gate.shut()  # the LLM cannot load until the picture is here
        self.assertEqual(200, berth.picture().status)
        gate.open()
        berth.wait_step("row_cleared")
        self.assert_order(berth.steps(), ["job_done", "newcomer_stopping", "victim_ready"])


if __name__ == "__main__":
    unittest.main()
