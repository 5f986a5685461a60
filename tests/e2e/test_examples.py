# SPDX-License-Identifier: Apache-2.0
"""The seed's snippets (issue 7, "Must show" 1): their comments come true, with the real llama-server."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import BIN, HERE, MIB, SD_STANDIN, E2eTest, real_llama


class Snippets(unittest.TestCase):
    """Each program has Berth in it, and no other runs."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="berth-examples-")
        self.addCleanup(shutil.rmtree, self.folder)

    def config(self, capacity):
        """Models by the seed's names; both need 1.2 times their size."""
        llama, model = real_llama()
        diffusion = Path(self.folder, "sdxl-turbo.safetensors")
        with open(diffusion, "wb") as file:
            file.write(b"x")
            file.truncate(100 * MIB)
        path = Path(self.folder, "berth.toml")
        path.write_text(f'''
listen = "127.0.0.1:0"
state = "{self.folder}/s"

[pool.memory]
kind = "capped"
capacity = {capacity}

[models]
entries = {{"llama-2-7b" = "{model}", "sdxl-turbo" = "{diffusion}"}}

[policy]
swap_guess = "300ms"
''')
        self.environment = {**os.environ, "BERTH_LLAMA_SERVER": llama}
        return path

    def slow_painter(self):
        """An image server that loads for so long that nobody comes too late for its progress."""
        path = Path(self.folder, "sd-server")
        path.write_text(f'#!/bin/sh\nexec "{SD_STANDIN}" "$@" --standin-faults slow_load=2\n')
        path.chmod(0o755)
        return path

    def run_example(self, name, capacity=300 * MIB, image_server=SD_STANDIN):
        # Of 300 MiB, 225 may be planned with: either server, but not both.
        config = self.config(capacity)
        self.environment["BERTH_SD_SERVER"] = str(image_server)
        done = subprocess.run([BIN / f"example-{name}", config, self.folder],
                              capture_output=True, text=True, timeout=120, env=self.environment)
        self.assertEqual((0, ""), (done.returncode, done.stderr), done.stdout)
        return done.stdout.splitlines()

    def records(self, kind, name):
        lines = Path(self.folder, "s/journal.jsonl").read_text().splitlines()
        records = [json.loads(line) for line in lines]
        return [r for r in records if r.get("kind") == kind and r.get("name") == name]

    def offloads(self):
        return len(self.records("step", "row_committed"))

    def test_automatic_draws_and_the_llm_is_still_running(self):
        lines = self.run_example("automatic")
        self.assertEqual("LLM before: ok", lines[0])
        self.assertRegex(lines[1], r"^Image generated: 256x256 png, \d+ bytes$")
        self.assertEqual(["LLM still running: ok"], lines[2:])
        self.assertEqual(1, self.offloads())

    def test_manual_asks_first_and_warns(self):
        lines = self.run_example("manual")
        self.assertEqual("Image generation will temporarily stop LLM", lines[0])
        self.assertRegex(lines[1], r"^Image generated successfully: \d+ bytes$")
        self.assertEqual(["LLM after: ok"], lines[2:])
        self.assertEqual(1, self.offloads())

    def test_manual_says_so_where_both_fit_and_stops_nobody(self):
        lines = self.run_example("manual", capacity=2000 * MIB)
        self.assertEqual("Enough resources - both servers can run simultaneously", lines[0])
        self.assertEqual("LLM after: ok", lines[-1])
        self.assertEqual(0, self.offloads())

    def test_ui_progress_tells_every_stage_and_writes_the_picture(self):
        lines = self.run_example("ui_progress", image_server=self.slow_painter())
        stages = [line.split(":")[0] for line in lines]
        self.assertEqual(["loading", "diffusion", "decoding", "written"],
                         list(dict.fromkeys(stages)))
        # 20 to load, 50 to draw, 30 to decode; steps that follow each other fast are told as one.
        told = [line for line in lines if line.startswith("diffusion")]
        steps = [int(re.search(r"\((\d+)/", line)[1]) for line in told]
        self.assertEqual([f"diffusion: {20 + step}% ({step}/50)" for step in steps], told)
        self.assertTrue(any(line.startswith("decoding: 70%") for line in lines), lines)
        self.assertEqual(b"\x89PNG", Path(self.folder, "city.png").read_bytes()[:4])

    def test_saved_state_is_told_while_the_llm_is_away_and_only_then(self):
        lines = self.run_example("saved_state", image_server=self.slow_painter())
        none = "No LLM state saved (not offloaded)"
        self.assertEqual([none, none], [lines[0], lines[-1]])
        self.assertRegex(lines[1], r"^LLM was offloaded at: \d{13}$")
        self.assertEqual("Original model: llama-2-7b", lines[2])
        self.assertRegex(lines[3], r"^Original port: [1-9]\d+$")
        self.assertEqual(["GPU layers: 0", "Was running: true"], lines[4:6])
        self.assertEqual(7, len(lines))

    def test_clear_saved_state_keeps_the_llm_away_after_the_next_picture(self):
        self.assertEqual(["LLM after the first: ok", "waiting for it: conflict",
                          "LLM after the second: away"], self.run_example("clear_saved_state"))
        self.assertEqual(2, self.offloads())


class Node(E2eTest):
    def test_plain_javascript_does_the_same_over_http(self):
        berth = self.berth().up()
        berth.wait_state("chat", "ready")
        done = subprocess.run(
            ["node", HERE.parents[1] / "examples/node/picture.mjs", f"http://127.0.0.1:{berth.port()}",
             "chat", "image", f"{berth.state}/out.png"], capture_output=True, text=True, timeout=120)
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        lines = done.stdout.splitlines()
        self.assertTrue(lines[0].startswith("Image generation will temporarily stop LLM"), lines)
        self.assertEqual(f"Image written: {berth.state}/out.png", lines[1])
        self.assertRegex(lines[2], r"^LLM says: .+")
        self.assertEqual(b"\x89PNG", Path(berth.state, "out.png").read_bytes()[:4])


if __name__ == "__main__":
    unittest.main()
