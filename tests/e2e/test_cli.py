# SPDX-License-Identifier: Apache-2.0
"""The command `berth` as people and programs meet it (issue 3, "Build" 8)."""

import json
import os
import pty
import re
import select
import struct
import subprocess
import threading
import time
import unittest
import zlib
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer

from harness import BIN, SLOW_STEP_MS, E2eTest, wait_for

WIDTH = 80
ESCAPE = "\x1b"
CLIENT_COMMANDS = [["status"], ["explain"], ["start", "chat"], ["stop", "chat"],
                   ["clear", "chat"], ["logs", "chat"], ["chat", "Hi"],
                   ["image", "-o", "x.png", "a hill"]]


def check_png(data):
    """Returns (width, height) of a PNG whose chunks and pixels are whole."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n", data[:8]
    at, chunks = 8, {}
    while at < len(data):
        size = struct.unpack(">I", data[at:at + 4])[0]
        kind, body = data[at + 4:at + 8], data[at + 8:at + 8 + size]
        crc = struct.unpack(">I", data[at + 8 + size:at + 12 + size])[0]
        assert crc == zlib.crc32(kind + body), f"checksum of {kind}"
        chunks[kind] = chunks.get(kind, b"") + body
        at += 12 + size
    assert b"IEND" in chunks
    assert zlib.decompress(chunks[b"IDAT"])
    return struct.unpack(">II", chunks[b"IHDR"][:8])


def left_by_its_reader(command, environment=None):
    """Returns the first bytes of its output, its exit status, and what it complains of."""
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        try:
            first = os.read(process.stdout.fileno(), 5)
            process.stdout.close()
            return first, process.wait(20), process.stderr.read()
        finally:
            process.kill()


class Terminal:
    """A command on a terminal of its own; everything that it shows."""

    def __init__(self, arguments, environment=None):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            arguments, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", **(environment or {})})
        os.close(slave)
        self.shown = b""

    def take(self):
        """Takes what is shown within a second; returns whether more may come."""
        if not select.select([self.master], [], [], 1)[0]:
            return True
        try:
            piece = os.read(self.master, 65536)
        except OSError:  # EIO: the last writer is gone
            return False
        self.shown += piece
        return bool(piece)

    def wait(self, words):
        """Returns once they are shown, or nothing more will be."""
        wait_for(f"{words!r} on the terminal",
                 lambda: words.encode() in self.shown or not self.take())

    def read(self, deadline=60):
        end = time.monotonic() + deadline
        while time.monotonic() < end and self.take():
            pass
        os.close(self.master)
        if self.process.wait(10) != 0:
            raise AssertionError(self.shown.decode())
        return self.shown.decode()


class CliTest(E2eTest):
    def terminal(self, berth, *arguments, environment=None):
        return Terminal([BIN / "berth", "--config", berth.config_path, *arguments],
                        environment).read()

    def assert_readable(self, done):
        """What a person reads when the output goes into a file."""
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertNotIn(ESCAPE, done.stdout + done.stderr)
        self.assertNotIn("\r", done.stdout + done.stderr)
        for line in done.stdout.splitlines():
            self.assertLessEqual(len(line), WIDTH, line)
            self.assertEqual(line.rstrip(), line)


class Running(CliTest):
    def setUp(self):
        self.running = self.berth(step_ms=10, wanted="on_demand").up()
        self.png = f"{self.running.state}/picture.png"

    def json_of(self, *arguments):
        done = self.running.cli("--json", *arguments)
        self.assertEqual("", done.stderr)
        return json.loads(done.stdout)

    def test_each_command_fits_eighty_columns_without_colours(self):
        cli = self.running.cli
        self.assert_readable(cli("explain"))  # nothing has been decided yet
        for arguments in (["status"], ["start", "chat"], ["status"], ["explain"],
                          ["explain", "-n", "1"], ["clear", "chat"], ["stop", "chat"], ["status"],
                          ["image", "--width", "64", "--height", "64", "-o", self.png, "a hill"],
                          ["down"]):
            with self.subTest(arguments):
                self.assert_readable(cli(*arguments))

    def test_each_command_prints_json_that_parses(self):
        self.assertEqual([], self.json_of("explain")["records"])
        started = self.json_of("start", "chat")
        self.assertEqual(("chat", "ready"), (started["name"], started["state"]))
        names = [server["name"] for server in self.json_of("status")["servers"]]
        self.assertEqual(["chat", "image"], names)
        self.assertEqual(1, len(self.json_of("explain", "-n", "1")["records"]))
        self.assertEqual("chat", self.json_of("clear", "chat")["name"])
        self.assertEqual(3, len(self.json_of("logs", "-n", "3", "chat")["lines"]))
        answer = self.json_of("chat", "--max-tokens", "4", "Hi")
        self.assertTrue(answer["choices"][0]["message"]["content"])
        drawn = self.json_of("image", "--width", "64", "--height", "32", "-o", self.png, "a hill")
        self.assertEqual((self.png, "64x32", os.path.getsize(self.png)),
                         (drawn["path"], drawn["size"], drawn["bytes"]))
        self.assertEqual("off", self.json_of("stop", "chat")["wanted"])
        self.assertEqual({"was_running": True, "orphans_ended": 0}, self.json_of("down"))

    def test_an_error_is_one_sentence_and_with_json_an_envelope_too(self):
        done = self.running.cli("start", "nobody", check=False)
        self.assertEqual((66, ""), (done.returncode, done.stdout))
        self.assertEqual(1, done.stderr.count("\n"))
        done = self.running.cli("--json", "start", "nobody", check=False)
        self.assertEqual(66, done.returncode)
        self.assertEqual("not_found", json.loads(done.stdout)["error"]["code"])

    def test_logs_shows_the_server_s_own_words(self):
        self.running.cli("start", "chat")
        self.running.cli("stop", "chat")  # what runs may say more at any moment
        lines = self.running.cli("logs", "-n", "200", "chat").stdout.splitlines()
        self.assertTrue(any("model loaded" in line for line in lines), lines[-5:])
        self.assertEqual(lines[-2:],
                         self.running.cli("logs", "-n", "2", "chat").stdout.splitlines())

    def test_status_has_colours_on_a_terminal_unless_no_color_is_set(self):
        self.running.cli("start", "chat")
        self.assertIn(ESCAPE, self.terminal(self.running, "status"))
        plain = self.terminal(self.running, "status", environment={"NO_COLOR": "1"})
        self.assertNotIn(ESCAPE, plain)

    def test_image_writes_a_whole_png_of_the_wanted_size(self):
        done = self.running.cli("image", "--width", "96", "--height", "64", "--seed", "7",
                                "-o", self.png, "a", "hill", "at", "noon")
        self.assertEqual((96, 64), check_png(Path(self.png).read_bytes()))
        self.assertRegex(done.stdout, rf"^{re.escape(self.png)}  96x64  [\d.]+ \w+  [\d.]+ m?s\n$")
        self.assertEqual("", done.stderr)

    def test_image_leaves_the_old_file_whole_if_it_fails(self):
        Path(self.png).write_bytes(b"the old picture")
        self.running.cli("image", "--model", "nobody", "-o", self.png, "a hill", check=False)
        self.assertEqual(b"the old picture", Path(self.png).read_bytes())
        folder = f"{self.running.state}/none"
        done = self.running.cli("image", "--width", "64", "--height", "64", "-o",
                                f"{folder}/x.png", "a hill", check=False)
        self.assertEqual([], self.running.starts("image"), "it was drawn for nobody")
        self.assertEqual(74, done.returncode)
        self.assertEqual(f"berth: cannot write {folder}/x.png: No such file or directory\n",
                         done.stderr)
        self.assertEqual([], list(Path(self.running.state).glob("*.part-*")))

    def test_image_replaces_the_file_in_one_step(self):
        Path(self.png).write_bytes(b"old")
        old = os.stat(self.png).st_ino
        with open(self.png, "rb") as reader:
            self.running.cli("image", "--width", "64", "--height", "64", "-o", self.png, "a hill")
            self.assertEqual(b"old", reader.read(), "it was overwritten in place")
        self.assertNotEqual(old, os.stat(self.png).st_ino)
        self.assertEqual([], list(Path(self.running.state).glob("*.part-*")))

    def test_image_on_standard_output_is_the_picture_and_nothing_else(self):
        for name in ("-", "/dev/stdout"):
            with self.subTest(name):
                done = subprocess.run(
                    [BIN / "berth", "--config", self.running.config_path, "image", "--width", "64",
                     "--height", "32", "-o", name, "a hill"],
                    capture_output=True, timeout=60, check=False)
                self.assertEqual(0, done.returncode, done.stderr)
                self.assertEqual((64, 32), check_png(done.stdout))
                self.assertTrue(done.stdout.endswith(b"IEND\xaeB`\x82"), done.stdout[-40:])
                self.assertIn(b"64x32", done.stderr)

    def test_image_behind_a_link_is_replaced_and_the_link_stays(self):
        link = Path(f"{self.running.state}/link.png")
        link.symlink_to("picture.png")
        self.running.cli("image", "--width", "64", "--height", "64", "-o", str(link), "a hill")
        self.assertTrue(link.is_symlink())
        self.assertEqual((64, 64), check_png(Path(self.png).read_bytes()))

    def test_watching_ends_when_the_reader_has_left(self):
        for arguments in (["status", "-w"], ["--json", "status", "-w"]):
            with self.subTest(arguments):
                command = [BIN / "berth", "--config", self.running.config_path, *arguments]
                self.assertEqual((74, b""), left_by_its_reader(command)[1:])

    def test_what_cannot_be_said_ends_with_74_and_the_reason(self):
        for arguments in (["status"], ["status", "-w"], ["explain"], ["--json", "status"],
                          ["--help"], ["--version"], ["status", "--help"]):
            with self.subTest(arguments):
                command = [BIN / "berth", "--config", self.running.config_path, *arguments]
                with open("/dev/full", "wb") as full:
                    done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True,
                                          timeout=20, check=False)
                self.assertEqual((74, "berth: cannot write to standard output: No space left on "
                                  "device\n"), (done.returncode, done.stderr))
                done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *command],
                                      stderr=subprocess.PIPE, text=True, timeout=20, check=False)
                self.assertEqual((74, "berth: cannot write to standard output: Bad file "
                                  "descriptor\n"), (done.returncode, done.stderr))

    def test_image_shows_a_bar_that_grows_on_a_terminal_and_takes_it_away(self):
        berth = self.berth(step_ms=400, wanted="on_demand").up()
        shown = self.terminal(berth, "image", "--width", "64", "--height", "64",
                              "--steps", "12", "-o", self.png, "a hill")
        bars = re.findall(r"\r(\[#*-*\] +(\d+)/(\d+) [^\r]*)", shown)
        steps = [int(step) for _, step, total in bars if total == "12"]
        self.assertGreater(len(steps), 2, shown)
        self.assertEqual(sorted(steps), steps)
        for line, _, _ in bars:
            self.assertLessEqual(len(line.replace("\x1b[K", "")), WIDTH)
        self.assertRegex(shown, r"\r\x1b\[K[^\r]*64x64")
        check_png(Path(self.png).read_bytes())

    def test_chat_streams_the_answer(self):
        command = [BIN / "berth", "--config", self.running.config_path, "chat", "--temperature",
                   "0", "--max-tokens"]
        self.running.cli("start", "chat")
        done = subprocess.run([*command, "40", "Tell me a story about a boat."],
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        self.assertTrue(done.stdout.endswith("\n"))
        reply = self.running.chat("Tell me a story about a boat.", max_tokens=40)
        self.assertEqual(reply.json()["choices"][0]["message"]["content"].strip(),
                         done.stdout.strip())
        with subprocess.Popen([*command, "1500", "Tell me a long story."],
                              stdout=subprocess.PIPE) as process:
            self.addCleanup(process.kill)
            self.assertTrue(os.read(process.stdout.fileno(), 1))
            self.assertEqual(1, self.running.server("chat")["running"], "the rest is to come")
            process.kill()

    def test_chat_reads_its_prompt_from_standard_input(self):
        done = subprocess.run([BIN / "berth", "--config", self.running.config_path, "chat",
                               "--max-tokens", "4"], input="Hi there", capture_output=True,
                              text=True, timeout=60, check=False)
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        self.assertTrue(done.stdout.strip())

    def test_chat_tells_a_waiting_person_why(self):
        berth = self.berth(step_ms=SLOW_STEP_MS).up()
        berth.wait_state("chat", "ready")
        picture = berth.drawing()
        words = "berth: chat is displaced by image; your request waits and will be answered"
        terminal = Terminal([BIN / "berth", "--config", berth.config_path, "chat", "--max-tokens",
                             "4", "Hi"])
        terminal.wait(words)
        berth.end_drawing(picture)
        self.assertIn(words, terminal.read())


class EndlessTalk(BaseHTTPRequestHandler):
    """A server whose words are `server.words`, then dots until the client has left."""
    protocol_version = "HTTP/1.1"

    def say(self, event):
        data = f"data: {event}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def do_POST(self):  # noqa: N802 (the library's name)
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            self.say(self.server.event(self.server.words))
            while self.server.endless:
                self.say(self.server.event("."))
            self.say("[DONE]")
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.server.left.set()
        self.close_connection = True

    def log_message(self, *_):
        pass


class Talk(ThreadingUnixStreamServer):
    """In place of a Berth: its control socket, and an LLM that says what the test wants."""
    daemon_threads = True

    def __init__(self, folder, words, endless):
        super().__init__(f"{folder}/control.sock", EndlessTalk)
        self.words, self.endless, self.left = words, endless, threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @staticmethod
    def event(words):
        return json.dumps({"choices": [{"delta": {"content": words}}]})


class ChatOutput(CliTest):
    STEERING = "tab\tline\n\x1b[2J\x07\x9b2J\u202eend"

    def talk(self, words, endless=False):
        folder = self.new_folder()
        talk = Talk(folder, words, endless)
        self.addCleanup(talk.server_close)
        self.addCleanup(talk.shutdown)
        self.environment = {**os.environ, "BERTH_STATE": str(folder)}
        return talk

    def test_the_llm_is_left_when_nobody_reads_its_answer(self):
        talk = self.talk("Hello", endless=True)
        self.assertEqual((b"Hello", 74, b""),
                         left_by_its_reader([BIN / "berth", "chat", "Hi"], self.environment))
        self.assertTrue(talk.left.wait(20))

    def test_the_llm_is_left_when_its_answer_cannot_be_written(self):
        talk = self.talk("Hello", endless=True)
        with open("/dev/full", "wb") as full:
            done = subprocess.run([BIN / "berth", "chat", "Hi"], env=self.environment, stdout=full,
                                  stderr=subprocess.PIPE, text=True, timeout=20, check=False)
        self.assertEqual((74, "berth: cannot write to standard output: No space left on device\n"),
                         (done.returncode, done.stderr))
        self.assertTrue(talk.left.wait(20))

    def test_an_answer_cannot_steer_the_terminal_and_is_as_it_came_elsewhere(self):
        self.talk(self.STEERING)
        shown = Terminal([BIN / "berth", "chat", "Hi"], self.environment).read()
        self.assertEqual("tab\tline\n\\x1b[2J\\x07\\u009b2J\\u202eend\n",
                         shown.replace("\r\n", "\n"))
        done = subprocess.run([BIN / "berth", "chat", "Hi"], env=self.environment,
                              capture_output=True, timeout=20, check=False)
        self.assertEqual((0, self.STEERING + "\n"), (done.returncode, done.stdout.decode()))


class Detached(CliTest):
    def test_up_detach_returns_when_ready_and_down_leaves_nothing(self):
        berth = self.berth()
        self.addCleanup(berth.cli, "down", check=False)
        done = berth.cli("up", "--detach")
        self.assert_readable_start(done.stdout, berth)
        self.assertEqual(200, berth.get("/health").status)
        berth.wait_state("chat", "ready")
        down = berth.cli("down")
        self.assertEqual("berth is down, nothing is left running\n", down.stdout)
        self.assertEqual([], berth.processes())
        self.assertFalse(os.path.exists(f"{berth.state}/s/control.sock"))
        again = berth.cli("down")
        self.assertEqual(f"no Berth runs on {berth.state}/s\n", again.stdout)

    def assert_readable_start(self, text, berth):
        match = re.fullmatch(r"ready: (http://127\.0\.0\.1:\d+)\n"
                             r"berth runs in the background, pid (\d+), its words go to (.*)\n",
                             text)
        self.assertIsNotNone(match, text)
        status = berth.status()
        self.assertEqual((status["address"], str(status["pid"])), match.groups()[:2])
        self.assertTrue(os.path.exists(match[3]))

    def test_up_detach_reports_json(self):
        berth = self.berth(wanted="on_demand")
        self.addCleanup(berth.cli, "down", check=False)
        told = json.loads(berth.cli("--json", "up", "--detach").stdout)
        status = berth.status()
        self.assertEqual((status["address"], status["pid"]), (told["ready"], told["pid"]))
        self.assertTrue(os.path.exists(told["log"]))

    def test_up_detach_reports_why_it_failed(self):
        berth = self.berth()
        text = Path(berth.config_path).read_text()
        Path(berth.config_path).write_text(text.replace("capped", "endless"))
        done = berth.cli("up", "--detach", check=False)
        self.assertEqual((78, ""), (done.returncode, done.stdout))
        self.assertIn('kind is "endless"', done.stderr)
        self.assertEqual([], berth.processes())


class NotRunning(CliTest):
    def test_each_command_says_what_to_do_and_ends_with_69(self):
        berth = self.berth()
        for arguments in CLIENT_COMMANDS:
            with self.subTest(arguments):
                done = berth.cli(*arguments, check=False)
                self.assertEqual((69, ""), (done.returncode, done.stdout))
                self.assertRegex(done.stderr, rf"^berth: .*{re.escape(berth.state)}.*`berth up`")
                done = berth.cli("--json", *arguments, check=False)
                self.assertEqual(69, done.returncode)
                self.assertEqual("not_running", json.loads(done.stdout)["error"]["code"])
        self.assertFalse(os.path.exists("x.png"))

    def test_where_no_picture_can_be_written_is_said_before_berth_is_asked(self):
        for name, why in (("/no/such/folder/x.png", "No such file or directory"),
                          (self.berth().state, "Is a directory")):
            with self.subTest(name):
                done = self.berth().cli("image", "-o", name, "a hill", check=False)
                self.assertEqual((74, f"berth: cannot write {name}: {why}\n"),
                                 (done.returncode, done.stderr))

    def test_down_without_a_berth_succeeds(self):
        berth = self.berth()
        self.assertEqual(0, berth.cli("down").returncode)
        self.assertEqual({"was_running": False, "orphans_ended": 0},
                         json.loads(berth.cli("--json", "down").stdout))


class CommandLine(unittest.TestCase):
    def berth(self, *arguments):
        return subprocess.run([BIN / "berth", *arguments], capture_output=True, text=True,
                              timeout=60, check=False)

    def test_help_fits_eighty_columns_and_names_every_command(self):
        done = self.berth("--help")
        self.assertEqual(0, done.returncode)
        for command in ("up", "down", "status", "explain", "start", "stop", "clear", "logs",
                        "chat", "image", "replay", "plan"):
            self.assertRegex(done.stdout, rf"(?m)^ +{command} ")
            own = self.berth(command, "--help")
            self.assertEqual(0, own.returncode)
            for line in (done.stdout + own.stdout).splitlines():
                self.assertLessEqual(len(line), WIDTH, line)

    def test_what_cannot_be_understood_ends_with_64(self):
        for arguments in ([], ["fly"], ["status", "--fast"], ["image", "a hill"],
                          ["explain", "-n", "many"], ["explain", "-n", "0"],
                          ["image", "-o", "a.png", "--steps", "500", "a hill"],
                          ["image", "-o", "a.png", "--width", "4097", "a hill"]):
            with self.subTest(arguments):
                done = self.berth(*arguments)
                self.assertEqual((64, ""), (done.returncode, done.stdout))
                self.assertRegex(done.stderr, r"^berth: .*`berth --help`\n$")
        self.assertIn('there is no command "fly"', self.berth("fly").stderr)

    def test_a_file_that_cannot_be_read_ends_with_66_and_the_reason(self):
        for arguments in (["replay"], ["simulate", "--journal"], ["simulate", "--workload"],
                          ["simulate"]):
            for name, why in (("/no/such/file", "No such file or directory"),
                              ("/", "Is a directory")):
                with self.subTest([*arguments, name]):
                    done = self.berth(*arguments, name)
                    self.assertEqual((66, ""), (done.returncode, done.stdout))
                    self.assertIn(f"cannot read {name}: {why}", done.stderr)

    def test_help_names_standard_output_for_a_picture(self):
        self.assertIn("-: standard output", self.berth("image", "--help").stdout)


if __name__ == "__main__":
    unittest.main()
