# SPDX-License-Identifier: Apache-2.0
"""One offload cycle, cut into phases, and the table of many. Times are nanoseconds."""
import statistics

from sides import Late

# The moments of a cycle in order. Between two of them lies by turns a gap, which is the
# orchestrator's, and a phase of a server's own.
MOMENTS = ("asked", "llm_stopping", "llm_gone", "image_exec", "image_ready", "picture_sent",
           "picture_done", "image_stopping", "image_gone", "llm_exec", "llm_ready", "chat_sent")
GAPS = (("asked_to_llm_stopping", "picture asked for -> LLM stopping"),
        ("llm_gone_to_image_exec", "LLM gone -> image server exec"),
        ("image_ready_to_picture_sent", "image server ready -> picture sent"),
        ("picture_done_to_image_stopping", "picture done -> image server stopping"),
        ("image_gone_to_llm_exec", "image server gone -> LLM exec"),
        ("llm_ready_to_chat_sent", "LLM ready -> held chat sent"))
OWN = (("llm_stop", "LLM stops"), ("image_load", "image server loads"),
       ("picture", "picture is drawn"), ("image_stop", "image server stops"),
       ("llm_load", "LLM loads"))
# What of a gap passes until Berth sees the memory free; the rest is keeper, fork and exec.
PARTS = (("image_barrier", "llm_gone_to_image_exec"), ("llm_barrier", "image_gone_to_llm_exec"))
APART = (("save", "slot save"), ("restore", "slot restore"), ("commit", "commits (fsync)"),
         ("linger", "linger"))


def without(pieces, taken):
    """Returns what is left of the (from, to) pieces without another, and how much that took."""
    left, (begin, end) = [], taken
    for a, b in pieces:
        left += [(x, y) for x, y in ((a, min(b, begin)), (max(a, end), b)) if x < y]
    return left, sum(b - a for a, b in pieces) - sum(b - a for a, b in left)


def cut(moments, apart):
    """Returns gaps, own phases and what is apart, which together are the whole cycle.

    `apart` has for each name the (from, to) that are no lag of the orchestrator; what of them lies
    in a gap is taken out of it.
    """
    times = [moments[name] for name in MOMENTS]
    for before, after, a, b in zip(MOMENTS, MOMENTS[1:], times, times[1:]):
        if b < a:
            raise Late(f"{after} comes {(a - b) / 1e6:.3f} ms before {before}")
    spans = list(zip(times, times[1:]))
    phases = {"gaps": {}, "own": {}, "apart": {name: 0 for name, _ in APART}}
    for (name, _), span in zip(GAPS, spans[0::2]):
        pieces = [span]
        for kind, _ in APART:
            for taken in apart.get(kind, []):
                pieces, length = without(pieces, taken)
                phases["apart"][kind] += length
        phases["gaps"][name] = sum(b - a for a, b in pieces)
    for (name, _), (a, b) in zip(OWN, spans[1::2]):
        phases["own"][name] = b - a
    return {**phases, "total": times[-1] - times[0]}


def p90(values):
    """Returns the value that nine in ten do not exceed."""
    ordered = sorted(values)
    return ordered[-(-9 * len(ordered) // 10) - 1]


def milliseconds(values):
    return {"median": round(statistics.median(values) / 1e6, 3), "p90": round(p90(values) / 1e6, 3)}


def rows(cycles):
    """Returns {group: {phase: {median, p90}}} of one side, in milliseconds; "all" is the sum."""
    table = {}
    for group, names in (("gaps", GAPS), ("apart", APART), ("own", OWN)):
        table[group] = {name: milliseconds([c[group][name] for c in cycles]) for name, _ in names}
        table[group]["all"] = milliseconds([sum(c[group].values()) for c in cycles])
    table["parts"] = {name: milliseconds([c["parts"][name] for c in cycles])
                      for name, _ in PARTS if all("parts" in c for c in cycles)}
    table["total"] = milliseconds([c["total"] for c in cycles])
    return table


def line(label, *sides):
    numbers = "".join(f"{side['median']:10.1f}{side['p90']:9.1f}" if side else f"{'-':>10}{'-':>9}"
                      for side in sides)
    return f"{label:<40}{numbers}"


def as_text(berth, bare):
    """Returns the table of both sides, at most 80 columns wide."""
    lines = [f"{'milliseconds':<40}{'BERTH':>10}{'':>9}{'BARE':>10}".rstrip(),
             f"{'':<40}" + f"{'median':>10}{'p90':>9}" * 2]
    for group, names, title, total in (("gaps", GAPS, "GAPS", "all gaps"),
                                       ("apart", APART, "APART", None),
                                       ("own", OWN, "THE SERVERS' OWN", "all of their own")):
        lines.append(title)
        for name, label in names:
            is_shared = group != "apart"  # the bare side saves, writes and waits for nothing
            lines.append(line("  " + label, berth[group][name], bare[group][name] if is_shared else None))
            lines += [line("    of it until memory is seen free", berth["parts"][part], None)
                      for part, gap in PARTS if gap == name]
        if total:
            lines.append(line("  " + total, berth[group]["all"], bare[group]["all"]))
    return "\n".join([*lines, line("WHOLE CYCLE", berth["total"], bare["total"])]) + "\n"
