#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the stand-in for llama-server against what is known of the real one.

    llama_server_test.py LLAMA_SERVER_STANDIN [unittest arguments]
"""
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import unittest

from standin_process import MIB, Standin, free_port, pss, wait_until

STANDIN = sys.argv[1]
WEIGHTS = 48 * MIB
STORY = "The harbour had three piers, a fog bell and a keeper who wrote everything down. " * 6
NO_REPLY = (http.client.HTTPException, ConnectionError)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Server(Standin):
    """On a unix socket, as Berth starts it; `arguments` come last, so they win."""

    def __init__(self, *arguments, faults="", token_ms=1, slots=1):
        self.arguments = (STANDIN, "-m", "{folder}/model", "--alias", "chat", "--host", "{folder}/a.sock",
                          "-c", str(1024 * slots), "-np", str(slots), "--slot-save-path", "{folder}",
                          "--standin-memory", str(WEIGHTS), "--standin-token-ms", str(token_ms),
                          "--standin-faults", faults.replace("once=", "once={folder}/"), *arguments)
        super().__init__(*self.arguments)

    def connection(self, timeout):
        return UnixConnection(self.path("a.sock"), timeout)

    def ready(self):
        wait_until(lambda: b"llama_server: model loaded\n" in self.err(), "the line of a loaded model")
        return self

    def restart(self):
        self.process.kill()
        self.process.wait()
        os.unlink(self.path("a.sock"))
        self.start(*self.arguments)
        return self.ready()

    def chat(self, *texts, **options):
        messages = [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(texts)]
        status, reply = self.ask("POST", "/v1/chat/completions", {"messages": messages, "max_tokens": 8, **options})
        assert status == 200, reply
        return reply

    def open_chat(self, **options):
        """Sends a chat of 1,000 tokens and leaves it open."""
        body = {"messages": [{"role": "user", "content": "go on"}], "max_tokens": 1000, **options}
        connection = self.connection(20)
        connection.request("POST", "/v1/chat/completions", json.dumps(body))
        return connection

    def stream(self, **options):
        """Returns the bytes of a streamed chat, and whether it ended well."""
        response = self.open_chat(stream=True, **options).getresponse()
        try:
            return response.read(), True
        except http.client.IncompleteRead as torso:
            return torso.partial, False

    def slot(self, action, slot=0, name="s.bin"):
        return self.ask("POST", f"/slots/{slot}?action={action}", {"filename": name})

    def used_slots(self):
        return [slot["id"] for slot in self.ask("GET", "/slots")[1] if slot["n_prompt_tokens"]]


def text_of(reply):
    return reply["choices"][0]["message"]["content"]


class Replies(unittest.TestCase):
    def test_it_says_what_it_is(self):
        help_text = subprocess.run([STANDIN, "--help"], capture_output=True, text=True, check=True).stdout
        self.assertIn("stand-in", help_text)
        rows = [line.split("  accepted")[0] for line in help_text.splitlines() if line.startswith("-")]
        names = {word.strip(",") for row in rows for word in row.split() if word.startswith("-")}
        passed = {"-m", "--alias", "--host", "-c", "-np", "--cache-ram", "--no-cache-idle-slots",
                  "--slot-save-path", "-t", "-b", "-ngl", "-fa", "-ctk", "-ctv"}
        self.assertEqual(set(), passed - names, "what Berth passes")
        with Server().ready() as server:
            model = server.ask("GET", "/v1/models")[1]["data"][0]
            self.assertEqual(("chat", True), (model["id"], "stand-in" in model["owned_by"]))
            self.assertIn("standin", server.headers["Server"])
            self.assertIn(b"stand-in", server.err())
            self.assertEqual(1, server.ask("GET", "/props")[1]["total_slots"])
            self.assertEqual(404, server.ask("GET", "/nope")[0])

    def test_a_stream_says_what_a_plain_reply_says(self):
        with Server().ready() as server:
            whole = server.chat("go on", max_tokens=12)
            self.assertEqual(("length", 12), (whole["choices"][0]["finish_reason"],
                                              whole["usage"]["completion_tokens"]))
            raw, is_whole = server.stream(max_tokens=12)
            self.assertTrue(is_whole)
            self.assertTrue(raw.endswith(b"data: [DONE]\n\n"))
            events = [json.loads(line[6:]) for line in raw.decode().split("\n") if line.startswith("data: {")]
            said = "".join(e["choices"][0]["delta"].get("content") or "" for e in events)
            self.assertEqual(text_of(whole), said)
            self.assertEqual(whole["timings"]["prompt_n"] - 1, events[-1]["timings"]["cache_n"])
            completion = server.ask("POST", "/v1/completions", {"prompt": "Once", "max_tokens": 3})[1]
            self.assertEqual(3, len(completion["choices"][0]["text"].split()))

    def test_what_it_cannot_read_and_what_is_too_long(self):
        with Server().ready() as server:
            self.assertEqual(400, server.ask("POST", "/v1/chat/completions", {})[0])
            self.assertEqual(500, server.ask("POST", "/v1/chat/completions")[0])
            status, reply = server.ask("POST", "/v1/completions", {"prompt": STORY * 20})
            self.assertEqual((400, "exceed_context_size_error"), (status, reply["error"]["type"]))

    def test_it_also_listens_on_a_port(self):
        port = free_port()
        with Server("--host", "127.0.0.1", "--port", str(port)).ready():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", "/health")
            self.assertEqual({"status": "ok"}, json.loads(connection.getresponse().read()))
            connection.close()

    def test_a_client_that_leaves_frees_its_slot(self):
        for streams in (False, True):
            with Server(token_ms=10).ready() as server:
                client = server.open_chat(stream=streams)
                wait_until(lambda: b"launch_slot_: id  0 | task 1 | processing task" in server.err(), "a slot")
                self.assertNotIn(b"release", server.err())
                client.close()
                wait_until(lambda: b"release: id  0 | task 1 | stop processing" in server.err(), "its release")

    def test_a_request_that_waits_for_a_slot_gets_no_byte(self):
        with Server(token_ms=10).ready() as server:
            running = server.open_chat(stream=True)
            wait_until(lambda: b"launch_slot_" in server.err(), "a slot")
            waiting = server.open_chat(stream=True, max_tokens=2)
            waiting.sock.settimeout(0.3)
            with self.assertRaises(TimeoutError):
                waiting.sock.recv(1)
            running.close()
            waiting.sock.settimeout(10)
            self.assertEqual(b"H", waiting.sock.recv(1))
            waiting.close()


class Slots(unittest.TestCase):
    def test_a_fresh_server_fills_the_highest_slot_first_and_finds_conversations_again(self):
        with Server(slots=2).ready() as server:
            first = server.chat(STORY)
            self.assertEqual([1], server.used_slots())
            server.chat("A quite different story. " + STORY)
            self.assertEqual([0, 1], server.used_slots())
            again = server.chat(STORY, text_of(first), "And then?")
            held = first["usage"]["prompt_tokens"] + 7
            self.assertGreaterEqual(again["timings"]["cache_n"], held - 1)

    def test_a_saved_slot_comes_back_into_any_slot_of_a_new_process(self):
        with Server(slots=2).ready() as server:
            first = server.chat(STORY)
            status, saved = server.slot("save", 1)
            self.assertEqual((200, os.path.getsize(server.path("s.bin"))), (status, saved["n_written"]))
            self.assertEqual(0, server.slot("save", 0, "empty.bin")[1]["n_saved"])
            server.restart()
            self.assertEqual(saved["n_saved"], server.slot("restore", 0)[1]["n_restored"])
            self.assertEqual([0], server.used_slots())
            again = server.chat(STORY, text_of(first), "And then?")
            self.assertGreaterEqual(again["timings"]["cache_n"], saved["n_saved"] - 1)

    def test_a_file_that_is_short_is_fatal_and_one_that_is_none_empties_the_slot(self):
        with Server().ready() as server:
            server.chat(STORY)
            server.slot("save")
            self.assertEqual(400, server.slot("restore", name="missing.bin")[0])
            self.assertEqual([], server.used_slots())
            os.truncate(server.path("s.bin"), os.path.getsize(server.path("s.bin")) - 1)
            with self.assertRaises(NO_REPLY):
                server.slot("restore")
            self.assertEqual(-signal.SIGABRT, server.exit())

    def test_scripted_failures_of_slot_files(self):
        with Server(faults="once=armed:fail_save,fail_restore").ready() as server:
            open(server.path("armed"), "w").close()
            self.assertEqual(500, server.slot("save")[0])
            self.assertEqual(200, server.slot("save")[0])
            self.assertEqual(400, server.slot("restore")[0])


class Lives(unittest.TestCase):
    def assert_exits(self, code, faults, said):
        with Server(faults=faults) as server:
            self.assertEqual(code, server.exit())
            self.assertIn(said, server.err())
            return server.err()

    def test_it_says_503_until_the_model_is_loaded(self):
        with Server(faults="slow_load=0.6") as server:
            wait_until(lambda: b"loading model" in server.err(), "the first line")
            self.assertEqual((503, "Loading model"), (
                (reply := server.ask("GET", "/v1/models"))[0], reply[1]["error"]["message"]))
            server.ready()
            self.assertGreater(time.monotonic() - server.started, 0.5)
            self.assertEqual((200, {"status": "ok"}), server.ask("GET", "/health"))
            self.assertGreater(pss(server.process.pid), WEIGHTS)

    def test_the_ways_not_to_start(self):
        self.assert_exits(1, "die_start", b"error loading model: llama_model_loader: failed")
        self.assert_exits(1, "die_loading", b"loading model")
        self.assert_exits(1, "out_of_memory", b"failed to allocate buffer for kv cache")
        self.assertEqual(b"", self.assert_exits(1, "die_start_silent", b""))
        unknown = subprocess.run([STANDIN, "--frobnicate"], capture_output=True, text=True)
        self.assertEqual((1, "error: invalid argument: --frobnicate\n"), (unknown.returncode, unknown.stderr))
        with Server().ready() as server:
            server.process.kill()
            server.exit()
            server.start(*server.arguments)  # the socket file of the first is still there
            self.assertEqual(1, server.exit())
            self.assertIn(b"couldn't bind HTTP server socket", server.err())

    def test_term_ends_it_by_the_signal_while_it_loads_and_with_0_later(self):
        with Server(faults="never_ready") as server:
            wait_until(lambda: b"loading model" in server.err(), "the first line")
            self.assertEqual(503, server.ask("GET", "/health")[0])
            server.process.terminate()
            self.assertEqual(-signal.SIGTERM, server.exit())
        with Server().ready() as server:
            server.process.terminate()
            self.assertEqual(0, server.exit(5))

    def test_after_term_it_waits_for_the_clients_of_its_replies(self):
        with Server(token_ms=10).ready() as server:
            client = server.open_chat()
            wait_until(lambda: b"launch_slot_" in server.err(), "a slot")
            server.process.terminate()
            with self.assertRaises(subprocess.TimeoutExpired):
                server.exit(0.5)
            client.close()
            self.assertEqual(0, server.exit())

    def test_slow_and_deaf_to_term(self):
        with Server(faults="slow_stop=0.5").ready() as server:
            begun = time.monotonic()
            server.process.terminate()
            self.assertEqual(0, server.exit())
            self.assertGreater(time.monotonic() - begun, 0.5)
        with Server(faults="ignore_term").ready() as server:
            server.process.terminate()
            with self.assertRaises(subprocess.TimeoutExpired):
                server.exit(0.3)
            self.assertEqual(200, server.ask("GET", "/health")[0])

    def test_it_dies_at_the_request_that_was_named(self):
        with Server(faults="die_request=2").ready() as server:
            server.chat("Hi")
            with self.assertRaises(NO_REPLY):
                server.chat("Hi")
            self.assertEqual(-signal.SIGABRT, server.exit())
        with Server(faults="killed_request=1").ready() as server:
            with self.assertRaises(NO_REPLY):
                server.chat("Hi")
            self.assertEqual(-signal.SIGKILL, server.exit())

    def test_it_dies_after_the_first_bytes_of_a_reply(self):
        for streams in (True, False):
            with Server(faults="die_reply=1").ready() as server:
                response = server.open_chat(stream=streams, max_tokens=4).getresponse()
                with self.assertRaises(http.client.IncompleteRead) as torso:
                    response.read()
                self.assertGreater(len(torso.exception.partial), 50)
                self.assertEqual(-signal.SIGABRT, server.exit())

    def test_nothing_stops_a_slow_prompt(self):
        with Server(faults="slow_prompt=0.5").ready() as server:
            client = server.open_chat()
            wait_until(lambda: b"launch_slot_" in server.err(), "a slot")
            begun = time.monotonic()
            client.close()
            wait_until(lambda: b"release" in server.err(), "its release")
            self.assertGreater(time.monotonic() - begun, 0.3)

    def test_a_helper_keeps_its_memory_after_the_server_is_gone(self):
        with Server(faults="helper=0.5:32MiB").ready() as server:
            server.check_helper(self, 32 * MIB)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
