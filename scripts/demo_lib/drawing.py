# SPDX-License-Identifier: Apache-2.0
"""Draws one offload cycle as SVG: who waited for what, and what was in memory meanwhile.

Everything stands where a record of the journal or a client's clock puts it.
"""
import re

import journal
from cycle import IMAGE, LLM
from svg import Canvas, text_width

WIDTH, HEIGHT = 1000, 712
LEFT, RIGHT = 132, 978           # of the time axis
MARKS_Y = 86                      # the numbered dots
LANE_HEIGHT = 32
LANES = {"a": 112, "b": 158, "picture": 204, LLM: 268, IMAGE: 314}
NAMES = {"a": ("chat A", "streaming"), "b": ("chat B", "sent meanwhile"), "picture": ("picture", "asked for at 0 s"),
         LLM: ("LLM", "llama-server"), IMAGE: ("image server", "sd-server")}
MEMORY_TOP, MEMORY_BOTTOM = 384, 534
LEGEND_TOP, LEGEND_ROW = 592, 22
MARGIN_SECONDS = 0.25
MARK_DISTANCE_MIN = 22
MIB = 1 << 20

INK, MUTED, GRID, CARD, EDGE, LIMIT = "#1f2328", "#59636e", "#e4e8ec", "#ffffff", "#d1d9e0", "#cf222e"
# Each actor has (tint, colour): the tint fills, the colour marks.
COLOURS = {"a": ("#dbe9ff", "#1f5fd0"), "b": ("#e9e0fb", "#6f42c1"), "picture": ("#ffe7cf", "#c2570c"),
           LLM: ("#cdeee6", "#0b7a66"), IMAGE: ("#ffe7cf", "#c2570c")}


class Drawing:
    """`talks` is what clients.talks() returns; `parts` names the programs that ran."""

    def __init__(self, cycle, talks, parts):
        self.cycle, self.talks, self.parts = cycle, talks, parts
        self.from_ns = talks["a"][1]["sent_ns"] - MARGIN_SECONDS * 1e9
        self.to_ns = talks["a"][2]["ended_ns"] + MARGIN_SECONDS * 1e9
        self.canvas = Canvas(WIDTH, HEIGHT, "One offload cycle of Berth, from its journal")

    def x(self, at_ns):
        share = (at_ns - self.from_ns) / (self.to_ns - self.from_ns)
        return LEFT + (RIGHT - LEFT) * min(max(share, 0), 1)

    def seconds(self, at_ns):
        return (at_ns - self.cycle.asked_ns) / 1e9

    def draw(self):
        """Returns the SVG. Raises KeyError or TypeError where the journal lacks a step."""
        canvas = self.canvas
        canvas.rect(1, 1, WIDTH - 2, HEIGHT - 2, CARD, stroke=EDGE, rx=10)
        canvas.hatch("held", "#d5c5f5", "#f4effd")
        canvas.hatch("waits", "#ffd9b3", "#fff6ec")
        canvas.hatch("starts", "#9fdccd", "#eaf8f4")
        canvas.text(24, 36, "A chat and a picture, with memory for only one of their servers", 20, font_weight=600)
        canvas.text(24, 57, self.parts, 13, MUTED)
        self._axis()
        marks = self._marks()
        for at_ns, _ in marks:
            canvas.line(self.x(at_ns), MARKS_Y + 10, self.x(at_ns), MEMORY_BOTTOM, "#9aa4af", stroke_dasharray="2 3")
        self._lane_names()
        self._chats()
        self._picture()
        self._llm()
        self._image_server()
        self._memory()
        self._numbers(marks)
        return canvas.document()

    # --- the frame ----------------------------------------------------------------------------

    def _axis(self):
        span = (self.to_ns - self.from_ns) / 1e9
        every = next(each for each in (0.5, 1, 2, 5, 10, 20, 60) if span / each <= 14)
        second = -int(-self.seconds(self.from_ns) / every) * every
        while second <= self.seconds(self.to_ns):
            x = self.x(self.cycle.asked_ns + second * 1e9)
            self.canvas.line(x, MARKS_Y + 12, x, MEMORY_BOTTOM, GRID)
            self.canvas.text(x, MEMORY_BOTTOM + 19, f"{second:g} s", 12, MUTED, text_anchor="middle")
            second += every

    def _lane_names(self):
        for lane, (name, note) in NAMES.items():
            self.canvas.text(24, LANES[lane] + 15, name, 14, font_weight=600)
            self.canvas.text(24, LANES[lane] + 29, note, 11, MUTED)
        self.canvas.text(24, MEMORY_BOTTOM - 25, "memory", 14, font_weight=600)
        self.canvas.text(24, MEMORY_BOTTOM - 10, "as measured", 11, MUTED)

    def _marks(self):
        """Returns (time, sentence) of the moments that are numbered."""
        step, talks = self.cycle.step, self.talks
        offload, room = self.cycle.decision("offload", IMAGE)["numbers"], self.cycle.decision("room_seen", IMAGE)["numbers"]
        need, others, limit = (round(offload[f"{key}_bytes"] / MIB) for key in ("need", "others", "limit"))
        saved = re.search(r"(\d+) tokens", self.cycle.step_record("state_saved").get("text", ""))
        kept = f"{saved.group(1)} tokens of KV cache" if saved else "its KV cache"
        turn, held = talks["a"][2], talks["b"][1]
        waited = (held["token_times_ns"][0] - held["sent_ns"]) / 1e9
        back = (step("state_restored") - self.cycle.move(LLM, "resident")["t_ns"]) / 1e6
        marks = [
            (self.cycle.asked_ns, f"picture asked for: {others} + {need} = {others + need} MiB > {limit} MiB"),
            (step("row_committed"), "gate closed, the return noted on disk; chat A streams on"),
            (step("victim_gone"), f"chat A has ended, {kept} saved, LLM gone"),
            (step("newcomer_ready"), f"{room['free_bytes'] / MIB:.0f} MiB seen free, image server ready"),
            (held["sent_ns"], "chat B sent: held, no error"),
            (talks["picture"]["ended_ns"], "picture answered; it does not wait for the LLM"),
            (step("room_for_victim"), "image server gone, its memory seen free"),
            (step("state_restored"), f"LLM back after {back:.0f} ms: same command line, same KV cache"),
            (held["token_times_ns"][0], f"chat B's first token, after {waited:.1f} s and no retry"),
            (turn["token_times_ns"][0],
             f"chat A's next turn: {turn['cache_n']} of {talks['a'][1]['cached_after']} tokens still cached"),
        ]
        return sorted(marks, key=lambda mark: mark[0])

    def _numbers(self, marks):
        """Puts the numbers over their guides, side by side where they would cover each other."""
        places = [self.x(at_ns) for at_ns, _ in marks]
        for _ in range(len(places)):
            for i in range(1, len(places)):
                lack = MARK_DISTANCE_MIN - (places[i] - places[i - 1])
                if lack > 0:
                    places[i - 1] -= lack / 2
                    places[i] += lack / 2
        rows = (len(marks) + 1) // 2
        self.canvas.line(24, LEGEND_TOP - 26, WIDTH - 24, LEGEND_TOP - 26, EDGE)
        for i, (at_ns, sentence) in enumerate(marks):
            x, true_x = places[i], self.x(at_ns)
            if abs(x - true_x) > 1:
                self.canvas.line(x, MARKS_Y + 8, true_x, MARKS_Y + 22, "#9aa4af")
            self.canvas.number(x, MARKS_Y, i + 1, INK)
            left, y = (34, 522)[i >= rows], LEGEND_TOP + (i % rows) * LEGEND_ROW
            self.canvas.number(left, y - 4, i + 1, INK)
            self.canvas.text(left + 62, y, duration_text(self.seconds(at_ns)), 12, MUTED, text_anchor="end")
            self.canvas.text(left + 71, y, sentence, 12.5)

    # --- lanes --------------------------------------------------------------------------------

    def _bar(self, lane, from_ns, to_ns, fill, label="", **more):
        """Draws a bar, with its label in the upper half if it fits."""
        x1, x2, y = self.x(from_ns), self.x(to_ns), LANES[lane]
        self.canvas.rect(x1, y, x2 - x1, LANE_HEIGHT, fill, rx=min(3, (x2 - x1) / 2), **more)
        if label and text_width(label, 12) + 10 <= x2 - x1:
            self.canvas.text(x1 + 7, y + 14, label, 12, INK)

    def _ticks(self, lane, times, colour):
        y = LANES[lane] + LANE_HEIGHT
        self.canvas.ticks([self.x(at_ns) for at_ns in times], y - 13, y - 3, colour, stroke_width=1.2)

    def _turn(self, lane, turn, label, wait_fill):
        tint, colour = COLOURS[lane]
        first = turn["token_times_ns"][0]
        self._bar(lane, turn["sent_ns"], first, wait_fill, stroke=colour, stroke_opacity=0.35)
        self._bar(lane, first, turn["ended_ns"], tint, label, stroke=colour, stroke_opacity=0.6)
        self._ticks(lane, turn["token_times_ns"], colour)

    def _chats(self):
        _, second, third = self.talks["a"]
        self._turn("a", second, f"{len(second['token_times_ns'])} tokens, none lost", CARD)
        self._turn("a", third, "next turn", CARD)
        held = self.talks["b"][1]
        self._turn("b", held, "answered", "url(#held)")
        self._label_on("b", held["sent_ns"], held["token_times_ns"][0], ["held"], "#f4effd")

    def _label_on(self, lane, from_ns, to_ns, labels, ground):
        """Writes the first label that fits on a hatched bar, on a ground of its own."""
        x1, x2, y = self.x(from_ns), self.x(to_ns), LANES[lane]
        label = next((each for each in labels if text_width(each, 12) + 16 <= x2 - x1), None)
        if label is None:
            return
        width = text_width(label, 12) + 8
        self.canvas.rect((x1 + x2 - width) / 2, y + 7, width, 18, ground, rx=4)
        self.canvas.text((x1 + x2) / 2, y + 20, label, 12, INK, text_anchor="middle")

    def _picture(self):
        tint, colour = COLOURS["picture"]
        asked, dispatched, answered = self.cycle.asked_ns, self.cycle.step("dispatched"), self.talks["picture"]["ended_ns"]
        self._bar("picture", asked, dispatched, "url(#waits)", stroke=colour, stroke_opacity=0.35)
        self._label_on("picture", asked, dispatched, ["waits for room", "waits"], "#fff6ec")
        fills = {"loading": "#fff1e2", "diffusion": tint, "decoding": "#f6b97f"}
        for stage, from_ns, to_ns in stages(self.cycle.progress(), dispatched, answered):
            self._bar("picture", from_ns, to_ns, fills.get(stage, tint), stage, stroke=colour, stroke_opacity=0.6)
        self._ticks("picture", [r["t_ns"] for r in self.cycle.progress() if r["name"] == "diffusion"], colour)
        self.canvas.add("circle", cx=self.x(answered), cy=LANES["picture"] + LANE_HEIGHT / 2, r=4.5, fill=colour)
        self.canvas.text(self.x(answered) + 10, LANES["picture"] + 20, "answered", 12, colour, font_weight=600)

    def _llm(self):
        tint, colour = COLOURS[LLM]
        step = self.cycle.step
        stopping, gone, ready = step("victim_stopping"), step("victim_gone"), step("victim_ready")
        starts, restored = self.cycle.move(LLM, "resident")["t_ns"], step("state_restored")
        line = {"stroke": colour, "stroke_opacity": 0.6}
        self._bar(LLM, self.from_ns, stopping, tint, "in memory", **line)
        self._bar(LLM, stopping, gone, colour)
        self._bar(LLM, gone, starts, "none", **line, stroke_dasharray="4 3")
        self._label_on(LLM, gone, starts, ["gone, its KV cache is on disk", "gone, KV on disk", "gone"], CARD)
        self._bar(LLM, starts, ready, "url(#starts)", **line)
        self._label_on(LLM, starts, ready, ["starts"], "#eaf8f4")
        self._bar(LLM, ready, restored, colour)
        self._bar(LLM, restored, self.to_ns, tint, "in memory again", **line)
        x1, x2, y = self.x(step("gate_closed")), self.x(step("row_cleared")), LANES[LLM] - 7
        self.canvas.line(x1, y, x2, y, LIMIT, stroke_width=3, stroke_linecap="round")
        self.canvas.text(x2 + 8, y + 4, "its gate was closed", 11, LIMIT)

    def _image_server(self):
        tint, colour = COLOURS[IMAGE]
        step = self.cycle.step
        starts, ready = self.cycle.move(IMAGE, "resident")["t_ns"], step("newcomer_ready")
        done, stopping, gone = step("job_done"), step("newcomer_stopping"), step("newcomer_gone")
        line = {"stroke": colour, "stroke_opacity": 0.6}
        self._bar(IMAGE, starts, ready, "url(#waits)", **line)
        self._bar(IMAGE, ready, done, tint, "draws", **line)
        if self.x(stopping) - self.x(done) > 1:
            self._bar(IMAGE, done, stopping, "#fff6ec", "lingers", **line)
        self._bar(IMAGE, stopping, gone, colour)

    # --- memory -------------------------------------------------------------------------------

    def _memory(self):
        canvas = self.canvas
        numbers = self.cycle.decision("offload", IMAGE)["numbers"]
        capacity, limit = numbers["capacity_bytes"], numbers["limit_bytes"]

        def y(count):
            return MEMORY_BOTTOM - (MEMORY_BOTTOM - MEMORY_TOP) * count / (capacity * 1.06)

        samples = self._samples()
        for server, below in ((IMAGE, LLM), (LLM, None)):  # the LLM's outline over the image server's
            upper = [(self.x(at), y(used.get(server, 0) + used.get(below, 0))) for at, used in samples]
            lower = [(self.x(at), y(used.get(below, 0))) for at, used in samples]
            tint, colour = COLOURS[server]
            canvas.area(upper + lower[::-1], tint, stroke=colour, stroke_width=1.2, stroke_linejoin="round")
        self._ghost(y, numbers)
        self._area_labels(y, samples)
        for count, colour, text, dash in ((limit, LIMIT, f"limit {limit / MIB:.0f} MiB", "7 4"),
                                          (capacity, MUTED, f"{capacity / MIB:.0f} MiB", None)):
            canvas.line(LEFT, y(count), RIGHT, y(count), colour, stroke_width=1.4, stroke_dasharray=dash)
            canvas.text(LEFT - 8, y(count) + 4, text, 11.5, colour, text_anchor="end")
        canvas.line(LEFT, MEMORY_BOTTOM, RIGHT, MEMORY_BOTTOM, MUTED)

    def _samples(self):
        """Returns (time, bytes by server) within the picture, beginning and ending at its edges."""
        taken = [(record["t_ns"], journal.used_by_server(record))
                 for record in journal.select(self.cycle.records, "memory")]
        before = [used for at, used in taken if at <= self.from_ns][-1:]
        inside = [(at, used) for at, used in taken if self.from_ns < at < self.to_ns]
        return ([(self.from_ns, before[0] if before else inside[0][1])] + inside + [(self.to_ns, inside[-1][1])])

    def _ghost(self, y, numbers):
        """Draws what both would take: the sum that was over the limit."""
        need, others = numbers["need_bytes"], numbers["others_bytes"]
        x1, x2 = self.x(self.cycle.asked_ns), self.x(self.cycle.step("victim_stopping"))
        self.canvas.rect(x1, y(others + need), x2 - x1, y(others) - y(others + need), "none", stroke=LIMIT,
                         stroke_dasharray="3 3")
        for row, label in enumerate((f"+ {need / MIB:.0f} MiB", "would be too much")):
            if text_width(label, 12) + 10 <= x2 - x1:
                self.canvas.text(x1 + 7, y(others + need / 2) + 2 + 15 * row, label, 12, LIMIT)

    def _area_labels(self, y, samples):
        for server, name in ((LLM, "LLM"), (IMAGE, "image server")):
            most = max(used.get(server, 0) for _, used in samples)
            full = [at for at, used in samples if used.get(server, 0) > 0.8 * most]
            runs = [at for at in full if at < self.cycle.step("victim_gone")] if server == LLM else full
            label = f"{name} {most / MIB:.0f} MiB"
            x1, x2 = self.x(runs[0]), self.x(runs[-1])
            fits = text_width(label, 12) + 10 <= x2 - x1
            self.canvas.text((x1 + x2) / 2, y(most / 2) + 4 if fits else y(most) - 8, label, 12, COLOURS[server][1],
                             text_anchor="middle", font_weight=600)


def duration_text(seconds):
    """Returns a length of time with three digits at most: "4 ms", "1.60 s"."""
    return f"{seconds * 1000:.0f} ms" if abs(seconds) < 0.9995 else f"{seconds:.2f} s"


def stages(progress, from_ns, to_ns):
    """Returns (stage, begin, end) without gaps: a stage begins where the one before it ended."""
    found = []
    for record in progress:
        if found and found[-1][0] == record["name"]:
            found[-1][2] = record["t_ns"]
        else:
            found.append([record["name"], found[-1][2] if found else from_ns, record["t_ns"]])
    if found:
        found[-1][2] = to_ns
    return [tuple(each) for each in found]
