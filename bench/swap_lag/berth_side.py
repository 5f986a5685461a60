# SPDX-License-Identifier: Apache-2.0
"""The cycle as Berth does it, measured by the stamps of its journal."""
import clients
import daemon
import journal
import phases
from cycle import IMAGE, LLM
from sides import DEADLINE_SECONDS, PICTURE, Broken, Late, chat_body, when


class BerthSide:
    """One Berth with an LLM and a stand-in for sd-server, of which only one fits."""

    def __init__(self, folder, binary, programs):
        self._berth = daemon.Berth(folder, binary, programs)
        self._journal = journal.Journal(self._berth.state / "journal.jsonl")
        self._address = None

    def up(self):
        status = self._berth.up()
        self._journal.follow()
        self._address, _ = daemon.addresses_in(status)
        self._whole(self._ask("/v1/chat/completions", chat_body(LLM)), "the first chat")

    def llm_command(self):
        """Returns the command line with which Berth runs the LLM."""
        return [part.decode() for part in self._berth.llm().cmdline.rstrip(b"\0").split(b"\0")]

    def close(self):
        self._journal.close()
        left, _ = self._berth.down()
        if left:
            raise Broken(f"these processes stayed behind: {left}")

    def last_words(self):
        return self._berth.last_words()

    def cycle(self):
        """Has a picture drawn, asks for a chat once the linger is over, returns the phases."""
        begin = len(self._journal.records)
        image, llm = self._next_start(IMAGE), self._next_start(LLM)
        picture = self._ask("/v1/images/generations", PICTURE)
        self._wait(begin, "gate_closed")
        execs = {"image_exec": when(image.exists, "the image server is executed")}
        self._wait(begin, "linger_over")
        chat = self._ask("/v1/chat/completions", chat_body(LLM))
        execs["llm_exec"] = when(llm.exists, "the LLM is executed again")
        self._whole(picture, "the picture")
        self._whole(chat, "the held chat")
        self._wait(begin, "row_cleared")
        return phases_of(self._journal.records[begin:], execs)

    def _next_start(self, server):
        """Returns the file that the keeper of the next start writes once it has executed the server."""
        root = self._berth.state / "servers" / server
        newest = max((int(path.name) for path in root.glob("*")), default=0)
        return root / str(newest + 1) / "pid"

    def _ask(self, path, body):
        return clients.Request(self._address, path, body)

    def _whole(self, request, what):
        reply = request.wait(DEADLINE_SECONDS)
        if reply.status != 200 or not reply.complete:
            raise Broken(f"{what} failed: status {reply.status} {reply.error} {reply.body[:300]!r}")

    def _wait(self, begin, name):
        found = self._journal.wait_for(
            lambda r: r["kind"] == "step" and r["name"] == name and r in self._journal.records[begin:],
            DEADLINE_SECONDS)
        if found is None:
            raise Broken(f"step {name} did not come within {DEADLINE_SECONDS} s")


class Story:
    """The records of one cycle, by what happened."""

    def __init__(self, records):
        self.records = records

    def first(self, kind, name, server=None, after=0):
        found = next((r for r in self.records if r["kind"] == kind and r["name"] == name
                      and server in (None, r.get("server")) and r["n"] > after), None)
        if found is None:
            raise Broken(f"the journal has no {kind} {name} of {server or 'any server'}")
        return found

    def step(self, name, server=None, after=0):
        return self.first("step", name, server, after)["t_ns"]

    def linger_end(self):
        """Returns when the linger was due: the time for which the core set the timer that ended it."""
        over = self.first("action", "announce", LLM, self.first("event", "job_ended")["n"])
        while over["reason"] != "comes_back":
            over = self.first("action", "announce", LLM, over["n"])
        cause = [r for r in self.records if r["kind"] == "event" and r["n"] < over["n"]][-1]
        if cause["name"] != "timer_fired":
            return cause["t_ns"]
        return next(r["at_ns"] for r in self.records if r["kind"] == "action"
                    and r["name"] == "set_timer" and r["timer"] == cause["timer"])

    def commits(self):
        """Returns from when to when each row was written."""
        begun = {r["effect"]: r["t_ns"] for r in self.records
                 if r["kind"] == "action" and r["name"] == "commit"}
        ended = {r["effect"]: r["t_ns"] for r in self.records
                 if r["kind"] == "event" and r["name"] == "effect_ended"}
        return [(at, ended[effect]) for effect, at in begun.items() if effect in ended]


def phases_of(records, execs):
    """Returns the phases of a cycle by its records and the moments in which servers were executed."""
    story = Story(records)
    arrived = story.first("event", "job_arrived", IMAGE)
    chat = story.first("event", "job_arrived", LLM)
    ready = story.first("step", "victim_ready", LLM)
    if chat["n"] > ready["n"]:
        raise Late("the chat came after the LLM was ready: it was not held")
    done = story.step("job_done", IMAGE)
    linger_end = story.linger_end()
    moments = {
        "asked": arrived["t_ns"], "llm_stopping": story.step("victim_stopping", LLM),
        "llm_gone": story.step("victim_gone", LLM), "image_exec": execs["image_exec"],
        "image_ready": story.step("newcomer_ready", IMAGE),
        "picture_sent": story.step("dispatched", IMAGE), "picture_done": done,
        "image_stopping": story.step("newcomer_stopping", IMAGE),
        "image_gone": story.step("newcomer_gone", IMAGE), "llm_exec": execs["llm_exec"],
        "llm_ready": ready["t_ns"], "chat_sent": story.step("dispatched", LLM, ready["n"])}
    found = phases.cut(moments, {
        "save": [(story.step("drained", LLM), story.step("state_saved", LLM))],
        "restore": [(ready["t_ns"], story.step("state_restored", LLM))],
        "commit": story.commits(), "linger": [(done, linger_end)]})
    found["parts"] = {
        "image_barrier": story.step("room_for_newcomer", IMAGE) - moments["llm_gone"],
        "llm_barrier": story.step("room_for_victim", LLM) - moments["image_gone"]}
    # What lies between the end of the linger and the new LLM, without the image server's own end.
    found["reload_after_linger"] = (moments["llm_exec"] - linger_end) - found["own"]["image_stop"]
    return found
