# SPDX-License-Identifier: Apache-2.0
"""What a server takes by the header of its model, against a real llama-server (issue 6, "Must show" 3);
all 12 points are measured by bench/footprints."""

import importlib.util
import sys
import unittest

from harness import BIN, HERE, real_llama

FOLDER = HERE.parent.parent / "bench" / "footprints"
sys.path.insert(0, str(FOLDER))


def load():
    spec = importlib.util.spec_from_file_location("footprints", FOLDER / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TheHeaderOfAModel(unittest.TestCase):
    def test_tells_what_a_real_server_takes_at_three_points(self):
        bench = load()
        points = [{"model": "mid", "context": 32768, "type": "f16", "parallel": 1},
                  {"model": "small", "context": 8192, "type": "q4_0", "parallel": 4},
                  {"model": "mid", "context": 8192, "type": "q8_0", "parallel": 1}]
        server, model = real_llama()
        rows = list(bench.compare(BIN / "berth", {"llama_server": server, "model": model}, points))
        self.assertEqual(3, len(rows))
        found = bench.summary(rows)
        shown = "\n".join(map(bench.line, rows))
        self.assertLessEqual(found["median_error"], bench.MEDIAN_MAX, shown)
        self.assertLessEqual(found["worst_under_bytes"], bench.UNDER_MAX, shown)

    def test_a_sum_that_is_too_small_is_seen_however_good_the_median_is(self):
        bench = load()
        good = {"estimate": 1000 << 20, "measured": 1000 << 20, "error": 0.0}
        short = {"estimate": 900 << 20, "measured": 1000 << 20, "error": -0.1}
        found = bench.summary([good, good, short])
        self.assertEqual(0, found["median_error"])
        self.assertEqual(100 << 20, found["worst_under_bytes"])


if __name__ == "__main__":
    unittest.main()
