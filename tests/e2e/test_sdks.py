# SPDX-License-Identifier: Apache-2.0
"""The client libraries that people use, as they are, through a swap (issue 7, must show 3).

Environment: BERTH_TEST_SDKS, the folder that scripts/fetch_sdks.py prints."""

import json
import os
import subprocess
import sys
import unittest

from fast_world import free_port
from harness import HERE, LONG_TEXT, E2eTest, cmdline, png_size, real_llama, wait_for

TURNS = [f"{LONG_TEXT} What is this text about?", "Tell me a story about one of the boats.",
         "And what happens next?", "How does it end?"]
DISTURBED = 1  # while this reply is streamed the picture is asked for


def packages():
    """A missing one is a failure, never a skip."""
    folder = os.environ.get("BERTH_TEST_SDKS")
    if not folder:
        raise AssertionError("no client libraries: run scripts/test, which fetches them")
    return folder


class Conversation:
    """One run of a client program; `at_begin(n)` is called with the first piece of reply n."""

    def __init__(self, program, base_url, *arguments):
        self.process = subprocess.Popen(
            [*program, packages(), base_url, *arguments], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, at_begin=lambda number: None):
        replies = []
        try:
            self.process.stdin.write(json.dumps(TURNS))
            self.process.stdin.close()
            for line in self.process.stdout:
                fact = json.loads(line)
                if "begun" in fact:
                    at_begin(fact["begun"])
                if "reply" in fact:
                    replies.append((fact["text"], fact["finish"]))
            said = self.process.stderr.read()
            if self.process.wait(60) != 0:
                raise AssertionError(f"the client ended with an error: {said}")
            return replies
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process.stderr.close()


class UndisturbedServer:
    """A llama-server with the argv of Berth's that nobody stops; it listens on TCP."""

    def __init__(self, argv):
        self.port = free_port()
        at = argv.index("--host")
        argv = argv[:at] + ["--host", "127.0.0.1", "--port", str(self.port)] + argv[at + 2:]
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("the undisturbed server listens", self.ready)

    def ready(self):
        import http.client
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def close(self):
        self.process.kill()
        self.process.wait()


class ClientLibrariesSeeNothingOfASwap(E2eTest):
    def check(self, program, *arguments):
        berth = self.berth(context=4096).up()
        before = berth.wait_state("chat", "ready")
        argv = cmdline(before["pid"]).decode().split("\0")[:-1]
        self.assertEqual(real_llama()[0], argv[0])
        undisturbed = UndisturbedServer(argv)
        self.addCleanup(undisturbed.close)
        wanted = Conversation(program, f"http://127.0.0.1:{undisturbed.port}", *arguments).run()
        undisturbed.close()

        pictures = []

        def disturb(number):
            if number == DISTURBED:
                pictures.append(berth.picture_later())
                berth.wait_step("gate_closed")

        address = f"http://127.0.0.1:{berth.port()}"
        replies = Conversation(program, address, *arguments).run(disturb)

        (picture,) = pictures
        self.assertEqual((64, 64), png_size(picture.get()))
        after = berth.wait_state("chat", "ready")
        self.assertNotEqual(before["pid"], after["pid"], "it was really put out")
        self.assertEqual(1, berth.steps().count("victim_gone"), "and once")
        self.assertEqual(wanted, replies)
        self.assertEqual(len(TURNS), len(replies))
        self.assertTrue(all(text for text, _ in replies))

    def test_openai_for_python(self):
        self.check([sys.executable, "-B", f"{HERE}/sdk_openai.py"])

    def test_openai_for_node(self):
        self.check(["node", f"{HERE}/sdk_clients.mjs"], "openai")

    def test_anthropic_for_node(self):
        self.check(["node", f"{HERE}/sdk_clients.mjs"], "anthropic")


if __name__ == "__main__":
    unittest.main()
