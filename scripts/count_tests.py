#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the tests in ctest's JUnit file and prints `N passed, N failed[, N skipped]` as its last line.

    count_tests.py JUNIT_FILE [FAILURES_OUTSIDE_CTEST]

A test that could not be started counts as failed; only one that says itself that it skips, or that
is disabled in CMake, counts as skipped, and is named with its reason. Exit status 1 if a test
failed or if none ran.
"""
import sys
import xml.etree.ElementTree


def outcome(case):
    """Returns "passed", "failed" or "skipped", and the reason of the latter."""
    status = case.get("status")
    skipped = case.find("skipped")
    reason = "" if skipped is None else skipped.get("message", "")
    if status == "run" and case.find("failure") is None:
        return "passed", ""
    if status == "disabled" or (status == "notrun" and reason.startswith("SKIP_")):
        return "skipped", reason or "disabled"
    return "failed", reason


def main():
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    cases = []
    try:
        cases = list(xml.etree.ElementTree.parse(sys.argv[1]).getroot().iter("testcase"))
    except (OSError, xml.etree.ElementTree.ParseError) as error:
        print(f"count_tests: ctest left no usable result file: {error}")
        counts["failed"] += 1
    for case in cases:
        kind, reason = outcome(case)
        counts[kind] += 1
        if kind == "skipped":
            print(f"skipped: {case.get('name')}: {reason}")
    counts["failed"] += int(sys.argv[2]) if len(sys.argv) > 2 else 0
    skips = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    print(f"{counts['passed']} passed, {counts['failed']} failed{skips}")
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
