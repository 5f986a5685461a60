#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""simulate: Berth's policy beside others on the workloads of bench/workloads, in virtual time.

Means over the seeds; waits as mean/p99/max in seconds. --traces FOLDER plays public traces, merged
as traces.json says, with swaps of 22 s and of 5 s, which Berth believes to be half of that, right,
and twice as long. "beyond" counts requests that waited for longer than the bound (design section 6,
rule 9), "of bound" is the longest wait as a share of it.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORKLOADS = ["seed", "seedbusy", "agent", "clicks", "abcabc", "bursts", "night"]
POLICIES = ["fifo", "affinity", "broker", "berth"]
CLASSES = ["chat", "image", "video", "batch"]
TRACES = json.loads(pathlib.Path(__file__).with_name("traces.json").read_text())


def simulate(berth, arguments):
    done = subprocess.run([berth, "simulate", "--json", *arguments], stdout=subprocess.PIPE,
                          check=True, text=True)
    return json.loads(done.stdout)["policies"]


def generate(name, seed, folder):
    path = pathlib.Path(folder, f"{name}-{seed}.jsonl")
    made = subprocess.run([sys.executable, str(ROOT / "bench/workloads"), name, "--seed", str(seed)],
                          stdout=subprocess.PIPE, check=True)
    path.write_bytes(made.stdout)
    return ["--workload", str(path)]


def mean(values):
    return sum(values) / len(values)


def waits(runs, job_class):
    found = [run["waits"][job_class] for run in runs if job_class in run["waits"]]
    if not found:
        return ""
    numbers = (mean([wait[key] for wait in found]) / 1000 for key in ("mean_ms", "p99_ms", "max_ms"))
    return "/".join(f"{number:.1f}" if number < 20 else f"{number:.0f}" for number in numbers)


def row_of(policy, runs):
    def total(key):
        return mean([run[key] for run in runs])
    numbers = [f"{total('swaps'):.0f}", f"{total('swaps_for_nobody'):.0f}", f"{total('served'):.0f}",
               f"{total('busy_share'):.2f}", f"{total('llm_absent_share'):.2f}"]
    others = "  ".join(f"{name} {waits(runs, name)}" for name in CLASSES[2:] if waits(runs, name))
    return [policy, *numbers, waits(runs, "chat"), waits(runs, "image"), others]


def show(title, results):
    print(f"\n{title}")
    line = "{:9}{:>6}{:>5}{:>7}{:>6}{:>7}  {:15}{:15}{}"
    print(line.format("policy", "swaps", "none", "served", "busy", "absent", "chat", "picture", "other"))
    for policy in POLICIES:
        print(line.format(*row_of(policy, [run[policy] for run in results])).rstrip())


def share(run):
    return "-" if run["of_bound"] is None else f"{run['of_bound']:.2f}"


def show_trace(berth, merge, swap, folder):
    """Berth beside the others, and how it does when it is wrong about swaps."""
    files = [str(pathlib.Path(folder, name)) for name in merge["files"]]
    mapping = ["--servers", str(merge["servers"]), "--load", str(merge["load"]), "--rows",
               str(merge["rows"]), "--swap", str(swap)]
    runs = {}
    for percent in TRACES["believe_percent"]:
        policies = ",".join(POLICIES) if percent == 100 else "berth"
        found = simulate(berth, [*files, *mapping, "--policy", policies, "--believe", str(percent)])
        runs.update({name if percent == 100 else f"{name} {percent} %": run
                     for name, run in found.items()})
    print(f"\n{merge['name']}, a swap takes {swap} s")
    line = "{:12}{:>7}{:>6}{:>8}{:>8}{:>10}{:>8}{:>10}  {}"
    print(line.format("policy", "swaps", "none", "of fifo", "of aff.", "served", "beyond", "of bound",
                      "wait"))
    for name, run in runs.items():
        ratios = [f"{run['swaps'] / max(runs[other]['swaps'], 1):.2f}" for other in ("fifo", "affinity")]
        print(line.format(name, run["swaps"], run["swaps_for_nobody"], *ratios, run["served"],
                          run["beyond_bound"], share(run), waits([run], "chat")).rstrip())


def main():
    parser = argparse.ArgumentParser(prog="simulate", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, help="folder of the program berth")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--traces", help="the folder of the public traces that traces.json names")
    options = parser.parse_args()
    berth = str(pathlib.Path(options.bin, "berth"))
    with tempfile.TemporaryDirectory() as folder:
        for name in WORKLOADS:
            show(name, [simulate(berth, generate(name, seed, folder))
                        for seed in range(1, options.seeds + 1)])
    for merge in TRACES["merges"] if options.traces else []:
        for swap in TRACES["swap_s"]:
            show_trace(berth, merge, swap, options.traces)


if __name__ == "__main__":
    main()
