# SPDX-License-Identifier: Apache-2.0
"""Who may come in, and what never leaves: requests as data, and planted secrets (issue 7)."""

import http.client
import json
import os
import socket
import stat
import unittest
from pathlib import Path

from fast_world import place
from harness import LONG_TEXT, Berth, E2eTest, Later, config, wait_for
from security_cases import CASES, CLOSED, SLOW, get

DEADLINE = 60


def read_reply(sock):
    """Returns the reply to a request that is no HEAD: status, head, body."""
    response = http.client.HTTPResponse(sock)
    response.begin()
    head = response.headers.as_string()
    return response.status, head, response.read()


def is_at_end(sock):
    """True if the server has ended the connection; waits for the end, or for an answer."""
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


class Asked:
    """One case, asked on a connection of its own."""

    def __init__(self, port, token, case):
        self.name, _, request, *self.expected = case
        replaced = {"@PORT@": str(port), "@TOKEN@": token, "@TOKEN63@": token[:-1],
                    "@TOKEN_UPPER@": token.upper()}
        for mark, text in replaced.items():
            request = request.replace(mark, text)
        self.more, self.port = get().replace("@PORT@", str(port)), port
        self.request, self.head, self.body = request, "", b""

    def found(self):
        """Returns what became of it, as the table says it: status, code, whether it is closed."""
        with socket.create_connection(("127.0.0.1", self.port), DEADLINE) as sock:
            sock.sendall(self.request.encode("latin-1"))
            status, self.head, self.body = read_reply(sock)
            code = json.loads(self.body).get("error", {}).get("code")
            if [status, code] != self.expected[:2]:
                return [status, code, None]
            if self.expected[2] == CLOSED:
                return [status, code, is_at_end(sock)]
            sock.sendall(self.more.encode())
            return [status, code, read_reply(sock)[0] != 200]


class Negatives(unittest.TestCase):
    """One Berth, whose LLM never starts: nothing that is asked here may start it."""

    @classmethod
    def setUpClass(cls):
        cls.berth = Berth(config(wanted="on_demand"))
        cls.addClassCleanup(cls.berth.close)
        cls.berth.up()
        cls.token = Path(f"{cls.berth.state}/s/token").read_text().strip()
        cls.ports = {"main": cls.berth.port(), "front": cls.berth.server("chat")["front_port"]}
        cls.before = cls.berth.server("chat")["wanted"], cls.berth.server("image")["wanted"]

    def ask(self, case):
        asked = Asked(self.ports[case[1]], self.token, case)
        found = asked.found()
        self.assertEqual(list(case[3:]), found, f"{asked.name}: {asked.body[:300]}")
        self.assertNotIn("x-injected", asked.head.lower(), asked.name)
        self.assertNotIn("access-control-", asked.head.lower(), asked.name)
        self.assertEqual(found[0] == 401, "www-authenticate" in asked.head.lower(), asked.name)
        self.assertNotIn(self.token, asked.head + asked.body.decode())

    def tearDown(self):
        self.assertIsNone(self.berth.process.poll(), "Berth is gone")
        self.assertEqual([], self.berth.starts("chat"))
        self.assertEqual([], self.berth.starts("image"))
        self.assertNotIn("job_arrived", self.berth.steps())
        now = self.berth.server("chat"), self.berth.server("image")
        self.assertEqual(self.before, tuple(server["wanted"] for server in now))

    def test_there_are_at_least_sixty_and_no_name_twice(self):
        names = [case[0] for case in CASES + SLOW]
        self.assertGreaterEqual(len(names), 60)
        self.assertEqual(len(names), len(set(names)))

    def test_each_is_answered_exactly_and_changes_nothing(self):
        for case in CASES:
            with self.subTest(case[0]):
                self.ask(case)

    def test_slow_clients_are_given_up_in_time(self):
        asked = [(case, Later(lambda case=case: self.ask(case))) for case in SLOW]
        for case, later in asked:
            with self.subTest(case[0]):
                later.get(DEADLINE)

    def test_the_right_token_is_taken(self):
        for headers in ({"Authorization": f"Bearer {self.token}"}, {"X-Api-Key": self.token}):
            reply = self.berth.post("/api/v1/servers/chat/clear-saved-state", "", headers,
                                    port=self.ports["main"])
            self.assertEqual(200, reply.status, reply.body)

    def test_programs_on_loopback_need_no_token_for_reads(self):
        for path in ("/v1/models", "/health", "/api/v1/status"):
            self.assertEqual(200, self.berth.get(path, {"Authorization": "Bearer sk-any"}).status)


class BeyondLoopback(E2eTest):
    """A Berth that other machines can reach."""

    def setUp(self):
        self.running = Berth(config(wanted="on_demand"))
        self.addCleanup(self.running.close)
        path = Path(self.running.config_path)
        path.write_text(path.read_text().replace("127.0.0.1:0", "0.0.0.0:0"))
        self.running.up()
        self.token = Path(f"{self.running.state}/s/token").read_text().strip()

    def status_of(self, path, headers=None, port=None):
        return self.running.get(path, headers, port or self.running.port()).status

    def test_everything_needs_the_token(self):
        front = self.running.server("chat")["front_port"]
        for port, paths in ((None, ("/health", "/v1/models", "/api/v1/status", "/nowhere")),
                            (front, ("/health", "/props", "/nowhere"))):
            for path in paths:
                self.assertEqual(401, self.status_of(path, port=port), path)
        wrong = {"Authorization": f"Bearer {'0' * 64}"}
        self.assertEqual(401, self.status_of("/health", wrong))
        self.assertEqual(401, self.running.chat("Hi").status)
        self.assertEqual(401, self.running.picture().status)
        self.assertEqual([], self.running.starts("chat"))
        self.assertNotIn("job_arrived", self.running.steps())

    def test_with_the_token_everything_goes_as_on_loopback(self):
        right = {"Authorization": f"Bearer {self.token}"}
        for path in ("/health", "/v1/models", "/api/v1/status"):
            self.assertEqual(200, self.status_of(path, right), path)
        self.assertEqual(403, self.status_of("/health", {**right, "Host": "evil.example"}))

    def test_up_says_so_and_does_not_say_the_token(self):
        said = Path(self.running.log_path).read_text()
        self.assertIn("0.0.0.0 is not loopback: every request needs the token in "
                      f"{self.running.state}/s/token\n", said)
        self.assertNotIn(self.token, said)


SECRETS = {"Authorization": "Bearer sk-PLANTED-authorization", "X-Api-Key": "PLANTED-api-key",
           "Cookie": "session=PLANTED-cookie"}
PROMPT = "PLANTED-prompt " + LONG_TEXT[:300]
READS = ("/v1/models", "/health", "/api/v1/status", "/api/v1/explain", "/api/v1/waits",
         "/api/v1/leases", "/api/v1/footprints", "/api/v1/servers/chat/logs?lines=10000",
         "/api/v1/servers/image/logs?lines=10000", "/api/v1/nowhere")


class PlantedSecrets(E2eTest):
    """The token, what clients send to be known, and what they ask: nowhere but where it belongs."""

    def setUp(self):
        self.images = self.gate()

    def wait_until_nothing_moves(self, berth):
        """The LLM is out, and the image server stands at its gate."""
        wait_for("it is executed", lambda: berth.starts("image") and
                 (place(berth, "image") / "pid").exists())

    def ask_with_secrets(self):
        """A chat, a picture that displaces it, and a chat that waits for its return."""
        port = self.running.port()
        ask = {"model": "chat", "max_tokens": 4, "messages": [{"role": "user", "content": PROMPT}]}
        self.assertEqual(200, self.running.post("/v1/chat/completions", ask, SECRETS).status)
        self.images.shut()
        picture = Later(lambda: self.running.post(
            "/v1/images/generations",
            {"model": "image", "prompt": "PLANTED-picture", "size": "64x64"}, SECRETS, port=port))
        self.wait_until_nothing_moves(self.running)
        self.hunt("while the LLM is away")
        self.images.open()
        self.assertEqual(200, picture.get().status)
        self.running.wait_step("row_cleared")
        self.assertEqual(200, self.running.post("/v1/chat/completions", ask, SECRETS).status)
        for path in (f"/api/v1/servers/chat/stop?token={self.token}", "/v1/nothing"):
            self.running.post(path, "{PLANTED-body", SECRETS)

    def events(self):
        """What a client of the events is told until nothing new is known."""
        connection = http.client.HTTPConnection("127.0.0.1", self.running.port(), timeout=30)
        connection.request("GET", "/api/v1/events?after=0")
        response, text = connection.getresponse(), b""
        told = [r["n"] for r in self.running.journal() if r["kind"] in ("decision", "step")]
        last = f"id: {told[-1]}\n".encode()
        while last not in text:
            text += response.read1(65536)
        connection.close()
        return text

    def hunt(self, when):
        root = Path(f"{self.running.state}/s")
        texts = {str(path): path.read_bytes() for path in root.rglob("*")
                 if path.is_file() and path != root / "token"}
        texts["up.log"] = Path(self.running.log_path).read_bytes()
        for path in READS:
            reply = self.running.get(path)
            texts[path] = reply.body + json.dumps(reply.headers).encode()
        for words in (["status"], ["explain"], ["logs", "chat"], ["status", "--json"]):
            texts[str(words)] = self.running.cli(*words).stdout.encode()
        for pid, line in self.running.processes():
            texts[f"argv of {line[:40]}"] = line.encode()
            if "berth " not in line[:200]:
                texts[f"environment of {pid}"] = Path(f"/proc/{pid}/environ").read_bytes()
        self.assertGreater(len(texts), 20)
        found = [where for where, text in texts.items()
                 if b"PLANTED" in text or self.token.encode() in text]
        self.assertEqual([], found, when)

    def test_they_are_found_in_no_file_no_log_no_answer_and_no_command_line(self):
        self.running = self.berth(image_binary=self.images.program,
                                  environment={"PLANTED_KEY": "PLANTED-environment"})
        self.running.up().wait_state("chat", "ready")
        self.token = Path(f"{self.running.state}/s/token").read_text().strip()
        self.ask_with_secrets()
        self.hunt("after the cycle")
        self.assertNotIn(b"PLANTED", self.events())

    def test_every_file_is_its_owner_s_alone(self):
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        running = self.berth(image_binary=self.images.program).up()
        running.wait_state("chat", "ready")
        self.assertEqual(200, running.chat(PROMPT).status)
        self.images.shut()
        picture = running.picture_later()
        self.wait_until_nothing_moves(running)
        root = Path(f"{running.state}/s")
        files = [root, *root.rglob("*")]
        open_ones = [f"{path} {stat.filemode(path.lstat().st_mode)}" for path in files
                     if path.lstat().st_mode & 0o077 and not path.is_symlink()]
        self.assertEqual([], open_ones)
        self.assertIn("token", [path.name for path in files])
        self.assertEqual(0o600, (root / "token").stat().st_mode & 0o777)
        self.images.open()
        self.assertEqual(200, picture.get().status)

    def test_the_token_stays_the_same_over_a_restart(self):
        running = self.berth(wanted="on_demand").up()
        token = Path(f"{running.state}/s/token").read_text()
        running.down()
        running.wait_killed()
        running.up()
        self.assertEqual(token, Path(f"{running.state}/s/token").read_text())

    def test_a_token_that_others_could_read_stops_the_start(self):
        running = self.berth(wanted="on_demand").up()
        running.down()
        running.wait_killed()
        token = Path(f"{running.state}/s/token")
        token.chmod(0o644)
        running.up(wait=False)
        self.assertEqual(78, running.process.wait(60))
        self.assertIn(f"the token {token} could be read by others; delete it, and Berth makes a "
                      "new one", Path(running.log_path).read_text())


if __name__ == "__main__":
    unittest.main()
