# SPDX-License-Identifier: Apache-2.0
"""What the demo claims, each claim judged by journal rows and received bytes alone."""
import dataclasses
import hashlib
import os

import clients
import journal
from cycle import IMAGE, LLM, STEPS

PROMPT_TOKENS_MIN = 500
OWN_BYTES_MAX = 20 << 20
CACHED_PERCENT_MIN = 99
MIB = 1 << 20
# A server with less than this is not in memory: it has just been started or is about to be gone.
TRACE_BYTES_MAX = 32 * MIB


@dataclasses.dataclass
class Check:
    claim: str
    holds: bool
    evidence: str


@dataclasses.dataclass
class Evidence:
    """What a run leaves behind. `before` and `after`: what status and /proc said of the LLM."""
    cycle: object
    a: list              # three Streams: first turn, the turn during which the picture is asked for, next
    b: list              # two Streams: first turn, the turn sent while the LLM is displaced
    picture: object      # a clients.Reply
    size: tuple          # of the picture that was asked for
    before: object
    after: object
    leftovers: list      # (pid, command line) of what ran after `berth down`
    down_ms: float
    drawing: object      # why the picture of the cycle is not sound; None if it is
    own_bytes: int = 0   # resident set of the daemon and its keepers after the cycle


@dataclasses.dataclass
class Llm:
    pid: int
    generation: int
    cmdline: bytes
    state: str
    displaced: bool


def mib(count):
    return f"{count / MIB:.0f}"


def arithmetic(numbers):
    """Returns the decision's sum: "300 + 500 = 800 MiB > 750 MiB"."""
    need, others, limit = (numbers[key] for key in ("need_bytes", "others_bytes", "limit_bytes"))
    sign = ">" if need + others > limit else "<="
    return f"{mib(others)} + {mib(need)} = {mib(need + others)} MiB {sign} {mib(limit)} MiB"


def check_conversation(e):
    tokens = e.a[0].prompt_tokens()
    return Check(f"chat A is a conversation of at least {PROMPT_TOKENS_MIN} prompt tokens",
                 tokens >= PROMPT_TOKENS_MIN and e.a[0].is_whole(), f"{tokens} prompt tokens (timings of its first turn)")


def check_decision(e):
    claim = "the LLM was put out because both together exceed 3/4 of the memory"
    decision = e.cycle.decision("offload", IMAGE)
    if decision is None:
        return Check(claim, False, "the journal has no decision `offload`")
    n = decision["numbers"]
    room = n["capacity_bytes"] - n["foreign_bytes"]
    holds = (n["need_bytes"] + n["others_bytes"] > n["limit_bytes"] >= n["need_bytes"]
             and n["limit_bytes"] == room * 3 // 4 and decision["victims"] == [LLM])
    return Check(claim, holds, f"decision: {arithmetic(n)}, which is 3/4 of {mib(room)}; victims {decision['victims']}")


def check_steps(e):
    missing = e.cycle.missing_steps()
    names = {name: name for name, _ in STEPS}
    if e.cycle.step("linger_over") is None:
        names["linger_over"] = f"(no linger, as chat B waited: gate_closed of {IMAGE})"
    return Check("the journal has the steps of a cycle in order", not missing, "; ".join(missing) or " ".join(names.values()))


def check_chat_a(e):
    stream, stopping = e.a[1], e.cycle.step("victim_stopping")
    overlaps = bool(stream.token_times) and stream.token_times[0] < e.picture.sent_ns < stream.token_times[-1]
    done = e.cycle.step("job_done", LLM)  # its last byte was on its way; the client may see it late
    waited = None not in (done, stopping) and done < stopping
    lead = f"{(stopping - done) / 1e6:.1f} ms before the LLM's stop" if waited else "not before the LLM's stop"
    return Check("chat A, streaming when the picture was asked for, got its whole reply first",
                 overlaps and waited and stream.is_whole(),
                 f"{len(stream.token_times)} of {stream.timings.get('predicted_n')} tokens with text, "
                 f"{len(stream.reply.body)} bytes, last event {'[DONE]' if stream.ends_with_done else 'missing'}, "
                 f"finish_reason {stream.finish_reason}, end of body {'seen' if stream.reply.complete else 'missing'}, "
                 f"ended {lead}; {stream.reply.error}".rstrip("; "))


def check_row(e):
    row, ended = e.cycle.step("row_committed"), e.a[1].reply.ended_ns
    holds = row is not None and ended is not None and row < ended
    return Check("what is owed to the LLM was on the disk while chat A still streamed", holds,
                 f"row committed {(ended - row) / 1e6:.0f} ms before chat A's end" if holds else "not so")


def check_chat_b(e):
    stream = e.b[1]
    reply = stream.reply
    closed, gone, back = (e.cycle.step(name) for name in ("gate_closed", "victim_gone", "state_restored"))
    first = stream.token_times[0] if stream.token_times else None
    holds = (None not in (closed, gone, back, first) and closed < gone < reply.sent_ns < back < first
             and stream.is_whole())
    held = f"held {(first - reply.sent_ns) / 1e6:.0f} ms" if first else "no token"
    after = f", first token {(first - back) / 1e6:.0f} ms after the KV was restored" if first and back else ""
    return Check("chat B, sent while the LLM was gone, was held and answered",
                 holds, f"status {reply.status}, {held}{after}, {len(stream.token_times)} tokens; {reply.error}".rstrip("; "))


def check_no_retry(e):
    arrived = [len(journal.select(e.cycle.records, "event", "job_arrived", server)) for server in (LLM, IMAGE)]
    sent = [len(e.a) + len(e.b), 1]
    return Check("no client sent anything twice", arrived == sent,
                 f"jobs arrived: {arrived[0]} chats and {arrived[1]} picture; requests sent: {sent[0]} and {sent[1]}")


def check_picture(e):
    claim = "the picture is a sound PNG"
    try:
        data = clients.picture_of(e.picture)
        width, height, pixels = clients.decode_png(data)
    except ValueError as error:
        return Check(claim, False, f"status {e.picture.status}: {error} {e.picture.error}")
    holds = e.picture.status == 200 and e.picture.complete and (width, height) == e.size
    return Check(claim, holds, f"status {e.picture.status}, {len(data)} bytes, {width}x{height}, "
                               f"every checksum right, {pixels} bytes of pixels")


def check_answered_first(e):
    """Both times are the client's own: a slow client sees both late."""
    ended, token = e.picture.ended_ns, e.b[1].token_times[0] if e.b[1].token_times else None
    done, stopping = (e.cycle.step_record(name) for name in ("job_done", "newcomer_stopping"))
    holds = None not in (ended, token, done, stopping) and ended < token and done["n"] < stopping["n"]
    return Check("the picture was answered before its server was stopped, and did not wait for the LLM", holds,
                 f"{(token - ended) / 1e6:.0f} ms before the first token of chat B" if holds else "not so")


def check_barrier(e):
    found, holds = [], True
    for server, left in ((IMAGE, "victim_gone"), (LLM, "newcomer_gone")):
        seen, gone, ordered = e.cycle.decision("room_seen", server), e.cycle.step_record(left), e.cycle.move(server, "resident")
        if None in (seen, gone, ordered):
            return Check("memory was free only when it was seen free, both ways", False, f"no room was seen for {server}")
        n = seen["numbers"]
        holds = holds and gone["n"] < seen["n"] < ordered["n"] and n["free_bytes"] >= n["need_bytes"]
        found.append(f"{mib(n['free_bytes'])} MiB seen free for {server} that needs {mib(n['need_bytes'])}")
    return Check("memory was free only when it was seen free, both ways", holds, "; ".join(found))


def check_never_both(e):
    samples = [journal.used_by_server(record) for record in journal.select(e.cycle.records, "memory")]
    both = [used for used in samples if min(used.get(LLM, 0), used.get(IMAGE, 0)) > TRACE_BYTES_MAX]
    each = [max((used.get(server, 0) for used in samples), default=0) for server in (LLM, IMAGE)]
    return Check("LLM and image server were never in memory together",
                 not both and min(each) > TRACE_BYTES_MAX,
                 f"{len(samples)} samples, {len(both)} with both; at most {mib(each[0])} and {mib(each[1])} MiB")


def check_same_argv(e):
    before, after = e.before, e.after
    is_new = after.generation > before.generation and after.pid != before.pid
    digest = [hashlib.sha256(each.cmdline).hexdigest()[:12] for each in (before, after)]
    return Check("the LLM was really restarted, with a byte-identical command line",
                 is_new and before.cmdline == after.cmdline and len(before.cmdline) > 0,
                 f"pid {before.pid} -> {after.pid}, generation {before.generation} -> {after.generation}, "
                 f"/proc/PID/cmdline {len(before.cmdline)} bytes {digest[0]} -> {len(after.cmdline)} bytes {digest[1]}")


def check_cache(name, earlier, later):
    had, found = earlier.cached_after() if earlier.timings else 0, later.timings.get("cache_n", 0)
    percent = 100 * found / had if had else 0
    return Check(f"chat {name}'s conversation came back", percent >= CACHED_PERCENT_MIN and later.is_whole(),
                 f"cache_n {found} of {had} tokens cached before ({percent:.1f} %), "
                 f"{later.timings.get('prompt_n')} evaluated anew")


def check_paid(e):
    return Check("nothing is owed any more", e.after.state == "ready" and not e.after.displaced,
                 f"status: the LLM is {e.after.state}, displaced: {str(e.after.displaced).lower()}")


def check_nothing_left(e):
    left = "; ".join(f"pid {pid}: {cmdline}" for pid, cmdline in e.leftovers)
    return Check("nothing is left running after `berth down`", not e.leftovers,
                 left or f"no process names the state directory; down took {e.down_ms:.0f} ms")


def check_cost(e):
    return Check(f"Berth itself holds less than {OWN_BYTES_MAX // MIB} MiB of RAM", 0 < e.own_bytes < OWN_BYTES_MAX,
                 f"{mib(e.own_bytes)} MiB: daemon and keepers after the cycle")


def check_drawing(e):
    return Check("the cycle can be drawn", e.drawing is None, e.drawing or "a well-formed SVG")


def judge(e):
    """Returns every Check. A build with sanitizers says nothing about what Berth costs."""
    is_release = os.environ.get("BERTH_PRESET", "release") == "release"
    cost = [check_cost(e)] if is_release else []
    return [check_conversation(e), check_decision(e), check_row(e), check_chat_a(e), check_steps(e),
            check_barrier(e), check_never_both(e), check_picture(e), check_answered_first(e), check_chat_b(e),
            check_no_retry(e), check_same_argv(e), check_cache("A", e.a[1], e.a[2]),
            check_cache("B", e.b[0], e.b[1]), check_paid(e), *cost, check_drawing(e), check_nothing_left(e)]
