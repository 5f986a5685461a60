#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the folder of the client libraries that tests use: python/ (openai) and node/node_modules/
(openai, @anthropic-ai/sdk). They are fetched once, with everything they need, in fixed versions,
into ${XDG_CACHE_HOME:-~/.cache}/berth. Progress goes to stderr.
"""
import hashlib
import json
import shutil
import subprocess
import sys

from fetch_llama import Unavailable, fetched, one_at_a_time

# Newer ones of node's need a newer node than Debian 12 has (18).
NODE = ["openai@6.10.0", "@anthropic-ai/sdk@0.71.0", "json-schema-to-ts@3.1.1", "ts-algebra@2.0.0",
        "@babel/runtime@7.29.15"]
PYTHON = ["openai==3.57.0", "annotated-types==0.8.0", "anyio==4.16.0", "h11==0.16.0",
          "httpcore2==2.16.2", "httpx2==2.16.2", "idna==3.20", "jiter==0.19.0", "pydantic==2.14.4",
          "pydantic-core==2.50.5", "sniffio==1.3.1", "truststore==0.10.5",
          "typing-extensions==4.16.0", "typing-inspection==0.4.5"]


def say(text):
    print(f"fetch_sdks: {text}", file=sys.stderr, flush=True)


def run(what, command, **options):
    say(f"downloading {what} (once)")
    if shutil.which(command[0]) is None:
        raise Unavailable(f"{command[0]} is missing: scripts/setup installs it")
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                          **options)
    if done.returncode != 0:
        raise Unavailable(f"{command[0]} could not fetch {what}:\n{done.stderr.strip()[-2000:]}")


def build(into):
    run("openai for Python", [
        sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--only-binary=:all:", "--target", str(into / "python"), *PYTHON])
    node = into / "node"
    node.mkdir()
    (node / "package.json").write_text(json.dumps({"private": True}))
    # Their scripts are not run: what they are is what is tested.
    run("openai and @anthropic-ai/sdk for node", [
        "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock",
        "--save-exact", "--loglevel=error", *NODE], cwd=node)


def main():
    # Wheels are those of the Python that runs the tests.
    python = "{}.{}".format(*sys.version_info)
    name = hashlib.sha256(" ".join([python, *PYTHON, *NODE]).encode()).hexdigest()[:12]
    try:
        with one_at_a_time():
            print(fetched(f"sdks-{name}", build))
        return 0
    except (Unavailable, OSError) as error:
        say(error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
