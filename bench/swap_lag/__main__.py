# SPDX-License-Identifier: Apache-2.0
"""Measures what Berth adds to an offload cycle, side by side with a bare kill-and-spawn script.

The gaps are all that is neither a server's own stop, load or work. Saving and restoring slots,
writing rows and the linger are shown apart. Executions of Berth are seen by the keeper's file, up to
a millisecond late. scripts/bench builds and calls this.
"""
import argparse
import json
import pathlib
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts/demo_lib"))

import bare_side  # noqa: E402 - they use the demo's modules
import berth_side  # noqa: E402
import daemon  # noqa: E402
import phases  # noqa: E402
import sides  # noqa: E402

GAPS_MS_MAX = 25
RELOAD_MS_MAX = 10
LATE_CYCLES_MAX = 5


class Programs:
    """The real llama-server and the stand-in for sd-server."""
    is_standin = True
    sd_arguments = daemon.STANDIN_ARGUMENTS

    def __init__(self, binaries, llama):
        found = json.loads(llama)
        self.llama_server = found["llama_server"]
        self.llama_model = found["model"]
        self.sd_server = str(binaries.resolve() / "sd-server-standin")
        self.sd_model = found["model"]  # the stand-in only looks whether it is there


def options_of(arguments):
    parser = argparse.ArgumentParser(prog="scripts/bench swap_lag", description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=20, metavar="N", help="cycles of each side (20)")
    parser.add_argument("--json", action="store_true", help="print every cycle as JSON")
    parser.add_argument("--bin", type=pathlib.Path, required=True, metavar="DIR",
                        help="the programs to measure; default: a release build")
    parser.add_argument("--llama", required=True, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.runs < 1:
        parser.error("--runs: at least 1")
    return options


def cycle_of(side):
    """Returns the phases of one cycle; one that was not seen in time is done again."""
    for _ in range(LATE_CYCLES_MAX):
        try:
            return side.cycle()
        except sides.Late as late:
            print(f"swap_lag: a cycle is repeated: {late}", file=sys.stderr, flush=True)
    raise sides.Broken(f"{LATE_CYCLES_MAX} cycles in a row were not seen in time; the machine is too busy")


def measure(options, folder):
    """Returns the cycles of both sides, done by turns; the first of each is not counted."""
    programs = Programs(options.bin, options.llama)
    berth = berth_side.BerthSide(folder, options.bin / "berth", programs)
    bare, done = None, {"berth": [], "bare": []}
    try:
        berth.up()
        bare = bare_side.BareSide(folder, berth.llm_command(), programs)
        for run in range(options.runs + 1):
            for name, side in (("berth", berth), ("bare", bare)):
                done[name].append(cycle_of(side))
            print(f"swap_lag: cycle {run} of {options.runs}", file=sys.stderr, flush=True)
    except Exception:
        print(berth.last_words(), file=sys.stderr)
        raise
    finally:
        if bare:
            bare.close()
        berth.close()
    return {name: cycles[1:] for name, cycles in done.items()}


def verdict(value, limit):
    return f"target {limit} ms: {'met' if value <= limit else 'MISSED'}"


def report(measured):
    berth, bare = phases.rows(measured["berth"]), phases.rows(measured["bare"])
    reload_ms = phases.milliseconds([c["reload_after_linger"] for c in measured["berth"]])
    return {"runs": len(measured["berth"]), "berth": berth, "bare": bare,
            "reload_after_linger": reload_ms,
            "targets_ms": {"gaps": GAPS_MS_MAX, "reload_after_linger": RELOAD_MS_MAX},
            "cycles_ns": measured}


def as_text(found):
    gaps, reload_ms = found["berth"]["gaps"]["all"]["median"], found["reload_after_linger"]
    return (f"swap_lag: {found['runs']} cycles of each side by turns\n\n"
            + phases.as_text(found["berth"], found["bare"])
            + f"\nThe gaps of a cycle take {gaps:.1f} ms ({verdict(gaps, GAPS_MS_MAX)}).\n"
            + f"The LLM's reload starts {reload_ms['median']:.1f} ms after linger_over, p90 "
            + f"{reload_ms['p90']:.1f} ms\n(without the image server's own stop, with commits; "
            + f"{verdict(reload_ms['median'], RELOAD_MS_MAX)}).\n")


def main(arguments):
    options = options_of(arguments)
    folder = daemon.make_folder()
    try:
        found = report(measure(options, folder))
    except (sides.Broken, daemon.Failure) as error:
        print(f"swap_lag: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(found) if options.json else as_text(found), end="\n" if options.json else "")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
