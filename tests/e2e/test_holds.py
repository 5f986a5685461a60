# SPDX-License-Identifier: Apache-2.0
"""A hold outlives a crash of Berth: its owner comes back for it (design section 4, recovery)."""

import errno
import json
import os
import signal
import subprocess
import unittest

from fast_world import fast_config, kill_berth, record_of
from harness import BIN, E2eTest, wait_for


class Holds(E2eTest):
    def held(self, policy="", orphan=""):
        """The LLM was put out, and a command runs that holds the picture server."""
        berth = self.berth_with(fast_config(policy=policy))
        berth.up()
        berth.wait_state("chat", "ready")
        folder = self.new_folder()
        self.errors = open(folder / "errors", "w+b")
        self.addCleanup(self.errors.close)
        self.go = folder / "go"
        os.mkfifo(self.go)
        command = f"echo $BERTH_HOLD > {folder}/number; cat {self.go}"
        hold = subprocess.Popen([BIN / "berth", "--config", berth.config_path, "hold", "image",
                                 "--max", "30min", "--", "sh", "-c", command],
                                stdout=subprocess.DEVNULL, stderr=self.errors,
                                start_new_session=True)
        self.addCleanup(self.let_go)
        self.addCleanup(lambda: (hold.poll() is None and hold.kill(), hold.wait()))
        number = folder / "number"
        wait_for("the hold is granted", lambda: number.exists() and number.read_text())
        self.number = int(number.read_text())
        berth.wait_state("chat", "absent")
        return berth, hold

    def said(self):
        self.errors.seek(0)
        return self.errors.read().decode()

    def release(self):
        """The command reads to the end of this."""
        with open(self.go, "w", encoding="ascii"):
            pass

    def let_go(self):
        """In the end: whoever may still read."""
        try:
            os.close(os.open(self.go, os.O_WRONLY | os.O_NONBLOCK))
        except OSError as error:
            self.assertEqual(errno.ENXIO, error.errno, "nobody reads any more")

    def test_its_command_goes_on_and_its_servers_stay_when_berth_was_killed(self):
        berth, hold = self.held()
        before = record_of(berth, "image")["pid"]
        kill_berth(berth)
        wait_for("the command knows", lambda: "comes back for hold" in self.said())
        berth.up()
        wait_for("the hold goes on", lambda: "the hold goes on" in self.said())
        (shown,) = berth.api("GET", "/api/v1/leases").json()["leases"]
        self.assertEqual((self.number, "granted"), (shown["job"], shown["state"]))
        self.assertLess(shown["limit_ms"], 30 * 60 * 1000, "its limit goes on from where it was")
        self.assertEqual("absent", berth.server("chat")["state"], "its rival stays out")
        self.assertEqual(before, berth.server("image")["pid"])
        self.assertEqual(200, berth.post("/v1/images/generations",
                                         {"model": "image", "prompt": "x", "size": "64x64"},
                                         {"X-Berth-Hold": str(self.number)}).status)
        self.release()
        self.assertEqual(0, hold.wait(30))
        berth.wait_state("chat", "ready")
        self.assertEqual([], berth.api("GET", "/api/v1/leases").json()["leases"])

    def test_who_does_not_come_back_has_lost_it_after_the_grace(self):
        berth, hold = self.held(policy='hold_grace = "300ms"')
        kill_berth(berth)
        hold.send_signal(signal.SIGKILL)
        hold.wait()
        berth.up()
        berth.wait_step("hold_dropped")
        berth.wait_state("chat", "ready")

    def test_a_hold_that_ended_is_not_kept(self):
        berth, hold = self.held()
        self.release()
        self.assertEqual(0, hold.wait(30))
        berth.wait_state("chat", "ready")
        kill_berth(berth)
        berth.up()
        self.assertEqual([], berth.steps("hold_kept"))
        late = berth.api("POST", "/api/v1/holds", json.dumps({"resume": self.number}))
        self.assertEqual((409, "conflict"), (late.status, late.json()["error"]["code"]))


if __name__ == "__main__":
    unittest.main()
