# SPDX-License-Identifier: Apache-2.0
"""bench/swap_lag measures whole cycles: every phase is there, and together they are the cycle.
bench/starvation has both sides under the same load; bench/clients answers every client.

No number of speed decides here.
"""

import json
import re
import subprocess
import sys
import unittest

from harness import BIN, HERE, real_llama

BENCH = HERE.parent.parent / "bench"
WIDTH = 80
GAPS = ("asked_to_llm_stopping", "llm_gone_to_image_exec", "image_ready_to_picture_sent",
        "picture_done_to_image_stopping", "image_gone_to_llm_exec", "llm_ready_to_chat_sent")
APART = ("save", "restore", "commit", "linger")
OWN = ("llm_stop", "image_load", "picture", "image_stop", "llm_load")

sys.path.insert(0, str(BENCH / "swap_lag"))
import phases  # noqa: E402 - from the path above


class ACycleIsCutIntoPhases(unittest.TestCase):
    def moments(self):
        return {name: 100 * i for i, name in enumerate(phases.MOMENTS)}

    def test_what_is_apart_is_taken_out_of_the_gaps_and_counted_once(self):
        found = phases.cut(self.moments(), {"save": [(10, 40)], "commit": [(30, 60), (50, 70)],
                                            "linger": [(150, 260)]})
        self.assertEqual(40, found["gaps"]["asked_to_llm_stopping"])
        self.assertEqual(40, found["gaps"]["llm_gone_to_image_exec"])
        self.assertEqual({"save": 30, "restore": 0, "commit": 30, "linger": 60}, found["apart"])
        self.assertEqual(100, found["own"]["llm_stop"], "a server's own phase stays whole")
        self.assertEqual(1100, found["total"])
        self.assertEqual(1100, sum(sum(found[group].values()) for group in ("gaps", "own", "apart")))

    def test_moments_in_the_wrong_order_are_refused(self):
        moments = {**self.moments(), "image_exec": 199}
        with self.assertRaisesRegex(phases.Late, "image_exec comes .* before llm_gone"):
            phases.cut(moments, {})

    def test_nine_in_ten_do_not_exceed_p90(self):
        self.assertEqual(18, phases.p90(list(range(1, 21))))
        self.assertEqual(7, phases.p90([7]))


def bench(name, *arguments):
    server, model = real_llama()
    done = subprocess.run(
        [sys.executable, BENCH / name, "--bin", BIN, "--llama",
         json.dumps({"llama_server": server, "model": model}), *arguments],
        capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise AssertionError(f"bench {name}: {done.returncode}: {done.stderr}")
    return done


class SwapLag(unittest.TestCase):
    def test_one_cycle_has_every_phase_and_they_add_up(self):
        found = json.loads(bench("swap_lag", "--runs", "1", "--json").stdout)
        self.assertEqual(1, found["runs"])
        for side in ("berth", "bare"):
            table, (cycle,) = found[side], found["cycles_ns"][side]
            self.assertEqual({*GAPS, "all"}, set(table["gaps"]))
            self.assertEqual({*APART, "all"}, set(table["apart"]))
            self.assertEqual({*OWN, "all"}, set(table["own"]))
            self.assertAlmostEqual(table["gaps"]["all"]["median"],
                                   sum(table["gaps"][name]["median"] for name in GAPS), delta=0.01)
            self.assertEqual(cycle["total"], sum(sum(cycle[group].values())
                                                 for group in ("gaps", "apart", "own")))
        for name in APART:
            self.assertGreater(found["berth"]["apart"][name]["median"], 0, name)
        text = phases.as_text(found["berth"], found["bare"])
        labels = [label for group in (phases.GAPS, phases.APART, phases.OWN) for _, label in group]
        for label in labels:
            self.assertRegex(text, rf"(?m)^  {re.escape(label)} .*\d")
        self.assertLessEqual(max(map(len, text.splitlines())), WIDTH)


class Clients(unittest.TestCase):
    def test_both_sides_answer_every_client_and_health_meanwhile(self):
        found = json.loads(bench("clients", "--clients", "20", "--json").stdout)
        self.assertEqual(["Berth", "llama-server alone"], [side["side"] for side in found["sides"]])
        for side in found["sides"]:
            self.assertEqual((20, 0, 0), (side["answered"], side["failed"], side["files_left"]), side)
            self.assertGreater(side["health_asked"], 0)


class Starvation(unittest.TestCase):
    def test_all_sides_answer_the_same_load_and_the_bound_is_printed_first(self):
        done = bench("starvation", "--busy", "5", "--json", "--rule-alone")
        sides = json.loads(done.stdout)["sides"]
        self.assertEqual("Berth", sides[0]["side"])
        self.assertEqual("the rule alone", sides[-1]["side"])
        for side in sides:
            self.assertEqual(200, side["b_status"], side)
            self.assertGreater(side["a_answered"], 0, side)
            self.assertEqual(side is sides[0], side["bound_s"] is not None, "only Berth has a bound")
        self.assertEqual(0, sides[0]["a_failed"])
        self.assertRegex(done.stderr, r"(?m)^starvation: Berth: a request for b would be served within "
                         rf"{sides[0]['bound_s']:.1f} s$")


if __name__ == "__main__":
    unittest.main()
