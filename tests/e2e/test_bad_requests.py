# SPDX-License-Identifier: Apache-2.0
"""Bad requests that are seen by what Berth does: full queues, ends, models that change, engines."""

import http.client
import os
import signal
import unittest

from bad_inputs import BODIES, CHATS, EVENTS, PICTURES, PROMPTS
from fast_world import fast_config
from harness import E2eTest, Later, finished, wait_for

PROMPT = '"messages":[{"role":"user","content":"Hi"}]'
SLOW_PROMPT = ("--standin-faults", "slow_prompt=60")  # the LLM evaluates, and nothing stops it
SLOW_TOKENS = ("--standin-token-ms", "100")
BACK_AFTER = "5"


class BadRequest(E2eTest):
    def fast(self, text=None, **options):
        berth = self.berth_with(text or fast_config(wanted="on_demand", **options))
        return berth.up()

    def assert_refused(self, reply, status, code, message):
        error = reply.json()["error"]
        self.assertEqual((status, code), (reply.status, error["code"]), error)
        self.assertRegex(error["message"], f"^{message}$")

    def assert_untouched(self, berth):
        self.assertEqual([[], []], [berth.starts("chat"), berth.starts("image")])
        self.assertNotIn("job_arrived", berth.steps())


class Data(BadRequest):
    """The tables of bad_inputs.py: each row is answered exactly."""

    def test_bodies_on_a_front_port(self):
        berth = self.fast()
        port = berth.server("chat")["front_port"]
        for name, body, status, code, message in BODIES:
            if not message.startswith("the body"):
                continue  # who serves a front port is no question
            with self.subTest(name):
                data = body.encode() if isinstance(body, str) else body
                reply = berth.post("/v1/chat/completions", data, port=port)
                self.assert_refused(reply, status, code, message)
        self.assert_untouched(berth)

    def test_pictures_that_cannot_be_drawn_put_nobody_out(self):
        berth = self.fast()
        front = berth.server("image")["front_port"]
        for path, members, message in PICTURES:
            for port in (None, front):
                with self.subTest(members, port=port):
                    body = '{"prompt":"a","user":"b",' + members + "}"
                    self.assert_refused(berth.post(path, body, port=port), 400, "bad_request",
                                        message)
        self.assert_untouched(berth)

    def test_pictures_without_a_prompt_put_nobody_out(self):
        berth = self.fast()
        front = berth.server("image")["front_port"]
        for path, body, message in PROMPTS:
            for port in (None, front):
                with self.subTest(body, path=path, port=port):
                    self.assert_refused(berth.post(path, body, port=port), 400, "bad_request",
                                        message)
        self.assert_untouched(berth)

    def test_numbers_of_events(self):
        berth = self.fast()
        for text, message in EVENTS:
            with self.subTest(text):
                reply = berth.get("/api/v1/events", {"Last-Event-ID": text})
                self.assert_refused(reply, 400, "bad_request", message)

    def test_an_event_of_the_future_is_one_of_an_earlier_run_and_all_of_this_one_follow(self):
        berth = self.fast()
        berth.cli("start", "chat")
        connection = http.client.HTTPConnection("127.0.0.1", berth.port(), timeout=30)
        connection.request("GET", "/api/v1/events", headers={"Last-Event-ID": "999999999"})
        response = connection.getresponse()
        self.assertEqual(200, response.status)
        first = next(r for r in berth.journal() if r["kind"] in ("decision", "step"))
        self.assertTrue(response.read1(65536).decode().startswith(f"id: {first['n']}\n"))
        connection.close()

    def test_what_the_engine_refuses_is_told_as_it_says_it_and_it_lives_on(self):
        berth = self.berth(wanted="on_demand").up()
        for path, members, message in CHATS:
            with self.subTest(members):
                reply = berth.post(path, '{"model":"chat",' + PROMPT + "," + members + "}")
                error = reply.json()["error"]
                self.assertEqual((400, "invalid_request_error"), (reply.status, error["type"]))
                self.assertRegex(error["message"], f"^{message}$")
        self.assertEqual(200, berth.chat("Hi").status)
        self.assertEqual([1], berth.starts("chat"))

    def test_a_cancel_waits_or_it_does_not(self):
        berth = self.fast()
        job = berth.api("POST", "/api/v1/servers/image/images",
                        '{"prompt":"a","width":64,"height":64,"steps":1}').json()["id"]
        for path in (f"/api/v1/images/{job}", "/api/v1/servers/image/start"):
            for wait in ("x", "2", "-1", ""):
                with self.subTest(path, wait=wait):
                    method = "POST" if path.endswith("start") else "DELETE"
                    self.assert_refused(berth.api(method, f"{path}?wait={wait}"), 400, "bad_request",
                                        f"wait={wait} is not a number from 0 to 1")
        wait_for("nobody cancelled it", lambda: berth.get(f"/api/v1/images/{job}").json()["status"] == "complete")

    def test_the_cancel_of_a_finished_image_job_tells_its_state(self):
        berth = self.fast()
        job = berth.api("POST", "/api/v1/servers/image/images",
                        '{"prompt":"a","width":64,"height":64,"steps":1}').json()["id"]
        path = f"/api/v1/images/{job}"
        wait_for("it is drawn", lambda: berth.get(path).json()["status"] == "complete")
        self.assert_refused(berth.api("DELETE", path), 409, "conflict",
                            f"image job {job} is over already: complete")


class Heads(BadRequest):
    def test_after_the_head_of_events_the_connection_goes_on(self):
        berth = self.fast(step_ms=1000)
        job = berth.post("/api/v1/servers/image/images", {"prompt": "a harbour"}).json()
        connection = http.client.HTTPConnection("127.0.0.1", berth.port(), timeout=30)
        self.addCleanup(connection.close)
        for method, path in (("HEAD", "/api/v1/events"), ("GET", "/health"),
                             ("HEAD", f"/api/v1/images/{job['id']}/events"), ("GET", "/health")):
            connection.request(method, path)
            reply = connection.getresponse()
            self.assertEqual(200, reply.status, path)
            reply.read()


class Memory(BadRequest):
    def test_what_can_never_fit_is_refused_with_the_numbers(self):
        berth = self.fast(llm=2000, image=3000, policy='oversize = "refuse"')
        for name, need, ask in (("chat", "2.0", lambda: berth.chat("Hi")),
                                ("image", "2.9", berth.picture)):
            self.assert_refused(
                ask(), 422, "does_not_fit",
                rf'server "{name}" needs {need} GiB of pool "ram", more than the limit of the empty '
                r'machine, 450 MiB of 600 MiB; set policy\.oversize = "try", or a smaller model')
        self.assert_refused(berth.api("POST", "/api/v1/leases", '{"ram":"3GiB"}'), 422,
                            "does_not_fit",
                            r'a lease of 3\.0 GiB cannot fit into pool "ram" of 600 MiB; ask for less')
        self.assertEqual([[], []], [berth.starts("chat"), berth.starts("image")])

    def with_image_model(self, model):
        """A Berth whose image server has this model, with nothing declared of its memory."""
        text = fast_config(wanted="on_demand").replace('memory = "400MiB"\n', "")
        head, _, tail = text.partition("[server.image]")
        return self.fast(head + "[server.image]" + tail.replace(
            next(line for line in tail.splitlines() if line.startswith("model = ")),
            f'model = "{model}"'))

    def test_what_a_model_took_is_not_learned_of_the_one_that_took_its_place(self):
        model = self.new_folder() / "model.safetensors"
        model.write_bytes(b"x" * 1000)
        berth = self.with_image_model(model)
        self.assertEqual(200, berth.picture().status)
        new = model.with_suffix(".new")
        new.write_bytes(b"y" * 2000)
        new.rename(model)
        berth.cli("stop", "image")
        rows = berth.get("/api/v1/footprints").json()["footprints"]
        self.assertEqual({("image", False)}, {(row["server"], row["current"]) for row in rows})

    def test_a_model_that_was_replaced_before_its_start_is_read_again(self):
        model = self.new_folder() / "model.safetensors"
        model.write_bytes(b"x" * 1000)
        berth = self.with_image_model(model)
        self.assertNotIn("model_changed", berth.steps())
        new = model.with_suffix(".new")
        with open(new, "wb") as stream:
            stream.truncate(200 << 20)
        os.utime(new, ns=(model.stat().st_atime_ns, model.stat().st_mtime_ns))
        new.rename(model)
        self.assertEqual(200, berth.picture().status)
        self.assertEqual('the model of "image" is another file than before, and was read again',
                         berth.record("step", "model_changed", "image")["text"])
        self.assertIn('"image" fits: 240 MiB', berth.record("decision", "fits", "image")["text"])
        self.assertEqual(1, berth.steps().count("model_changed"))

    def test_a_model_without_a_header_that_is_read_is_planned_with_by_its_size(self):
        model = self.new_folder() / "old.ckpt"
        model.write_bytes(b"\x80\x02}q\x00." + bytes(10_000_000))
        berth = self.with_image_model(model)
        listed = " ".join(berth.cli("models").stdout.split())
        self.assertIn(f"old ckpt unread {model}: only headers of .gguf and .safetensors are read, so "
                      "1.2 x its size is planned with; convert it, if its server takes no such file",
                      listed)
        self.assertRegex(berth.cli("plan").stdout, r"image +12 MB +formula: 10 MB x 1\.2")
        self.assertEqual(200, berth.picture().status)


class Busy(BadRequest):
    def busy(self, arguments, **options):
        """A chat that takes a minute, and one that waits behind it."""
        berth = self.fast(llm_arguments=arguments, **options)
        first = berth.stream("Hi", max_tokens=600)
        berth.wait_step("dispatched")
        second = Later(lambda: berth.chat("Hi"))
        wait_for("one waits", lambda: berth.server("chat")["waiting"] == 1)
        return berth, first, second

    def test_a_full_queue_is_said_with_the_time(self):
        berth, first, second = self.busy(SLOW_TOKENS, policy="queue_max = 1")
        reply = berth.chat("Hi")
        self.assert_refused(reply, 429, "queue_full",
                            '1 jobs wait for server "chat" already; try again later')
        self.assertEqual("1", reply.headers["Retry-After"])
        first.leave()
        self.assertEqual(200, second.get().status)

    def assert_told_to_come_back(self, reply):
        self.assert_refused(reply, 503, "shutting_down",
                            "Berth is going down; try again when it is back")
        self.assertEqual(BACK_AFTER, reply.headers["Retry-After"])

    def test_whoever_asks_while_berth_goes_down_is_told_when_to_come_back(self):
        berth, first, second = self.busy(SLOW_PROMPT)
        port = berth.port()
        late = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        berth.process.send_signal(signal.SIGSTOP)  # its end is not over before `late` has asked
        berth.process.send_signal(signal.SIGTERM)
        late.request("POST", "/v1/chat/completions", '{"model":"chat",' + PROMPT + "}",
                     {"Content-Type": "application/json"})
        berth.process.send_signal(signal.SIGCONT)
        self.assert_told_to_come_back(finished(late))
        self.assert_told_to_come_back(second.get())
        self.assertEqual({"code": "shutting_down", "message": "Berth is going down",
                          "type": "unavailable_error"}, first.finish().events()[-1]["error"])
        self.assertEqual(0, berth.wait_killed(20), "it waits for a server that was killed")


if __name__ == "__main__":
    unittest.main()
