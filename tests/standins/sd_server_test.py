#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the stand-in for sd-server against what is known of the real one.

    sd_server_test.py SD_SERVER_STANDIN MEMORY_HOLDER [unittest arguments]
"""
import base64
import http.client
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
import unittest
import zlib

from standin_process import MIB, Standin, free_port, pss, wait_until

STANDIN, HOLDER = sys.argv[1:3]
WEIGHTS = 48 * MIB
# Under AddressSanitizer the program itself takes some 30 MiB.
SLACK = 8 * MIB


def decode_png(data):
    """Returns width, height and the rows of an 8-bit RGB picture; fails if a byte is wrong."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n", "signature"
    at, chunks = 8, {}
    while at < len(data):
        (length,) = struct.unpack(">I", data[at:at + 4])
        kind, body = data[at + 4:at + 8], data[at + 8:at + 8 + length]
        (checksum,) = struct.unpack(">I", data[at + 8 + length:at + 12 + length])
        assert checksum == zlib.crc32(kind + body), f"checksum of {kind}"
        chunks[kind] = body
        at += 12 + length
    assert list(chunks) == [b"IHDR", b"tEXt", b"IDAT", b"IEND"]
    width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, colour) == (8, 2)
    rows = zlib.decompress(chunks[b"IDAT"])
    assert len(rows) == height * (1 + 3 * width)
    assert b"stand-in" in chunks[b"tEXt"]
    return width, height, rows


class Server(Standin):
    model = "tiny.safetensors"

    def __init__(self, *arguments, faults="", weights=WEIGHTS, step_ms=1):
        self.port = free_port()
        super().__init__(STANDIN, "-m", "{folder}/tiny.safetensors", "--listen-ip", "127.0.0.1", "--listen-port",
                         str(self.port), "-t", "1", "--standin-memory", str(weights), "--standin-step-ms",
                         str(step_ms), "--standin-faults", faults, *arguments)

    def ready(self):
        wait_until(lambda: b"listening on" in self.out(), "the listening line")
        wait_until(self.listens, "a connection after the listening line")
        return self

    def listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def picture(self, **fields):
        return self.ask("POST", "/v1/images/generations", {"prompt": "a boat", "size": "64x64", **fields})

    def wait_job(self, job, *ends):
        states = []

        def ended():
            states.append(self.ask("GET", job["poll_url"])[1])
            return states[-1]["status"] in ends
        wait_until(ended, f"{job['id']} {ends}")
        return states[-1]


class Pictures(unittest.TestCase):
    def test_draws_the_asked_picture_by_prompt_and_seed(self):
        with Server().ready() as server:
            status, reply = server.picture(n=2)
            self.assertEqual((status, reply["output_format"], len(reply["data"])), (200, "png", 2))
            self.assertIn("standin", server.headers["Server"])
            first, second = (base64.b64decode(item["b64_json"]) for item in reply["data"])
            self.assertEqual(decode_png(first)[:2], (64, 64))
            self.assertNotEqual(decode_png(first)[2], decode_png(second)[2])
            again = server.picture()[1]["data"][0]["b64_json"]
            self.assertEqual(base64.b64decode(again), first)
            with_args = {"prompt": 'a boat<sd_cpp_extra_args>{"seed": 43}</sd_cpp_extra_args>'}
            other = base64.b64decode(server.picture(**with_args)[1]["data"][0]["b64_json"])
            self.assertEqual(decode_png(other)[2], decode_png(second)[2])

    def test_the_other_two_apis_draw_it_too(self):
        with Server().ready() as server:
            body = {"prompt": "a boat", "width": 96, "height": 64, "seed": 7, "steps": 3, "batch_size": 1}
            status, reply = server.ask("POST", "/sdapi/v1/txt2img", body)
            self.assertEqual((status, reply["parameters"], json.loads(reply["info"])["seed"]), (200, body, 7))
            picture = base64.b64decode(reply["images"][0])
            self.assertEqual(decode_png(picture)[:2], (96, 64))
            status, job = server.ask("POST", "/sdcpp/v1/img_gen", {
                "prompt": "a boat", "width": 96, "height": 64, "seed": 7, "sample_params": {"sample_steps": 3}})
            self.assertEqual((status, job["status"], job["kind"]), (202, "queued", "img_gen"))
            done = server.wait_job(job, "completed", "failed")
            self.assertEqual(base64.b64decode(done["result"]["images"][0]["b64_json"]), picture)

    def test_says_what_it_can_do_and_refuses_what_it_cannot_read(self):
        with Server().ready() as server:
            status, reply = server.ask("GET", "/sdcpp/v1/capabilities")
            self.assertEqual((status, reply["model"]["name"]), (200, "tiny.safetensors"))
            self.assertEqual(reply["limits"]["max_queue_size"], 64)
            self.assertFalse(reply["features"]["cancel_generating"])
            self.assertEqual(server.picture(prompt=""), (400, {"error": "prompt required"}))
            self.assertEqual(server.ask("POST", "/v1/images/generations")[1], {"error": "empty body"})
            self.assertEqual(server.picture(n="two")[0], 500)
            self.assertEqual(server.ask("GET", "/nowhere"), (404, None))
            self.assertEqual(server.ask("GET", "/sdcpp/v1/jobs/x"), (404, {"error": "job not found"}))

    def test_one_picture_at_a_time_and_only_a_queued_one_can_be_cancelled(self):
        with Server(step_ms=30).ready() as server:
            jobs = [server.ask("POST", "/sdcpp/v1/img_gen", {"prompt": "x", "width": 64, "height": 64})[1]
                    for _ in range(3)]
            server.wait_job(jobs[0], "generating")
            status, reply = server.ask("POST", jobs[0]["poll_url"] + "/cancel")
            self.assertEqual((status, reply), (409, {
                "error": "job is currently generating and cannot be interrupted yet"}))
            self.assertEqual(server.ask("GET", jobs[2]["poll_url"])[1]["queue_position"], 2)
            status, reply = server.ask("POST", jobs[1]["poll_url"] + "/cancel")
            self.assertEqual((status, reply["status"], reply["error"]["code"]), (200, "cancelled", "cancelled"))
            self.assertEqual(server.wait_job(jobs[2], "completed", "failed")["queue_position"], 0)
            self.assertEqual(server.out().count(b"generate_image completed in"), 2)


class Log(unittest.TestCase):
    def test_the_lines_that_berth_reads_are_the_real_ones_byte_for_byte(self):
        with Server("--steps", "4").ready() as server:
            server.picture()
            out = server.out()
            self.assertIn(b"[INFO ] main.cpp:148  - listening on: http://127.0.0.1:%d\n" % server.port, out)
            self.assertIn(b"[INFO ] stable-diffusion.cpp:5628 - generate_image 64x64\n", out)
            self.assertIn(b"[INFO ] stable-diffusion.cpp:5679 - generating image: 1/1 - seed 42\n", out)
            half = rb"\r  \|" + b"=" * 25 + b">" + b" " * 24 + rb"\| 2/4 - \d+\.\d\d(it/s|s/it)\x1b\[K"
            self.assertRegex(out, half + rb"\r")
            full = rb"\r  \|" + b"=" * 50 + rb"\| 4/4 - \d+\.\d\d(it/s|s/it)\x1b\[K\n"
            self.assertRegex(out, full + rb"\[INFO \] stable-diffusion\.cpp:5711 - sampling completed, taking ")
            self.assertRegex(out, rb"5321 - decoding 1 latents\n")
            self.assertRegex(out, rb"5861 - generate_image completed in \d+\.\d\ds\n$")
            self.assertEqual(server.err(), b"")

    def test_help_and_refusals_go_where_the_real_ones_go(self):
        text = subprocess.run([STANDIN, "--help"], capture_output=True, text=True)
        self.assertEqual((text.returncode, text.stderr), (0, ""))
        for flag in ("  -m, --model <string> ", "  --params-backend <string> ", "  --eager-load ",
                     "  -l, --listen-ip <string> ", "  --listen-port <int> ", "  -t, --threads <int> "):
            self.assertIn("\n" + flag, text.stdout)
        self.assertIn("stand-in", text.stdout.splitlines()[0])
        unknown = subprocess.run([STANDIN, "--frobnicate"], capture_output=True, text=True)
        self.assertEqual(unknown.returncode, 1)
        self.assertEqual(unknown.stderr, "[ERROR] common.cpp:325  - error: unknown argument: --frobnicate\n")
        self.assertIn("Usage: ", unknown.stdout)
        missing = subprocess.run([STANDIN, "-m", "/no/model"], capture_output=True, text=True)
        self.assertEqual(missing.returncode, 1)
        self.assertIn("init model loader from file failed: '/no/model'", missing.stderr)


class Memory(unittest.TestCase):
    def measured(self, *arguments, **settings):
        """Returns what is held at ready and after a picture, less the program's own."""
        with Server(weights=0).ready() as bare:
            bare.picture()
            own = pss(bare.process.pid)
        with Server(*arguments, **settings).ready() as server:
            at_ready = pss(server.process.pid) - own
            self.assertEqual(server.picture()[0], 200)
            return at_ready, pss(server.process.pid) - own

    def assertAbout(self, value, expected):
        self.assertLess(abs(value - expected), SLACK, f"{value / MIB:.1f} MiB, not {expected / MIB:.1f}")

    def test_the_weights_come_with_the_first_picture_and_stay(self):
        at_ready, after = self.measured()
        self.assertAbout(at_ready, 0)
        self.assertAbout(after, WEIGHTS)

    def test_eager_load_brings_them_before_ready(self):
        self.assertAbout(self.measured("--eager-load")[0], WEIGHTS)

    def test_weights_on_disk_are_gone_between_pictures(self):
        self.assertAbout(self.measured("--params-backend", "disk")[1], 0)

    def test_the_holder_holds(self):
        with subprocess.Popen([HOLDER, "40MiB", "forever"], stdout=subprocess.PIPE) as holder:
            self.assertEqual(holder.stdout.readline(), b"holding\n")
            self.assertGreater(pss(holder.pid), 40 * MIB)
            holder.kill()


class Faults(unittest.TestCase):
    def test_term_ends_it_at_once_by_the_signal_as_the_real_one_has_no_handler(self):
        with Server("--eager-load", step_ms=1000).ready() as server:
            begun = time.monotonic()
            server.process.terminate()
            self.assertEqual(server.exit(), -signal.SIGTERM)
            self.assertLess(time.monotonic() - begun, 1)

    def test_one_armed_failure_then_success(self):
        with Server(faults="once={folder}/armed:fail_image").ready() as server:
            open(server.path("armed"), "w").close()
            self.assertEqual(server.picture(), (500, {"error": "generate_image returned no results"}))
            self.assertFalse(os.path.exists(server.path("armed")))
            self.assertEqual(server.picture()[0], 200)
            open(server.path("armed"), "w").close()
            job = server.ask("POST", "/sdcpp/v1/img_gen", {"prompt": "x", "width": 64, "height": 64})[1]
            error = server.wait_job(job, "completed", "failed")["error"]
            self.assertEqual(error["code"], "generation_failed")

    def test_a_picture_that_hangs_holds_the_next_one_but_not_the_reads(self):
        with Server(faults="hang_image").ready() as server:
            for _ in range(2):
                with self.assertRaises(TimeoutError):
                    self.assertIsNone(server.ask("POST", "/sdapi/v1/txt2img", {"prompt": "x"}, timeout=0.3))
            self.assertEqual(server.ask("GET", "/sdcpp/v1/capabilities")[0], 200)

    def test_a_picture_that_dies_aborts_the_process(self):
        with Server(faults="die_image").ready() as server:
            with self.assertRaises((http.client.HTTPException, ConnectionError)):
                server.picture()
            self.assertEqual(server.exit(), -signal.SIGABRT)

    def test_a_load_without_room_names_the_cause_and_aborts_the_process(self):
        with Server(faults="out_of_memory").ready() as server:
            with self.assertRaises((http.client.HTTPException, ConnectionError)):
                server.picture()
            self.assertEqual(server.exit(), -signal.SIGABRT)
            self.assertIn(b"- CUDA error: out of memory\n", server.err())

    def test_the_ways_not_to_start(self):
        with Server(faults="die_start") as server:
            self.assertEqual(server.exit(), 1)
            self.assertTrue(server.err().endswith(b"[ERROR] main.cpp:92   - new_sd_ctx_t failed\n"))
        with Server(faults="die_start_silent") as server:
            self.assertEqual((server.exit(), server.out(), server.err()), (1, b"", b""))
        with Server(faults="never_ready,ignore_term") as server:
            wait_until(lambda: b"Version: SD 1.x" in server.out(), "the model's version")
            server.process.terminate()
            with self.assertRaises(subprocess.TimeoutExpired):
                server.exit(0.3)
            self.assertNotIn(b"listening", server.out())

    def test_a_taken_port_is_announced_as_listening_and_then_the_exit_is_0(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            with Server("--listen-port", str(other.getsockname()[1])) as server:
                self.assertEqual((server.exit(), server.err()), (0, b""))
                self.assertIn(b"listening on", server.out())

    def test_clients_that_wait_for_pictures_take_the_workers_of_the_reads(self):
        with Server(faults="hang_image").ready() as server:
            workers = max(8, len(os.sched_getaffinity(0)) - 1)
            waiting = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(workers)]
            for client in waiting:
                body = b'{"prompt": "x"}'
                client.sendall(b"POST /sdapi/v1/txt2img HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            with self.assertRaises(TimeoutError):
                server.ask("GET", "/sdcpp/v1/capabilities", timeout=0.5)
            for client in waiting:
                client.close()

    def test_slow_load_takes_its_time(self):
        with Server("--eager-load", faults="slow_load=0.5").ready() as server:
            self.assertGreater(time.monotonic() - server.started, 0.45)

    def test_a_helper_keeps_its_memory_after_the_server_is_gone(self):
        with Server(faults="helper=0.5:32MiB").ready() as server:
            server.check_helper(self, 32 * MIB)
            self.assertEqual(server.exit(), -signal.SIGTERM)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
