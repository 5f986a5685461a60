# SPDX-License-Identifier: Apache-2.0
"""`berth config`: what a file may hold, as the page of the reference has it, and what is wrong with one."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

from harness import BIN, HERE

sys.path.insert(0, str(HERE.parents[1] / "scripts"))
import gen_config  # noqa: E402

RIGHT = '[pool.ram]\nkind = "host"\n[server.chat]\nkind = "llama-server"\nmodel = "none.gguf"\n'


class Config(unittest.TestCase):
    def new_folder(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return pathlib.Path(folder.name)

    def config(self, *arguments):
        return subprocess.run([BIN / "berth", "config", *map(str, arguments)], capture_output=True, text=True,
                              timeout=60, cwd=self.new_folder())

    def written(self, text):
        file = self.new_folder() / "berth.toml"
        file.write_text(text)
        return file

    def test_the_page_is_what_the_program_says(self):
        self.assertEqual(gen_config.PAGE.read_text(), gen_config.made_by(BIN / "berth"),
                         "run scripts/gen_config.py build/dev/bin/berth")

    def test_one_key_is_shown_wherever_it_stands(self):
        shown = self.config("keys", "max_hold", "--json")
        self.assertEqual(["[server.<name>], every kind", "[policy]"],
                         [section["section"] for section in json.loads(shown.stdout)])
        self.assertIn('time; default: "285s"', self.config("keys", "max_hold").stdout)

    def test_lines_fit_the_terminal(self):
        self.assertEqual([], [line for line in self.config("keys").stdout.splitlines() if len(line) > 80])

    def test_a_key_that_does_not_exist_is_named(self):
        refused = self.config("keys", "colour")
        self.assertEqual((66, 'berth: no key is called "colour"; `berth config keys` shows them all\n'),
                         (refused.returncode, refused.stderr))

    def test_a_right_file_is_said_to_be_right(self):
        file = self.written(RIGHT)
        self.assertEqual(f"{file}: nothing is wrong; pools: ram; servers: chat\n", self.config("check", "-c", file).stdout)
        answer = json.loads(self.config("check", "--json", "-c", file).stdout)
        self.assertEqual((["ram"], ["chat"]), (answer["pools"], answer["servers"]))

    def test_everything_that_is_wrong_is_said_at_once(self):
        file = self.written(RIGHT + "paralel = 2\n[policy]\npatience = 0\n")
        refused = self.config("check", "-c", file)
        self.assertEqual(78, refused.returncode)
        self.assertIn(f'{file}:6:1: [server.chat] has no key "paralel"; write "parallel"', refused.stderr)
        self.assertIn(f"{file}:8:12: patience is 0; write a whole number from 1 to 1000", refused.stderr)


if __name__ == "__main__":
    unittest.main()
