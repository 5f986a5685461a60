# SPDX-License-Identifier: Apache-2.0
"""Finds the functions of a C++ file by its braces; enough for code that clang-format laid out."""
import re

import common

SCOPE = re.compile(r"^(inline\s+)?(namespace\b|extern\s+\"|(template\s*<.*>\s*)?"
                   r"(class|struct|union|enum)\b)", re.S)
# `Name(int a) : first_(a), second_{` opens a member's braces, not the body.
MEMBER = re.compile(r"\)\s*(noexcept\s*)?:(?!:).*[\w>]\s*$", re.S)


def closing(code, at):
    """Returns the position of the brace that closes the one at `at`."""
    depth = 0
    for i in range(at, len(code)):
        if code[i] == "{":
            depth += 1
        elif code[i] == "}":
            depth -= 1
            if depth == 0:
                return i
    return len(code) - 1


def parens_balance(head):
    return head.count("(") == head.count(")")


def name_of(head):
    head = re.sub(r"\[\[.*?\]\]", " ", head)
    head = re.sub(r"^\s*template\s*<[^{;]*?>\s*(?=\w)", "", head)
    macro = re.match(r"\s*([A-Z_]{2,}\w*)\s*(\([^)]*\))", head)
    if macro:
        return macro.group(1) + re.sub(r"\s+", " ", macro.group(2))
    variable = re.match(r"[^(]*?(\w+)\s*=", head)
    if variable:
        return variable.group(1)
    named = re.search(r"([\w:~]*operator\s*(?:\(\)|[^\s(]+)|[\w:~<>]+)\s*\(", head)
    return named.group(1) if named else head.strip()[:40]


def functions(text):
    """Yields (first line, lines, name) of every function that has a body, in order."""
    code = common.without_comments(text, keep_strings=False)
    # A directive is no code; with its backslashes it may span lines.
    code = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*",
                  lambda match: re.sub(r"[^\n]", " ", match.group(0)), code, flags=re.M)
    at = head_start = 0
    while at < len(code):
        sign = code[at]
        if sign in ";}" and parens_balance(code[head_start:at]):
            head_start = at + 1
        elif sign == ":" and re.search(r"\b(public|private|protected)\s*$", code[head_start:at]):
            head_start = at + 1
        elif sign == "{":
            head = code[head_start:at]
            if SCOPE.match(head.strip()) and not head.rstrip().endswith(")"):
                head_start = at + 1  # look inside
            elif "(" not in head or not parens_balance(head) or MEMBER.search(head):
                at = closing(code, at)  # a value in braces
            else:
                end = closing(code, at)
                first = common.line_of(code, head_start + len(head) - len(head.lstrip()))
                yield first, common.line_of(code, end) - first + 1, name_of(head)
                at, head_start = end, end + 1
        at += 1
