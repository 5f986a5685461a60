# SPDX-License-Identifier: Apache-2.0
"""weights: an sd-server with resident weights beside one with `weights = "on_demand"`.

Alone: single pictures that put the LLM out, from the request to the LLM being back. In a row: a
series of pictures while the LLM is out. BERTH_TEST_SD_SERVER and BERTH_TEST_SD_MODEL name a real
sd-server and a checkpoint; without them the stand-in is measured, which only tells what processes
cost. scripts/bench builds and calls this.
"""
import argparse
import json
import os
import pathlib
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MODES = ("resident", "on_demand")


def options_of(arguments):
    parser = argparse.ArgumentParser(prog="scripts/bench weights", description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="pictures of each kind and mode (5)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--bin", type=pathlib.Path, required=True, metavar="DIR",
                        help="the programs to measure; default: a release build")
    parser.add_argument("--llama", required=True, type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def configuration(mode, llama):
    server, model = os.environ.get("BERTH_TEST_SD_SERVER"), os.environ.get("BERTH_TEST_SD_MODEL")
    arguments = ["--steps", "1", "--cfg-scale", "1"]
    if not server or not model:
        server, model = f"{os.environ['BERTH_BIN']}/sd-server-standin", llama["model"]
        arguments += ["--standin-memory", "400MiB"]
    threads = max(1, (os.cpu_count() or 2) - 1)
    # What the picture takes and what the LLM takes do not fit together into 3/4.
    return f'''
[pool.ram]
kind = "capped"
capacity = "1500MiB"
[server.chat]
kind = "llama-server"
binary = "{llama["llama_server"]}"
model = "{llama["model"]}"
memory = "500MiB"
context = 2048
threads = {threads}
wanted = "on"
port = 0
[server.image]
kind = "sd-server"
binary = "{server}"
model = "{model}"
memory = "800MiB"
threads = {threads}
weights = "{mode}"
extra_args = {json.dumps(arguments)}
port = 0
[policy]
swap_guess = "300ms"
linger_max = "50ms"
'''


class Side:
    def __init__(self, mode, llama):
        import harness
        self.harness, self.cycles = harness, 0
        self.berth = harness.Berth(configuration(mode, llama)).up()
        self.berth.wait_state("chat", "ready")

    def picture(self):
        begun = time.monotonic()
        reply = self.berth.picture()
        if reply.status != 200:
            raise SystemExit(f"weights: a picture was answered with {reply.status}: {reply.body[:500]}")
        return time.monotonic() - begun

    def back(self):
        self.cycles += 1
        self.berth.wait_step("row_cleared", self.cycles)

    def alone(self):
        """Returns how long the picture took, and until the LLM was back."""
        begun = time.monotonic()
        picture = self.picture()
        self.back()
        return picture, time.monotonic() - begun

    def in_a_row(self, count):
        """Returns how long each further picture of a series took."""
        self.berth.cli("pin", "image")
        try:
            self.picture()
            return [self.picture() for _ in range(count)]
        finally:
            self.berth.cli("unpin", "image")
            self.back()

    def between(self):
        """What the process holds while the LLM is back; 0 if there is none."""
        pid = self.berth.server("image").get("pid")
        try:
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            return 0
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) // 1024


def measured(options):
    sides = {mode: Side(mode, options.llama) for mode in MODES}
    rows = {mode: {"alone_s": [], "cycle_s": [], "row_s": [], "between_mib": []} for mode in MODES}
    try:
        for run in range(options.runs + 1):
            for mode, side in sides.items():  # by turns: the machine is not the same all the time
                picture, cycle = side.alone()
                if run == 0:
                    continue  # files are read for the first time
                rows[mode]["alone_s"].append(picture)
                rows[mode]["cycle_s"].append(cycle)
                rows[mode]["between_mib"].append(side.between())
        for mode, side in sides.items():
            rows[mode]["row_s"] = side.in_a_row(options.runs)
    finally:
        for side in sides.values():
            side.berth.close()
    return {mode: {name: statistics.median(values) for name, values in each.items()}
            for mode, each in rows.items()}


def main():
    options = options_of(sys.argv[1:])
    os.environ["BERTH_BIN"] = str(options.bin.resolve())
    sys.path.insert(0, str(ROOT / "tests/e2e"))
    found = measured(options)
    if options.json:
        print(json.dumps(found))
        return 0
    real = bool(os.environ.get("BERTH_TEST_SD_SERVER"))
    print(f"{'real sd-server' if real else 'stand-in: it loads nothing'}, medians of {options.runs}")
    print(f"{'weights':<10} {'alone s':>8} {'until LLM back s':>17} {'in a row s':>11} {'between MiB':>12}")
    for mode, row in found.items():
        print(f"{mode:<10} {row['alone_s']:>8.2f} {row['cycle_s']:>17.2f} {row['row_s']:>11.2f} "
              f"{row['between_mib']:>12.0f}")
    cheaper = [name for name, key in (("alone", "cycle_s"), ("in a row", "row_s"))
               if found["on_demand"][key] < found["resident"][key]]
    print(f"on_demand is cheaper for pictures: {', '.join(cheaper) or 'never'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
