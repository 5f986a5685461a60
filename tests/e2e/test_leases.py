# SPDX-License-Identifier: Apache-2.0
"""Leases and holds (issue 5, item 4 and must show 5), with stand-ins and real processes."""

import json
import os
import pty
import re
import signal
import subprocess
import threading
import unittest

from fast_world import fast_config, lives
from harness import BIN, MIB, E2eTest, Later, UnixConnection, wait_for

RACERS = 200
# A helper that belongs to nobody any more: another session, and its parent is gone.
LEAVE_HELPER = ('setsid sh -c "{bin}/memory-holder {size} forever > {folder}/held & '
                'echo \\$! > {folder}/pid"')


class Stream:
    """A lease or hold over the control socket."""

    def __init__(self, berth, path, body):
        self.connection = UnixConnection(f"{berth.state}/s/control.sock", 60)
        self.connection.request("POST", path, json.dumps(body))
        self.reply = self.connection.getresponse()
        self.status = self.reply.status

    def line(self):
        text = self.reply.readline()
        return json.loads(text) if text else None

    def until(self, state):
        while True:
            line = self.line()
            if line is None or line["state"] == state:
                return line

    def close(self):
        self.reply.close()
        self.connection.close()


class Screen(threading.Thread):
    """What a program writes to its terminal."""

    def __init__(self, terminal):
        super().__init__(daemon=True)
        self.terminal, self.text = terminal, ""
        self.start()

    def run(self):
        try:
            while piece := os.read(self.terminal, 4096):
                self.text += piece.decode(errors="replace")
        except OSError:
            pass  # its last program has ended

    def wait(self, words):
        wait_for(f"{words!r} on the screen", lambda: re.search(words, self.text))


class Leases(E2eTest):
    def fast(self, wanted="on", **options):
        berth = self.berth_with(fast_config(wanted=wanted, **options))
        return berth.up()

    def run_lease(self, berth, *arguments, **options):
        """Starts a command of `berth` and does not wait for it."""
        process = subprocess.Popen([BIN / "berth", "--config", berth.config_path, *arguments],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   start_new_session=True, **options)
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        if process.poll() is None:
            process.kill()
        process.wait()  # not for the end of its pipes, which its commands have too
        for pipe in (process.stdout, process.stderr):
            pipe.close()

    def leases(self, berth):
        return berth.api("GET", "/api/v1/leases").json()["leases"]

    def helper(self, folder):
        """The helper of LEAVE_HELPER once it holds its memory; it is killed in the end."""
        held = folder / "held"
        wait_for("the helper holds its memory", lambda: held.exists() and held.read_text())
        told = folder / "pid"
        pid = int(wait_for("its pid is told", lambda: told.exists() and told.read_text()))
        self.addCleanup(lambda: lives(pid) and os.kill(pid, signal.SIGKILL))
        return pid

    def samples(self, berth):
        return [r for r in berth.journal() if r["kind"] == "event" and r["name"] == "measured"]

    # ---- a lease ----

    def test_a_command_runs_with_its_lease_and_its_exit_status_is_its_own(self):
        berth = self.fast()
        done = berth.cli("lease", "run", "--ram", "100MiB", "--", "sh", "-c",
                         "echo $BERTH_LEASE; exit 7", check=False)
        self.assertEqual(7, done.returncode, done.stderr)
        self.assertGreater(len(done.stdout.strip()), 30)
        killed = berth.cli("lease", "run", "--ram", "100MiB", "--", "sh", "-c", "kill -9 $$",
                           check=False)
        self.assertEqual(128 + 9, killed.returncode)
        wait_for("the leases are over", lambda: not self.leases(berth))

    def test_it_puts_a_server_out_and_the_server_comes_back_after_it(self):
        berth = self.fast()
        berth.wait_state("chat", "ready")
        lease = self.run_lease(berth, "lease", "run", "--ram", "400MiB", "--name", "training",
                               "--", "sleep", "1000")
        berth.wait_state("chat", "absent")
        shown = wait_for("the lease is granted, and its command runs", lambda: [
            each for each in self.leases(berth) if each["state"] == "granted" and
            ["sleep"] == [process["program"] for process in each["processes"]]])[0]
        self.assertEqual("training", shown["holder"])
        self.assertEqual({"ram": 400 * MIB}, shown["bytes"])
        self.assertEqual(30 * 60 * 1000, shown["limit_ms"])
        self.assertIn("training", berth.cli("lease", "status").stdout)
        self.assertIn("training", berth.cli("status").stdout)
        chat = Later(lambda: berth.chat("Hi"))
        lease.send_signal(signal.SIGTERM)
        self.assertEqual(200, chat.get().status)
        self.assertEqual(128 + signal.SIGTERM, lease.wait(30))

    def test_what_cannot_be_granted_is_said_at_once(self):
        berth = self.fast()
        for arguments, status, word in (
                (["lease", "run", "--ram", "9GiB", "--", "true"], 65, "600 MiB"),
                (["lease", "run", "--vram", "1GiB", "--", "true"], 66, '"ram"'),
                (["lease", "run", "--ram", "much", "--", "true"], 64, "much"),
                (["lease", "run", "--ram", "1MiB"], 64, "behind --"),
                (["lease", "run", "--ram", "1MiB", "--", "no-such-program"], 72, "no-such-program"),
                (["hold", "chatt", "--", "true"], 66, '"chat"')):
            done = berth.cli(*arguments, check=False)
            self.assertEqual(status, done.returncode, (arguments, done.stderr))
            self.assertIn(word, done.stderr)

    def test_one_that_waits_leaves_the_queue_with_its_connection(self):
        berth = self.fast()
        first = Stream(berth, "/api/v1/leases", {"ram": "400MiB", "name": "first"})
        self.assertEqual("granted", first.until("granted")["state"])
        second = Stream(berth, "/api/v1/leases", {"ram": "400MiB", "name": "second"})
        self.assertEqual("waiting", second.line()["state"])
        second.close()
        wait_for("the second has left",
                 lambda: [each["holder"] for each in self.leases(berth)] == ["first"])
        first.close()
        berth.wait_state("chat", "ready")

    def test_one_waits_for_longer_than_a_request(self):
        berth = self.fast(wanted="on_demand", policy='max_hold = "1ms"')
        first = Stream(berth, "/api/v1/leases", {"ram": "400MiB"})
        first.until("granted")
        second = Stream(berth, "/api/v1/leases", {"ram": "400MiB"})
        self.assertEqual("waiting", second.line()["state"])
        self.assertEqual(504, berth.chat("Hi").status)
        first.close()
        self.assertEqual("granted", second.line()["state"])

    # ---- memory is free when it is seen free ----

    def test_memory_of_a_killed_holder_is_free_when_its_last_process_is_gone(self):
        berth, folder = self.fast(), self.new_folder()
        berth.wait_state("chat", "ready")
        script = LEAVE_HELPER.format(bin=BIN, size="350MiB", folder=folder)
        lease = self.run_lease(berth, "lease", "run", "--ram", "400MiB", "--", "sh", "-c",
                               f"{script}; exec sleep 1000")
        helper = self.helper(folder)
        chat = Later(lambda: berth.chat("Hi"))
        lease.kill()
        wait_for("it is releasing, and seen to hold its memory", lambda: [
            each for each in self.leases(berth) if each["state"] == "releasing" and
            (each["seen_bytes"] or 0) >= 350 * MIB and
            helper in [process["pid"] for process in each["processes"]]])
        before = len(self.samples(berth))
        wait_for("the memory is looked at again and again",
                 lambda: len(self.samples(berth)) > before + 5)
        self.assertEqual(1, len(berth.starts("chat")), "chat was started beside the helper")
        self.assertTrue(chat.is_alive())
        os.kill(helper, signal.SIGKILL)
        self.assertEqual(200, chat.get().status)
        self.assertEqual(2, len(berth.starts("chat")))

    def test_who_takes_the_memory_is_named_in_the_refusal_and_the_job_works_when_it_has_left(self):
        """A process that is foreign to the job: in a pool of kind `capped` only processes of our
        servers and leases count, so it is one that a lease left behind, larger than the lease."""
        berth = self.fast(wanted="on_demand", policy='release_deadline = "2s"')
        folder = self.new_folder()
        script = LEAVE_HELPER.format(bin=BIN, size="300MiB", folder=folder)
        self.run_lease(berth, "lease", "run", "--ram", "100MiB", "--", "sh", "-c",
                       f"{script}; until test -e {folder}/go; do sleep 0.01; done")
        helper = self.helper(folder)
        picture = berth.picture_later()
        wait_for("the picture waits for the lease", lambda: berth.server("image")["waiting"] == 1)
        (folder / "go").touch()
        refused = picture.get()
        self.assertEqual(503, refused.status, refused.body)
        self.assertEqual("memory_not_released", refused.json()["error"]["code"])
        self.assertIn(f"memory-holder (pid {helper},", refused.json()["error"]["message"])
        os.kill(helper, signal.SIGKILL)
        wait_for("it is off the books", lambda: berth.status()["pools"][0]["promised_bytes"] == 0)
        self.assertEqual(200, berth.picture().status)

    # ---- racing ----

    def test_of_two_hundred_at_once_exactly_one_has_it_at_a_time(self):
        berth, folder = self.fast(wanted="on_demand", policy='queue_max = 1000'), self.new_folder()
        go, problems, served = threading.Event(), [], []

        def race(number):
            go.wait()
            stream = Stream(berth, "/api/v1/leases", {"ram": "400MiB", "name": f"racer {number}"})
            if stream.until("granted") is None:
                return problems.append(f"{number} was not granted")
            try:
                os.close(os.open(folder / "mine", os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                problems.append(f"{number} has it beside {(folder / 'mine').stat()}")
            served.append(number)
            (folder / "mine").unlink(missing_ok=True)
            stream.close()

        racers = [threading.Thread(target=race, args=(number,), daemon=True)
                  for number in range(RACERS)]
        for racer in racers:
            racer.start()
        go.set()
        for racer in racers:
            racer.join(120)
        self.assertEqual([], problems)
        self.assertEqual(list(range(RACERS)), sorted(served))

    # ---- ends ----

    def test_at_its_limit_it_is_revoked_and_the_command_is_stopped(self):
        berth, folder = self.fast(), self.new_folder()
        done = berth.cli("lease", "run", "--ram", "400MiB", "--max", "3s", "--", "sh", "-c",
                         f"trap 'echo told > {folder}/told; exit 0' TERM; "
                         "while :; do sleep 0.05; done", check=False)
        self.assertEqual(75, done.returncode)
        self.assertIn("reached its limit (3.0 s)", done.stderr)
        self.assertEqual("told\n", (folder / "told").read_text())
        berth.wait_state("chat", "ready")

    def test_a_command_that_does_not_listen_is_killed_with_its_group(self):
        berth = self.fast()
        lease = self.run_lease(berth, "lease", "run", "--ram", "400MiB", "--max", "3s", "--",
                               "sh", "-c", "trap '' TERM; sleep 1000 & echo $!; wait; wait")
        sleeper = int(lease.stdout.readline())
        self.assertEqual(75, lease.wait(60))
        wait_for("the group is gone", lambda: not lives(sleeper))
        berth.wait_state("chat", "ready")

    def test_when_berth_goes_down_the_command_is_told(self):
        berth = self.fast()
        lease = self.run_lease(berth, "lease", "run", "--ram", "100MiB", "--", "sleep", "1000")
        wait_for("it runs", lambda: [x for x in self.leases(berth) if x["processes"]])
        berth.down()
        self.assertEqual(75, lease.wait(30))
        self.assertIn("going down", lease.stderr.read())

    def test_when_berth_is_killed_the_command_is_told_too(self):
        berth = self.fast()
        lease = self.run_lease(berth, "lease", "run", "--ram", "100MiB", "--", "sleep", "1000")
        wait_for("it runs", lambda: [x for x in self.leases(berth) if x["processes"]])
        os.kill(berth.process.pid, signal.SIGKILL)
        berth.wait_killed()
        self.assertEqual(75, lease.wait(30))
        self.assertIn("Berth went down", lease.stderr.read())
        berth.up()
        self.assertEqual([], self.leases(berth))

    # ---- at a terminal ----

    def at_terminal(self, berth, *arguments):
        pid, terminal = pty.fork()
        if pid == 0:
            os.execv(BIN / "berth", ["berth", "--config", berth.config_path, *arguments])
        self.addCleanup(os.close, terminal)
        return pid, Screen(terminal)

    def test_the_command_has_the_terminal_and_its_keys(self):
        berth = self.fast()
        pid, screen = self.at_terminal(berth, "lease", "run", "--ram", "100MiB", "--", "sh", "-c",
                                       "read word; echo got $word; sleep 1000; echo not reached")
        os.write(screen.terminal, b"hello\n")
        screen.wait("got hello")
        os.write(screen.terminal, b"\x1a")  # Ctrl-Z: the shell must see that berth has stopped
        self.assertTrue(os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1]))
        os.kill(pid, signal.SIGCONT)
        os.write(screen.terminal, b"\x03")  # Ctrl-C
        self.assertEqual(128 + signal.SIGINT, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    def test_it_is_told_that_it_waits_and_where_the_reason_is(self):
        berth = self.fast(wanted="on_demand")
        first = Stream(berth, "/api/v1/leases", {"ram": "400MiB"})
        first.until("granted")
        pid, screen = self.at_terminal(berth, "lease", "run", "--ram", "400MiB", "--",
                                       "echo", "run")
        screen.wait("the lease waits, [1-9][0-9]* s; `berth explain` says why")
        first.close()
        screen.wait("run")
        self.assertEqual(0, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    # ---- holds ----

    def test_a_hold_keeps_a_rival_out_and_its_own_requests_run(self):
        berth = self.fast()
        hold = Stream(berth, "/api/v1/holds", {"servers": ["chat"], "name": "story"})
        number = hold.until("granted")["environment"]["BERTH_HOLD"]
        picture = berth.picture_later()
        wait_for("the picture waits", lambda: berth.server("image")["waiting"] == 1)
        for _ in range(3):
            reply = berth.post("/v1/chat/completions", {
                "model": "chat", "messages": [{"role": "user", "content": "Hi"}],
                "max_tokens": 4}, {"X-Berth-Hold": number})
            self.assertEqual(200, reply.status)
        self.assertTrue(picture.is_alive())
        self.assertEqual([], berth.starts("image"))
        hold.close()
        self.assertEqual(200, picture.get().status)

    def test_a_chat_waits_while_the_picture_server_is_held_and_goes_on_after_it(self):
        berth = self.fast()
        berth.wait_state("chat", "ready")
        hold = self.run_lease(berth, "hold", "image", "--", "sh", "-c",
                              f"'{BIN}/berth' -c {berth.config_path} image -o {berth.state}/a.png "
                              "--width 64 --height 64 a harbour && echo drawn && sleep 1000")
        self.assertIn("64x64", hold.stdout.readline())
        self.assertEqual("drawn\n", hold.stdout.readline())
        chat = Later(lambda: berth.chat("Hi"))
        wait_for("the chat waits", lambda: berth.server("chat")["waiting"] == 1)
        self.assertEqual("ready", berth.server("image")["state"])
        arrival = next(r for r in berth.journal() if r["name"] == "job_arrived" and
                       r["kind"] == "event" and r.get("hold"))
        self.assertEqual("image", arrival["server"])
        hold.send_signal(signal.SIGINT)
        self.assertEqual(200, chat.get().status)

    def test_a_request_of_a_hold_that_is_over_is_a_conflict(self):
        berth = self.fast()
        hold = Stream(berth, "/api/v1/holds", {"servers": ["chat"], "max": "200ms"})
        number = hold.until("granted")["environment"]["BERTH_HOLD"]
        self.assertEqual("deadline", hold.line()["error"]["code"])
        self.assertIsNone(hold.line())
        reply = berth.post("/v1/chat/completions", {"model": "chat", "messages": []},
                           {"X-Berth-Hold": number})
        self.assertEqual(409, reply.status)


if __name__ == "__main__":
    unittest.main()
