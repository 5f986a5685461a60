# SPDX-License-Identifier: Apache-2.0
"""What every lint shares: walking the tree, reading C++ without its comments, self-tests.

A lint is a module with `check(root)`, which returns findings, and `CASES`, small bad trees with the
exact findings that they must give. A lint that cannot fail proves nothing, so ctest runs both.
"""
import argparse
import os
import pathlib
import re
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
CPP = (".h", ".cc", ".def")
SKIPPED_FOLDERS = ("build", "__pycache__", "node_modules")
# A comment, or a string or character literal. An apostrophe between digits is no literal.
CPP_TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"([^\s()\\]*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'", re.S)


def files(root, below=(".",)):
    """Yields the paths (relative, with slashes) of all files below these folders, in order."""
    found = set()
    for folder in below:
        for here, folders, names in os.walk(root / folder):
            folders[:] = [f for f in folders
                          if f not in SKIPPED_FOLDERS and (not f.startswith(".") or f == ".ci")]
            found.update(pathlib.Path(here, name).relative_to(root).as_posix() for name in names)
    return sorted(found)


def read(root, path):
    return (root / path).read_text(encoding="utf-8", errors="replace")


def is_shell(root, path):
    first = read(root, path).split("\n", 1)[0]
    return path.endswith(".sh") or bool(re.match(r"#!.*\b(ba)?sh\b", first))


def is_python(root, path):
    first = read(root, path).split("\n", 1)[0]
    return path.endswith(".py") or bool(re.match(r"#!.*\bpython", first))


def line_of(text, at):
    return text.count("\n", 0, at) + 1


def without_comments(text, keep_strings=True):
    """Returns C++ with comments (and strings, if wanted) blanked out; lines stay where they are."""
    def blank(match):
        token = match.group(0)
        is_comment = token.startswith(("//", "/*"))
        if keep_strings and not is_comment:
            return token
        hidden = re.sub(r"[^\n]", " ", token)
        return hidden if is_comment or len(hidden) < 2 else '"' + hidden[1:-1] + '"'
    return CPP_TOKEN.sub(blank, text)


def includes(text):
    """Yields (line, what stands between the quotes or angle brackets, is it in quotes)."""
    for match in re.finditer(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]',
                             without_comments(text), re.M):
        yield line_of(text, match.start()), match.group(2), match.group(1) == '"'


def write_tree(folder, tree):
    for path, content in tree.items():
        place = pathlib.Path(folder, path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content, encoding="utf-8")


def self_test(check, cases):
    """Returns the number of cases (name, tree, findings) that gave something else."""
    failures = 0
    for name, tree, expected in cases:
        with tempfile.TemporaryDirectory(prefix="berth-lint-") as folder:
            write_tree(folder, tree)
            found = check(pathlib.Path(folder))
        if found != expected:
            failures += 1
            print(f"{name}:\n  expected: {expected}\n  found:    {found}")
    print(f"{len(cases)} cases, {failures} failed")
    return failures


def main(check, cases, more_arguments=lambda parser: None, more_self_tests=lambda: 0):
    """Runs the lint on the tree, or its self-test. `check` may take the parsed arguments too."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=pathlib.Path, default=ROOT)
    parser.add_argument("--self-test", action="store_true")
    more_arguments(parser)
    arguments = parser.parse_args()
    if arguments.self_test:
        sys.exit(1 if self_test(check, cases) + more_self_tests() else 0)
    takes_arguments = check.__code__.co_argcount > 1
    found = check(arguments.root, arguments) if takes_arguments else check(arguments.root)
    for finding in found:
        print(finding)
    print(f"{len(found)} findings")
    sys.exit(1 if found else 0)
