#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the tables of docs/reference/configuration.md from what `berth config keys --json` says.

    gen_config.py BERTH
"""
import json
import pathlib
import re
import subprocess
import sys

PAGE = pathlib.Path(__file__).resolve().parents[1] / "docs" / "reference" / "configuration.md"
HEAD = "| key | type | default | meaning |\n|---|---|---|---|\n"


def quoted(text):
    """Words as they stand in the file are code: "try" becomes `"try"`."""
    return re.sub(r'("[^"]*")', r"`\1`", text)


def default_of(key):
    if key["required"]:
        return "must be there"
    text = key["default"] or "none"
    return f"`{text}`" if re.fullmatch(r"[\d.]+|true|false|\[\]", text) else quoted(text)


def table(keys):
    return HEAD + "".join(f"| `{key['name']}` | {quoted(key['type'])} | {default_of(key)} | {key['meaning']} |\n"
                          for key in keys)


def page(text, sections):
    """The page with the table under each section's heading made anew. A section without a heading is an error."""
    for section in sections:
        headings = {line.group(1).replace("`", ""): line.end() for line in re.finditer(r"^## (.*)$", text, re.M)}
        start = text.index(HEAD, headings[section["section"]])
        end = re.compile(r"^(?!\|)", re.M).search(text, start).start()
        text = text[:start] + table(section["keys"]) + text[end:]
    return text


def made_by(berth):
    """The page as it must be for this program."""
    answer = subprocess.run([berth, "config", "keys", "--json"], check=True, capture_output=True, text=True)
    return page(PAGE.read_text(), json.loads(answer.stdout))


if __name__ == "__main__":
    PAGE.write_text(made_by(sys.argv[1]))
    print(f"wrote {PAGE.name}")
