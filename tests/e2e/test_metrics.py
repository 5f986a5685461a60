# SPDX-License-Identifier: Apache-2.0
"""/metrics of a running Berth, read by the parser of prometheus_client (issue 7, build 2)."""

import re
import sys
import unittest

from fast_world import SLACK, fast_config
from harness import HERE, SLOW_STEP_MS, E2eTest, wait_for

sys.path.insert(0, str(HERE.parents[1] / "scripts"))
import fetch_checkers  # noqa: E402

NAME = re.compile(r"(berth|process)_[a-z_]+$")
UNITS = ("_bytes", "_seconds", "_ratio")


class Metrics(E2eTest):
    @classmethod
    def setUpClass(cls):
        sys.path.append(str(fetch_checkers.fetch()))

    def world(self, **options):
        berth = self.berth_with(fast_config(**options))
        return berth.up()

    def families(self, berth):
        """{name: family} of the page, which the parser must take as a whole."""
        from prometheus_client.parser import text_string_to_metric_families
        reply = berth.get("/metrics")
        self.assertEqual(200, reply.status)
        self.assertTrue(reply.headers["Content-Type"].startswith("text/plain; version=0.0.4"))
        return {family.name: family for family in text_string_to_metric_families(reply.body.decode())}

    def value(self, families, name, **labels):
        family = families[re.sub("_(total|count|sum|bucket)$", "", name)]
        found = [sample.value for sample in family.samples if sample.name == name
                 and labels.items() <= sample.labels.items()]
        self.assertEqual(1, len(found), f"{name} {labels}: {family.samples}")
        return found[0]

    def test_each_family_has_a_help_a_type_and_a_name_with_its_unit(self):
        berth = self.world()
        berth.wait_state("chat", "ready")
        for name, family in self.families(berth).items():
            self.assertRegex(name, NAME)
            self.assertTrue(family.documentation.endswith("."), name)
            self.assertIn(family.type, ("gauge", "counter", "histogram"), name)
            self.assertFalse(re.search(r"_(ms|mib|percent|kb|milliseconds)(_|$)", name), name)
            amounts = ("memory", "footprint", "capacity", "limit", "free", "used", "promised", "wait", "swap")
            if any(word in name for word in amounts):
                self.assertTrue(name.endswith(UNITS), f"{name} names no unit")

    def test_a_cycle_is_told_in_numbers_that_agree_with_status(self):
        berth = self.world(step_ms=SLOW_STEP_MS, llm_extra=SLACK)
        berth.wait_state("chat", "ready")
        picture = berth.drawing()
        during = self.families(berth)
        self.assertEqual(1, self.value(during, "berth_server_displaced", server="chat"))
        self.assertEqual(1, self.value(during, "berth_server_state", server="chat", state="absent"))
        self.assertEqual(1, self.value(during, "berth_server_jobs", server="image", state="running"))
        berth.end_drawing(picture)
        berth.wait_step("row_cleared")
        self.assertEqual(200, berth.chat("Hi").status)
        wait_for("the chat is over", lambda: berth.server("chat")["running"] == 0)
        after, status = self.families(berth), berth.status()
        self.assertEqual(0, self.value(after, "berth_server_displaced", server="chat"))
        self.assertEqual(1, self.value(after, "berth_server_displacements_total", server="chat"))
        self.assertEqual(2, self.value(after, "berth_server_starts_total", server="chat"))
        self.assertEqual(1, self.value(after, "berth_jobs_total", server="chat", how="done"))
        self.assertEqual(1, self.value(after, "berth_job_wait_seconds_count", server="image"))
        self.assertGreater(self.value(after, "berth_job_wait_seconds_sum", server="image"), 0)
        self.assertEqual(1, self.value(after, "berth_decisions_total", decision="offload"))
        pool = status["pools"][0]
        self.assertEqual(pool["capacity_bytes"],
                         self.value(after, "berth_pool_capacity_bytes", pool=pool["name"]))
        chat = next(s for s in status["servers"] if s["name"] == "chat")
        self.assertEqual(chat["footprint_bytes"],
                         self.value(after, "berth_server_footprint_bytes", server="chat"))

    def test_a_hold_is_counted_while_it_lasts(self):
        berth = self.world()
        berth.wait_state("chat", "ready")
        self.assertEqual(0, self.value(self.families(berth), "berth_leases", kind="hold", state="granted"))
        done = berth.cli("hold", "chat", "--", "python3", "-c", (
            "import os, re, urllib.request as u\n"
            f"page = u.urlopen('http://127.0.0.1:{berth.port()}/metrics').read().decode()\n"
            "print(re.search(r'berth_leases.kind=.hold.,state=.granted.. (.*)', page).group(1))"))
        self.assertEqual("1", done.stdout.strip())

    def test_the_control_socket_has_it_too(self):
        berth = self.world()
        reply = berth.api("GET", "/metrics")
        self.assertEqual(200, reply.status)
        self.assertIn(b"berth_build_info", reply.body)


if __name__ == "__main__":
    unittest.main()
