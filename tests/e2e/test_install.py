# SPDX-License-Identifier: Apache-2.0
"""An installed Berth: a program of five lines finds its package, builds, and runs a server."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import BIN, HERE, MIB


class Installed(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="berth-install-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def run_all(self, *commands, environment=None):
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, timeout=300,
                                  env=environment)
            self.assertEqual(0, done.returncode, f"{command}\n{done.stdout}\n{done.stderr}")

    def config(self):
        model = self.folder / "llm.gguf"
        model.write_bytes(b"x")
        os.truncate(model, 100 * MIB)
        path = self.folder / "berth.toml"
        path.write_text(f'''
listen = "127.0.0.1:0"
state = "{self.folder}/s"
[pool.memory]
kind = "capped"
capacity = "300MiB"
[models]
entries = {{llm = "{model}"}}
''')
        return path

    def test_a_program_of_five_lines_builds_against_it_and_runs_a_server(self):
        prefix, build = self.folder / "prefix", self.folder / "build"
        self.run_all(
            ["cmake", "--install", BIN.parent, "--prefix", prefix],
            ["cmake", "-G", "Ninja", "-S", HERE / "consumer", "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}"],
            ["cmake", "--build", build])
        # The keeper is found in PATH: nothing of the build tree is used any more.
        self.run_all([build / "consumer", self.config()], environment={
            **os.environ, "PATH": f"{prefix}/bin:{os.environ['PATH']}",
            "BERTH_LLAMA_SERVER": str(BIN / "llama-server-standin")})

    def test_only_the_public_headers_are_installed(self):
        prefix = self.folder / "prefix"
        self.run_all(["cmake", "--install", BIN.parent, "--prefix", prefix])
        root = prefix / "include/berth"
        found = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
        folders = {name.split("/")[0] for name in found}
        self.assertEqual({"berth.h", "base", "client", "http"}, folders)
        self.assertEqual({"http/async.h", "http/client.h", "http/message.h"},
                         {name for name in found if name.startswith("http/")})


if __name__ == "__main__":
    unittest.main()
