# SPDX-License-Identifier: Apache-2.0
"""What the nearest peers get wrong, by the names of the issue that lists it (issue 4, must show 5).

What needs no processes of that list is in src/berth/core/peers_test.cc.
"""

import os
import signal
import sys
import time
import unittest
from pathlib import Path

from fast_world import LLAMA_STANDIN, fast_config, lives
from harness import HERE, SD_STANDIN, E2eTest, wait_for

AT_ONCE = 20.0  # seconds; the deadlines that must not be waited for are 60


class Peers(E2eTest):
    def fast(self, **options):
        berth = self.berth_with(fast_config(**options))
        return berth

    def ready(self, berth):
        """A Berth that is up, with its LLM; returns the LLM's pid."""
        return berth.up().wait_state("chat", "ready")["pid"]

    def program(self, name, text):
        """A shell script in place of a server."""
        path = self.new_folder() / name
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)
        return str(path)

    def time_of(self, berth, step):
        return berth.record("step", step)["t_ns"]

    def kill(self, pid, number):
        os.kill(pid, number)
        wait_for("it is dead", lambda: not lives(pid))

    # ---- what a server does ----

    def test_death_by_signal_is_a_crash(self):
        berth = self.fast()
        pid = self.ready(berth)
        self.kill(pid, signal.SIGKILL)
        crash = wait_for("it is told", lambda: berth.record("decision", "exited", "chat"))
        self.assertIn("killed by signal 9 (SIGKILL)", crash["error"]["message"])

        def failed_or_killed_again():  # each back-off is longer, so one of them is seen
            chat = berth.server("chat")
            if chat["state"] == "ready" and lives(chat["pid"]):
                self.kill(chat["pid"], signal.SIGKILL)
            return chat["state"] == "failed" and chat

        failed = wait_for("it has failed", failed_or_killed_again)
        self.assertGreater(len(berth.starts("chat")), 2, "it was started again at once, twice")
        self.assertIn("killed by signal 9 (SIGKILL)", failed["failure"], "a crash loop is seen")
        self.assertEqual("on", failed["wanted"], "nobody takes it for a stop")

    def test_failed_start_is_noticed_at_once_not_at_the_deadline(self):
        dying = self.program("llama-server", f"""
case "$*" in *--help*) exec "{LLAMA_STANDIN}" --help;; esac
echo reading tensors
echo error: the shelf is broken >&2
exit 3
""")
        berth = self.fast(binary=dying, wanted="on_demand",
                          llm_extra='start_deadline = "60s"').up()
        asked = time.monotonic()
        reply = berth.chat("Hi")
        self.assertLess(time.monotonic() - asked, AT_ONCE)
        self.assertEqual((503, "start_failed"), (reply.status, reply.json()["error"]["code"]))
        said = ('server "chat" did not start: exit code 3; its last lines: reading tensors | '
                "error: the shelf is broken; `berth logs chat` shows more")
        self.assertEqual(said, reply.json()["error"]["message"])
        self.assertEqual(said, berth.server("chat")["failure"])
        self.assert_absent(berth, "chat", "failed|absent")
        self.assertEqual(200, berth.picture().status, "the other server is no worse off")

    def test_binary_missing_is_an_answer_not_a_crash(self):
        berth = self.fast(binary="/nonexistent/llama-server").up()
        failed = berth.wait_state("chat", "failed")
        said = ('"/nonexistent/llama-server" is not a program that can be run (No such file or '
                "directory); correct server.chat.binary or BERTH_LLAMA_SERVER")
        self.assertEqual(said, failed["failure"])
        reply = berth.chat("Hi")
        error = reply.json()["error"]
        self.assertEqual((503, "binary_missing", said),
                         (reply.status, error["code"], error["message"]))
        self.assertIsNone(berth.process.poll())
        self.assertEqual(200, berth.picture().status)

    def test_b_cannot_start_after_a_was_stopped_a_is_back(self):
        berth = self.fast(faults="die_start")
        pid = self.ready(berth)
        reply = berth.picture()
        self.assertEqual(503, reply.status)
        self.assertIn("exit code 1", reply.json()["error"]["message"])
        berth.wait_step("row_cleared")
        self.assertFalse(lives(pid), "it had been stopped")
        self.assertEqual(200, berth.chat("Hi").status)
        self.assertFalse(berth.server("chat")["displaced"])
        self.assertTrue(lives(berth.server("chat")["pid"]))
        self.assert_absent(berth, "image", "failed|absent")
        self.assertEqual(0, sum(s["running"] + s["waiting"] for s in berth.status()["servers"]))

    def test_status_never_names_a_dead_server(self):
        flag = self.new_folder() / "broken"
        berth = self.fast(wanted="on_demand",
                          llm_arguments=["--standin-faults", f"once={flag}:die_start"])
        berth.up()
        self.assertEqual(200, berth.chat("Hi").status)
        dead = berth.server("chat")["pid"]
        self.kill(dead, signal.SIGKILL)
        wait_for("its death is known", lambda: berth.server("chat")["pid"] != dead, AT_ONCE)
        self.assert_absent(berth, "chat", "absent")
        self.assertEqual(200, berth.picture().status)
        dead = berth.server("image")["pid"]
        self.kill(dead, signal.SIGKILL)
        wait_for("its death is known", lambda: berth.server("image")["pid"] != dead, AT_ONCE)
        self.assert_absent(berth, "image", "absent")
        flag.touch()
        self.assertEqual(503, berth.chat("Hi").status)
        self.assert_absent(berth, "chat", "failed|absent")

    def assert_absent(self, berth, name, states):
        """It has failed until its back-off is over, a second at first, and is absent then."""
        server = berth.server(name)
        self.assertRegex(server["state"], f"^({states})$")
        self.assertEqual((None, 0), (server["pid"], server["used_bytes"]))
        self.assertRegex(berth.cli("status").stdout, rf"(?m)^{name} +({states}) +- ")

    # ---- one cycle ----

    def test_exit_is_confirmed_before_memory_is_reused(self):
        # The memory that this LLM really takes is no hindrance for the picture: only its exit is.
        folder = self.new_folder()
        llm, seen = Path(folder, "llm"), Path(folder, "seen")
        look = self.program("sd-server", f"""
case "$*" in *--listen-port*)
  state=$(sed -n 's/^State:[[:space:]]*//p' "/proc/$(cat "{llm}")/status" 2>/dev/null)
  echo "${{state:-gone}}" >> "{seen}" ;;
esac
exec "{SD_STANDIN}" "$@"
""")
        berth = self.fast(llm_arguments=["--standin-faults", "ignore_term"], image_binary=look)
        pid = self.ready(berth)
        llm.write_text(str(pid))
        self.assertEqual(200, berth.picture().status)
        self.assertEqual(1, len(seen.read_text().splitlines()))
        self.assertRegex(seen.read_text(), r"^(gone|Z|X)", "the LLM still lived")
        self.assertGreater(self.time_of(berth, "victim_gone"),
                           self.time_of(berth, "victim_stopping") + 1e9, "TERM did not help")

    def test_finished_picture_is_not_delayed_by_teardown(self):
        tracer = self.new_folder() / "tracer"
        undying = self.program("sd-server", f"""
case "$*" in *--listen-port*)
  exec "{sys.executable}" "{HERE}/undying.py" "{tracer}" "{SD_STANDIN}" "$@" ;;
esac
exec "{SD_STANDIN}" "$@"
""")
        berth = self.fast(image_binary=undying)
        self.ready(berth)
        self.addCleanup(lambda: lives(tracer.read_text()) and self.kill(
            int(tracer.read_text()), signal.SIGKILL))
        self.assertEqual(200, berth.picture().status)
        berth.wait_step("newcomer_stopping")
        self.assertEqual([], berth.steps("newcomer_gone"), "no signal ends it")
        self.kill(int(tracer.read_text()), signal.SIGKILL)
        berth.wait_state("chat", "ready")
        self.assertEqual([1, 2], berth.starts("chat"))

    def test_own_memory_is_not_foreign(self):
        # What the picture server holds leaves no room for a second one: it must not be counted
        # against the pictures that follow. Its helper, in a process group of its own, is its own.
        gate = self.gate()
        berth = self.fast(faults="helper=forever:350MiB", image_binary=gate.program)
        self.ready(berth)
        gate.shut()
        pictures = [berth.picture_later() for _ in range(3)]
        wait_for("all wait", lambda: berth.server("image")["waiting"] == 3)
        gate.open()
        self.assertEqual([200] * 3, [picture.get().status for picture in pictures])
        berth.wait_step("newcomer_gone")
        helper = wait_for("it was seen", lambda: [h["pid"] for h in self.holders(berth) if
                                                  h["bytes"]["ram"] > 300 << 20])[-1]
        self.kill(helper, signal.SIGKILL)
        berth.wait_step("row_cleared")
        self.assertEqual([1], berth.starts("image"))
        self.assertEqual([], [h for h in self.holders(berth) if "server" not in h])
        samples = [r for r in berth.journal() if r["name"] == "measured"]
        self.assertEqual({0}, {p["foreign_bytes"] for r in samples for p in r["pools"]})

    def holders(self, berth):
        return [h for r in berth.journal() if r["name"] == "measured" for h in r["holders"]]

    def test_quit_during_reload_leaves_no_orphan(self):
        flag = self.new_folder() / "slow"
        berth = self.fast(llm_arguments=["--standin-faults", f"once={flag}:slow_load=60"])
        self.ready(berth)
        flag.touch()
        self.assertEqual(200, berth.picture().status)
        wait_for("it loads", lambda: not flag.exists())
        self.assertEqual("starting", berth.server("chat")["state"])
        os.kill(berth.process.pid, signal.SIGTERM)  # `berth down` would look for orphans itself
        self.assertEqual(0, berth.wait_killed())
        self.assertEqual([], berth.processes(), "no orphan")
        self.assertEqual("image", berth.rows()["chat"]["displaced_by"], "and it is owed its return")
        berth.up().wait_state("chat", "ready")


if __name__ == "__main__":
    unittest.main()
