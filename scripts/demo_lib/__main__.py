# SPDX-License-Identifier: Apache-2.0
"""Shows one offload cycle with real servers and proves it; scripts/demo builds and calls this.

Exit status 0 only if journal rows and received bytes prove every claim.
"""
import argparse
import json
import pathlib
import signal
import sys
import time
import xml.etree.ElementTree

import checks
import clients
import daemon
import drawing
import story
import telling
from cycle import STEPS


class Programs:
    """What is run; `is_standin`: the image server only draws test pictures."""

    def __init__(self, options):
        found = json.loads(options.llama)
        self.llama_server, self.llama_model = found["llama_server"], found["model"]
        self.sd_server, self.sd_model = options.sd_server, options.sd_model
        self.is_standin = not options.sd_server
        if self.is_standin:
            self.sd_server = str(options.bin.resolve() / "sd-server-standin")

    def sentence(self):
        model = pathlib.Path(self.llama_model).stem.split("-Instruct")[0]
        image = "a stand-in for sd-server" if self.is_standin else "a real sd-server"
        return f"Real llama-server with {model}, {image}. Drawn by ./scripts/demo from Berth's journal and its clients' clocks."


def options_of(arguments):
    parser = argparse.ArgumentParser(prog="scripts/demo", description="Shows one offload cycle for real and proves it.")
    parser.add_argument("--json", action="store_true", help="print the evidence as JSON on standard output")
    parser.add_argument("--svg", metavar="FILE", type=pathlib.Path, help="write the picture of the cycle there")
    parser.add_argument("--keep", action="store_true", help="keep the demo's directory (state, logs, journal)")
    for name in ("--bin", "--llama", "--sd-server", "--sd-model"):
        parser.add_argument(name, help=argparse.SUPPRESS, type=pathlib.Path if name == "--bin" else str)
    return parser.parse_args(arguments)


def draw(played, talks, sentence):
    """Returns the SVG and None, or nothing and why there is none."""
    try:
        svg = drawing.Drawing(played.cycle, talks, sentence).draw()
        xml.etree.ElementTree.fromstring(svg)
    except (KeyError, TypeError, IndexError, AttributeError, xml.etree.ElementTree.ParseError) as error:
        return "", f"{type(error).__name__}: {error}"
    return svg, None


def as_json(evidence, judged, talks, seconds):
    cycle = evidence.cycle
    steps = {name: cycle.step(name) for name, _ in STEPS}
    offload = cycle.decision("offload", "image")
    return {
        "ok": all(check.holds for check in judged), "seconds": round(seconds, 1),
        "checks": [vars(check) for check in judged],
        "decision": offload and {**offload["numbers"], "victims": offload["victims"]},
        "steps_ms": {name: at and round(cycle.milliseconds(at), 3) for name, at in steps.items()},
        "llm": {when: {"pid": llm.pid, "generation": llm.generation, "cmdline": llm.cmdline.decode(errors="replace").split("\0")}
                for when, llm in (("before", evidence.before), ("after", evidence.after))},
        "clients": talks, "asked_ns": cycle.asked_ns,
    }


def run(options, teller):
    """Plays the story, judges it, and cleans up. Returns the exit status."""
    started = time.monotonic()
    programs = Programs(options)
    folder = daemon.make_folder()
    berth = daemon.Berth(folder, options.bin / "berth", programs)
    teller.say(f"the LLM is real: {programs.llama_server} with {pathlib.Path(programs.llama_model).name}")
    played, leftovers, down_ms, own_bytes = None, [], 0.0, 0
    try:
        try:
            played = story.play(berth, teller)
            own_bytes = berth.own_bytes()
        finally:
            leftovers, down_ms = berth.down()
        talks = clients.talks(played.a, played.b, played.picture)
        svg, why = draw(played, talks, programs.sentence())
        (folder / "cycle.svg").write_text(svg)
        evidence = checks.Evidence(cycle=played.cycle, a=played.a, b=played.b, picture=played.picture,
                                   size=story.PICTURE_SIZE, before=played.before, after=played.after,
                                   leftovers=leftovers, down_ms=down_ms, drawing=why, own_bytes=own_bytes)
        return conclude(options, teller, evidence, talks, (svg, time.monotonic() - started))
    except daemon.Failure as error:
        for each in (error.__context__, error):  # a failing `berth down` must not hide what came before
            if isinstance(each, daemon.Failure):
                teller.say(f"FAILED {each}")
        teller.say(berth.last_words())
        for pid, cmdline in leftovers:
            teller.say(f"FAILED left running: pid {pid}: {cmdline}")
        return 1
    finally:
        if options.keep:
            teller.say(f"kept: {folder}")
        else:
            berth.remove()


def conclude(options, teller, evidence, talks, result):
    svg, seconds = result
    judged = checks.judge(evidence)
    teller.say("\nwhat journal and received bytes prove:")
    for check in judged:
        teller.check(check)
    failed = sum(not check.holds for check in judged)
    teller.say(f"\n{len(judged) - failed} of {len(judged)} claims are proven, in {seconds:.1f} s")
    if options.svg and not failed:
        options.svg.write_text(svg)
        teller.say(f"the picture of the cycle: {options.svg}")
    if options.json:
        print(json.dumps(as_json(evidence, judged, talks, seconds), indent=1))
    return 1 if failed else 0


def stop(number, _):
    """A stop from outside fails the demo, so that everything is brought down. A second one changes nothing."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise daemon.Failure(f"stopped by {signal.Signals(number).name}; bringing everything down")


def main():
    options = options_of(sys.argv[1:])
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, stop)
    if not options.bin or not options.llama:
        sys.exit("demo: start it as ./scripts/demo, which builds Berth and finds a language model first")
    return run(options, telling.Teller(telling.people_read(options.json)))


if __name__ == "__main__":
    sys.exit(main())
