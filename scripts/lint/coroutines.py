#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that no lambda and no braced value is made inside a co_await expression.

GCC 12 copies such temporaries byte by byte into the coroutine's frame and destroys both, so strings
in them are freed twice. Give the value a name and move it in.
"""
import re

import common

LAMBDA = re.compile(r"(?<![\w\])])\[[^\[\]]*\]\s*(\(|\{|mutable|->)")
# `{}` and `{0}` hold nothing that is freed.
BRACED = re.compile(r"\{\s*(?!\d+\s*\})[^\s{}]")


def expression(code, at):
    """Returns the text from `at` to the end of its statement or of the parentheses around it."""
    depth = 0
    for i in range(at, len(code)):
        if code[i] in "([{":
            depth += 1
        elif code[i] in ")]}":
            depth -= 1
        if depth < 0 or (depth == 0 and code[i] == ";"):
            return code[at:i]
    return code[at:]


def check(root):
    found = []
    for path in common.files(root, ["src", "apps", "tests", "bench"]):
        if not path.endswith((".h", ".cc")):
            continue
        code = common.without_comments(common.read(root, path), keep_strings=False)
        for match in re.finditer(r"\bco_await\b", code):
            awaited = expression(code, match.end())
            what = "a lambda" if LAMBDA.search(awaited) else "a braced value" if BRACED.search(awaited) else None
            if what:
                found.append(f"{path}:{common.line_of(code, match.start())}: {what} is made inside co_await; "
                             "name it first and move it in")
    return found


def case(name, line, *findings):
    return (name, {"src/berth/a.cc": f"// x\n{line}\n"}, [f"src/berth/a.cc:{f}; name it first and move it in"
                                                          for f in findings])


CASES = [
    case("a lambda", "auto x = co_await on_thread([a, b] { return f(a); });", "2: a lambda is made inside co_await"),
    case("inside another call", "g(co_await f(\n  [&]() -> int { return 1; }), 2);",
         "2: a lambda is made inside co_await"),
    case("a braced value", 'co_await send(Request{.method = "GET"});', "2: a braced value is made inside co_await"),
    case("a bare list", "co_await wait_any({&a, &b});", "2: a braced value is made inside co_await"),
    case("names, indices and empty braces", "auto x = co_await f(a[1], {}, Id{0}, std::move(work));\nauto g = [] { return 1; };"),
    case("what follows is its own statement", "if (co_await f()) { g({1}); }"),
    case("comments and strings", 'co_await f("{x}");  // never {a}'),
]

if __name__ == "__main__":
    common.main(check, CASES)
