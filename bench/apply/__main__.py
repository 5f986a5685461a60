# SPDX-License-Identifier: Apache-2.0
"""apply: how long the core decides with 1,000 waiting jobs, and the simulator's speed, one core."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECONDS = "10"


def main():
    if "--help" in sys.argv:
        print(__doc__)
        return 0
    for command in (["cmake", "--preset", "sim"], ["cmake", "--build", "--preset", "sim"]):
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    tree = ROOT / "build/sim/bin"
    subprocess.run([tree / "berth-bench-apply"], check=True)
    return subprocess.run([tree / "berth-sim", "--seconds", SECONDS], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
