# SPDX-License-Identifier: Apache-2.0
"""Berth with two llama-servers of which only one fits."""
import json

import daemon
import load

CONFIG = """\
listen = "127.0.0.1:0"
state = {state}

[pool.ram]
kind = "capped"
capacity = "600MiB"  # by the rule "at most 3/4" one of the two fits
{servers}
[policy]
ageing = "2s"
"""
SERVER = """
[server.{name}]
kind = "llama-server"
binary = {binary}
model = {model}
memory = "300MiB"
context = {context}
threads = {threads}
job_limit = "8s"
"""


class WithBerth(daemon.Berth):
    name = "Berth"

    def __init__(self, folder, binary, programs):
        super().__init__(folder, binary, programs)
        self._address = None

    def _configuration(self):
        texts = {"binary": self.programs.llama_server, "model": self.programs.llama_model}
        servers = "".join(SERVER.format(name=name, context=context, threads=self.programs.threads,
                                        **{key: json.dumps(text) for key, text in texts.items()})
                          for name, context in self.programs.contexts.items())
        return CONFIG.format(state=json.dumps(str(self.state)), servers=servers)

    def up(self):
        self.run("up", "--detach")
        self._address = address_in(self.status())

    def call(self, model):
        return load.ask(self._address, model)

    def bound_seconds(self):
        """Returns what status says of a request for B that would come now. Raises Broken."""
        server = daemon.server_in(self.status(), load.B)
        if server["bound_ms"] is None:
            raise load.Broken(f"Berth gives no bound for {load.B}: {server['no_bound_because']}")
        return server["bound_ms"] / 1e3

    def close(self):
        left, _ = self.down()
        if left:
            raise load.Broken(f"these processes stayed behind: {left}")


def address_in(status):
    host, port = status["address"].removeprefix("http://").rstrip("/").rsplit(":", 1)
    return host.strip("[]"), int(port)
