# SPDX-License-Identifier: Apache-2.0
"""Plain HTTP clients that keep every byte they receive with the time of its arrival.

A client opens one connection, sends one request and never tries again: what it has in hand at the
end is evidence. Times are nanoseconds of the monotonic clock, the one of Berth's journal.
"""
import base64
import http.client
import json
import struct
import threading
import time
import zlib

REPLY_SECONDS_MAX = 120
PIECE_BYTES_MAX = 1 << 16
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


class Reply:
    """What came back: status, body, and when each piece of the body came."""

    def __init__(self, sent_ns):
        self.sent_ns = sent_ns
        self.ended_ns = None
        self.status = None
        self.body = b""
        self.pieces = []       # (time, length of the body when that piece was in)
        self.complete = False  # the body was read to its announced end
        self.error = ""


class Request:
    """One POST, sent by a thread of its own as soon as it is made."""

    def __init__(self, address, path, body, name="", watch=lambda reply: None):
        """`name` says to Berth who asks; `watch` sees the reply after each piece and at its end."""
        self._lock = threading.Condition()
        self._target = address, path, json.dumps(body).encode()
        self._headers = {"Content-Type": "application/json", **({"X-Berth-Client": name} if name else {})}
        self._watch = watch
        self._over = False
        self.reply = Reply(time.monotonic_ns())
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        (host, port), path, body = self._target
        reply = self.reply
        connection = http.client.HTTPConnection(host, port, timeout=REPLY_SECONDS_MAX)
        try:
            connection.request("POST", path, body, self._headers)
            answer = connection.getresponse()
            reply.status = answer.status
            while piece := answer.read1(PIECE_BYTES_MAX):
                with self._lock:
                    reply.body += piece
                    reply.pieces.append((time.monotonic_ns(), len(reply.body)))
                    self._lock.notify_all()
                self._watch(reply)
            # A chunked body that is cut off raises IncompleteRead; one of known length does not.
            promised = answer.headers.get("Content-Length")
            reply.complete = promised is None or int(promised) == len(reply.body)
        except (OSError, http.client.HTTPException) as error:
            reply.error = f"{type(error).__name__}: {error}"
        finally:
            connection.close()
            reply.ended_ns = time.monotonic_ns()
            self._watch(reply)
            with self._lock:
                self._over = True
                self._lock.notify_all()

    def wait_for(self, is_enough, seconds=REPLY_SECONDS_MAX):
        """Waits until is_enough(reply), or the reply is over. Returns the reply."""
        with self._lock:
            self._lock.wait_for(lambda: self._over or is_enough(self.reply), seconds)
        return self.reply

    def wait(self, seconds=REPLY_SECONDS_MAX):
        """Waits until the reply is over. Returns it."""
        return self.wait_for(lambda reply: False, seconds)


class Stream:
    """A reply of server-sent events, read as a chat completion of llama-server."""

    def __init__(self, reply):
        self.reply = reply
        self.events = list(self._read())
        self.token_times = [at for at, event in self.events if self._content(event)]
        self.text = "".join(self._content(event) for _, event in self.events)
        parsed = [event for _, event in self.events if isinstance(event, dict)]
        self.timings = next((e["timings"] for e in reversed(parsed) if "timings" in e), {})
        choices = [choice for event in parsed for choice in event.get("choices", [])]
        self.finish_reason = next((c["finish_reason"] for c in choices if c.get("finish_reason")), None)
        self.ends_with_done = bool(self.events) and self.events[-1][1] == "[DONE]"

    def _read(self):
        """Yields (time of arrival, event): a JSON object or the text "[DONE]". Comments are skipped."""
        at, pieces = 0, iter(self.reply.pieces)
        arrived, have = 0, 0
        while (end := self.reply.body.find(b"\n\n", at)) >= 0:
            while have < end + 2:
                arrived, have = next(pieces)
            text = self.reply.body[at:end].decode("utf-8", "replace")
            at = end + 2
            data = "\n".join(line[6:] for line in text.split("\n") if line.startswith("data: "))
            if data:
                yield arrived, json.loads(data) if data.startswith("{") else data

    @staticmethod
    def _content(event):
        if not isinstance(event, dict) or not event.get("choices"):
            return ""
        return event["choices"][0].get("delta", {}).get("content") or ""

    def cached_after(self):
        """Returns how many tokens of this conversation the server holds once this reply is made."""
        timings = self.timings
        return timings["cache_n"] + timings["prompt_n"] + timings["predicted_n"] - 1

    def facts(self):
        """Returns the times and counts of this turn, for the evidence and for the drawing."""
        timings = self.timings
        return {"sent_ns": self.reply.sent_ns, "ended_ns": self.reply.ended_ns, "status": self.reply.status,
                "token_times_ns": self.token_times, "body_bytes": len(self.reply.body),
                **{name: timings.get(name) for name in ("cache_n", "prompt_n", "predicted_n")},
                "cached_after": self.cached_after() if timings else None}

    def prompt_tokens(self):
        return self.timings.get("cache_n", 0) + self.timings.get("prompt_n", 0)

    def is_whole(self):
        """Says whether nothing is missing: the transport's end, the protocol's end, every token.

        A token may carry no text of its own (the end mark; a part of a character outside ASCII).
        """
        silent = 1 + 3 * sum(not character.isascii() for character in self.text)
        predicted = self.timings.get("predicted_n", 0)
        return (self.reply.status == 200 and self.reply.complete and self.ends_with_done
                and self.finish_reason in ("stop", "length")
                and predicted - silent <= len(self.token_times) <= predicted and predicted > 0)


def talks(a, b, picture):
    """Returns the facts of all that was said, by client."""
    return {"a": [stream.facts() for stream in a], "b": [stream.facts() for stream in b],
            "picture": {"sent_ns": picture.sent_ns, "ended_ns": picture.ended_ns, "status": picture.status,
                        "body_bytes": len(picture.body)}}


def decode_png(data):
    """Returns width, height and the number of bytes of the pixels.

    Raises ValueError, saying what is wrong, unless every chunk, checksum and length is right.
    """
    if data[:8] != PNG_SIGNATURE:
        raise ValueError("it does not begin with the signature of a PNG")
    chunks, at = [], 8
    while at < len(data):
        if len(data) - at < 12:
            raise ValueError("it ends within a chunk")
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body, checksum = data[at + 8:at + 8 + length], data[at + 8 + length:at + 12 + length]
        if checksum != struct.pack(">I", zlib.crc32(kind + body)):
            raise ValueError(f"the checksum of its chunk {kind.decode('latin-1')} is wrong")
        chunks.append((kind, body))
        at += 12 + length
    if not chunks or chunks[0][0] != b"IHDR" or chunks[-1][0] != b"IEND":
        raise ValueError("it lacks its first or its last chunk")
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", chunks[0][1])
    if interlace or colour not in PNG_CHANNELS:
        raise ValueError("it is of a form that is not checked here")
    try:
        pixels = zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))
    except zlib.error as error:
        raise ValueError(f"its pixels cannot be unpacked: {error}") from error
    expected = height * (1 + (width * PNG_CHANNELS[colour] * depth + 7) // 8)
    if len(pixels) != expected:
        raise ValueError(f"its pixels take {len(pixels)} bytes, and {expected} are needed")
    return width, height, len(pixels)


def picture_of(reply):
    """Returns the PNG in the reply of an image route. Raises ValueError."""
    try:
        return base64.b64decode(json.loads(reply.body)["data"][0]["b64_json"], validate=True)
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"the reply holds no picture: {reply.body[:200]!r}") from error
