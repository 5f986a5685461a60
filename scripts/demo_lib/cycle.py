# SPDX-License-Identifier: Apache-2.0
"""One offload cycle, found in the journal: which step came when."""
import dataclasses

import journal

LLM, IMAGE = "chat", "image"  # the servers' names in the demo's configuration
# Section 8 of the design: the steps of a cycle in order, each with the server it happens to.
STEPS = (
    ("job_arrived", IMAGE), ("gate_closed", LLM), ("row_committed", LLM), ("drained", LLM),
    ("state_saved", LLM), ("victim_stopping", LLM), ("victim_gone", LLM),
    ("room_for_newcomer", IMAGE), ("newcomer_ready", IMAGE), ("dispatched", IMAGE),
    ("job_done", IMAGE), ("linger_over", IMAGE), ("newcomer_stopping", IMAGE),
    ("newcomer_gone", IMAGE), ("room_for_victim", LLM), ("victim_ready", LLM),
    ("state_restored", LLM), ("row_cleared", LLM),
)


@dataclasses.dataclass
class Cycle:
    """The records from the moment on in which the picture was asked for."""
    records: list
    asked_ns: int

    def step(self, name, server=None):
        """Returns when that step was first taken, None if it was not."""
        record = journal.first(self.records, "step", name, server or dict(STEPS)[name], self.asked_ns)
        return record and record["t_ns"]

    def step_record(self, name):
        return journal.first(self.records, "step", name, dict(STEPS)[name], self.asked_ns)

    def decision(self, name, server):
        return journal.first(self.records, "decision", name, server, self.asked_ns)

    def job(self):
        """Returns the number of the picture's job, None if it never arrived."""
        record = journal.first(self.records, "event", "job_arrived", IMAGE, self.asked_ns)
        return record and record["job"]

    def move(self, server, rung):
        """Returns the core's first order that takes that server to that rung, None if there is none."""
        return next((record for record in journal.select(self.records, "action", "move_to", server, self.asked_ns)
                     if record["rung"] == rung), None)

    def progress(self):
        return journal.select(self.records, "progress", None, IMAGE, self.asked_ns)

    def turn_over(self):
        """Returns the record that says why the image server's turn is over.

        If nobody waits for the LLM, the image server lingers first. If a chat waits, its gate closes.
        """
        return (self.step_record("linger_over")
                or journal.first(self.records, "step", "gate_closed", IMAGE, self.asked_ns))

    def missing_steps(self):
        """Returns what keeps the steps from being there in order, as sentences."""
        found, latest, latest_n = [], None, 0
        for name, server in STEPS:
            record = self.step_record(name)
            if name == "linger_over" and record is None:
                found += self._missing_turn_over()
                continue
            if record is None:
                found.append(f"{name} of {server} is missing")
            elif record["n"] < latest_n:
                found.append(f"{name} came before {latest}")
            else:
                latest, latest_n = name, record["n"]
        return found

    def _missing_turn_over(self):
        over, begun, stopping = self.turn_over(), self.step_record("dispatched"), self.step_record("newcomer_stopping")
        if over is None:
            return [f"neither linger_over nor gate_closed of {IMAGE} is there"]
        if begun is None or stopping is None or not begun["n"] < over["n"] < stopping["n"]:
            return [f"gate_closed of {IMAGE} does not lie between dispatched and newcomer_stopping"]
        return []

    def milliseconds(self, at_ns):
        return (at_ns - self.asked_ns) / 1e6
