#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes docs/reference/errors.md from src/berth/base/error_codes.def, the one list of error codes.

    gen_errors.py [ROOT]
"""
import pathlib
import re
import sys

SOURCE = "src/berth/base/error_codes.def"
TARGET = "docs/reference/errors.md"
HEAD = """# Error codes

Made by `scripts/gen_errors.py` from `src/berth/base/error_codes.def`; do not edit.

Programs read the code's name: it stands in every error reply (`error.code`, with a sentence in `error.message`),
in the journal and in the output of `berth --json`. Names and numbers do not change.
"HTTP" is the status of a reply that carries the code, "exit" the exit status of a `berth` command that ends with it.
A command whose output cannot be written ends with 74 too; it says why, unless only the reader of its pipe has left.

| code | number | HTTP | exit | meaning |
|---|---|---|---|---|
"""


def codes(text):
    """Returns (name, number, http, exit, sentence) of every code, in the order of the file."""
    return re.findall(r'^BERTH_ERROR\((\w+), (\d+), (\d+), (\d+), "([^"]*)"\)', text, re.M)


def page(text):
    rows = [f"| `{name}` | {number} | {http} | {leave} | {sentence} |\n"
            for name, number, http, leave, sentence in codes(text)]
    return HEAD + "".join(rows)


if __name__ == "__main__":
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[1]
    (root / TARGET).write_text(page((root / SOURCE).read_text()))
    print(f"wrote {TARGET}")
