# SPDX-License-Identifier: Apache-2.0
"""Many clients at once on one thread, each with a connection of its own, and one that asks /health."""
import asyncio
import json
import time

import cycle

ANSWER_SECONDS_MAX = 280
HEALTH_SECONDS = 0.05
HEALTH_SECONDS_MAX = 30
CHAT = {"model": cycle.LLM, "max_tokens": 1, "temperature": 0, "messages": [{"role": "user", "content": "Hi"}]}


class Broken(Exception):
    """Says which side cannot be measured, and why."""


async def exchange(address, method, path, body=b""):
    """Returns (status, body) of one request on a connection of its own."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\n"
                     "Content-Type: application/json\r\nConnection: close\r\n"
                     f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        reply = await reader.read()
    finally:
        writer.close()
    head, _, rest = reply.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    return int(words[1]) if len(words) > 1 else 0, rest


async def chat(address):
    """Returns "" if it was answered, else what happened."""
    try:
        asked = exchange(address, "POST", "/v1/chat/completions", json.dumps(CHAT).encode())
        status, body = await asyncio.wait_for(asked, ANSWER_SECONDS_MAX)
        return "" if status == 200 and b"choices" in body else f"{status}: {body[:200]!r}"
    except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError) as error:
        return repr(error)


class Health:
    """Asks /health again and again, one request at a time; keeps how long each took."""

    def __init__(self, address):
        self.milliseconds = []
        self._task = asyncio.ensure_future(self._run(address))

    async def _run(self, address):
        while True:
            asked = time.monotonic()
            try:
                await asyncio.wait_for(exchange(address, "GET", "/health"), HEALTH_SECONDS_MAX)
            except (OSError, asyncio.TimeoutError):
                pass  # it counts with the time that it took
            self.milliseconds.append((time.monotonic() - asked) * 1e3)
            await asyncio.sleep(HEALTH_SECONDS)

    async def end(self):
        """Waits for the answer that is under way."""
        count = len(self.milliseconds)
        while len(self.milliseconds) == count:
            await asyncio.sleep(HEALTH_SECONDS)
        self._task.cancel()
        return sorted(self.milliseconds)


def share_of(numbers, share):
    return numbers[min(len(numbers) - 1, int(len(numbers) * share))]


async def gather(addresses, health_at, number):
    """`number` chats at once, spread over `addresses`."""
    health = Health(health_at)
    begun = time.monotonic()
    outcomes = await asyncio.gather(*(chat(addresses[i % len(addresses)]) for i in range(number)))
    seconds = time.monotonic() - begun
    asked = await health.end()
    failures = [outcome for outcome in outcomes if outcome]
    return {"answered": len(outcomes) - len(failures), "failed": len(failures),
            "first_failure": failures[0] if failures else "", "seconds": seconds,
            "health_asked": len(asked), "health_ms_p50": share_of(asked, 0.5),
            "health_ms_p99": share_of(asked, 0.99)}
