#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that a folder of src/berth includes only what stands below it (ARCHITECTURE.md, Folders)."""
import re

import common

# What a folder may include besides its own headers. An entry with a slash is one header or, with a
# star, all headers of a folder; every folder may include base.
LAYERS = {
    "base": [],
    "core": [],
    "models": [],
    "config": ["core"],
    "probe": [],
    "process": [],
    "http": [],
    # A server kind turns typed options into a process and requests into its own: it needs both.
    "servers": ["core", "config", "models", "process", "http"],
    "store": ["core"],
    "host": ["core", "models", "config", "probe", "process", "http", "servers", "store"],
    # The interface of host hands out an Adapter (where requests go) and the core's values (status,
    # reasons), so these are part of what host exposes. Nothing else of servers is.
    "gateway": ["host", "http", "config", "core", "servers/adapter.h", "plan", "client/replies.h"],
    "client": ["http"],
    # What would fit: the same words for the command line and the control API.
    "plan": ["core", "config", "client/replies.h", "host", "probe"],
    # Berth in a program: the gateway and host of `berth up`, and the client that everybody has.
    "embed": ["berth.h", "client", "config", "gateway", "host", "http", "models", "probe", "process"],
    "berth.h": ["client"],
    "pipeline": ["client", "config"],
    "sim": ["core"],
}
# The keeper is the other half of process/: they share the layout of the keeper's directory.
PRIVATE_ALLOWED = {"apps/berth-keeper": "process"}


def may_include(folder, header):
    target = header.split("/")[0]
    if target in (folder, "base"):
        return True
    return any(entry in (target, header) for entry in LAYERS[folder])


def public_headers(root, folder):
    """Returns the HEADERS of the folder's CMakeLists.txt, or nothing if it has none yet."""
    place = root / "src/berth" / folder / "CMakeLists.txt"
    if not place.exists():
        return None
    match = re.search(r"\bHEADERS\s+([^A-Z)]+)", place.read_text())
    return set(match.group(1).split()) if match else None


def check_layer(path, line, header, is_quoted):
    folder = path.split("/")[2]
    if not header.startswith("berth/"):
        return [f'{path}:{line}: "{header}" lies outside src; write "berth/<folder>/<file>.h"'
                ] if is_quoted else []
    if not is_quoted:
        return [f'{path}:{line}: write "{header}" in quotes']
    inner = header.removeprefix("berth/")
    if may_include(folder, inner):
        return []
    allowed = ", ".join(sorted({"base", *LAYERS[folder]}))
    return [f"{path}:{line}: {folder} may not include {header}; it may include: {allowed}"]


def check_app(root, path, line, header):
    """Programs and the tests above include what a folder offers, not its private headers."""
    parts = header.removeprefix("berth/").split("/")
    if not header.startswith("berth/") or len(parts) != 2:
        return []
    folder, name = parts
    allowed = PRIVATE_ALLOWED.get("/".join(path.split("/")[:2]))
    public = public_headers(root, folder)
    if public is None or name in public or folder == allowed:
        return []
    return [f"{path}:{line}: {header} is private to {folder}; its HEADERS in CMake do not name it"]


def check(root):
    found = []
    for path in common.files(root, ["src", "apps", "tests", "bench"]):
        if not path.endswith(common.CPP):
            continue
        parts = path.split("/")
        in_folder = parts[:2] == ["src", "berth"] and len(parts) > 3
        if in_folder and parts[2] not in LAYERS:
            found.append(f"{path}: folder {parts[2]} is in no layer; add it to scripts/lint/layers.py")
            continue
        for line, header, is_quoted in common.includes(common.read(root, path)):
            if in_folder:
                found += check_layer(path, line, header, is_quoted)
            elif parts[0] != "src":
                found += check_app(root, path, line, header)
    return found


def case(name, path, include, *findings):
    return (name, {path: f"// x\n#include {include}\n",
                   "src/berth/process/CMakeLists.txt": "berth_library(process HEADERS a.h b.h\n)"},
            list(findings))


CASES = [
    case("a layer may include what is below", "src/berth/servers/a.cc", '"berth/http/async.h"'),
    case("the core knows only base", "src/berth/core/a.cc", '"berth/http/async.h"',
         "src/berth/core/a.cc:2: core may not include berth/http/async.h; it may include: base"),
    case("gateway sees the seam of servers", "src/berth/gateway/a.cc", '"berth/servers/adapter.h"'),
    case("and not one server kind", "src/berth/gateway/a.cc", '"berth/servers/sd_server.h"',
         "src/berth/gateway/a.cc:2: gateway may not include berth/servers/sd_server.h; it may "
         "include: base, client/replies.h, config, core, host, http, plan, servers/adapter.h"),
    case("nothing above is included", "src/berth/host/a.cc", '"berth/gateway/gateway.h"',
         "src/berth/host/a.cc:2: host may not include berth/gateway/gateway.h; it may include: base,"
         " config, core, http, models, probe, process, servers, store"),
    case("headers outside src are no headers", "src/berth/http/a.cc", '"../tests/a.h"',
         'src/berth/http/a.cc:2: "../tests/a.h" lies outside src; write "berth/<folder>/<file>.h"'),
    case("one way to write an include", "src/berth/http/a.cc", "<berth/base/bytes.h>",
         'src/berth/http/a.cc:2: write "berth/base/bytes.h" in quotes'),
    case("an include in a comment is none", "src/berth/core/a.cc", '/* */\n// #include "berth/http/a.h"'),
    case("a folder without a layer", "src/berth/util/a.cc", "<string>",
         "src/berth/util/a.cc: folder util is in no layer; add it to scripts/lint/layers.py"),
    case("programs use public headers", "apps/berth/main.cc", '"berth/process/b.h"'),
    case("and no private ones", "apps/berth/main.cc", '"berth/process/c.h"',
         "apps/berth/main.cc:2: berth/process/c.h is private to process; its HEADERS in CMake do not "
         "name it"),
    case("but the keeper may", "apps/berth-keeper/main.cc", '"berth/process/c.h"'),
]

if __name__ == "__main__":
    common.main(check, CASES)
