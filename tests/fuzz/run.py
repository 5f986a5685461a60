# SPDX-License-Identifier: Apache-2.0
"""Builds one fuzz target with clang and runs it for some seconds.

  run.py NAME FOLDER [SECONDS]    FOLDER keeps the target, its corpus and what it finds
"""

import subprocess
import sys
from pathlib import Path

import corpus

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ["src/berth/base/assert.cc", "src/berth/base/bytes.cc", "src/berth/base/error.cc",
           *(f"src/berth/models/{name}.cc" for name in
             ("describe", "gguf", "gguf_types", "input", "model", "safetensors", "tensors"))]
# Two cores: what a single input may take. A sound parser needs a small part of either.
MEMORY_MIB = 256
INPUT_SECONDS = 5
INPUT_BYTES = 4096


def build(name, folder):
    binary = folder / f"{name}_fuzz"
    subprocess.run(["clang++", "-std=c++20", "-O1", "-g1", "-fsanitize=fuzzer,address,undefined",
                    "-fno-sanitize-recover=undefined", f"-I{ROOT / 'src'}",
                    *(ROOT / source for source in SOURCES), ROOT / f"src/berth/models/{name}_fuzz.cc",
                    "-o", binary, "-lfmt", "-lboost_json"], check=True)
    return binary


def main():
    if len(sys.argv) not in (3, 4) or sys.argv[1] not in corpus.SEEDS:
        print(__doc__, file=sys.stderr)
        return 2
    name, folder, seconds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) == 4 else 10
    seeds = folder / f"{name}-corpus"
    corpus.write(name, seeds)
    found = subprocess.run(
        [build(name, folder), seeds, f"-max_total_time={seconds}", f"-rss_limit_mb={MEMORY_MIB}",
         f"-malloc_limit_mb={MEMORY_MIB}", f"-timeout={INPUT_SECONDS}", f"-max_len={INPUT_BYTES}",
         f"-artifact_prefix={folder}/{name}-", "-print_final_stats=1", "-verbosity=1"],
        capture_output=True, text=True, check=False)
    print(found.stderr[-4000:])
    runs = [line for line in found.stderr.splitlines() if line.startswith("stat::number_of_executed_units")]
    if found.returncode == 0 and not runs:
        print("the fuzzer did not run", file=sys.stderr)
        return 1
    return found.returncode


if __name__ == "__main__":
    sys.exit(main())
