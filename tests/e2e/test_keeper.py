# SPDX-License-Identifier: Apache-2.0
"""Servers behind their keepers: taken over, left alone, mistaken, and not to be killed (issue 4)."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

from fast_world import (LLAMA_STANDIN, SLACK, fast_config, kill_berth, lives, place, record_of)
from harness import BIN, HERE, E2eTest, UnixConnection, cmdline, finished, wait_for


class KeeperTest(E2eTest):
    def fast(self, environment=None, **options):
        berth = self.berth_with(fast_config(**options), environment)
        return berth

    def ready(self, berth):
        """A Berth that is up, with its LLM; returns the LLM's pid."""
        return berth.up().wait_state("chat", "ready")["pid"]


class AfterBerthWasKilled(KeeperTest):
    def test_its_server_is_taken_over_as_it_is(self):
        berth = self.fast()
        pid = self.ready(berth)
        argv = cmdline(pid)
        kill_berth(berth)
        self.assertTrue(lives(pid))
        berth.up()
        self.assertEqual(pid, berth.wait_state("chat", "ready")["pid"])
        self.assertEqual(argv, cmdline(pid))
        self.assertEqual(200, berth.chat("Hi").status)
        self.assertEqual([1], berth.starts("chat"), "it was executed once")
        self.assertIsNotNone(berth.record("decision", "recovered_adopted", "chat"))
        berth.down()
        self.assertFalse(lives(pid), "and it can be stopped")

    def test_its_server_is_stopped_when_no_berth_comes_back_within_orphan_timeout(self):
        berth = self.fast(policy='orphan_timeout = "1s"')
        pid = self.ready(berth)
        killed_at = time.monotonic()
        kill_berth(berth)
        wait_for("the keeper stops its server", lambda: not lives(pid))
        self.assertGreaterEqual(time.monotonic() - killed_at, 1, "not before its time")
        wait_for("the keeper ends", lambda: not berth.processes())
        self.assertEqual(0, json.loads((place(berth, "chat") / "exit").read_text()).get("code"),
                         "it was asked to end, not killed")

    def test_its_server_stays_when_a_berth_comes_back_within_orphan_timeout(self):
        policy = 'orphan_timeout = "10s"'  # a Berth comes up in less, also on a busy machine
        berth, other = self.fast(policy=policy), self.fast(policy=policy)
        orphan = self.ready(other)
        pid = self.ready(berth)
        kill_berth(berth)
        kill_berth(other)  # its orphan's time passes later
        berth.up()
        wait_for("the later orphan is stopped", lambda: not lives(orphan), 60)
        self.assertEqual(pid, berth.server("chat")["pid"])
        self.assertTrue(lives(pid))

    def install_in(self, folder):
        """Puts Berth's programs there, in place of those that stand there, as a package does."""
        for name in ("berth", "berth-keeper"):
            shutil.copy(BIN / name, f"{folder}/{name}.new")
            os.rename(f"{folder}/{name}.new", f"{folder}/{name}")

    def up_from(self, folder, berth):
        berth.process = subprocess.Popen(
            [f"{folder}/berth", "--config", berth.config_path, "up"], start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("berth is up", berth.alive_and_answers)

    def test_programs_that_were_replaced_meanwhile_take_over_what_the_old_ones_started(self):
        folder = self.new_folder()
        keeper = f"{folder}/berth-keeper"
        self.install_in(folder)
        berth = self.fast()
        self.up_from(folder, berth)
        pid = berth.wait_state("chat", "ready")["pid"]
        keeper_pid = record_of(berth, "chat")["keeper_pid"]
        self.install_in(folder)
        kill_berth(berth)
        self.assertIn("(deleted)", os.readlink(f"/proc/{keeper_pid}/exe"), "the old keeper runs on")
        self.up_from(folder, berth)
        self.assertEqual(pid, berth.wait_state("chat", "ready")["pid"])
        self.assertEqual(200, berth.picture().status)
        berth.wait_step("row_cleared")
        back = berth.wait_state("chat", "ready")["pid"]
        self.assertNotEqual(pid, back)
        self.assertEqual(keeper, os.readlink(f"/proc/{record_of(berth, 'chat')['keeper_pid']}/exe"))

    def test_a_server_that_a_berth_of_another_version_started_is_named_and_not_touched(self):
        berth = self.fast()
        pid = self.ready(berth)
        kill_berth(berth)
        path = place(berth, "chat") / "pid"
        good = path.read_text()
        path.write_text(good.replace('"format":1', '"format":2'))
        berth.up(wait=False)
        self.assertNotEqual(0, berth.wait_killed())
        said = Path(berth.log_path).read_text()
        self.assertIn("another version", said)
        self.assertIn(str(path.parent), said)
        down = berth.cli("down", check=False)
        self.assertNotEqual(0, down.returncode)
        self.assertIn("another version", down.stderr)
        self.assertTrue(lives(pid), "nobody signalled it")
        path.write_text(good)
        berth.cli("down")
        self.assertFalse(lives(pid))

    def test_of_two_keepers_for_one_server_the_newest_generation_stays(self):
        berth = self.fast()
        older = self.ready(berth)
        kill_berth(berth)
        newer_place = place(berth, "chat", 1).with_name("2")
        newer_place.mkdir(mode=0o700)
        (newer_place / "spec").write_bytes((place(berth, "chat", 1) / "spec").read_bytes())
        os.unlink(f"{berth.state}/s/run/chat.sock")
        keeper = subprocess.Popen([BIN / "berth-keeper", newer_place])
        self.addCleanup(keeper.wait)
        self.addCleanup(keeper.kill)
        wait_for("the second is executed", lambda: (newer_place / "pid").exists())
        newer = record_of(berth, "chat", 2)["pid"]
        wait_for("the second serves", lambda: self.serves(f"{berth.state}/s/run/chat.sock"))
        berth.up()
        self.assertEqual(newer, berth.wait_state("chat", "ready")["pid"])
        self.assertFalse(lives(older))
        self.assertEqual("stranger_stopped", berth.steps("stranger_stopped")[0])
        self.assertEqual(200, berth.chat("Hi").status)
        berth.down()

    def serves(self, socket):
        connection = UnixConnection(socket)
        try:
            connection.request("GET", "/health")
            return finished(connection).status == 200
        except OSError:
            return False

    def test_a_process_that_got_the_number_of_its_server_is_neither_taken_over_nor_signalled(self):
        berth = self.fast()
        pid = self.ready(berth)
        kill_berth(berth)
        record = record_of(berth, "chat")
        os.kill(record["keeper_pid"], signal.SIGKILL)  # its server dies with it
        wait_for("the server is gone", lambda: not lives(pid))
        innocent = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        self.addCleanup(innocent.wait)
        self.addCleanup(innocent.kill)
        record["pid"] = record["session"] = innocent.pid
        (place(berth, "chat") / "pid").write_text(json.dumps(record))
        berth.up()
        self.assertNotEqual(innocent.pid, berth.wait_state("chat", "ready")["pid"])
        berth.down()
        kill_berth(berth.up())
        berth.down()
        self.assertIsNone(innocent.poll(), "nobody signalled it")


class WhatDown(KeeperTest):
    def test_says_is_true_at_once_the_process_of_berth_has_ended(self):
        berth = self.fast()
        self.ready(berth)
        berth.down()
        self.assertFalse(lives(berth.process.pid))
        self.assertEqual([], berth.processes())

    def test_stops_includes_a_keeper_that_does_not_answer(self):
        berth = self.fast()
        pid = self.ready(berth)
        os.kill(record_of(berth, "chat")["keeper_pid"], signal.SIGSTOP)
        berth.down()
        self.assertFalse(lives(pid))
        self.assertEqual([], berth.processes())


class AServerThatDoesNotDie(KeeperTest):
    def undying(self):
        folder = self.new_folder()
        self.tracer = Path(folder, "tracer")
        wrapper = f"{folder}/llama-server"
        with open(wrapper, "w") as script:
            script.write(f"""#!/bin/sh
case "$*" in *--host*)
  [ -e "{folder}/mortal" ] ||
    exec "{sys.executable}" "{HERE}/undying.py" "{self.tracer}" "{LLAMA_STANDIN}" "$@" ;;
esac
exec "{LLAMA_STANDIN}" "$@"
""")
        os.chmod(wrapper, 0o755)
        berth = self.fast(binary=wrapper, llm_extra=SLACK)
        self.addCleanup(self.let_it_die)
        self.pid = self.ready(berth)
        Path(folder, "mortal").touch()  # the next one
        return berth

    def let_it_die(self):
        try:
            os.kill(int(self.tracer.read_text()), signal.SIGKILL)
        except (OSError, ValueError):
            pass  # it is gone

    def test_keeps_its_memory_on_the_books_is_named_in_status_and_nothing_takes_its_place(self):
        berth = self.undying()
        reply = berth.picture()
        self.assertEqual(503, reply.status)
        self.assertEqual("unkillable", reply.json()["error"]["code"])
        self.assertIn(f"pid {self.pid}", reply.json()["error"]["message"])
        self.assertEqual("unkillable", berth.server("chat")["state"])
        self.assertIn("unkillable", berth.cli("status").stdout)
        pool = berth.status()["pools"][0]
        self.assertGreaterEqual(pool["promised_bytes"], 300 << 20, "its memory is not given away")
        self.assertEqual([], berth.starts("image"))

    def test_comes_back_when_it_died_after_all(self):
        berth = self.undying()
        self.assertEqual(503, berth.picture().status)
        self.let_it_die()
        back = berth.wait_state("chat", "ready")
        self.assertNotEqual(self.pid, back["pid"])
        self.assertEqual(200, berth.chat("Hi").status)
        self.assertEqual(200, berth.picture().status)

    def test_is_named_by_down_which_fails(self):
        berth = self.undying()
        down = berth.cli("down", check=False)
        self.assertNotEqual(0, down.returncode)
        self.assertIn(f'"chat" (pid {self.pid})', down.stderr)
        self.assertTrue(lives(self.pid))
        self.let_it_die()
        wait_for("it is gone", lambda: not lives(self.pid))
        berth.cli("down")


class Status(KeeperTest):
    def test_shows_the_memory_of_a_server_that_still_loads(self):
        berth = self.fast(wanted="on_demand",
                          llm_arguments=["--standin-faults", "slow_load=60"])
        berth.up()
        berth.api("POST", "/api/v1/servers/chat/start?wait=0")
        wait_for("its memory is seen while it loads", lambda: (  # 16 KiB before it is executed
            s := berth.server("chat"))["state"] == "starting" and (s["used_bytes"] or 0) > 1 << 20)

    def test_says_for_how_long_a_server_is_displaced(self):
        berth = self.fast(faults="hang_image")
        self.ready(berth)
        berth.drawing()
        self.assertRegex(berth.cli("status").stdout,
                         r"displaced by image for \d+(\.\d+)? (m?s|min)")


if __name__ == "__main__":
    unittest.main()
