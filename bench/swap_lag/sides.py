# SPDX-License-Identifier: Apache-2.0
"""What both sides share: what is asked for, and how often they look."""
import threading
import time

PICTURE = {"prompt": "a harbour at dawn", "size": "64x64"}
SENTENCE = "In the year 1805 the harbour of the town had eight piers and thirty boats. "
POLL_SECONDS = 0.001
DEADLINE_SECONDS = 60


class Broken(Exception):
    """Says which cycle cannot be measured, and why."""


class Late(Broken):
    """This bench looked too late, as a busy machine makes it: that cycle is done again."""


def chat_body(model):
    """A conversation whose cache is worth keeping."""
    return {"model": model, "max_tokens": 4, "temperature": 0,
            "messages": [{"role": "user", "content": SENTENCE * 4 + "What is this text about?"}]}


def when(is_so, what):
    """Looks every millisecond. Returns when, on the monotonic clock, it was so."""
    until = time.monotonic() + DEADLINE_SECONDS
    while not is_so():
        if time.monotonic() > until:
            raise Broken(f"not within {DEADLINE_SECONDS} s: {what}")
        threading.Event().wait(POLL_SECONDS)
    return time.monotonic_ns()
