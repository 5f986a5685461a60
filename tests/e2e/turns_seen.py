# SPDX-License-Identifier: Apache-2.0
"""What a journal says of turns: by order and counts, never by time."""

PLANS = ("fits", "offload", "oversize", "comes_back")
EMPTY_IN_A_ROW_MAX = 2


class Turn:
    """A server's stay in memory: from its MoveTo resident to its next MoveTo absent."""

    def __init__(self, server, unasked):
        self.server, self.unasked = server, unasked
        self.served, self.over = 0, False
        self.left_waiting = 0  # jobs in its queue when it had to go

    def __repr__(self):
        return f"<{self.server}{' unasked' * self.unasked} {self.served}{'' if self.over else '..'}>"


class Wait:
    """A job's way to its server: who was before it in the queue, which other turns began meanwhile."""

    def __init__(self, job, server, before):
        self.job, self.server, self.before = job, server, before
        self.others = 0

    def __repr__(self):
        return f"<job {self.job} of {self.server}: {self.before} before it, {self.others} turns of others>"


class Story:
    """Turns and waits of one run, and the jobs that were refused."""

    def __init__(self, records):
        self.turns, self.waits, self.refused = [], {}, []
        self._plan, self._open, self._waiting, self._running = {}, {}, {}, {}
        for record in records:
            take = getattr(self, "_" + record["name"], None)
            if take and record["kind"] in ("event", "action"):
                take(record)

    def of(self, server):
        return [turn for turn in self.turns if turn.server == server]

    def _waiting_for(self, server):
        return sum(wait.server == server for wait in self._waiting.values())

    def _announce(self, record):
        if record["reason"] in PLANS:
            self._plan[record["server"]] = record["reason"]

    def _move_to(self, record):
        server = record["server"]
        if record["rung"] != "resident":
            turn = self._open.pop(server, None)
            if turn:  # else what a start left behind is swept
                turn.over, turn.left_waiting = True, self._waiting_for(server)
            return
        self._open[server] = Turn(server, self._plan[server] == "comes_back")
        self.turns.append(self._open[server])
        for wait in self._waiting.values():
            wait.others += wait.server != server

    def _job_arrived(self, record):
        wait = Wait(record["job"], record["server"], self._waiting_for(record["server"]))
        self._waiting[wait.job] = self.waits[wait.job] = wait

    def _dispatch(self, record):
        del self._waiting[record["job"]]
        self._running[record["job"]] = self._open[record["server"]]

    def _job_ended(self, record):
        turn = self._running.pop(record["job"], None)
        if turn and record["how"] == "done":
            turn.served += 1

    def _reject(self, record):
        self._waiting.pop(record["job"], None)
        self.refused.append(record["error"]["message"])


def complaints_of(story):
    """Returns what is wrong with the turns of servers with one slot each; nothing: all is well."""
    found = [f"{turn} was asked for and served nobody" for turn in story.turns
             if turn.over and not turn.unasked and turn.served == 0]
    empty = 0
    for turn in story.turns:
        empty = empty + 1 if turn.over and turn.served == 0 else 0
        if empty > EMPTY_IN_A_ROW_MAX:
            found.append(f"{empty} turns in a row without a job, the last is {turn}")
    # Each own turn serves one of those before it, so the others get one turn more than they are.
    found += [f"{wait}: it starved" for wait in story.waits.values() if wait.others > 1 + wait.before]
    return found + [f"refused: {message}" for message in story.refused]
