#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does what README tells a person to do: writes its berth.toml, runs its `berth` commands.

    readme_test.py README BIN_DIR SD_SERVER

The models' names become a real small LLM and a file for the stand-in of sd-server; ports become
free ones. Everything else is run as it stands there.
"""
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import tomllib

CONFIG_LINES_MAX = 15
SECONDS_MAX = 120
# The LLM's answer is cut short, and Berth goes into the background; README says both are possible.
ADDED = {"up": ["--detach"], "chat": ["--max-tokens", "16"]}


def block(readme, language, mark):
    """Returns the fenced block of that language which holds `mark`."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", readme, re.M | re.S)
    return next(text for text in blocks if mark in text)


def write_config(folder, text, model):
    config = tomllib.loads(text)
    for server in config["server"].values():
        place = folder / server["model"]
        place.parent.mkdir(exist_ok=True)
        if server["kind"] == "llama-server":
            place.symlink_to(model)
        else:
            place.write_text("the stand-in reads no model\n")
    free_ports = re.sub(r"^port = \d+", "port = 0", text, flags=re.M)
    (folder / "berth.toml").write_text('listen = "127.0.0.1:0"\n' + free_ports)


def run(folder, environment, words):
    print("$", shlex.join(words), flush=True)
    done = subprocess.run(words, cwd=folder, env=environment, text=True, stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=SECONDS_MAX)
    print(done.stdout + done.stderr, flush=True)
    if done.returncode != 0:
        raise SystemExit(f"{shlex.join(words)} ended with {done.returncode}")
    return done.stdout


def check(folder, words, output):
    if words[1] == "chat" and not output.strip():
        raise SystemExit("the chat was answered with nothing")
    if words[1] == "image" and not (folder / words[words.index("-o") + 1]).read_bytes().startswith(b"\x89PNG"):
        raise SystemExit("the picture is no PNG")


def main():
    readme, programs, sd_server = pathlib.Path(sys.argv[1]).read_text(), sys.argv[2], sys.argv[3]
    config, commands = block(readme, "toml", "[server."), block(readme, "sh", "berth up")
    if config.count("\n") > CONFIG_LINES_MAX:
        raise SystemExit(f"the berth.toml of README has more than {CONFIG_LINES_MAX} lines")
    with tempfile.TemporaryDirectory(prefix="berth-readme-", dir="/tmp") as name:
        folder = pathlib.Path(name)
        write_config(folder, config, os.environ["BERTH_TEST_MODEL"])
        environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "BERTH_STATE": f"{name}/state",
                       "BERTH_LLAMA_SERVER": os.environ["BERTH_TEST_LLAMA_SERVER"], "BERTH_SD_SERVER": sd_server}
        try:
            for line in commands.splitlines():
                words = shlex.split(line, comments=True)
                check(folder, words, run(folder, environment, words + ADDED.get(words[1], [])))
        except BaseException:
            for log in folder.glob("state/berth.log"):
                print(log.read_text()[-20000:])
            raise
        finally:
            run(folder, environment, ["berth", "down"])


if __name__ == "__main__":
    main()
