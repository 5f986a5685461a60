# SPDX-License-Identifier: Apache-2.0
"""The defaults that docs/reference/configuration.md names are those of a running Berth: what the first event of its
journal says of a configuration that has none of these keys."""

import re
import unittest

from fast_world import LLAMA_STANDIN, real_model
from harness import BIN, HERE, Berth, E2eTest

PAGE = HERE.parents[1] / "docs" / "reference" / "configuration.md"
NS = {"ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9}
MINIMAL = """
[pool.ram]
kind = "capped"
capacity = "1GiB"
[server.chat]
kind = "llama-server"
binary = "{llama}"
model = "{model}"
[server.image]
kind = "sd-server"
binary = "{sd}"
model = "{model}"
"""
POLICY = ("oversize", "patience", "ageing", "linger_max", "release_deadline", "swap_guess", "queue_max")
SERVER = ("wanted", "drain_limit", "start_deadline", "stop_deadline", "while_displaced")


def documented(section):
    """{key: its default as the page has it} of one table."""
    text = PAGE.read_text().split(f"## {section}\n", 1)[1].split("\n## ", 1)[0]
    return dict(re.findall(r"^\| `(\w+)` \| [^|]* \| ([^|]*) \|", text, re.M))


def value(text):
    """The default as it stands in the journal: `"60s"` is nanoseconds, `"none"` nothing."""
    word = text.strip("`\" ")
    time = re.fullmatch(r"([\d.]+)(ms|s|min|h)", word)
    if time:
        return int(float(time.group(1)) * NS[time.group(2)])
    return int(word) if word.isdigit() else word


class ConfigPage(E2eTest):
    @classmethod
    def setUpClass(cls):
        berth = Berth(MINIMAL.format(llama=LLAMA_STANDIN, sd=BIN / "sd-server-standin", model=real_model()))
        try:
            berth.up()
            events = [r for r in berth.journal() if r["kind"] == "event" and r["name"] == "recovered"]
            cls.config = events[0]["config"]
        finally:
            berth.close()

    def assert_default(self, section, key, known):
        found = known[key] if key in known else known[key + "_ns"]
        self.assertEqual(value(documented(section)[key]), found, f"{section} {key}")

    def test_the_defaults_of_the_policy_are_true(self):
        for key in POLICY:
            self.assert_default("`[policy]`", key, self.config["policy"])
        limit = [self.config["policy"][f"limit_{part}"] for part in ("numerator", "denominator")]
        self.assertTrue(documented("`[policy]`")["limit"].startswith('`"{}/{}"`'.format(*limit)))

    def test_the_defaults_of_servers_are_true(self):
        for server in self.config["servers"]:
            for key in SERVER:
                self.assert_default("`[server.<name>]`, every kind", key, server)

    def test_max_hold_of_a_server_is_that_of_the_policy(self):
        wanted = value(documented("`[policy]`")["max_hold"])
        self.assertEqual([wanted, wanted], [server["max_hold_ns"] for server in self.config["servers"]])


if __name__ == "__main__":
    unittest.main()
