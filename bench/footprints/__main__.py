# SPDX-License-Identifier: Apache-2.0
"""footprints: what a llama-server takes by the header of its model, against what it takes.

12 points over context, type of the KV cache, slots and two generated models. Each server is started alone, works
with all its slots at once (a whole micro-batch each), and its Pss is taken then.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import generate
import measure

MIB = 1 << 20
POINTS = [{"model": model, "context": context, "type": kind, "parallel": parallel}
          for model in ("small", "mid")
          for context, kind, parallel in ((2048, "f16", 1), (8192, "f16", 1), (8192, "q8_0", 1), (8192, "q4_0", 4),
                                          (4096, "f16", 4), (16384, "q8_0", 2))]
MEDIAN_MAX = 0.10
UNDER_MAX = 64 * MIB


def server(number, point, path):
    return (f'[server.p{number}]\nkind = "llama-server"\nmodel = "{path}"\ncontext = {point["context"]}\n'
            f'parallel = {point["parallel"]}\ncache_type_k = "{point["type"]}"\ncache_type_v = "{point["type"]}"\n')


def estimates(berth, folder, points, paths):
    """Returns the estimate of each point, as `berth models show` prints it."""
    config = Path(folder) / "berth.toml"
    config.write_text('[pool.ram]\nkind = "capped"\ncapacity = "16GiB"\n' +
                      "".join(server(i, point, paths[point["model"]]) for i, point in enumerate(points)))
    by_server = {}
    for path in paths.values():
        shown = subprocess.run([berth, "-c", config, "models", "show", Path(path).stem, "--json"],
                               capture_output=True, text=True, check=True).stdout
        by_server.update({each["name"]: each for each in json.loads(shown)["servers"]})
    return [by_server[f"p{i}"]["bytes"] for i in range(len(points))]


def compare(berth, llama, points):
    """Measures every point. Yields it with `estimate`, `measured` and `error`, its share of what was measured."""
    with tempfile.TemporaryDirectory(prefix="berth-footprints-") as folder:
        paths = {name: generate.generate(str(Path(folder) / f"{name}.gguf"), name, llama["model"])
                 for name in sorted({point["model"] for point in points})}
        for point, estimate in zip(points, estimates(berth, folder, points, paths)):
            found = measure.measured(llama["llama_server"], point, paths[point["model"]])
            yield {**point, "estimate": estimate, "measured": found, "error": (estimate - found) / found}


def summary(rows):
    return {"median_error": statistics.median(abs(row["error"]) for row in rows),
            "worst_under_bytes": max(0, *(row["measured"] - row["estimate"] for row in rows))}


def line(row):
    return (f"{row['model']:<6} {row['context']:>7} {row['type']:>5} {row['parallel']:>5} "
            f"{row['estimate'] / MIB:>13.1f} {row['measured'] / MIB:>13.1f} {100 * row['error']:>+8.1f}")


def main():
    parser = argparse.ArgumentParser(prog="footprints", description=__doc__)
    parser.add_argument("--bin", required=True, help="folder of berth")
    parser.add_argument("--llama", required=True, type=json.loads, help="what scripts/fetch_llama.py prints")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows = []
    if not given.json:
        print(f"{'model':<6} {'context':>7} {'type':>5} {'slots':>5} {'estimate MiB':>13} {'measured MiB':>13} "
              f"{'error %':>8}")
    for row in compare(Path(given.bin) / "berth", given.llama, POINTS):
        rows.append(row)
        if not given.json:
            print(line(row), flush=True)
    found = summary(rows)
    if given.json:
        print(json.dumps({"points": rows, **found}))
    else:
        print(f"median error {100 * found['median_error']:.1f} % (at most {100 * MEDIAN_MAX:.0f} %), furthest under "
              f"{found['worst_under_bytes'] / MIB:.1f} MiB (at most {UNDER_MAX // MIB} MiB)")
    return 0 if found["median_error"] <= MEDIAN_MAX and found["worst_under_bytes"] <= UNDER_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
