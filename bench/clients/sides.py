# SPDX-License-Identifier: Apache-2.0
"""Both sides: Berth with an LLM and an image server of which one fits, and the LLM's server alone."""
import asyncio
import json
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

import crowd
import daemon

SLOTS = 4
READY_SECONDS_MAX = 60
SETTLED_SECONDS_MAX = 20
POLL_SECONDS = 0.05
LATE_MAX = 5
PICTURE = {"model": daemon.IMAGE, "prompt": "a harbour", "size": "64x64", "n": 1}
POLICY = '\n[policy]\nqueue_max = 5000\n'


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class WithBerth(daemon.Berth):
    name = "Berth"

    def __init__(self, folder, binary, programs):
        super().__init__(folder, binary, programs)
        text = self.config.read_text().replace("parallel = 2", f"parallel = {SLOTS}")
        self.config.write_text(text + POLICY)
        self._addresses = None

    def up(self):
        self._addresses = daemon.addresses_in(super().up())

    def _pid(self):
        return next(pid for pid, command in self.processes()
                    if pathlib.Path(command.split()[0]).name == "berth" and " up" in command)

    async def _settled(self, limit):
        """Berth's open files once they are at most `limit`, else as they are in the end."""
        until = time.monotonic() + SETTLED_SECONDS_MAX
        while (count := open_files(self._pid())) > limit and time.monotonic() < until:
            await asyncio.sleep(POLL_SECONDS)
        return count

    async def _picture(self):
        status, body = await crowd.exchange(self._addresses[0], "POST", "/v1/images/generations",
                                            json.dumps(PICTURE).encode())
        if status != 200:
            raise crowd.Broken(f"no picture: {status}: {body[:200]!r}")

    async def _llm(self, wanted):
        until = time.monotonic() + READY_SECONDS_MAX
        while daemon.server_in(self.status(), daemon.LLM)["state"] != wanted:
            if time.monotonic() > until:
                raise crowd.Broken(f"the LLM is not {wanted}; {self.last_words()}")
            await asyncio.sleep(POLL_SECONDS)

    async def _picture_without_the_llm(self):
        """Returns a picture for which the LLM is seen out; one that was over before is repeated."""
        for _ in range(LATE_MAX):
            picture = asyncio.ensure_future(self._picture())
            while not picture.done():
                if daemon.server_in(self.status(), daemon.LLM)["state"] == "absent":
                    return picture
                await asyncio.sleep(POLL_SECONDS)
            await picture
            await self._llm("ready")
        raise crowd.Broken(f"{LATE_MAX} pictures were over too soon; the machine is too busy")

    async def measure(self, number):
        await self._picture()  # what is made once is there
        await self._llm("ready")
        before = open_files(self._pid())
        picture = await self._picture_without_the_llm()
        found = await crowd.gather(self._addresses, self._addresses[1], number)
        await picture
        after = await self._settled(before)
        return {**found, "files_left": max(after - before, 0)}

    def close(self):
        left, _ = self.down()
        if left:
            raise crowd.Broken(f"these processes stayed behind: {left}")


class Bare:
    name = "llama-server alone"

    def __init__(self, folder, _binary, programs):
        self._folder, self._programs, self._process = folder, programs, None
        self._address = None

    def up(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._address = probe.getsockname()
        threads = max(1, len(os.sched_getaffinity(0)) - 1)
        with open(self._folder / "llama.log", "wb") as log:
            self._process = subprocess.Popen(
                [self._programs.llama_server, "-m", self._programs.llama_model, "-c", "4096", "-np",
                 str(SLOTS), "-t", str(threads), "--cache-ram", "0", "--host", self._address[0],
                 "--port", str(self._address[1])], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until = time.monotonic() + READY_SECONDS_MAX
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                raise crowd.Broken("the bare llama-server did not get ready")
            threading.Event().wait(POLL_SECONDS)

    def _answers(self):
        try:
            with urllib.request.urlopen(f"http://{self._address[0]}:{self._address[1]}/health",
                                        timeout=5) as reply:
                return reply.status == 200
        except (OSError, urllib.error.URLError):
            return False

    async def measure(self, number):
        before = open_files(self._process.pid)
        found = await crowd.gather([self._address], self._address, number)
        until = time.monotonic() + SETTLED_SECONDS_MAX
        while open_files(self._process.pid) > before and time.monotonic() < until:
            await asyncio.sleep(POLL_SECONDS)
        return {**found, "files_left": max(open_files(self._process.pid) - before, 0)}

    def close(self):
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
