#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints a folder with the Python packages that check Berth's API from outside, for PYTHONPATH.

They are fetched once by pip into ${XDG_CACHE_HOME:-~/.cache}/berth and belong to no system folder. Other versions
go into another folder: its name is made from theirs.
"""
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "berth"
PACKAGES = ("schemathesis==4.32.5", "prometheus_client==0.26.0", "PyYAML==6.0.4")


def fetch():
    """Returns the folder. Raises CalledProcessError if pip fails; its own words stand on stderr then."""
    folder = CACHE / ("checkers-" + hashlib.sha256(" ".join(PACKAGES).encode()).hexdigest()[:12])
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "checkers.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder
        print("fetch_checkers: fetching " + ", ".join(PACKAGES), file=sys.stderr, flush=True)
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                        "--root-user-action=ignore", "--target", partial, *PACKAGES], check=True, stdout=sys.stderr)
        partial.rename(folder)
    return folder


if __name__ == "__main__":
    print(fetch())
