# SPDX-License-Identifier: Apache-2.0
"""A made-up run of scripts/demo in which everything went well: its journal and its clients' bytes.

Times are milliseconds since the picture was asked for. Tests change one thing and look again.
"""
import base64
import json
import pathlib
import struct
import sys
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts" / "demo_lib"))

import checks  # noqa: E402
import clients  # noqa: E402
from cycle import IMAGE, LLM, STEPS, Cycle  # noqa: E402

MIB = 1 << 20
ASKED_NS = 10**15
STEP_MS = dict(zip((name for name, _ in STEPS), (
    1, 2, 4, 1502, 1530, 1531, 1604, 1640, 1850, 1852, 4010, None, 4011, 4080, 4110, 4710, 4722, 4725)))
TURN_OVER_MS = 3500  # chat B waits: the image server's gate closes and there is no linger
NUMBERS = {"pool": "ram", "need_bytes": 500 * MIB, "others_bytes": 300 * MIB, "limit_bytes": 750 * MIB,
           "capacity_bytes": 1000 * MIB, "foreign_bytes": 0, "free_bytes": 760 * MIB}


def ns(milliseconds):
    return ASKED_NS + int(milliseconds * 1e6)


def memory(at, llm, image):
    holders = [{"pid": 100 + i, "program": "p", "server": server, "bytes": size * MIB}
               for i, (server, size) in enumerate(((LLM, llm), (IMAGE, image))) if size]
    free = (1000 - llm - image) * MIB
    return at, {"kind": "memory", "name": "sample", "holders": holders,
                "pools": [{"name": "ram", "capacity_bytes": 1000 * MIB, "free_bytes": free}]}


def memory_curve():
    for at in range(-2000, 7000, 100):
        llm = 240 if at < STEP_MS["victim_gone"] else 200 if at > STEP_MS["room_for_victim"] + 300 else 0
        image = 470 if STEP_MS["dispatched"] + 300 < at < STEP_MS["newcomer_gone"] else 0
        yield memory(at, llm, image)


def progress():
    rows = [(1900, "loading", 10, 10), (2200, "loading", 10, 10)]
    rows += [(2260 + 60 * i, "diffusion", i + 1, 24) for i in range(24)]
    rows += [(3900, "decoding", 1, 1)]
    return [(at, {"kind": "progress", "name": stage, "server": IMAGE, "step": step, "steps": steps})
            for at, stage, step, steps in rows]


def journal_records():
    """Returns the records in the order of their times, numbered."""
    texts = {"state_saved": f'server "{LLM}": 739 tokens, 17039152 bytes'}
    rows = [(at, {"kind": "step", "name": name, "server": dict(STEPS)[name], "text": texts.get(name, "")})
            for name, at in STEP_MS.items() if at is not None]
    rows.append((TURN_OVER_MS, {"kind": "step", "name": "gate_closed", "server": IMAGE}))
    rows.append((1500.6, {"kind": "step", "name": "job_done", "server": LLM}))
    for job, (at, server) in enumerate(((-9000, LLM), (-3000, LLM), (-1000, LLM), (1, IMAGE), (1700, LLM), (5600, LLM))):
        rows.append((at, {"kind": "event", "name": "job_arrived", "server": server, "job": job + 1}))
    rows += [
        (1.5, {"kind": "decision", "name": "offload", "server": IMAGE, "victims": [LLM], "job": 4, "numbers": NUMBERS}),
        (1639, {"kind": "decision", "name": "room_seen", "server": IMAGE, "numbers": NUMBERS}),
        (1641, {"kind": "action", "name": "move_to", "server": IMAGE, "rung": "resident", "generation": 1}),
        (4109, {"kind": "decision", "name": "room_seen", "server": LLM,
                "numbers": {**NUMBERS, "need_bytes": 300 * MIB, "others_bytes": 0, "free_bytes": 998 * MIB}}),
        (4111, {"kind": "action", "name": "move_to", "server": LLM, "rung": "resident", "generation": 2}),
        *progress(), *memory_curve()]
    rows.sort(key=lambda row: row[0])
    return [{"n": n, "t_ns": ns(at), "wall_ms": 0, **record} for n, (at, record) in enumerate(rows, 1)]


def sse(event):
    return b"data: " + (event if isinstance(event, str) else json.dumps(event)).encode() + b"\n\n"


def chat(sent, first, every, tokens, cache_n, prompt_n):
    """Returns the reply of a streamed chat of that many tokens."""
    reply = clients.Reply(ns(sent))
    events = [(first, {"choices": [{"finish_reason": None, "delta": {"role": "assistant", "content": None}}]})]
    events += [(first + every * i, {"choices": [{"finish_reason": None, "delta": {"content": f" w{i}"}}]})
               for i in range(tokens)]
    end = first + every * tokens
    events += [(end, {"choices": [{"finish_reason": "length", "delta": {}}],
                      "timings": {"cache_n": cache_n, "prompt_n": prompt_n, "predicted_n": tokens}}),
               (end, "[DONE]")]
    for at, event in events:
        reply.body += sse(event)
        reply.pieces.append((ns(at), len(reply.body)))
    reply.status, reply.complete, reply.ended_ns = 200, True, ns(end + 0.5)
    return reply


def png(width, height):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    pixels = zlib.compress(bytes(height * (1 + 3 * width)))
    return (clients.PNG_SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))


def picture_reply(data):
    reply = clients.Reply(ASKED_NS)
    reply.body = json.dumps({"data": [{"b64_json": base64.b64encode(data).decode()}]}).encode()
    reply.status, reply.complete, reply.ended_ns = 200, True, ns(4012)
    return reply


def evidence():
    """Returns the checks.Evidence of the run."""
    cmdline = b"llama-server\0-m\0smol.gguf\0"
    a = [chat(-9000, -4000, 20, 16, 0, 582), chat(-1000, -600, 15, 140, 597, 43), chat(5600, 5900, 20, 20, 779, 22)]
    b = [chat(-3000, -2500, 20, 24, 0, 32), chat(1700, 4900, 20, 30, 55, 22)]
    return checks.Evidence(
        cycle=Cycle(journal_records(), ASKED_NS), a=[clients.Stream(reply) for reply in a],
        b=[clients.Stream(reply) for reply in b], picture=picture_reply(png(512, 512)), size=(512, 512),
        before=checks.Llm(101, 1, cmdline, "ready", False), after=checks.Llm(202, 2, cmdline, "ready", False),
        leftovers=[], down_ms=80, drawing=None, own_bytes=12 << 20)
