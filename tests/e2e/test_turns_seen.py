# SPDX-License-Identifier: Apache-2.0
"""The checks of turns_seen.py find what they are for, in journals that are made up."""

import unittest

from turns_seen import Story, complaints_of


def records(*moments):
    """A journal in short: "plan S", "unasked S", "up S", "down S", "ask N S", "run N S", "done N"."""
    made = []
    for moment in moments:
        what, first, *rest = moment.split()
        made.append({
            "plan": lambda: ("action", "announce", {"reason": "offload", "server": first}),
            "unasked": lambda: ("action", "announce", {"reason": "comes_back", "server": first}),
            "up": lambda: ("action", "move_to", {"rung": "resident", "server": first}),
            "down": lambda: ("action", "move_to", {"rung": "absent", "server": first}),
            "ask": lambda: ("event", "job_arrived", {"job": first, "server": rest[0]}),
            "run": lambda: ("action", "dispatch", {"job": first, "server": rest[0]}),
            "done": lambda: ("event", "job_ended", {"job": first, "how": "done"}),
            "refuse": lambda: ("action", "reject", {"job": first, "error": {"message": "no"}}),
        }[what]())
    return [{"kind": kind, "name": name, **rest} for kind, name, rest in made]


class TheChecksSee(unittest.TestCase):
    def complaints(self, *moments):
        return complaints_of(Story(records(*moments)))

    def test_a_turn_that_was_asked_for_and_served_nobody(self):
        begin = ("ask 1 a", "plan a", "up a", "run 1 a")
        self.assertEqual([], self.complaints(*begin, "done 1", "down a"))
        self.assertEqual([], self.complaints("unasked a", "up a", "down a"), "one may be in vain")
        self.assertEqual([], self.complaints("plan a", "up a"), "it may still serve somebody")
        self.assertEqual(["<a 0> was asked for and served nobody"], self.complaints(*begin, "down a"))

    def test_three_turns_in_a_row_without_a_job(self):
        chase = ("unasked a", "up a", "down a", "unasked b", "up b", "down b")
        self.assertEqual([], self.complaints(*chase, "ask 1 a", "plan a", "up a", "run 1 a", "done 1"))
        self.assertEqual(["3 turns in a row without a job, the last is <a unasked 0>"],
                         self.complaints(*chase, "unasked a", "up a", "down a"))

    def test_a_job_that_more_turns_of_others_pass_than_jobs_stood_before_it(self):
        passes = ("ask 1 b", "plan b", "up b", "run 1 b", "done 1", "down b")
        self.assertEqual([], self.complaints("ask 7 a", *passes))
        starved = "<job 7 of a: 0 before it, 2 turns of others>: it starved"
        self.assertEqual([starved], self.complaints("ask 7 a", *passes, *passes))
        self.assertEqual([starved], self.complaints("ask 7 a", "ask 8 a", *passes, *passes))

    def test_a_request_that_was_refused(self):
        self.assertEqual(["refused: no"], self.complaints("ask 1 a", "refuse 1"))


if __name__ == "__main__":
    unittest.main()
