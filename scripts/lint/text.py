#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks what any line may hold: licence, open ends, sleeps, paths of one machine, width."""
import re

import common

SPDX = "SPDX-License-Identifier: Apache-2.0"
CPP_COLUMNS_MAX = 100
SLEEP = r"\b(?:std::this_thread::)?sleep_(?:for|until)\b|\busleep\s*\(|\bnanosleep\s*\(|\btime\.sleep\s*\("
# Written so that nothing here matches a rule.
OPEN = "TO" "DO"
NEEDS_ISSUE = f"write {OPEN}(#123): sentence, with the number of its issue"
NO_MARK = f"open an issue and write {OPEN}(#123): sentence"
NO_SLEEP = "wait for what is to happen, not for a length of time"
# (pattern, files it is looked for in, message)
RULES = [
    (rf"\b{OPEN}\b(?!\(#\d+\): \S)", r".*", NEEDS_ISSUE),
    (r"\b(?:FIX[M]E|X[X]X)\b", r".*", NO_MARK),
    (SLEEP, r"(src|apps|tests|bench)/.*", NO_SLEEP),
    # /home/ann is the made-up user of tests and documents.
    (r"(?<![\w.\-~}])/(?:(?:work|root)/|home/(?!ann\b)\w+)", r".*", "a path of one machine"),
    (r"\b(?:pypi|pythonhosted|npmjs|crates|anaconda|docker|quay|ghcr)\.(?:org|io|com)\b"
     r"|\bproxy\.golang\b|\bregistry\.\w+\.\w+", r".*",
     "the host name of a registry; use the client's own setting"),
]
# path -> {message: why it may be there}
EXCEPTIONS = {
    "src/berth/process/alive_lock.cc": {
        NO_SLEEP: "flock has no time limit; 100 tries of 1 ms, once, before anything else runs"},
}
TEXT_FILES = (*common.CPP, ".py", ".md", ".txt", ".cmake", ".json", ".toml", ".yaml", ".yml", ".sh", ".sql")
NAMES = ("CMakeLists.txt", ".clang-format", ".clang-tidy")


def needs_licence(root, path):
    is_cmake = path.endswith((".cmake", "CMakeLists.txt"))
    return path.endswith(common.CPP) or is_cmake or common.is_python(root, path) or common.is_shell(root, path)


def check_licence(root, path, text):
    if not needs_licence(root, path):
        return []
    lines = text.split("\n", 2)
    first = lines[1] if lines[0].startswith("#!") and len(lines) > 1 else lines[0]
    mark = "//" if path.endswith(common.CPP) else "#"
    if first == f"{mark} {SPDX}":
        return []
    return [f"{path}:1: the first line must be `{mark} {SPDX}`"]


def check_rules(path, text):
    found = []
    for pattern, where, message in RULES:
        if not re.fullmatch(where, path) or message in EXCEPTIONS.get(path, {}):
            continue
        found += [f"{path}:{common.line_of(text, match.start())}: {match.group(0)}: {message}"
                  for match in re.finditer(pattern, text)]
    return found


def check(root):
    found = []
    for path in common.files(root):
        is_script = "." not in path.rsplit("/", 1)[-1]
        if not (path.endswith(TEXT_FILES) or path.endswith(NAMES) or is_script):
            continue
        text = common.read(root, path)
        found += check_licence(root, path, text) + check_rules(path, text)
        if path.endswith(common.CPP):
            found += [f"{path}:{number}: {len(line)} columns, at most {CPP_COLUMNS_MAX} are allowed"
                      for number, line in enumerate(text.split("\n"), 1) if len(line) > CPP_COLUMNS_MAX]
    return found


def case(name, path, line, *findings):
    mark = "//" if path.endswith(common.CPP) else "#"
    return (name, {path: f"{mark} {SPDX}\n{line}\n"}, list(findings))


WORK, ROOT_FOLDER, PYTHON_SITE = "/wo" "rk/", "/ro" "ot/", "py" "pi.org"
CASES = [
    ("the licence comes first", {
        "src/a.cc": "\n", "scripts/a": f"#!/bin/bash\n# {SPDX}\n", "scripts/b": "#!/bin/bash\nset -eu\n",
        "CMakeLists.txt": "project(x)\n", "tests/a.py": f"# {SPDX}\n"}, [
        f"CMakeLists.txt:1: the first line must be `# {SPDX}`",
        f"scripts/b:1: the first line must be `# {SPDX}`",
        f"src/a.cc:1: the first line must be `// {SPDX}`"]),
    case("an open end has an issue", "src/a.cc", f"// {OPEN}(#12): count them.\n// {OPEN}: count them.",
         f"src/a.cc:3: {OPEN}: {NEEDS_ISSUE}"),
    case("no other marks", "docs/a.py", "# FIX" "ME\n# X" "XX",
         f"docs/a.py:2: FIX" f"ME: {NO_MARK}",
         f"docs/a.py:3: X" f"XX: {NO_MARK}"),
    case("a pattern of mkdtemp is no mark", "src/a.cc", 'auto p = "/tmp/berth-XXXXXX";'),
    case("no sleeps", "tests/a_test.cc", "std::this_thread::sleep_" "for(1ms);",
         f"tests/a_test.cc:2: std::this_thread::sleep_" f"for: {NO_SLEEP}"),
    case("nor in Python", "tests/a.py", "time" ".sleep(1)", f"tests/a.py:2: time" f".sleep(: {NO_SLEEP}"),
    case("scripts may wait", "scripts/a.py", "time" ".sleep(1)"),
    case("no paths of one machine", "src/a.cc", f'f("{WORK}x", "{ROOT_FOLDER}y", "/home/ann/z", "/home/' 'bob");',
         f"src/a.cc:2: {WORK}: a path of one machine", f"src/a.cc:2: {ROOT_FOLDER}: a path of one machine",
         "src/a.cc:2: /home/" "bob: a path of one machine"),
    case("no registries", "scripts/a.py", f"URL = 'https://{PYTHON_SITE}/simple'",
         f"scripts/a.py:2: {PYTHON_SITE}: the host name of a registry; use the client's own setting"),
    case("C++ is 100 wide", "src/a.h", "é" * 100 + "\n" + "x" * 101,
         "src/a.h:3: 101 columns, at most 100 are allowed"),
]

if __name__ == "__main__":
    common.main(check, CASES)
