#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that headers which take seconds to parse, and libraries that may change, stay in their folder.

Parsing costs, measured with g++ 12.2: beast 7.1 s, spdlog 4.8 s, asio 4.5 s, CLI11 3.8 s, toml++ 2.1 s.
"""
import re

import common

# The one precompiled header of Asio and Beast, and the file that makes it.
PRECOMPILED = r"src/berth/pch\.(h|cc)"
# (header, files that may include it, where it belongs)
RULES = [
    (r"boost/beast(/.*|\.hpp)", rf"src/berth/http/.*|{PRECOMPILED}", "only http/ includes Beast"),
    (r"boost/asio(/.*|\.hpp)", rf"src/berth/(http|process|host)/.*|{PRECOMPILED}",
     "only http/, process/ and host/ include Asio; berth/http/async.h has Task"),
    (r"toml\+\+/.*|toml\.hpp", r"src/berth/config/[^/]*\.cc", "only config/*.cc include toml++"),
    (r"sqlite3\.h", r"src/berth/store/.*", "only store/ includes SQLite"),
    (r"CLI/.*", r"apps/.*", "only apps/ include CLI11"),
]


def check(root):
    found = []
    loggers = []
    for path in common.files(root, ["src", "apps", "tests", "bench"]):
        if not path.endswith(common.CPP):
            continue
        for line, header, _ in common.includes(common.read(root, path)):
            for pattern, allowed, sentence in RULES:
                if re.fullmatch(pattern, header) and not re.fullmatch(allowed, path):
                    found.append(f"{path}:{line}: <{header}>: {sentence}")
            if header.startswith("spdlog/") and path not in loggers:
                loggers.append(path)
    if len(loggers) > 1:
        found.append(f"spdlog is seen by one file at most, not by {', '.join(loggers)}")
    return found


def case(name, tree, *findings):
    return (name, {path: f"// x\n#include <{header}>\n" for path, header in tree.items()}, list(findings))


CASES = [
    case("Beast belongs to http", {"src/berth/http/a.cc": "boost/beast/http.hpp",
                                   "src/berth/host/a.cc": "boost/beast.hpp"},
         "src/berth/host/a.cc:2: <boost/beast.hpp>: only http/ includes Beast"),
    case("Asio belongs to http, process and host",
         {"src/berth/process/a.h": "boost/asio.hpp", "src/berth/pch.h": "boost/asio.hpp",
          "src/berth/gateway/a.h": "boost/asio/awaitable.hpp"},
         "src/berth/gateway/a.h:2: <boost/asio/awaitable.hpp>: only http/, process/ and host/ include "
         "Asio; berth/http/async.h has Task"),
    case("toml++ is in no header", {"src/berth/config/a.cc": "toml++/toml.h",
                                    "src/berth/config/a.h": "toml++/toml.h"},
         "src/berth/config/a.h:2: <toml++/toml.h>: only config/*.cc include toml++"),
    case("SQLite belongs to store", {"src/berth/store/a.h": "sqlite3.h", "src/berth/host/a.cc": "sqlite3.h"},
         "src/berth/host/a.cc:2: <sqlite3.h>: only store/ includes SQLite"),
    case("CLI11 belongs to programs", {"apps/berth/a.cc": "CLI/CLI.hpp", "src/berth/client/a.cc": "CLI/App.hpp"},
         "src/berth/client/a.cc:2: <CLI/App.hpp>: only apps/ include CLI11"),
    case("one file logs", {"src/berth/host/a.cc": "spdlog/spdlog.h", "apps/berth/b.cc": "spdlog/sinks/x.h"},
         "spdlog is seen by one file at most, not by apps/berth/b.cc, src/berth/host/a.cc"),
]

if __name__ == "__main__":
    common.main(check, CASES)
