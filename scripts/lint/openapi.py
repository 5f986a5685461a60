#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that docs/reference/openapi.yaml has each route of the control API, and no other."""
import re

import common

ROUTES = "src/berth/gateway/routes.cc"
DOCUMENT = "docs/reference/openapi.yaml"
DOCUMENTED = ("/api/", "/metrics", "/v1/images/")
# A row of kRoutes: a call or a Route{...}, with or without a method before its path.
ROW = re.compile(r'\b(\w+)[({](?:"([A-Z]+)",\s*)?"(/[^"]+)"')


def routes(code):
    """Returns {(method, path): line} of the table kRoutes."""
    table = re.search(r"kRoutes\{.*?^\};", code, re.M | re.S)
    if not table:
        return {}
    found = {}
    for row in ROW.finditer(table.group(0)):
        method = row.group(2) or ("GET" if row.group(1) == "read" else "POST")
        if row.group(3).startswith(DOCUMENTED):
            found[method, row.group(3)] = common.line_of(code, table.start() + row.start())
    return found


def documented(text):
    """Returns {(method, path): line} of the paths of the document, which is written in two-space steps."""
    found, path, inside = {}, None, False
    for number, line in enumerate(text.split("\n"), 1):
        if re.match(r"\S", line):
            inside = line == "paths:"
        elif match := re.match(r"  (/\S+):$", line):
            path = match.group(1)
        elif inside and (match := re.match(r"    (get|post|put|patch|delete):$", line)):
            found[match.group(1).upper(), path] = number
    return found


def check(root):
    if not (root / ROUTES).exists() or not (root / DOCUMENT).exists():
        return []
    code = routes(common.without_comments(common.read(root, ROUTES)))
    page = documented(common.read(root, DOCUMENT))
    found = [f"{ROUTES}:{line}: {method} {path} is missing in {DOCUMENT}"
             for (method, path), line in code.items() if (method, path) not in page]
    return found + [f"{DOCUMENT}:{line}: there is no {method} {path} in {ROUTES}"
                    for (method, path), line in page.items() if (method, path) not in code]


TABLE = ('constexpr Route read(int x) { return {"GET", "/api/v1/no"}; }\nconstexpr std::array kRoutes{\n'
         '    llm("/v1/completions"),\n    read("/api/v1/a", Act::a),\n    // read("/api/v1/old"),\n'
         '    named("DELETE", "/api/v1/b/{name}",\n          Act::b),\n    owned("/api/v1/c", Act::c),\n};\n')
CASES = [
    ("routes and document", {
        ROUTES: TABLE,
        DOCUMENT: "paths:\n  /api/v1/a:\n    get:\n      x: 1\n  /api/v1/b/{name}:\n    get:\n  /api/v1/d:\n    post:\n"
                  "components:\n  /api/v1/e:\n    get:\n"},
     [f"{ROUTES}:6: DELETE /api/v1/b/{{name}} is missing in {DOCUMENT}",
      f"{ROUTES}:8: POST /api/v1/c is missing in {DOCUMENT}",
      f"{DOCUMENT}:6: there is no GET /api/v1/b/{{name}} in {ROUTES}",
      f"{DOCUMENT}:8: there is no POST /api/v1/d in {ROUTES}"]),
]

if __name__ == "__main__":
    common.main(check, CASES)
