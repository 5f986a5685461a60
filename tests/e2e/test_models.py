# SPDX-License-Identifier: Apache-2.0
"""`berth models` and `berth models show`, as people and programs meet them. No Berth runs."""

import json
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import BIN, real_llama

WIDTH = 80
CONFIG = """[pool.ram]
kind = "capped"
capacity = "1GiB"

[models]
directories = ["models"]
entries = {{story = "models/deep/story.gguf"}}

[server.chat]
kind = "llama-server"
model = "{model}"
context = 8192
cache_type_k = "q8_0"
cache_type_v = "q8_0"

[server.helper]
kind = "llama-server"
model = "{model}"
extra_args = ["--n-cpu-moe", "2"]
"""


class Models(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp(prefix="berth-models-"))
        _, model = real_llama()
        (cls.folder / "models" / "deep").mkdir(parents=True)
        (cls.folder / "models" / "real.gguf").symlink_to(model)
        (cls.folder / "models" / "deep" / "story.gguf").symlink_to(model)
        (cls.folder / "models" / "broken.gguf").write_bytes(b"GGUF" + b"\xff" * 20)
        (cls.folder / "berth.toml").write_text(CONFIG.format(model="models/real.gguf"))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def berth(self, *arguments):
        return subprocess.run([BIN / "berth", "-c", self.folder / "berth.toml", *arguments],
                              capture_output=True, text=True, timeout=60, check=False)

    def asked(self, *arguments):
        done = self.berth(*arguments, "--json")
        self.assertEqual(0, done.returncode, done.stderr)
        return json.loads(done.stdout)

    def test_the_list_has_every_model_once_and_a_broken_one_with_its_error(self):
        found = {each["id"]: each for each in self.asked("models")["models"]}
        self.assertEqual({"broken", "real", "story"}, set(found))
        real = found["real"]
        self.assertEqual(("gguf", "llama", "Q4_1", 30, 8192, 98362432),
                         (real["kind"], real["architecture"], real["quantisation"], real["layers"],
                          real["context_length"], real["file_bytes"]))
        self.assertEqual("model_invalid", found["broken"]["error"]["code"])
        self.assertIn("or its version is damaged", found["broken"]["error"]["message"])

    def test_the_table_fits_a_terminal_and_the_command_succeeds_despite_a_broken_file(self):
        done = self.berth("models")
        self.assertEqual(0, done.returncode, done.stderr)
        lines = done.stdout.splitlines()
        self.assertRegex(lines[0], r"^ID +KIND +ARCH +QUANT +LAYERS +CONTEXT +SIZE$")
        self.assertLessEqual(max(map(len, lines)), WIDTH)
        self.assertRegex(done.stdout, r"(?m)^real +gguf +llama +Q4_1 +30 +8192 +94 MiB$")
        self.assertRegex(done.stdout, r"(?m)^broken +gguf +unusable$")

    def test_a_model_is_shown_with_what_its_servers_will_take(self):
        shown = self.asked("models", "show", "real")
        chat, helper = shown["servers"]
        # 30 layers x 8192 tokens x 3 KV heads x 64, keys and values, 34 bytes for 32.
        self.assertEqual(30 * 8192 * 3 * 64 * 2 * 34 // 32, chat["host"]["cache_bytes"])
        self.assertEqual("header", chat["source"])
        self.assertEqual(chat["bytes"], chat["host"]["bytes"])
        self.assertIsNone(helper["bytes"])
        self.assertIn("an extra argument", helper["reason"])
        self.assertEqual(30, len(shown["weights"]["layer_bytes"]))

    def test_people_read_the_same(self):
        text = self.berth("models", "show", "real").stdout
        self.assertLessEqual(max(map(len, text.splitlines())), WIDTH)
        self.assertRegex(text, r"(?m)^layers +30$")
        self.assertRegex(text, r"host: weights 92 MiB \+ cache 96 MiB \+ graph")
        self.assertIn("unknown before its first run", text)

    def test_a_model_that_is_not_there_is_answered_with_those_that_are(self):
        done = self.berth("models", "show", "reel")
        self.assertEqual(66, done.returncode)
        self.assertIn('there is no model "reel"; write "broken", "real", "story"', done.stderr)

    def test_a_broken_model_is_not_shown(self):
        done = self.berth("models", "show", "broken")
        self.assertEqual(65, done.returncode)
        self.assertIn("download the file again", done.stderr)


if __name__ == "__main__":
    unittest.main()
