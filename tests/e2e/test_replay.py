# SPDX-License-Identifier: Apache-2.0
"""A bug report is a file: `berth replay` decides again what the journal says (issue 4)."""

import http.client
import json
import unittest
from pathlib import Path

from harness import E2eTest


class AJournalIsReplayed(E2eTest):
    def replay(self, berth, lines=None, name="copy.jsonl"):
        """Returns (status, report) of a replay of these lines, or of the journal itself."""
        path = Path(f"{berth.state}/s/journal.jsonl")
        if lines is not None:
            path = Path(berth.state, name)
            path.write_text("".join(line + "\n" for line in lines))
        done = berth.cli("replay", str(path), "--json", check=False)
        return done.returncode, json.loads(done.stdout)

    def cycle_with_a_crash(self):
        """A picture displaces the LLM, Berth dies under it, the next one brings the LLM back."""
        berth = self.berth().up(environment={"BERTH_FAILPOINT": "newcomer_ready:2"})
        berth.wait_state("chat", "ready")
        picture = berth.picture_later()
        berth.wait_killed()
        self.assertRaises((OSError, http.client.HTTPException), picture.get)
        berth.up()
        berth.wait_step("row_cleared")
        self.assertEqual(200, berth.picture().status)
        berth.wait_step("row_cleared", count=2)
        return berth

    def test_two_runs_with_a_crash_between_them_are_the_same(self):
        berth = self.cycle_with_a_crash()
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
