#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What Berth relies on of an sd-server, checked on the stand-in and, where the environment names
one (BERTH_TEST_SD_SERVER, BERTH_TEST_SD_MODEL), on a real one too.

    sd_contract.py SD_SERVER_STANDIN [unittest arguments]
"""
import base64
import http.client
import os
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "standins"))
from standin_process import MIB, Standin, free_port, pss, wait_until  # noqa: E402

# A loaded program without weights takes 45 MiB; with AddressSanitizer's own memory somewhat more.
BARE_MAX = 96 * MIB
BETWEEN_PICTURES_MAX = 128 * MIB
PICTURE_SECONDS_MAX = 240  # on a busy machine
SIZE = 64
THREADS = max(1, (os.cpu_count() or 2) - 1)


class Program:
    """How to run one sd-server. `starving` runs it so that it cannot have the memory it needs."""

    def __init__(self, binary, model, weights, options=(), address_space=None):
        self.binary, self.model, self.weights = binary, model, weights
        self.options, self.address_space = list(options), address_space

    def command(self, port, model=None):
        return [self.binary, "-m", model or self.model, "--listen-ip", "127.0.0.1", "--listen-port", str(port),
                "-s", "-1", "-t", str(THREADS), *self.options]


STANDIN = Program(sys.argv[1], "{folder}/model", 256 * MIB,
                  ["--standin-memory", str(256 * MIB), "--standin-step-ms", "100"])


def real():
    binary, model = os.environ.get("BERTH_TEST_SD_SERVER"), os.environ.get("BERTH_TEST_SD_MODEL")
    return Program(binary, model, os.path.getsize(model)) if binary and model else None


class Server(Standin):
    def __init__(self, program, *arguments, model=None, folder=None):
        self.working_directory = folder
        self.port = free_port()
        super().__init__(*program.command(self.port, model), *arguments)

    def listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def ready(self):
        wait_until(lambda: b"listening on" in self.out(), "the listening line")
        wait_until(self.listens, "a connection after the listening line")
        return self

    def pss(self):
        return pss(self.process.pid)

    def picture(self, steps=2, **fields):
        extra = f'<sd_cpp_extra_args>{{"seed": 7, "sample_params": {{"sample_steps": {steps}}}}}</sd_cpp_extra_args>'
        return self.ask("POST", "/v1/images/generations",
                        {"prompt": "a boat" + extra, "size": f"{SIZE}x{SIZE}", "n": 1, **fields}, PICTURE_SECONDS_MAX)

    def submit(self, **fields):
        """A job of the native API, of twenty steps: it is drawn a while."""
        return self.ask("POST", "/sdcpp/v1/img_gen", {
            "prompt": "a boat", "width": SIZE, "height": SIZE, "seed": 7,
            "sample_params": {"sample_steps": 20}, **fields})

    def job(self, accepted):
        return self.ask("GET", accepted["poll_url"])[1]

    def wait_job(self, accepted, *ends):
        wait_until(lambda: self.job(accepted)["status"] in ends, f"{accepted['id']} {ends}", PICTURE_SECONDS_MAX)
        return self.job(accepted)


def png_size(data):
    assert data[:8] == b"\x89PNG\r\n\x1a\n", data[:8]
    return struct.unpack(">II", data[16:24])


class Contract:
    """The suite; a subclass names the program."""

    program = None

    def server(self, *arguments, **options):
        server = Server(self.program, *arguments, **options)
        self.addCleanup(server.__exit__)
        return server

    # ---- starting ----

    def test_its_help_lists_every_option_that_berth_passes_at_the_head_of_a_row(self):
        done = subprocess.run([self.program.binary, "--help"], capture_output=True, text=True)
        self.assertEqual(0, done.returncode)
        for option in ("-m", "-t", "-s", "--listen-ip", "--listen-port", "--params-backend",
                       "--lora-model-dir"):
            self.assertRegex(done.stdout, rf"(?m)^ {{0,2}}(-\w, )?{option}[ ,]", option)

    def test_an_unknown_option_ends_it_with_1(self):
        done = subprocess.run([self.program.binary, "--frobnicate"], capture_output=True, text=True)
        self.assertEqual(1, done.returncode)
        self.assertIn("unknown argument: --frobnicate", done.stdout + done.stderr)

    def test_it_says_where_it_listens_answers_at_once_and_has_no_weights_yet(self):
        server = self.server().ready()
        self.assertIn(b"listening on: http://127.0.0.1:%d\n" % server.port, server.out())
        self.assertEqual(200, server.ask("GET", "/sdcpp/v1/capabilities")[0])
        self.assertLess(server.pss(), BARE_MAX)

    def test_it_searches_its_working_directory_at_each_read_unless_it_is_given_another_one(self):
        with tempfile.TemporaryDirectory(prefix="berth-") as folder:
            os.symlink("loop", os.path.join(folder, "loop"))  # nobody can look at what it names
            os.mkdir(os.path.join(folder, "empty"))
            server = self.server(folder=folder).ready()
            self.assertEqual((500, None), server.ask("GET", "/sdcpp/v1/capabilities"))
            server = self.server("--lora-model-dir", f"{folder}/empty", folder=folder).ready()
            self.assertEqual(200, server.ask("GET", "/sdcpp/v1/capabilities")[0])

    def test_a_missing_model_ends_it_with_1_and_the_file_is_named(self):
        server = self.server(model="/no/such/model")
        self.assertEqual(1, server.exit())
        self.assertIn(b"'/no/such/model'", server.out() + server.err())
        self.assertIn(b"new_sd_ctx_t failed", server.out() + server.err())
        self.assertNotIn(b"listening", server.out())

    def test_an_empty_model_ends_it_with_1_too(self):
        with tempfile.NamedTemporaryFile(prefix="berth-", suffix=".safetensors") as empty:
            self.assertEqual(1, self.server(model=empty.name).exit())

    def test_a_taken_port_is_announced_as_listening_and_the_program_ends_with_0(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            server = self.server("--listen-port", str(other.getsockname()[1]))
            self.assertEqual(0, server.exit())
            self.assertIn(b"listening on", server.out())

    # ---- pictures ----

    def test_the_weights_come_with_the_first_picture_and_stay(self):
        server = self.server().ready()
        before = server.pss()
        self.assertEqual(200, server.picture()[0])
        self.assertGreater(server.pss() - before, 0.8 * self.program.weights)

    def test_with_parameters_on_disk_the_weights_are_gone_between_pictures(self):
        server = self.server("--params-backend", "disk").ready()
        for _ in range(2):
            self.assertEqual(200, server.picture()[0])
            self.assertLess(server.pss(), BETWEEN_PICTURES_MAX)

    def test_openais_route_answers_with_a_png_of_the_asked_size(self):
        status, reply = self.server().ready().picture()
        self.assertEqual((200, 1), (status, len(reply["data"])))
        self.assertEqual((SIZE, SIZE), png_size(base64.b64decode(reply["data"][0]["b64_json"])))

    def test_the_web_interfaces_route_answers_with_a_png_and_says_the_seed(self):
        status, reply = self.server().ready().ask("POST", "/sdapi/v1/txt2img", {
            "prompt": "a boat", "width": SIZE, "height": SIZE, "steps": 1, "seed": 7}, PICTURE_SECONDS_MAX)
        self.assertEqual((200, 1), (status, len(reply["images"])))
        self.assertEqual((SIZE, SIZE), png_size(base64.b64decode(reply["images"][0])))
        self.assertRegex(reply["info"], r'"seed": ?7\b')

    def test_what_cannot_be_drawn_is_answered_with_400_and_a_sentence(self):
        server = self.server().ready()
        self.assertEqual((400, {"error": "prompt required"}), server.picture(prompt=""))
        self.assertEqual((400, {"error": "empty body"}), server.ask("POST", "/v1/images/generations"))
        self.assertEqual(404, server.ask("GET", "/nowhere")[0])

    def test_reads_are_answered_while_it_draws(self):
        server = self.server().ready()
        accepted = server.submit()[1]
        server.wait_job(accepted, "generating")
        self.assertEqual(200, server.ask("GET", "/sdcpp/v1/capabilities", timeout=5)[0])
        self.assertEqual("generating", server.job(accepted)["status"])

    # ---- the log ----

    def test_its_log_tells_the_loading_the_steps_the_decoding_and_the_end(self):
        server = self.server().ready()
        server.picture(steps=3)
        log = server.out().decode()
        at = 0
        for line in (r"generate_image 64x64\n",
                     r"\r  \|#*\s*\| (\d+)/\1 - [\d.]+[MG]B/s", r"generating image: 1/1 - seed 7\n",
                     r"\r  \|=*>\s*\| 1/3 - [\d.]+(it/s|s/it)", r"\r  \|=*\| 3/3 - [\d.]+(it/s|s/it)",
                     r"decoding 1 latents\n", r"generate_image completed in [\d.]+s\n"):
            found = re.compile(line).search(log, at)
            self.assertTrue(found, f"{line} after {log[:at][-80:]!r}")
            at = found.end()

    # ---- jobs of its native API ----

    def test_a_job_goes_from_queued_to_completed_with_its_pictures(self):
        server = self.server().ready()
        status, accepted = server.submit(sample_params={"sample_steps": 1}, batch_count=2)
        self.assertEqual((202, "queued", "img_gen"), (status, accepted["status"], accepted["kind"]))
        self.assertEqual(f"/sdcpp/v1/jobs/{accepted['id']}", accepted["poll_url"])
        done = server.wait_job(accepted, "completed", "failed")
        self.assertEqual(("completed", None), (done["status"], done["error"]))
        self.assertEqual([0, 1], [image["index"] for image in done["result"]["images"]])
        for image in done["result"]["images"]:
            self.assertEqual((SIZE, SIZE), png_size(base64.b64decode(image["b64_json"])))

    def test_a_job_that_waits_can_be_cancelled_and_one_that_is_drawn_is_refused_with_409(self):
        server = self.server().ready()
        drawn, waits = server.submit()[1], server.submit()[1]
        server.wait_job(drawn, "generating")
        self.assertEqual(1, server.job(waits)["queue_position"])
        self.assertEqual((409, {"error": "job is currently generating and cannot be interrupted yet"}),
                         server.ask("POST", drawn["poll_url"] + "/cancel"))
        status, cancelled = server.ask("POST", waits["poll_url"] + "/cancel")
        self.assertEqual((200, "cancelled", "cancelled"), (status, cancelled["status"], cancelled["error"]["code"]))
        self.assertEqual("completed", server.wait_job(drawn, "completed", "failed")["status"])
        self.assertEqual((200, "completed"), (lambda r: (r[0], r[1]["status"]))(
            server.ask("POST", drawn["poll_url"] + "/cancel")))

    def test_an_unknown_job_is_not_found(self):
        server = self.server().ready()
        self.assertEqual((404, {"error": "job not found"}), server.ask("GET", "/sdcpp/v1/jobs/job_x"))
        self.assertEqual((404, {"error": "job not found"}), server.ask("POST", "/sdcpp/v1/jobs/job_x/cancel"))

    def test_a_client_that_leaves_does_not_stop_the_picture(self):
        server = self.server().ready()
        client = socket.create_connection(("127.0.0.1", server.port))
        body = b'{"prompt": "a boat", "width": 64, "height": 64, "steps": 3}'
        client.sendall(b"POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                       b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        wait_until(lambda: b"generating image: 1/1" in server.out(), "the picture", PICTURE_SECONDS_MAX)
        client.close()
        wait_until(lambda: b"generate_image completed" in server.out(), "its end", PICTURE_SECONDS_MAX)

    # ---- ending ----

    def test_term_ends_it_by_the_signal_whether_it_draws_or_not(self):
        for draws in (False, True):
            with self.subTest(draws=draws):
                server = self.server().ready()
                if draws:
                    server.submit()
                    wait_until(lambda: b"generating image: 1/1" in server.out(), "the picture", PICTURE_SECONDS_MAX)
                begun = time.monotonic()
                server.process.terminate()
                self.assertEqual(-signal.SIGTERM, server.exit())
                self.assertLess(time.monotonic() - begun, 2)

    def test_without_memory_for_its_weights_it_says_so_in_words_that_berth_knows(self):
        server = self.server(*self.starving()).ready()
        self.starve(server)
        with self.assertRaises((OSError, http.client.HTTPException)):
            server.picture()
        self.assertEqual(-signal.SIGABRT, server.exit(30))
        words = rb"\[ERROR\] \S+ +- ggml_aligned_malloc: insufficient memory \(attempted to allocate +[\d.]+ MB\)\n"
        self.assertRegex(server.err(), words)
        self.assertIn(b"GGML_ASSERT(ctx->mem_buffer != NULL) failed\n", server.err())


class StandIn(Contract, unittest.TestCase):
    program = STANDIN

    def starving(self):
        return "--standin-faults", "no_memory"

    def starve(self, server):
        pass


if real():
    class Real(Contract, unittest.TestCase):
        program = real()

        def starving(self):
            return ()

        def starve(self, server):
            """It may have no more address space than it has."""
            size = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
            resource.prlimit(server.process.pid, resource.RLIMIT_AS, (size + 64 * MIB, size + 64 * MIB))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
