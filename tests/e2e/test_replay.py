# SPDX-License-Identifier: Apache-2.0
"""A bug report is a file: `berth replay` decides again what the journal says (issue 4)."""

import http.client
import json
import unittest
from pathlib import Path

from harness import E2eTest, wait_for


class AJournalIsReplayed(E2eTest):
    def replay(self, berth, lines=None, name="copy.jsonl"):
        """Returns (status, report) of a replay of these lines, or of the journal itself."""
        path = Path(f"{berth.state}/s/journal.jsonl")
        if lines is not None:
            path = Path(berth.state, name)
            path.write_text("".join(line + "\n" for line in lines))
        done = berth.cli("replay", str(path), "--json", check=False)
        return done.returncode, json.loads(done.stdout)

    def cycle_with_a_crash(self, step):
        """A picture displaces the LLM, Berth dies at the step, the next one brings the LLM back."""
        berth = self.berth().up(environment={"BERTH_FAILPOINT": step})
        berth.wait_state("chat", "ready")
        picture = berth.picture_later()
        berth.wait_killed()
        self.assertRaises((OSError, http.client.HTTPException), picture.get)
        berth.up()
        berth.wait_state("chat", "ready")
        self.assertEqual(200, berth.picture().status)
        wait_for("the LLM is back from this one", lambda: berth.steps(
            "victim_gone", "row_cleared")[-1] == "row_cleared")
        return berth

    def test_a_run_that_died_between_two_actions_is_the_same_up_to_there(self):
        berth = self.cycle_with_a_crash("gate_closed")
        berth.down()
        status, report = self.replay(berth)
        self.assertEqual((0, 2, 0), (status, report["runs"], report["differences"]), report)
        self.assertRegex(report["notes"][0], r"the run ends within the actions of line \d+")

    def test_one_changed_number_is_found_with_its_line(self):
        berth = self.cycle()
        records = berth.journal()
        seen = next(i for i, r in enumerate(records)
                    if r["name"] == "announce" and r["reason"] == "room_seen" and r["numbers"])
        sample = max(i for i in range(seen) if records[i]["name"] == "measured")
        records[sample]["pools"][0]["free_bytes"] += 1
        status, report = self.replay(berth, map(json.dumps, records))
        self.assertEqual(1, status)
        first = report["first"]
        self.assertEqual((seen + 1, sample + 1), (first["line"], first["event_line"]))
        self.assertEqual("measured", first["event"]["name"])
        self.assertEqual(first["expected"]["numbers"]["free_bytes"] + 1,
                         first["actual"]["numbers"]["free_bytes"])
        self.assertEqual(1, report["differences"], "the byte changes a number, not a decision")
        said = berth.cli("replay", f"{berth.state}/copy.jsonl", check=False)
        self.assertEqual(1, said.returncode)
        self.assertIn(f"line {seen + 1}: the first difference, in the answer to line {sample + 1}",
                      said.stdout)
        self.assertIn("actions: 1 differ", said.stdout)

    def test_two_swapped_events_are_found(self):
        berth = self.cycle()
        records = berth.journal()
        one, other = [i for i, r in enumerate(records) if r["kind"] == "event" and
                      r["name"] in ("job_arrived", "job_ended")][:2]
        place = ("n", "t_ns", "wall_ms")  # stays where it is, or it would be an error
        a, b = records[one], records[other]
        records[one], records[other] = ({**b, **{k: a[k] for k in place}},
                                        {**a, **{k: b[k] for k in place}})
        status, report = self.replay(berth, map(json.dumps, records))
        self.assertEqual(1, status)
        self.assertEqual(one + 1, report["first"]["event_line"])

    def test_a_file_without_a_start_says_what_to_do(self):
        berth = self.cycle()
        path = Path(berth.state, "tail.jsonl")
        path.write_text("".join(json.dumps(r) + "\n" for r in berth.journal()[5:]))
        done = berth.cli("replay", str(path), check=False)
        self.assertEqual(66, done.returncode)
        self.assertIn("cat journal.jsonl.1 journal.jsonl", done.stderr)

    def cycle(self):
        berth = self.berth().up()
        berth.wait_state("chat", "ready")
        self.assertEqual(200, berth.picture().status)
        berth.wait_step("row_cleared")
        berth.down()
        return berth

    def test_two_runs_with_a_crash_between_them_are_the_same(self):
        berth = self.cycle_with_a_crash("newcomer_ready:2")
        secret = "the password of the lighthouse"
        self.assertEqual(200, berth.chat(secret).status)
        berth.down()
        status, report = self.replay(berth)
        self.assertEqual((0, 2, 0, None), (status, report["runs"], report["differences"],
                                           report["first"]), report)
        records = berth.journal()
        events = sum(r["kind"] == "event" for r in records)
        actions = sum(r["kind"] == "action" for r in records)
        self.assertEqual((events, actions), (report["events"], report["actions"]))
        self.assertNotIn(secret, Path(f"{berth.state}/s/journal.jsonl").read_text())
        said = berth.cli("replay", f"{berth.state}/s/journal.jsonl").stdout
        self.assertIn(f"{events} events, {actions} actions: the same", said)


if __name__ == "__main__":
    unittest.main()
