# SPDX-License-Identifier: Apache-2.0
"""Reads Berth's journal, `<state>/journal.jsonl`, also while it is being written."""
import json
import threading

POLL_SECONDS = 0.01


class Journal:
    """The records so far, each a dict, in the order of the file."""

    def __init__(self, path, on_record=lambda record: None):
        self._path = path
        self._on_record = on_record
        self._changed = threading.Condition()
        self._over = threading.Event()
        self._thread = None
        self._rest = b""
        self._offset = 0
        self.records = []

    def follow(self):
        """Begins to read, by a thread of its own, until close()."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self):
        """Reads what is left and ends."""
        self._over.set()
        if self._thread:
            self._thread.join()

    def wait_for(self, is_wanted, seconds):
        """Returns the first record that is wanted, None if none came in that time."""
        def found():
            return next((record for record in self.records if is_wanted(record)), None)
        with self._changed:
            return self._changed.wait_for(found, seconds)

    def _run(self):
        while True:
            is_last = self._over.wait(POLL_SECONDS)
            self._take_new()
            if is_last:
                return

    def _take_new(self):
        try:
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for record in (json.loads(line) for line in lines if line):
            with self._changed:
                self.records.append(record)
                self._changed.notify_all()
            self._on_record(record)


def select(records, kind, name=None, server=None, after_ns=0):
    """Returns the records of that kind (and name, and server) that are not older."""
    return [record for record in records
            if record["kind"] == kind and name in (None, record["name"])
            and server in (None, record.get("server")) and record["t_ns"] >= after_ns]


def first(records, kind, name=None, server=None, after_ns=0):
    """Returns the first such record, None if there is none."""
    return next(iter(select(records, kind, name, server, after_ns)), None)


def used_by_server(record):
    """Returns how many bytes each server holds in a memory record."""
    used = {}
    for holder in record["holders"]:
        if holder.get("server"):
            used[holder["server"]] = used.get(holder["server"], 0) + holder["bytes"]
    return used
