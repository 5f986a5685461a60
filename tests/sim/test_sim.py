# SPDX-License-Identifier: Apache-2.0
"""Every promise, under orders of events that nobody would write by hand (issue 4)."""

import hashlib
import os
import pathlib
import re
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BERTH_BIN", ROOT / "build/dev/bin")).parents[1]
SEEDS = 10_000  # in each of two runs


def simulator(tree):
    path = BUILD / tree / "bin/berth-sim"
    if not path.exists():
        raise AssertionError(f"{path} is missing: run `cmake --preset {tree}` and `cmake --build "
                             f"--preset {tree}`, or ./scripts/test, which does both")
    return str(path)


def first_seed():
    """Other seeds for every commit, the same ones for one commit."""
    head = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True,
                          text=True, check=False).stdout.strip()
    return int(hashlib.sha256(head.encode()).hexdigest()[:10], 16)


def play(tree, *arguments):
    return subprocess.run([simulator(tree), *map(str, arguments)], capture_output=True, text=True,
                          check=False)


class Campaign(unittest.TestCase):
    def campaign(self, first):
        done = play("sim", "--first", first, "--seeds", SEEDS, "--probes")
        print(done.stdout, flush=True)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        seeds, median, reached, probes = map(int, re.search(
            r"(\d+) seeds .*median (\d+) a seed\), (\d+) of (\d+) probes, 0 violations",
            done.stdout).groups())
        self.assertEqual(SEEDS, seeds)
        self.assertGreaterEqual(median, 300, "events a seed")
        self.assertGreaterEqual(probes, 25)
        self.assertEqual(probes, reached)


class EvenSeeds(Campaign):
    def test_ten_thousand_worlds_keep_every_promise(self):
        self.campaign(2 * first_seed() * SEEDS)


class OddSeeds(Campaign):
    def test_ten_thousand_more(self):
        self.campaign((2 * first_seed() + 1) * SEEDS)


class AllClasses(unittest.TestCase):
    def test_in_ten_thousand_worlds_with_all_four_classes_every_bound_holds(self):
        done = play("sim", "--crowd", "--first", first_seed(), "--seeds", SEEDS)
        print(done.stdout, flush=True)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        self.assertIn(f"{SEEDS} seeds ", done.stdout)
        self.assertIn("0 violations", done.stdout)

    def test_where_ageing_is_forgotten_a_bound_is_broken(self):
        done = play("sim", "--crowd", "--seeds", 2000, "--plant", "ageing_forgotten")
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"event \d+: bound: ")


class Sanitized(unittest.TestCase):
    def test_three_hundred_worlds_under_the_sanitizers(self):
        done = play("dev", "--first", first_seed(), "--seeds", 300)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)


class PlantedBugs(unittest.TestCase):
    def test_each_is_found_within_2000_seeds_by_an_invariant(self):
        listed = play("sim", "--plant", "list")
        bugs = re.findall(r"^  (\w+)$", listed.stderr, re.M)
        self.assertGreaterEqual(len(bugs), 15, listed.stderr)
        for bug in bugs:
            if bug == "none":
                continue
            with self.subTest(bug):
                done = play("sim", "--seeds", 2000, "--plant", bug)
                print(done.stdout.splitlines()[-1:], flush=True)
                self.assertEqual(0, done.returncode, done.stdout + done.stderr)
                self.assertRegex(done.stdout, r"event \d+: (I\d+|\w[\w ]*): ")
                self.assertIn(f"planted bug {bug}: found after", done.stdout)

    def test_without_a_bug_the_same_seeds_find_nothing(self):
        done = play("sim", "--seeds", 2000, "--plant", "none")
        self.assertIn("planted bug none: not found", done.stdout)


class Fingerprint(unittest.TestCase):
    def test_every_action_and_state_of_100_seeds_is_the_same_in_four_builds(self):
        prints = {}
        for tree in ["dev", "sim", "sim-clang", "sim-clang-debug"]:
            digest = hashlib.sha256()
            with subprocess.Popen([simulator(tree), "--seeds", "100", "--trace"],
                                  stdout=subprocess.PIPE) as process:
                size = 0
                while piece := process.stdout.read(1 << 20):
                    digest.update(piece)
                    size += len(piece)
            self.assertEqual(0, process.returncode, tree)
            self.assertGreater(size, 10_000_000, "the trace is there")
            prints[tree] = digest.hexdigest()
        self.assertEqual(1, len(set(prints.values())), prints)
        print(f"SHA-256 {prints['sim']}", flush=True)


if __name__ == "__main__":
    unittest.main()
