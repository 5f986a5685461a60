# SPDX-License-Identifier: Apache-2.0
"""Measures how long a busy model keeps another one out, with Berth and with llama-server's router.

One small LLM is configured twice, with different contexts; one of the two fits. Two clients keep A
busy without a pause, one request for B comes. scripts/bench builds and calls this.
"""
import argparse
import json
import os
import pathlib
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts/demo_lib"))

import daemon  # noqa: E402 - from the path above
import load  # noqa: E402
import with_berth  # noqa: E402
import without_berth  # noqa: E402

BUSY_SECONDS = 35  # both sides; how long B is let wait where nothing else bounds it
BUSY_SECONDS_MIN = 5
BOUND_SECONDS_MAX = 30


class Programs:
    """The real llama-server, its model, and how it is started on both sides."""
    contexts = {load.A: 1024, load.B: 2048}

    def __init__(self, llama):
        found = json.loads(llama)
        self.llama_server, self.llama_model = found["llama_server"], found["model"]
        self.threads = max(1, len(os.sched_getaffinity(0)) - 1)


def options_of(arguments):
    parser = argparse.ArgumentParser(prog="scripts/bench starvation",
                                     description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--busy", type=float, default=BUSY_SECONDS, metavar="SECONDS",
                        help=f"how long A is kept busy ({BUSY_SECONDS})")
    parser.add_argument("--rule-alone", action="store_true",
                        help="play the router's rule without the router too")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    parser.add_argument("--bin", type=pathlib.Path, required=True, metavar="DIR",
                        help="the programs to measure; default: a release build")
    parser.add_argument("--llama", required=True, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.busy < BUSY_SECONDS_MIN:
        parser.error(f"--busy: at least {BUSY_SECONDS_MIN} s, or A is not busy yet when B is asked for")
    return options


def say(text):
    print(f"starvation: {text}", file=sys.stderr, flush=True)


def numbers_of(side, result, bound):
    for reply in result.a_failed():
        say(f"{side}: a request for {load.A} failed: {reply.status} {reply.words}")
    return {"side": side, "b_waited_s": result.waited, "b_status": result.status, "bound_s": bound,
            "a_answered": result.a_answered(), "a_failed": len(result.a_failed()),
            "a_busy_s": result.busy_until}


def berth_numbers(folder, options, programs):
    berth = with_berth.WithBerth(folder, options.bin / "berth", programs)
    try:
        berth.up()
        if berth.call(load.A).status != 200:
            raise load.Broken(f"model {load.A} does not answer; {berth.last_words()}")
        bound = berth.bound_seconds()
        say(f"Berth: a request for {load.B} would be served within {bound:.1f} s")
        return numbers_of(berth.name, load.measure(berth.call, options.busy), bound)
    finally:
        berth.close()


def others_for(options, programs):
    """Returns the kinds of the other sides; never none."""
    router = without_berth.has_router(programs.llama_server)
    if not router:
        say("this llama-server has no router (--models-dir): its rule alone is played instead")
    return [without_berth.Router] * router + [without_berth.Affinity] * (options.rule_alone or not router)


def other_numbers(kind, folder, options, programs):
    side = kind(folder, programs)
    try:
        side.up()
        if side.call(load.A).status != 200:
            raise load.Broken(f"{side.name}: model {load.A} does not answer")
        return numbers_of(side.name, load.measure(side.call, options.busy), None)
    finally:
        side.close()


def as_text(found):
    lines = [f"starvation: {load.CLIENTS} clients keep A busy for {found['busy_s']:g} s, meanwhile one "
             "request for B;", "one of the two models fits", "",
             f"{'':24}{'B waited':>10}{'bound':>10}{'A answered':>12}{'A failed':>10}{'A busy':>10}"]
    for side in found["sides"]:
        waited = f"{side['b_waited_s']:.1f} s" if side["b_status"] == 200 else str(side["b_status"])
        bound = "none" if side["bound_s"] is None else f"{side['bound_s']:.1f} s"
        lines.append(f"  {side['side']:22}{waited:>10}{bound:>10}{side['a_answered']:>12}"
                     f"{side['a_failed']:>10}{side['a_busy_s']:>8.1f} s")
    berth, *others = found["sides"]
    held = berth["b_status"] == 200 and berth["b_waited_s"] <= berth["bound_s"]
    small = berth["bound_s"] <= BOUND_SECONDS_MAX
    lines += ["", "\"A busy\": until A's last answer, from the moment in which B was asked for.",
              f"Berth's bound, printed before: {berth['bound_s']:.1f} s (target {BOUND_SECONDS_MAX} s: "
              f"{'met' if small else 'MISSED'}); B was answered within it: {'yes' if held else 'NO'}.",
              *(f"{each['side']}: B was answered {each['b_waited_s'] - each['a_busy_s']:.1f} s after A's "
                "last answer." for each in others)]
    return "\n".join(lines) + "\n"


def main(arguments):
    options, folder = options_of(arguments), daemon.make_folder()
    programs = Programs(options.llama)
    try:
        kinds = others_for(options, programs)
        sides = [berth_numbers(folder, options, programs)]
        sides += [other_numbers(kind, folder, options, programs) for kind in kinds]
    except (load.Broken, daemon.Failure) as error:
        say(error)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    found = {"busy_s": options.busy, "sides": sides}
    print(json.dumps(found) if options.json else as_text(found), end="\n" if options.json else "")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
