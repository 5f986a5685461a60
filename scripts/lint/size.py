#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that files and functions stay short enough to be read at once."""
import ast

import common
import cpp_functions

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
SHELL_LINES_MAX = 49  # longer ones are written in Python
# path, or path:function -> why it may be longer.
EXCEPTIONS = {
    "src/berth/config/config_test.cc:TEST(Config, EveryKeyIsRead)":
        "one text with every key, and what it gives: in pieces, a forgotten key would not be missed",
}


def python_functions(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, node.end_lineno - node.lineno + 1, node.name


def check(root):
    found = []
    for path in common.files(root, ["src", "apps", "tests", "bench", "scripts", "cmake", ".ci"]):
        is_cpp = path.endswith(common.CPP)
        is_shell = not is_cpp and common.is_shell(root, path)
        is_python = not is_cpp and common.is_python(root, path)
        if not (is_cpp or is_shell or is_python):
            continue
        text = common.read(root, path)
        lines, limit = text.count("\n"), SHELL_LINES_MAX if is_shell else FILE_LINES_MAX
        if lines > limit and path not in EXCEPTIONS:
            advice = "write it in Python" if is_shell else "split it"
            found.append(f"{path}: {lines} lines, at most {limit} are allowed; {advice}")
        functions = cpp_functions.functions(text) if is_cpp else python_functions(text) if is_python else []
        found += [f"{path}:{line}: {name} has {length} lines, at most {FUNCTION_LINES_MAX} are allowed"
                  for line, length, name in functions
                  if length > FUNCTION_LINES_MAX and f"{path}:{name}" not in EXCEPTIONS]
    return found


def long_function(head, lines=71, tail="}\n"):
    return head + " {\n" + "  f();\n" * (lines - 2) + tail


CPP_SAMPLE = (
    "// SPDX\nnamespace a {\n#define X(y) { \\\n  y\nstruct S : B { int x = 1; S() : x{3}, y_(2) { f(); } };\n"
    "const auto kTable = make({{1, \"}\"}, {'{', R\"(})\"}});\n"
    + long_function("template <class T>\nResult<int> S::draw(int a,\n                  T b) const", 69)
    + long_function("TEST(Suite, AName)", 71)
    + "class C {\n public:\n" + long_function("  C(int a) : a_(a), b_{1, 2}", 72, "  }\n") + "};\n"
    + long_function("const auto visit = [](int a)", 71, "};\n")
    + long_function("enum class E : int", 90, "};\n")
    + long_function("bool operator==(S a, S b)", 70) + "}\n")

CASES = [
    ("functions of C++, by name", {"src/berth/a.cc": CPP_SAMPLE}, [
        "src/berth/a.cc:7: S::draw has 71 lines, at most 70 are allowed",
        "src/berth/a.cc:78: TEST(Suite, AName) has 71 lines, at most 70 are allowed",
        "src/berth/a.cc:151: C has 72 lines, at most 70 are allowed",
        "src/berth/a.cc:224: visit has 71 lines, at most 70 are allowed"]),
    ("files", {"src/berth/a.h": "\n" * 601, "src/berth/b.h": "\n" * 600},
     ["src/berth/a.h: 601 lines, at most 600 are allowed; split it"]),
    ("functions of Python", {"scripts/a.py": "def f():\n" + "    pass\n" * 70},
     ["scripts/a.py:1: f has 71 lines, at most 70 are allowed"]),
    ("shell", {"scripts/a": "#!/bin/bash\n" + "true\n" * 49, "scripts/b": "#!/bin/sh\n" + "true\n" * 48},
     ["scripts/a: 50 lines, at most 49 are allowed; write it in Python"]),
]

if __name__ == "__main__":
    common.main(check, CASES)
