# SPDX-License-Identifier: Apache-2.0
"""Runs every command of docs/guide/*.md, in the order of each page, in the world that orchestration.md shows.

A block marked `sh` is run by bash, line by line; a line that ends with other than 0 fails. Programs are stand-ins, ports
are free ones, and an endless reply is read for longer; nothing else is replaced. A block marked `toml` must be a
configuration, or a part that can be added to one.
"""

import os
import re
import subprocess
import tomllib
import unittest

from fast_world import LLAMA_STANDIN, real_model
from harness import BIN, HERE, E2eTest

GUIDES = HERE.parents[1] / "docs" / "guide"
PAGES = sorted(path.name for path in GUIDES.glob("*.md"))
PORTS = {"chat": "8080", "image": "8081"}
ARGUMENTS = {"chat": '["--standin-memory", "24MiB"]', "image": '["--standin-memory", "24MiB", "--standin-step-ms", "2"]'}


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", (GUIDES / page).read_text(), re.M | re.S)


def commands(page):
    """The lines of all `sh` blocks; one that ends within quotes or with a backslash goes on in the next."""
    for block in blocks(page, "sh"):
        command = ""
        for line in block.splitlines():
            command += line + "\n"
            if command.count("'") % 2 == 0 and not line.endswith("\\"):
                yield command.strip()
                command = ""


class Guides(E2eTest):
    def world(self, extra=""):
        """The berth.toml of orchestration.md, with stand-ins as programs."""
        text = blocks("orchestration.md", "toml")[0] + extra
        folder = self.new_folder()
        models = folder / "models"
        models.mkdir()
        (models / "story.gguf").symlink_to(real_model())
        (models / "sd-v1-5.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
        programs = {"chat": LLAMA_STANDIN, "image": BIN / "sd-server-standin"}
        for name, program in programs.items():
            text = text.replace(f"[server.{name}]\n", f'[server.{name}]\nbinary = "{program}"\n'
                                                      f"extra_args = {ARGUMENTS[name]}\n")
        for port in PORTS.values():
            text = text.replace(f"port = {port}", "port = 0")
        berth = self.berth_with(text.replace('"models/', f'"{models}/').replace('["models"]', f'["{models}"]'))
        berth.up()
        berth.wait_state("chat", "ready")
        self.ports = {port: berth.server(name)["front_port"] for name, port in PORTS.items()}
        return berth, folder

    def run_command(self, berth, folder, command):
        places = {"http://127.0.0.1:8700": f"http://127.0.0.1:{berth.port()}",
                  "~/.local/state/berth": f"{berth.state}/s", "--max-time 2": "--max-time 10"}
        places.update({f"127.0.0.1:{port}": f"127.0.0.1:{free}" for port, free in self.ports.items()})
        for shown, real in places.items():
            command = command.replace(shown, real)
        environment = {**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}"}
        return subprocess.run(["bash", "-euc", command], cwd=folder, env=environment, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=90)

    def walk(self, page, extra=""):
        """Runs the page's commands; returns {command: what it printed}."""
        berth, folder = self.world(extra)
        program = folder / "bin" / "berth"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec "{BIN}/berth" --config "{berth.config_path}" "$@"\n')
        program.chmod(0o755)
        printed = {}
        for command in commands(page):
            done = self.run_command(berth, folder, command)
            self.assertEqual(0, done.returncode, f"{page}: {command}\n{done.stdout}{done.stderr}")
            printed[command] = done.stdout
        self.assertTrue(printed, f"{page} shows no command")
        return printed

    def test_each_page_has_a_test(self):
        tested = {name.removeprefix("test_the_page_").replace("_", "-") + ".md"
                  for name in dir(self) if name.startswith("test_the_page_")}
        self.assertEqual(set(PAGES), tested)

    def test_the_page_orchestration(self):
        printed = self.walk("orchestration.md")
        answer = next(text for command, text in printed.items() if "would-need-offload" in command)
        self.assertIn('{"would_need_offload":true,"server":"image","victims":["chat"],', answer)
        events = next(text for command, text in printed.items() if "/events" in command)
        self.assertIn("event: decision", events)

    def test_the_page_llm_server(self):
        printed = self.walk("llm-server.md")
        for command, text in printed.items():
            self.assertTrue(text.strip(), f"{command} printed nothing")

    def test_the_page_image_generation(self):
        printed = self.walk("image-generation.md")
        self.assertTrue(any('"b64_json"' in text for text in printed.values()))

    def test_the_page_model_management(self):
        printed = self.walk("model-management.md", blocks("model-management.md", "toml")[0])
        self.assertIn("tales", printed["berth models"])
        self.assertIn("offload, not safe together", next(t for c, t in printed.items() if "--vram" in c))

    def test_the_page_system_detection(self):
        self.walk("system-detection.md")
        pools = tomllib.loads(blocks("system-detection.md", "toml")[0])["pool"]
        self.assertEqual(["device", "host"], [pool["kind"] for pool in pools.values()])

    def test_the_page_embedding(self):
        header = (HERE.parents[1] / "src" / "berth" / "berth.h").read_text()
        for line in blocks("embedding.md", "cpp")[0].splitlines()[1:]:
            self.assertIn(line, header, "the header's own example is the guide's")
        printed = self.walk("embedding.md")
        self.assertTrue(all('"chat"' in text for text in printed.values()))


if __name__ == "__main__":
    unittest.main()
