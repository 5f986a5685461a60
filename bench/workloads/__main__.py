#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""workloads: writes a workload for `berth simulate --workload` to standard output.

    python3 bench/workloads NAME [--seed N] > FILE

The same name and seed give the same lines. The numbers were chosen so that strict FIFO does about
what docs/reference/turns.md says of it.
"""

import argparse
import json
import random
import sys

HOUR = 3600.0
LLM = ("llm", "chat", "on", 6, 4)  # name, class, wanted, GiB of a card of 10, slots
SD = ("sd", "image", "on_demand", 8, 1)


class Workload:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.lines = [{"pool": {"name": "card", "capacity": "10GiB", "limit": 1}}]

    def server(self, kind, load, stop=1.0):
        name, job_class, wanted, size, slots = kind
        self.lines.append({"server": {
            "name": name, "class": job_class, "wanted": wanted, "footprint": f"{size}GiB",
            "slots": slots, "load_s": load, "stop_s": stop}})

    def between(self, span):
        return round(self.random.uniform(*span), 3)

    def job(self, server, at, service):
        self.lines.append({"job": {"server": server, "at_s": round(at, 3), "service_s": service}})

    def loop(self, server, service, think, until=4 * HOUR, burst=None, start=60.0):
        """One client: asks, reads for `think`, asks again; after `burst` requests it pauses."""
        jobs, left = [], 0
        while len(jobs) < 600:
            if burst:
                left = left or self.random.randint(*burst["size"])
                left -= 1
            pause = self.between(burst["pause"]) if burst and left == 0 else self.between(think)
            jobs.append({"server": server, "service_s": self.between(service), "think_s": pause})
        self.lines.append({"loop": {"from_s": self.between((start, 2 * start)), "until_s": until,
                                    "jobs": jobs}})


def seed(work):
    """Two chat users and one who clicks pictures; the LLM loads in 8 s."""
    work.server(LLM, 8)
    work.server(SD, 4)
    for _ in range(2):
        work.loop("llm", (2, 6), (8, 66))
    work.loop("sd", (10, 14), (1, 8), burst={"size": (2, 5), "pause": (90, 210)})


def seedbusy(work):
    """Five chat clients, one of them a program in a loop, and two picture users; load 30 s."""
    work.server(LLM, 30)
    work.server(SD, 4)
    for _ in range(4):
        work.loop("llm", (1, 6), (5, 25))
    work.loop("llm", (1, 6), (0.2, 0.2))
    for _ in range(2):
        work.loop("sd", (10, 14), (2, 30))


def agent(work):
    """An agent's loop against a picture loop; load 8 s."""
    work.server(LLM, 8)
    work.server(SD, 4)
    work.loop("llm", (1, 5), (0.2, 0.2), until=2 * HOUR)
    work.loop("sd", (8, 16), (0.2, 0.2), until=2 * HOUR)


def clicks(work):
    """Bursts of clicked pictures with rare chats between; load 30 s."""
    work.server(LLM, 30)
    work.server(SD, 4)
    work.loop("llm", (2, 6), (60, 240))
    work.loop("sd", (10, 14), (2, 14), burst={"size": (3, 6), "pause": (100, 300)})


def abcabc(work):
    """Three models asked in turn every 6 s, each job 2 s, each swap 10 s."""
    for name in "abc":
        work.server((name, "chat", "on_demand", 8, 4), 9)
    for i in range(1200):
        work.job("abc"[i % 3], 6.0 * i, 2.0)


def bursts(work):
    """Three bursts of 30 pictures, 30 chats and 10 batch jobs; load 8 s."""
    work.server(LLM, 8)
    work.server(SD, 4)
    work.server(("batch", "batch", "on_demand", 7, 1), 10)
    for burst in range(3):
        order = ["sd"] * 30 + ["llm"] * 30 + ["batch"] * 10
        work.random.shuffle(order)
        for server in order:
            service = {"sd": (10, 14), "llm": (2, 6), "batch": (2, 6)}[server]
            work.job(server, 60 + 1800 * burst, work.between(service))


def night(work):
    """Videos of 120 s one after the other, with chats, pictures and batch jobs between."""
    work.server(LLM, 30)
    work.server(SD, 4)
    work.server(("video", "video", "on_demand", 9, 1), 20)
    work.server(("batch", "batch", "on_demand", 7, 1), 10)
    work.loop("video", (110, 130), (1, 9), until=8 * HOUR)
    for _ in range(2):
        work.loop("llm", (2, 6), (20, 120), until=8 * HOUR)
    for _ in range(4):
        work.loop("batch", (10, 30), (20, 90), until=8 * HOUR)
    work.loop("sd", (10, 14), (60, 240), until=8 * HOUR)


WORKLOADS = {each.__name__: each for each in (seed, seedbusy, agent, clicks, abcabc, bursts, night)}


def lines_of(name, number):
    work = Workload(f"{name} {number}")
    WORKLOADS[name](work)
    return [json.dumps(line) for line in work.lines]


def main():
    parser = argparse.ArgumentParser(prog="workloads", description=__doc__.split("\n", 1)[0])
    parser.add_argument("name", choices=WORKLOADS)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    sys.stdout.write("".join(line + "\n" for line in lines_of(options.name, options.seed)))


if __name__ == "__main__":
    main()
