#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that the documents are true where a program can tell: links, commands, error codes."""
import re
import shlex
import sys

import common

sys.path.insert(0, str(common.ROOT / "scripts"))
import gen_errors  # noqa: E402

# Every command that README shows -> (a file that runs it, words of that file that do so).
README_TEST = ("tests/lint/readme_test.py", 'block(readme, "sh", "berth up")')  # runs the whole block
COMMANDS = {
    "./scripts/test": (".ci/run", "./scripts/test"),
    "./scripts/demo": ("tests/e2e/CMakeLists.txt", "foreach(command demo build)"),
    "./scripts/build": ("tests/e2e/CMakeLists.txt", "foreach(command demo build)"),
    "berth up": README_TEST,
    "berth chat": README_TEST,
    "berth image": README_TEST,
}


def check_links(root):
    found = []
    for path in common.files(root):
        if not path.endswith(".md"):
            continue
        text = re.sub(r"^```.*?^```", lambda code: "\n" * code.group(0).count("\n"), common.read(root, path),
                      flags=re.M | re.S)
        for match in re.finditer(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", text):
            target = (match.group(1) or match.group(2)).split("#")[0]
            if not target or re.match(r"[a-z]+:", target):
                continue
            if not (root / path).parent.joinpath(target).exists():
                found.append(f"{path}:{common.line_of(text, match.start())}: {target} does not exist")
    return found


def shown_commands(text):
    """Yields (line, command without its free arguments): "berth image" of `berth image -o x.png "..."`."""
    for block in re.finditer(r"^```sh\n(.*?)^```", text, re.M | re.S):
        for number, line in enumerate(block.group(1).split("\n"), common.line_of(text, block.start(1))):
            words = shlex.split(line, comments=True)
            if words and words[0].startswith("./"):
                yield number, words[0]
            elif words and words[0].rsplit("/", 1)[-1] == "berth":
                yield number, " ".join(["berth", *words[1:2]])


def check_commands(root):
    found = []
    if not (root / "README.md").exists():
        return found
    for line, command in shown_commands(common.read(root, "README.md")):
        where = f"README.md:{line}: {command}"
        if command not in COMMANDS:
            found.append(f"{where}: no test runs it; name one in scripts/lint/docs.py")
            continue
        path, words = COMMANDS[command]
        if not (root / path).exists() or words not in common.read(root, path):
            found.append(f"{where}: {path} should run it, but does not hold `{words}`")
    return found


def check_errors(root):
    if not (root / gen_errors.SOURCE).exists():
        return []
    wanted = gen_errors.page(common.read(root, gen_errors.SOURCE))
    is_same = (root / gen_errors.TARGET).exists() and common.read(root, gen_errors.TARGET) == wanted
    return [] if is_same else [f"{gen_errors.TARGET} is out of date; run scripts/gen_errors.py"]


def check(root):
    return check_links(root) + check_commands(root) + check_errors(root)


if __name__ == "__main__":
    import docs_cases
    common.main(check, docs_cases.CASES)
