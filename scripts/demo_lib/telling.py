# SPDX-License-Identifier: Apache-2.0
"""Tells the story while it happens: one line for each thing that Berth's journal or a client says."""
import sys
import threading

from checks import MIB

BAR_WIDTH = 24
DECISIONS = ("waits_for_turn", "room_seen", "comes_back", "claim_fell", "drain_limit", "impossible",
             "room_not_seen", "start_failed", "stop_failed", "exited", "commit_failed")


class Teller:
    def __init__(self, out):
        self._out = out
        self._is_terminal = out.isatty()
        self._lock = threading.Lock()
        self._has_bar = False
        self.asked_ns = None

    def say(self, text=""):
        with self._lock:
            self._end_bar()
            print(text, file=self._out, flush=True)

    def at(self, at_ns, who, text):
        """Says a line with the milliseconds since the picture was asked for."""
        since = f"{(at_ns - self.asked_ns) / 1e6:+8.0f} ms" if self.asked_ns else " " * 11
        self.say(f"{since}  {who:<18} {text}")

    def record(self, record):
        """Says a record of the journal, if it is part of the story."""
        kind, name = record["kind"], record["name"]
        if self.asked_ns is None or record["t_ns"] < self.asked_ns:
            return
        if kind == "step":
            self.at(record["t_ns"], name, record.get("text", ""))
        elif kind == "decision" and name == "offload":
            self.at(record["t_ns"], "decision", record.get("text", ""))
            self.at(record["t_ns"], "", numbers_text(record["numbers"]))
        elif kind == "decision" and name in DECISIONS:
            self.at(record["t_ns"], "decision", record.get("text", ""))
        elif kind == "progress":
            self._progress(record)

    def _progress(self, record):
        step, steps = record["step"], max(record["steps"], 1)
        filled = BAR_WIDTH * step // steps
        line = (f"{(record['t_ns'] - self.asked_ns) / 1e6:+8.0f} ms  {record['name']:<18} "
                f"[{'#' * filled}{'-' * (BAR_WIDTH - filled)}] {step}/{steps}")
        with self._lock:
            if self._is_terminal:
                print(f"\r{line}\033[K", end="", file=self._out, flush=True)
                self._has_bar = True
            elif step == steps or step == (steps + 1) // 2 and steps > 1:
                print(line, file=self._out, flush=True)

    def _end_bar(self):
        if self._has_bar:
            print(file=self._out)
        self._has_bar = False

    def check(self, check):
        word = "ok" if check.holds else "FAILED"
        if self._is_terminal:
            word = f"\033[{32 if check.holds else 31}m{word}\033[0m"
        self.say(f"{word} {check.claim}\n       {check.evidence}")


def numbers_text(numbers):
    """Returns a decision's numbers, each with its name."""
    n = {key: f"{numbers[key] / MIB:.0f}" for key in numbers if key.endswith("_bytes")}
    total = (numbers["need_bytes"] + numbers["others_bytes"]) / MIB
    return (f"need {n['need_bytes']} + others {n['others_bytes']} = {total:.0f} MiB, limit {n['limit_bytes']} MiB, "
            f"capacity {n['capacity_bytes']} MiB, foreign {n['foreign_bytes']} MiB")


def people_read(json_wanted):
    """Returns where people read: standard output, unless JSON goes there."""
    return sys.stderr if json_wanted else sys.stdout
