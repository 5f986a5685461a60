# SPDX-License-Identifier: Apache-2.0
"""Holds many clients of an LLM through a swap, and asks /health meanwhile; beside it the bare server.

With Berth the clients come while a picture has the memory: all are held, then all are answered. The
bare llama-server gets as many at once and displaces nobody. scripts/bench builds and calls this.
"""
import argparse
import asyncio
import json
import pathlib
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts/demo_lib"))

import crowd  # noqa: E402 - from the path above
import daemon  # noqa: E402
import sides  # noqa: E402

CLIENTS = (1000, 2000)
CLIENTS_MAX = 2000  # one door of Berth takes 1024 connections; two are used


class Programs:
    """The real llama-server and the stand-in for sd-server."""
    is_standin = True

    def __init__(self, binaries, llama):
        found = json.loads(llama)
        self.llama_server, self.llama_model = found["llama_server"], found["model"]
        self.sd_server = str(binaries.resolve() / "sd-server-standin")
        self.sd_model = found["model"]  # the stand-in only looks whether it is there


def options_of(arguments):
    parser = argparse.ArgumentParser(prog="scripts/bench clients", description=__doc__.split("\n")[0])
    parser.add_argument("--clients", type=int, nargs="+", default=CLIENTS, metavar="N",
                        help=f"how many at once ({' '.join(map(str, CLIENTS))}); at most {CLIENTS_MAX}")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    parser.add_argument("--bin", type=pathlib.Path, required=True, metavar="DIR",
                        help="the programs to measure; default: a release build")
    parser.add_argument("--llama", required=True, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if any(not 1 <= number <= CLIENTS_MAX for number in options.clients):
        parser.error(f"--clients: 1 to {CLIENTS_MAX}")
    return options


def measure(kind, options, programs, number):
    folder = daemon.make_folder()
    side = kind(folder, options.bin / "berth", programs)
    try:
        side.up()
        print(f"clients: {side.name}: {number} clients", file=sys.stderr, flush=True)
        return {"side": side.name, "clients": number, **asyncio.run(side.measure(number))}
    finally:
        side.close()
        shutil.rmtree(folder, ignore_errors=True)


def as_text(found):
    lines = ["clients: all come at once; with Berth while a picture has the memory", "",
             f"{'':22}{'clients':>8}{'answered':>10}{'failed':>8}{'all done':>10}{'/health p50':>13}"
             f"{'p99':>10}{'files left':>12}"]
    for each in found["sides"]:
        lines.append(f"  {each['side']:20}{each['clients']:>8}{each['answered']:>10}{each['failed']:>8}"
                     f"{each['seconds']:>8.1f} s{each['health_ms_p50']:>10.1f} ms"
                     f"{each['health_ms_p99']:>7.1f} ms{each['files_left']:>12}")
    for each in found["sides"]:
        if each["first_failure"]:
            lines += ["", f"{each['side']}, {each['clients']} clients: {each['first_failure']}"]
    return "\n".join(lines) + "\n"


def main(arguments):
    options = options_of(arguments)
    programs = Programs(options.bin, options.llama)
    try:
        found = [measure(kind, options, programs, number)
                 for number in options.clients for kind in (sides.WithBerth, sides.Bare)]
    except (crowd.Broken, daemon.Failure) as error:
        print(f"clients: {error}", file=sys.stderr)
        return 1
    print(json.dumps({"sides": found}) if options.json else as_text({"sides": found}),
          end="\n" if options.json else "")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
