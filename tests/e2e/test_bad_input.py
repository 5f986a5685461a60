# SPDX-License-Identifier: Apache-2.0
"""What Berth does with damaged files, missing files and programs that misbehave (issue 3)."""

import os
import re
import shutil
import socket
import sqlite3
import subprocess
import unittest
from pathlib import Path

from bad_inputs import BODIES, COMMANDS, CONFIGURATIONS, READS, WISHES
from harness import LONG_TEXT, E2eTest, Later, config, real_llama, wait_for

QUESTION = LONG_TEXT[:300]
HELP_OF_THE_REAL_ONE = 'case "$*" in *--help*) exec {server} --help;; esac\n'


def one_line(text):
    """Undoes the wrapping of a table's notes."""
    return " ".join(text.split())


class BadInputTest(E2eTest):
    def program(self, text):
        """A shell script in place of llama-server."""
        path = self.new_folder() / "llama-server-fake"
        path.write_text("#!/bin/sh\n" + text.format(server=real_llama()[0]))
        path.chmod(0o755)
        return str(path)

    def berth_of(self, text):
        berth = self.berth_with(text)
        return berth

    def ended_up(self, berth):
        """Runs `berth up` to its end. Returns its exit status and what it said."""
        berth.up(wait=False)
        return berth.process.wait(60), Path(berth.log_path).read_text()

    def assert_error(self, reply, status, code, message):
        error = reply.json()["error"]
        self.assertEqual((status, code, message), (reply.status, error["code"], error["message"]))


class SlotFiles(BadInputTest):
    """The file with the KV cache is damaged while the LLM is out for a picture."""

    def comes_back_without(self, damage, said, model=None):
        gate = self.gate()
        text = config(image_binary=gate.program)
        berth = self.berth_of(text.replace(real_llama()[1], model, 1) if model else text)
        berth.up().wait_state("chat", "ready")
        self.assertEqual(200, berth.chat(QUESTION).status)
        gate.shut()  # the LLM stays out until the damage is done
        picture = berth.picture_later()
        berth.wait_step("victim_gone")
        slot_file = next(Path(f"{berth.state}/s/saved/chat").glob("slot-*.bin"))
        damage(slot_file)
        gate.open()
        self.assertEqual(200, picture.get().status)
        berth.wait_step("row_cleared")
        self.assert_said_and_serving(berth, said, starts=2)

    def assert_said_and_serving(self, berth, said, starts):
        record = berth.record("step", "state_not_restored", "chat")
        self.assertIsNotNone(record, berth.steps())
        self.assertRegex(record["text"], said)
        self.assertNotIn("state_restored", berth.steps())
        self.assertRegex(one_line(berth.cli("status").stdout), said)
        reply = berth.chat(QUESTION)
        self.assertEqual(200, reply.status)
        self.assertEqual(0, reply.json()["timings"]["cache_n"])
        self.assertGreater(reply.json()["timings"]["prompt_n"], 50)
        self.assertEqual(starts, len(berth.starts("chat")), "the server died of it")

    def test_a_truncated_file_is_not_offered(self):
        self.comes_back_without(
            lambda file: os.truncate(file, file.stat().st_size - 1000),
            r"kv: not restored: slot-0-1\.bin was not offered: it has \d+ bytes instead of \d+")

    def test_one_flipped_bit_is_noticed(self):
        def flip(file):
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 1
            file.write_bytes(content)

        self.comes_back_without(
            flip, r"kv: not restored: slot-0-1\.bin was not offered: its content was changed")

    def test_four_kilobytes_of_other_content_are_noticed(self):
        def overwrite(file):
            with open(file, "r+b") as stream:
                stream.seek(file.stat().st_size // 3)
                stream.write(os.urandom(4096))

        self.comes_back_without(
            overwrite, r"kv: not restored: slot-0-1\.bin was not offered: its content was changed")

    def test_a_file_whose_sidecar_is_damaged_is_not_offered(self):
        def cut(file):
            sidecar = Path(str(file) + ".json")
            os.truncate(sidecar, sidecar.stat().st_size // 2)

        self.comes_back_without(
            cut, r"kv: not restored: slot-0-1\.bin was not offered: its sidecar is damaged")

    def test_a_file_that_was_removed_is_missed(self):
        self.comes_back_without(
            lambda file: file.unlink(),
            r"kv: not restored: slot-0-1\.bin was not offered: the file is missing")

    def test_the_file_of_another_model_is_not_offered(self):
        model = self.new_folder() / "model.gguf"
        shutil.copyfile(real_llama()[1], model)

        def replace(_):
            new = model.with_suffix(".new")
            shutil.copyfile(real_llama()[1], new)
            new.rename(model)

        self.comes_back_without(
            replace, r"kv: not restored: slot-0-1\.bin was not offered: it belongs to another "
                     r"model", model=str(model))

    def test_the_file_of_another_command_line_is_not_offered(self):
        berth = self.berth(context=2048).up()
        berth.wait_state("chat", "ready")
        self.assertEqual(200, berth.chat(QUESTION).status)
        berth.down()
        berth.wait_killed()
        text = Path(berth.config_path).read_text()
        Path(berth.config_path).write_text(text.replace("context = 2048", "context = 1024"))
        berth.up().wait_state("chat", "ready")
        self.assert_said_and_serving(
            berth, r"kv: not restored: slot-0-1\.bin was not offered: it belongs to another "
                   r"command line", starts=2)


class Programs(BadInputTest):
    """The LLM's program or model is not what it should be; the first chat says so."""

    def refused(self, status, code, message, binary=None, text=None, llm_extra=""):
        """A chat gets the error, so does `berth status`, and nothing is left."""
        text = text or config(binary=binary, wanted="on_demand", llm_extra=llm_extra)
        berth = self.berth_of(text).up()
        self.assert_error(berth.chat("Hi"), status, code, message)
        chat = berth.server("chat")
        self.assertIn(chat["state"], ("failed", "absent"), "absent once its back-off is over")
        self.assertEqual(message, chat["failure"])
        self.assertIn(one_line(message), one_line(berth.cli("status").stdout))
        self.assertEqual(message, berth.record("decision", "start_failed", "chat")["text"])
        wait_for("its keeper is gone too", lambda: all(
            " up" in line for _, line in berth.processes()))
        return berth

    def test_a_missing_model_is_named_with_its_key(self):
        missing = "/nonexistent/model.gguf"
        self.refused(503, "model_missing",
                     f'model "{missing}" of server "chat" cannot be read: No such file or '
                     "directory; correct server.chat.model",
                     text=config(wanted="on_demand").replace(real_llama()[1], missing, 1))

    def test_a_binary_that_path_does_not_find_is_named(self):
        self.refused(503, "binary_missing",
                     'no program "no-such-llama-server" is found by PATH; install it or set '
                     "server.chat.binary or BERTH_LLAMA_SERVER", binary="no-such-llama-server")

    def test_a_program_that_is_another_one_is_noticed_by_its_help(self):
        self.refused(503, "binary_missing",
                     "`/bin/true --help` lists no options; is it the right program?",
                     binary="/bin/true")

    def test_a_binary_that_cannot_save_is_named_with_the_key_that_does_without(self):
        old = self.program('case "$*" in *--help*) {server} --help | sed /^--slot-save-path/d;;'
                           ' *) exec {server} "$@";; esac\n')
        self.refused(503, "option_unknown",
                     f'"{old}" cannot save conversations (it has no --slot-save-path); set '
                     "server.chat.keep_kv = false, or use a newer llama-server", binary=old)

    def test_an_extra_argument_that_the_binary_does_not_know_is_named(self):
        server = real_llama()[0]
        self.refused(503, "option_unknown",
                     f'"{server}" does not know the option --no-such-option; use another version '
                     "of it or take the option out of the configuration",
                     llm_extra='extra_args = ["--no-such-option=1"]')

    def test_a_server_that_dies_without_a_word_is_reported_as_such(self):
        silent = self.program(HELP_OF_THE_REAL_ONE + "exit 1\n")
        self.refused(503, "start_failed",
                     'server "chat" did not start: exit code 1; it wrote nothing into its log; '
                     "`berth logs chat` shows more", binary=silent)

    def test_a_server_that_is_killed_at_start_is_reported_with_the_signal(self):
        killed = self.program(HELP_OF_THE_REAL_ONE + "kill -9 $$\n")
        self.refused(503, "start_failed",
                     'server "chat" did not start: killed by signal 9 (SIGKILL); it wrote nothing '
                     "into its log; `berth logs chat` shows more", binary=killed)

    def test_a_server_that_never_gets_ready_is_ended_at_its_deadline(self):
        hanging = self.program(HELP_OF_THE_REAL_ONE + "echo thinking\nexec sleep 600\n")
        self.refused(503, "start_failed",
                     'server "chat" did not start: not ready within 1.0 s; its last lines: '
                     "thinking; `berth logs chat` shows more",
                     binary=hanging, llm_extra='start_deadline = "1s"')

    def test_a_model_that_is_no_gguf_is_reported_with_the_server_s_words(self):
        model = self.new_folder() / "model.gguf"
        model.write_bytes(b"no model" * 1000)
        text = config(wanted="on_demand").replace(real_llama()[1], str(model), 1)
        berth = self.berth_of(text).up()
        reply = berth.chat("Hi")
        self.assertEqual((503, "start_failed"), (reply.status, reply.json()["error"]["code"]))
        self.assertRegex(reply.json()["error"]["message"],
                         r'^server "chat" did not start: exit code 1; its last lines: .*'
                         r"load model.*`berth logs chat` shows more$")

    def test_a_server_that_failed_is_tried_again_after_retry_after(self):
        flag = self.new_folder() / "repaired"
        flaky = self.program(HELP_OF_THE_REAL_ONE + f'[ -e {flag} ] || exit 3\n'
                             'exec {server} "$@"\n')
        berth = self.refused(503, "start_failed",
                             'server "chat" did not start: exit code 3; it wrote nothing into its '
                             "log; `berth logs chat` shows more", binary=flaky)
        flag.touch()
        wait_for("the LLM is tried again", lambda: berth.chat("Hi").status == 200)
        self.assertEqual("", berth.server("chat")["failure"])

    def test_a_help_that_is_longer_than_a_pipe_is_read_whole(self):
        known = subprocess.run([real_llama()[0], "--help"], capture_output=True, check=True).stdout
        long_help = self.new_folder() / "help"
        long_help.write_bytes(b"x" * 3_000_000 + b"\n" + known)
        talkative = self.program(f'case "$*" in *--help*) exec cat {long_help};; esac\nexit 3\n')
        self.refused(503, "start_failed",
                     'server "chat" did not start: exit code 3; it wrote nothing into its log; '
                     "`berth logs chat` shows more", binary=talkative)

    def test_a_help_that_does_not_end_holds_up_nobody_else(self):
        flag = self.new_folder() / "end"
        quiet = self.program('exec >/dev/null 2>&1\n'
                             f'touch {flag}.begun\nwhile [ ! -e {flag} ]; do sleep 0.05; done\n')
        berth = self.berth(binary=quiet, wanted="on_demand").up()
        port = berth.port()
        chat = Later(lambda: berth.post("/v1/chat/completions", {"model": "chat"}, port=port))
        try:
            wait_for("--help runs", Path(f"{flag}.begun").exists)
            self.assertEqual(200, berth.api("GET", "/api/v1/status").status)
        finally:
            flag.touch()
        self.assert_error(chat.get(), 503, "binary_missing",
                          f"`{quiet} --help` lists no options; is it the right program?")

    def test_gpu_layers_without_a_gpu_are_warned_about(self):
        berth = self.berth(llm_extra="gpu_layers = 5").up()
        berth.wait_state("chat", "ready")
        server = real_llama()[0]
        self.assertEqual(
            f'gpu_layers is set, but "{server}" sees no GPU: server "chat" runs on the CPU; take '
            "gpu_layers out or install a build for your GPU",
            berth.record("step", "warning", "chat")["text"])
        self.assertEqual(200, berth.chat("Hi").status)

    def test_a_program_is_asked_for_its_devices_once_and_not_between_two_servers(self):
        asked = self.new_folder() / "asked"
        program = self.program(f'case "$*" in *--list-devices*) echo >> {asked};; esac\n'
                               f'exec {real_llama()[0]} "$@"\n')
        berth = self.berth(binary=program, llm_extra="gpu_layers = 5").up()
        berth.wait_state("chat", "ready")
        self.assertEqual(200, berth.picture().status)
        berth.wait_step("row_cleared")
        self.assertEqual("\n", asked.read_text())


    def test_what_a_server_logs_cannot_steer_the_terminal(self):
        colours = r"printf 'a\033[2Jb\342\200\256c\n'"
        loud = self.program(HELP_OF_THE_REAL_ONE + colours + "\nexit 3\n")
        berth = self.berth(binary=loud, wanted="on_demand").up()
        self.assertEqual(503, berth.chat("Hi").status)
        self.assertIn(r"a\x1b[2Jb\u202ec" + "\n", berth.cli("logs", "chat").stdout)


class FullDisk(BadInputTest):
    def full_disk(self):
        """A Berth whose <state>/s/saved has no room for a slot."""
        berth = self.berth()
        saved = Path(f"{berth.state}/s/saved")
        saved.mkdir(parents=True)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", saved],
                                 capture_output=True, check=False)
        if mounted.returncode == 0:
            self.addCleanup(subprocess.run, ["umount", "-l", saved], check=False)
            return berth
        # Not allowed to mount: the server cannot write more than 64 kB into a file.
        small = self.program('trap "" XFSZ\nulimit -f 128\nexec {server} "$@"\n')
        return self.berth(binary=small)

    def test_the_swap_goes_on_if_the_kv_cache_cannot_be_saved(self):
        berth = self.full_disk().up()
        berth.wait_state("chat", "ready")
        self.assertEqual(200, berth.chat(QUESTION).status)
        self.assertEqual(200, berth.picture().status)
        berth.wait_step("row_cleared")
        said = r"kv: not kept: slot 0 could not be saved \(status 500: .*\); is the disk full\?"
        self.assertRegex(berth.record("step", "state_not_saved", "chat")["text"], said)
        self.assertRegex(one_line(berth.cli("status").stdout), said)
        self.assertNotIn("state_restored", berth.steps())
        self.assertEqual([], list(Path(f"{berth.state}/s/saved/chat").iterdir()),
                         "a torso is left")
        reply = berth.chat(QUESTION)
        self.assertEqual(200, reply.status)
        self.assertEqual(0, reply.json()["timings"]["cache_n"])


class Up(BadInputTest):
    """Mistakes that `berth up` itself reports: nothing is started then."""

    def assert_nothing_was_started(self, berth):
        self.assertEqual([], berth.processes())
        self.assertEqual([], berth.starts("chat"))

    def taken_port(self):
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        return taken.getsockname()[1]

    def test_a_taken_front_port_is_named_and_nothing_is_started(self):
        port = self.taken_port()
        berth = self.berth_of(config().replace("port = 0", f"port = {port}", 1))
        status, said = self.ended_up(berth)
        self.assertEqual(75, status)
        self.assertIn(str(port), said)
        self.assertRegex(said, r"server\.chat\.port|front port|server \"chat\"")
        self.assert_nothing_was_started(berth)

    def test_a_taken_listen_port_is_named_and_nothing_is_started(self):
        port = self.taken_port()
        berth = self.berth()
        text = Path(berth.config_path).read_text()
        Path(berth.config_path).write_text(text.replace("127.0.0.1:0", f"127.0.0.1:{port}"))
        status, said = self.ended_up(berth)
        self.assertEqual(75, status)
        self.assertEqual(f"berth: port {port} of 127.0.0.1 is taken; set `listen` to another port, "
                         "or stop the other program\n", said)
        self.assert_nothing_was_started(berth)

    def test_all_errors_of_the_configuration_are_reported_at_once(self):
        berth = self.berth_of(config(policy="patience = 0\nageing = 60\n")
                              .replace("context = ", "contxt = "))
        status, said = self.ended_up(berth)
        lines = Path(berth.config_path).read_text().splitlines()

        def at(text):
            row = next(i for i, line in enumerate(lines) if text in line)
            return row + 1

        self.assertEqual(78, status)
        places = re.findall(rf"{re.escape(berth.config_path)}:(\d+):(\d+): ", said)
        self.assertEqual([at("contxt"), at("patience"), at("ageing")],
                         [int(line) for line, _ in places], said)
        self.assertEqual("1", places[0][1])
        self.assertIn(f'{berth.config_path}:{at("contxt")}:1: [server.chat] has no key "contxt"; '
                      'write "context"', said)
        self.assert_nothing_was_started(berth)

    def test_a_file_that_is_no_toml_is_reported_with_its_place(self):
        berth = self.berth_of("[pool.ram\nkind = 1\n")
        status, said = self.ended_up(berth)
        self.assertEqual(78, status)
        self.assertRegex(said, rf"{re.escape(berth.config_path)}:3:\d+: ")

    def test_a_configuration_that_is_not_there_is_named(self):
        berth = self.berth()
        os.unlink(berth.config_path)
        status, said = self.ended_up(berth)
        self.assertIn(status, (66, 78))
        self.assertIn(berth.config_path, said)
        self.assertIn("No such file", said)

    def test_a_second_up_names_the_owner_and_the_first_goes_on_serving(self):
        berth = self.berth().up()
        before = berth.wait_state("chat", "ready")
        self.assertEqual(200, berth.chat(QUESTION).status)
        processes = berth.processes()
        for options in ([], ["--detach"]):
            second = berth.cli("up", *options, check=False)
            self.assertEqual(75, second.returncode)
            self.assertEqual(
                f"berth: another Berth (pid {berth.process.pid}) owns the state directory "
                f"{berth.state}/s; stop it, or use another state directory\n", second.stderr)
        self.assertEqual(processes, berth.processes())
        self.assertIsNone(berth.process.poll())
        after = berth.server("chat")
        self.assertEqual((before["pid"], before["generation"]), (after["pid"],
                                                                 after["generation"]))
        reply = berth.chat(QUESTION)
        self.assertEqual(200, reply.status)
        self.assertGreater(reply.json()["timings"]["cache_n"], 50, "the first lost its cache")

    def test_up_after_a_kill_needs_no_help(self):
        berth = self.berth(wanted="on_demand").up()
        berth.process.kill()
        berth.wait_killed()
        berth.up()
        self.assertEqual(200, berth.api("GET", "/api/v1/status").status)


class States(BadInputTest):
    """What lies in the state directory is not ours, or there is no room in it."""

    def refused(self, prepare, status, message):
        berth = self.berth(wanted="on_demand")
        prepare(Path(f"{berth.state}/s"))
        ended, said = self.ended_up(berth)
        self.assertEqual(status, ended, said)
        self.assertRegex(said.replace(berth.state, "@"), rf"^berth: {message}\n$")
        self.assertEqual([], berth.processes())

    def test_a_database_that_is_none_is_left_alone(self):
        def prepare(state):
            state.mkdir()
            (state / "berth.db").write_text("garbage" * 1000)
            self.addCleanup(lambda: self.assertEqual("garbage" * 1000,
                                                     (state / "berth.db").read_text()))

        self.refused(prepare, 74,
                     r"the database @/s/berth\.db is damaged \(file is not a database\)"
                     r"; move it away together with @/s/berth\.db-wal and start again: .*")

    def test_a_database_of_a_newer_berth_is_left_alone(self):
        def prepare(state):
            state.mkdir()
            database = sqlite3.connect(state / "berth.db")
            database.execute("PRAGMA user_version = 999")
            database.close()

        self.refused(prepare, 75,
                     r"the database @/s/berth\.db is of version 999, this Berth knows up "
                     r"to \d+; install the newer Berth again, or use another state directory")

    def test_a_folder_in_place_of_the_database_is_named(self):
        self.refused(lambda state: (state / "berth.db").mkdir(parents=True), 74,
                     r"cannot read or write the database @/s/berth\.db \(.*Is a directory\); check "
                     r"its disk, its rights and its folder, then start Berth again")

    def test_a_file_in_place_of_the_state_directory_is_named(self):
        self.refused(lambda state: state.write_text("x"), 74,
                     r"cannot make the directory @/s: Not a directory")


class Data(BadInputTest):
    """The tables of bad_inputs.py: each row is answered exactly, and nothing starts."""

    def test_bodies_of_chats(self):
        berth = self.berth(wanted="on_demand").up()
        for name, body, status, code, message in BODIES:
            with self.subTest(name):
                data = body.encode() if isinstance(body, str) else body
                self.assert_refused(berth.post("/v1/chat/completions", data), status, code, message)
        self.assert_untouched(berth)

    def test_reads_and_wishes(self):
        berth = self.berth(wanted="on_demand").up()
        for path, status, code, message in READS:
            with self.subTest(path):
                self.assert_refused(berth.get(path), status, code, message)
        for path, body, status, code, message in WISHES:
            with self.subTest(body):
                self.assert_refused(berth.api("POST", path, body), status, code, message)
        self.assert_untouched(berth)

    def test_commands(self):
        berth = self.berth(wanted="on_demand").up()
        for arguments, status, message in COMMANDS:
            with self.subTest(arguments):
                done = berth.cli(*arguments, check=False)
                self.assertRegex(done.stderr, rf"^berth: {message}\n$")
                self.assertEqual((status, ""), (done.returncode, done.stdout))
        self.assert_untouched(berth)

    def test_configurations(self):
        for old, new, message in CONFIGURATIONS:
            with self.subTest(new[:60]):
                text = config(wanted="on_demand").replace(old, new, 1)
                berth = self.berth_of("")
                head = Path(berth.config_path).read_bytes()
                Path(berth.config_path).write_bytes(head + text.encode(errors="surrogateescape"))
                status, said = self.ended_up(berth)
                place = re.escape(berth.config_path)
                self.assertRegex(said, rf"(?m)^(berth: )?{place}:\d+:\d+: {message}$")
                self.assertEqual(78, status)
                self.assertEqual([], berth.processes())

    def assert_refused(self, reply, status, code, message):
        error = reply.json()["error"]
        self.assertEqual((status, code), (reply.status, error["code"]), error)
        self.assertRegex(error["message"], f"^{message}$")

    def assert_untouched(self, berth):
        self.assertEqual([], berth.starts("chat"))
        self.assertNotIn("job_arrived", berth.steps())


class Requests(BadInputTest):
    def setUp(self):
        self.running = self.berth(wanted="on_demand").up()

    def test_an_unknown_model_is_answered_with_the_known_ones(self):
        self.assert_error(self.running.chat("Hi", model="gpt-4"), 404, "not_found",
                          'there is no model "gpt-4" for this; known: "chat"')
        self.assert_error(self.running.picture(model="chat"), 404, "not_found",
                          'there is no model "chat" for this; known: "image"')
        self.assertEqual([], self.running.starts("chat"))
        self.assertNotIn("job_arrived", self.running.steps())

    def test_a_body_that_is_no_json_is_refused_before_anything_moves(self):
        reply = self.running.post("/v1/chat/completions", "{broken")
        self.assertEqual((400, "bad_request"), (reply.status, reply.json()["error"]["code"]))
        self.assertIn("the body is not valid JSON", reply.json()["error"]["message"])
        self.assertEqual([], self.running.starts("chat"))

    def test_an_unknown_server_is_answered_with_the_known_ones(self):
        done = self.running.cli("start", "nobody", check=False)
        self.assertEqual(66, done.returncode)
        self.assertEqual('berth: there is no server "nobody"; known: "chat", "image"\n',
                         done.stderr)


if __name__ == "__main__":
    unittest.main()
