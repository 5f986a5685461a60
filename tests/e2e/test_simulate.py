# SPDX-License-Identifier: Apache-2.0
"""`berth simulate`: work in virtual time under Berth's policy and under others (issue 5)."""

import json
import subprocess
import sys
import unittest
import xml.etree.ElementTree as xml
from pathlib import Path

from fast_world import fast_config
from harness import BIN, E2eTest

BENCH = Path(__file__).resolve().parents[2] / "bench"
SERVERS = [
    {"pool": {"name": "card", "capacity": "10GiB", "limit": 1}},
    {"server": {"name": "llm", "class": "chat", "wanted": "on", "footprint": "6GiB", "slots": 2,
                "load_s": 8, "stop_s": 1}},
    {"server": {"name": "sd", "class": "image", "footprint": "8GiB", "load_s": 4, "stop_s": 1}},
]
TRACE = "t_s,model,prompt_tokens,output_tokens\n" + "".join(
    f"{i}.0,m{i % 5},100,{100 + i % 7}\n" for i in range(200))


class Simulate(E2eTest):
    def setUp(self):
        self.folder = self.new_folder()

    def run_berth(self, *arguments):
        return subprocess.run([str(BIN / "berth"), "simulate", *map(str, arguments)], text=True,
                              capture_output=True, timeout=60, check=False)

    def policies(self, *arguments):
        done = self.run_berth(*arguments, "--json")
        self.assertEqual(0, done.returncode, done.stderr)
        return json.loads(done.stdout)["policies"]

    def workload(self, *lines):
        path = self.folder / "workload.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in [*SERVERS, *lines]))
        return path

    def generated(self, name, seed=1):
        path = self.folder / f"{name}.jsonl"
        made = subprocess.run([sys.executable, str(BENCH / "workloads"), name, "--seed", str(seed)],
                              stdout=subprocess.PIPE, check=True)
        path.write_bytes(made.stdout)
        return path

    def test_an_agent_and_a_painter_get_turns_where_others_swap_for_each_call(self):
        found = self.policies("--workload", self.generated("agent"))
        self.assertEqual(["berth", "fifo", "affinity", "broker"], list(found))
        self.assertEqual(found["fifo"]["swaps"], found["affinity"]["swaps"])
        self.assertLess(found["berth"]["swaps"], 0.65 * found["fifo"]["swaps"])
        self.assertGreater(found["berth"]["served"], 1.7 * found["fifo"]["served"])
        self.assertEqual([0, 0], [found["berth"]["refused"], found["berth"]["unserved"]])

    def test_in_a_burst_affinity_swaps_least_and_berth_far_less_than_fifo(self):
        found = self.policies("--workload", self.generated("bursts"))
        swaps = {policy: found[policy]["swaps"] for policy in found}
        self.assertLess(swaps["affinity"], swaps["berth"])
        self.assertLess(swaps["berth"], 0.3 * swaps["fifo"])
        self.assertEqual({210}, {found[policy]["served"] for policy in found})
        waits = found["berth"]["waits"]
        self.assertEqual(["batch", "chat", "image"], sorted(waits))
        for wait in waits.values():
            self.assertLessEqual(wait["p50_ms"], wait["p99_ms"])
            self.assertLessEqual(wait["p99_ms"], wait["max_ms"])

    def test_every_generated_workload_is_served_whole_and_the_same_twice(self):
        for name in ("seed", "seedbusy", "clicks", "abcabc", "night"):
            path = self.generated(name)
            found = self.policies("--workload", path)
            self.assertEqual(found, self.policies("--workload", path), name)
            for policy, sums in found.items():
                self.assertEqual((0, 0, False),
                                 (sums["refused"], sums["unserved"], sums["is_cut"]), (name, policy))

    def test_the_tables_fit_a_terminal_and_the_timeline_has_every_server_of_each_policy(self):
        svg = self.folder / "timeline.svg"
        done = self.run_berth("--workload", self.generated("night"), "--svg", svg,
                              "--policy", "berth,fifo")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertLessEqual(max(map(len, done.stdout.splitlines())), 80)
        self.assertIn("berth", done.stdout)
        self.assertNotIn("affinity", done.stdout)
        texts = [text.text for text in xml.parse(svg).iter("{http://www.w3.org/2000/svg}text")]
        for server in ("llm", "sd", "video", "batch"):
            self.assertEqual(2, texts.count(server), server)

    def test_a_public_trace_is_dealt_out_and_stretched_to_its_load(self):
        path = self.folder / "trace.csv"
        path.write_text(TRACE)
        found = self.policies(path, "--servers", 4, "--swap", 2, "--load", 0.2)
        work = sum(0.05 + (100 + i % 7) / 50 for i in range(200))
        self.assertAlmostEqual(work / 0.2, found["fifo"]["span_ms"] / 1000, delta=60)
        self.assertEqual(200, found["berth"]["served"])
        self.assertEqual(161, found["fifo"]["swaps"], "all but m4 to m0, which share a server")

    def test_a_bad_line_is_named_with_its_number(self):
        path = self.workload({"job": {"server": "nobody", "at_s": 1, "service_s": 1}})
        done = self.run_berth("--workload", path)
        self.assertEqual(64, done.returncode)
        self.assertIn('line 4: there is no server "nobody" above this line', done.stderr)
        path = self.workload({"job": {"server": "sd", "at_s": 1, "service_s": 1, "when": 2}})
        self.assertIn('line 4: "when" is not known here', self.run_berth("--workload", path).stderr)

    def test_no_wait_is_beyond_its_bound_also_where_swaps_are_thought_to_be_short_or_long(self):
        for percent in (50, 100, 200):
            found = self.policies("--workload", self.generated("agent"), "--policy", "berth",
                                  "--believe", percent)["berth"]
            self.assertEqual(0, found["beyond_bound"], percent)
            self.assertGreater(found["of_bound"], 0)

    def test_a_past_day_of_the_daemon_is_played_again_from_its_journal(self):
        berth = self.berth_with(fast_config())
        berth.up()
        berth.wait_state("chat", "ready")
        for _ in range(3):
            self.assertEqual(200, berth.chat("Hi", max_tokens=4).status)
        self.assertEqual(200, berth.picture().status)
        berth.wait_step("row_cleared")
        self.assertEqual(200, berth.chat("Hi", max_tokens=4).status)
        berth.down()
        journal = Path(berth.state, "s/journal.jsonl")
        found = self.policies("--journal", journal)
        self.assertEqual({5}, {run["served"] for run in found.values()})
        self.assertGreaterEqual(found["berth"]["swaps"], 2, "the picture server, and the LLM back")
        self.assertEqual(1, found["berth"]["waits"]["image"]["served"])
        table = self.run_berth("--journal", journal)
        self.assertEqual(0, table.returncode, table.stderr)
        self.assertLessEqual(max(map(len, table.stdout.splitlines())), 80)

    def test_it_says_what_it_needs_and_which_policies_there_are(self):
        self.assertIn("--workload FILE or --journal FILE", self.run_berth().stderr)
        path = self.workload({"job": {"server": "sd", "at_s": 1, "service_s": 1}})
        done = self.run_berth("--workload", path, "--policy", "lifo")
        self.assertEqual(64, done.returncode)
        self.assertIn("berth, fifo, affinity, broker", done.stderr)
        self.assertEqual(66, self.run_berth("--workload", path.with_name("none")).returncode)


if __name__ == "__main__":
    unittest.main()
