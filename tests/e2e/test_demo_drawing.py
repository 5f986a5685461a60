#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The picture of a cycle shows what the journal and the clients' clocks say, where they say it."""
import unittest
import xml.etree.ElementTree

import demo_story
from demo_story import STEP_MS, ns

# demo_story has put scripts/demo_lib on the path.
import clients
import drawing

SVG = "{http://www.w3.org/2000/svg}"


class Drawing(unittest.TestCase):
    def setUp(self):
        told = demo_story.evidence()
        talks = clients.talks(told.a, told.b, told.picture)
        self.drawing = drawing.Drawing(told.cycle, talks, "made up & unreal")
        self.svg = self.drawing.draw()
        self.root = xml.etree.ElementTree.fromstring(self.svg)
        self.texts = ["".join(text.itertext()) for text in self.root.iter(f"{SVG}text")]

    def bars(self, lane):
        """Returns (left, right) of the bars in that lane."""
        top = drawing.LANES[lane]
        found = [rect for rect in self.root.iter(f"{SVG}rect")
                 if float(rect.get("y") or -1) == top and float(rect.get("height")) == drawing.LANE_HEIGHT]
        return [(float(rect.get("x")), float(rect.get("x")) + float(rect.get("width"))) for rect in found]

    def assert_bar(self, lane, from_ms, to_ms):
        wanted = self.drawing.x(ns(from_ms)), self.drawing.x(ns(to_ms))
        near = [bar for bar in self.bars(lane)
                if abs(bar[0] - wanted[0]) < 0.5 and abs(bar[1] - wanted[1]) < 0.5]
        self.assertTrue(near, f"no bar from {wanted[0]:.1f} to {wanted[1]:.1f} in {self.bars(lane)}")

    def test_every_lane_and_the_memory_have_their_names(self):
        for name in ("chat A", "chat B", "picture", "LLM", "image server", "memory", "made up & unreal"):
            self.assertIn(name, self.texts)

    def test_bars_stand_where_the_journal_puts_them(self):
        self.assert_bar("chat", STEP_MS["victim_stopping"], STEP_MS["victim_gone"])
        self.assert_bar("image", STEP_MS["newcomer_ready"], STEP_MS["job_done"])
        self.assert_bar("image", STEP_MS["newcomer_stopping"], STEP_MS["newcomer_gone"])

    def test_bars_stand_where_the_clients_clocks_put_them(self):
        self.assert_bar("b", 1700, 4900)  # held
        self.assert_bar("picture", 0, STEP_MS["dispatched"])

    def test_the_decision_stands_there_with_its_numbers(self):
        self.assertTrue(any("300 + 500 = 800 MiB > 750 MiB" in text for text in self.texts), self.texts)
        self.assertIn("limit 750 MiB", self.texts)

    def test_the_cache_stands_there_with_its_numbers(self):
        self.assertTrue(any("779 of 779 tokens" in text for text in self.texts), self.texts)

    def test_everything_lies_inside_the_picture(self):
        for element in self.root.iter():
            for name, limit in (("x", drawing.WIDTH), ("y", drawing.HEIGHT), ("x2", drawing.WIDTH), ("cx", drawing.WIDTH)):
                if element.get(name):
                    self.assertTrue(0 <= float(element.get(name)) <= limit, (element.tag, element.attrib))

    def test_it_needs_nothing_from_elsewhere(self):
        self.assertNotRegex(self.svg.replace('xmlns="http://www.w3.org/2000/svg"', ""), r"https?:|@import|<script|<image|href")

    def test_stages_of_a_picture_leave_no_gap(self):
        found = drawing.stages([record for _, record in sorted(
            ((at, {**record, "t_ns": at}) for at, record in demo_story.progress()), key=lambda row: row[0])], 1852, 4012)
        self.assertEqual([stage for stage, _, _ in found], ["loading", "diffusion", "decoding"])
        self.assertEqual([found[0][1], found[-1][2]], [1852, 4012])
        for (_, _, end), (_, begin, _) in zip(found, found[1:]):
            self.assertEqual(end, begin)

    def test_short_times_are_milliseconds(self):
        self.assertEqual([drawing.duration_text(each) for each in (0, 0.0042, 0.99, 1.604, -0.2)],
                         ["0 ms", "4 ms", "990 ms", "1.60 s", "-200 ms"])

    def test_numbers_do_not_cover_each_other(self):
        places = sorted(float(circle.get("cx")) for circle in self.root.iter(f"{SVG}circle")
                        if circle.get("cy") == str(drawing.MARKS_Y))
        self.assertEqual(len(places), 10)
        for left, right in zip(places, places[1:]):
            self.assertGreaterEqual(right - left, 20)

    def test_a_journal_that_lacks_a_step_cannot_be_drawn(self):
        self.drawing.cycle.records = [record for record in self.drawing.cycle.records if record["name"] != "victim_gone"]
        with self.assertRaises(TypeError):
            self.drawing.draw()


if __name__ == "__main__":
    unittest.main()
