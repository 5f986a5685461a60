# SPDX-License-Identifier: Apache-2.0
"""`weights = "on_demand"`: an sd-server that keeps its process and not its weights (issue 6, build 7)."""

import os
import signal
import unittest
from pathlib import Path

from fast_world import fast_config, kill_berth, lives, record_of
from harness import BIN, MIB, ONE_STEP, E2eTest, wait_for

ON_DEMAND = 'weights = "on_demand"'
TAKES = 250


def pss(pid):
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


class WeightsOnDemand(E2eTest):
    def world(self, capacity=600, image_extra=ON_DEMAND, **options):
        berth = self.berth_with(fast_config(capacity=capacity, standin_memory=TAKES,
                                            image_extra=image_extra, **options))
        berth.up()
        berth.wait_state("chat", "ready")
        return berth

    def after_a_picture(self, **options):
        """The LLM is back. Returns Berth and the pid of the image server."""
        berth = self.world(**options)
        self.assertEqual(200, berth.picture(prompt=ONE_STEP).status)
        berth.wait_step("row_cleared")
        return berth, record_of(berth, "image")["pid"]

    def argv(self, pid):
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")

    def test_it_lives_on_without_its_weights_while_the_llm_is_back(self):
        berth, pid = self.after_a_picture()
        self.assertEqual("ready", berth.server("chat")["state"])
        self.assertTrue(lives(pid))
        self.assertLess(pss(pid), TAKES * MIB / 2)
        self.assertIn("--params-backend disk", " ".join(self.argv(pid)))
        self.assertIn(f"--lora-model-dir {berth.state}/", " ".join(self.argv(pid)))
        self.assert_order(berth.steps(), ["victim_gone", "newcomer_ready", "job_done", "linger_over",
                                          "freed", "room_for_victim", "victim_ready"])
        self.assertNotIn("newcomer_gone", berth.steps())

    def test_the_next_picture_needs_all_of_its_memory_and_no_start(self):
        berth, pid = self.after_a_picture(step_ms=500)
        picture = berth.picture_later()  # it takes 10 s
        berth.wait_step("dispatched", count=2)
        self.assertEqual("absent", berth.server("chat")["state"], "the whole need is kept free")
        self.assertEqual(pid, berth.server("image")["pid"])
        wait_for("the largest part is there", lambda: pss(pid) > 3 * TAKES * MIB / 4)
        self.assertEqual(200, picture.get().status)
        berth.wait_step("row_cleared", count=2)
        self.assertEqual([1], berth.starts("image"), "started once")
        self.assertEqual(2, berth.steps().count("victim_gone"))

    def test_with_resident_weights_it_is_ended_and_started_anew(self):
        berth, pid = self.after_a_picture(image_extra="")
        self.assertFalse(lives(pid))
        self.assertIn("newcomer_gone", berth.steps())
        self.assertNotIn("freed", berth.steps())

    def test_it_is_ended_where_even_what_it_keeps_does_not_fit(self):
        berth, pid = self.after_a_picture(capacity=520)  # 300 + 96 > 390
        self.assertFalse(lives(pid))
        self.assertIn("newcomer_gone", berth.steps())

    def test_one_that_dies_meanwhile_is_started_anew(self):
        berth, pid = self.after_a_picture()
        os.kill(pid, signal.SIGKILL)
        wait_for("it is gone", lambda: not lives(pid))
        self.assertEqual(200, berth.picture().status)
        self.assertEqual([1, 2], berth.starts("image"))

    def test_a_new_berth_takes_it_over_without_its_weights(self):
        berth, pid = self.after_a_picture()
        kill_berth(berth)
        berth.up()
        berth.wait_state("chat", "ready")
        self.assertTrue(lives(pid))
        self.assertEqual("absent", berth.server("image")["state"])
        self.assertEqual(200, berth.picture().status)
        self.assertEqual([1], berth.starts("image"))

    def test_a_server_that_cannot_do_it_is_refused_with_the_key_and_nobody_is_put_out(self):
        old = self.new_folder() / "sd-server"
        old.write_text(f"#!/bin/sh\nexec '{BIN}/sd-server-standin' \"$@\" | grep -v params-backend\n")
        old.chmod(0o755)
        text = fast_config(image_extra=ON_DEMAND).replace(f"{BIN}/sd-server-standin", str(old))
        berth = self.berth_with(text)
        berth.up()
        berth.wait_state("chat", "ready")
        reply = berth.picture()
        self.assertGreaterEqual(reply.status, 400)
        message = reply.json()["error"]["message"]
        self.assertIn("does not know the option --params-backend", message)
        self.assertIn('server.image.weights = "on_demand"', message)
        self.assertEqual("ready", berth.server("chat")["state"])


if __name__ == "__main__":
    unittest.main()
