# SPDX-License-Identifier: Apache-2.0
"""Image jobs: pictures that are asked for by an id, over a swap, a cancel, and a restart of Berth."""

import base64
import http.client
import json
import os
import re
import signal
import stat
import unittest
from pathlib import Path

from fast_world import fast_config, kill_berth, lives, place, real_model, record_of
from harness import BIN, E2eTest, Later, UnixConnection, finished, wait_for

ROUTE = "/v1/images/generations"
SLOW = {"step_ms": 40}  # 25 steps: a picture takes a second
FALLBACK = 'wanted = "on"\nwhile_displaced = "fallback"\nfallback = "small"'
SMALL = f'''
[server.small]
kind = "sd-server"
binary = "{BIN / "sd-server-standin"}"
model = "{real_model()}"
memory = "100MiB"
extra_args = ["--standin-memory", "24MiB", "--standin-step-ms", "40"]
'''


class ImageTest(E2eTest):
    def fast(self, **options):
        berth = self.berth_with(fast_config(**options))
        berth.up().wait_state("chat", "ready")
        return berth

    def ask(self, berth, **wish):
        body = {"prompt": "a lighthouse in the fog", "width": 64, "height": 64, "steps": 25, **wish}
        return berth.post(ROUTE, body, port=berth.server("image")["front_port"])

    def take_on(self, berth, **wish):
        reply = self.ask(berth, **wish)
        self.assertEqual(201, reply.status, reply.body)
        self.assertEqual("pending", reply.json()["status"])
        return reply.json()["id"]

    def state(self, berth, job):
        return berth.api("GET", f"/api/v1/images/{job}")

    def status(self, berth, job):
        reply = self.state(berth, job)
        return reply.json()["status"] if reply.status == 200 else reply.status

    def wait(self, berth, job, *statuses):
        wait_for(f"{job} is {statuses}", lambda: self.status(berth, job) in statuses, 60)
        return self.state(berth, job)

    def cancel(self, berth, job, query=""):
        connection = http.client.HTTPConnection("127.0.0.1", berth.server("image")["front_port"], timeout=60)
        connection.request("DELETE", f"{ROUTE}/{job}{query}")
        return finished(connection)

    def stop_drawing(self, berth, job, picture=1):
        """Stops the server that draws the job, in that picture or a later one; returns its pid."""
        def drawn_by():
            known = self.state(berth, job).json()
            progress = known.get("progress")
            return (progress and progress["stage"] == "diffusion" and
                    progress["currentImage"] >= picture and known["server"])

        pid = record_of(berth, wait_for("it is drawn", drawn_by))["pid"]
        os.kill(pid, signal.SIGSTOP)
        return pid

    def go_on(self, pid):
        os.kill(pid, signal.SIGCONT)

    def sizes(self, reply):
        images = [base64.b64decode(each["image"]) for each in reply.json()["result"]["images"]]
        for image in images:
            self.assertEqual(b"\x89PNG\r\n\x1a\n", image[:8])
        return [(int.from_bytes(i[16:20], "big"), int.from_bytes(i[20:24], "big")) for i in images]

    def events(self, berth, job, begun=lambda: None):
        """(event, data) of the whole stream of a job; calls `begun` once it has begun."""
        connection = UnixConnection(f"{berth.state}/s/control.sock", 60)
        connection.request("GET", f"/api/v1/images/{job}/events")
        response = connection.getresponse()
        begun()
        text = response.read().decode()
        connection.close()
        return [(name, json.loads(data))
                for name, data in re.findall(r"event: (\w+)\ndata: (.*)\n\n", text)]


class OverARestart(ImageTest):
    """The lines of the recovery table (design section 4) that are of jobs."""

    def three(self, steps=50):
        """A done, a running and a queued job; the server that draws is stopped."""
        berth = self.fast(**SLOW)
        done = self.take_on(berth, steps=1, seed=7)
        before = self.wait(berth, done, "complete").json()
        running, queued = self.take_on(berth, seed=5, steps=steps), self.take_on(berth)
        self.painter = self.stop_drawing(berth, running)
        self.assertEqual("pending", self.status(berth, queued))
        return berth, done, before, running, queued

    def assert_interrupted(self, berth, job):
        reply = self.state(berth, job)
        self.assertEqual((410, "interrupted"), (reply.status, reply.json()["error"]["code"]))
        self.assertIn("ask for it again", reply.json()["error"]["message"])
        front = berth.get(f"{ROUTE}/{job}", port=berth.server("image")["front_port"])
        self.assertEqual(410, front.status)

    def test_after_kill_9_done_is_served_running_is_adopted_and_queued_is_interrupted(self):
        berth, done, before, running, queued = self.three()
        kill_berth(berth)
        self.go_on(self.painter)
        berth.up()
        self.assertEqual(before["result"], self.state(berth, done).json()["result"])
        self.assertIn(self.status(berth, running), ("pending", "in_progress", "complete"))
        after = self.wait(berth, running, "complete")
        self.assertEqual([5], [each["seed"] for each in after.json()["result"]["images"]])
        self.assertEqual([(64, 64)], self.sizes(after))
        self.assertEqual(self.painter, record_of(berth, "image")["pid"], "no other server drew it")
        self.assertIn("image_job_adopted", berth.steps())
        self.assert_interrupted(berth, queued)
        self.assertEqual(200, berth.chat("Hi").status, "the LLM comes back after it")

    def test_what_is_adopted_can_be_cancelled(self):
        berth, _, _, running, _ = self.three(steps=100)
        kill_berth(berth)
        self.go_on(self.painter)
        berth.up()
        self.assertEqual(200, self.cancel(berth, running).status)
        self.assertEqual("cancelled", self.status(berth, running))
        log = (place(berth, "image") / "log").read_text()
        self.assertEqual(2, log.count("generate_image completed"), "its end was awaited")

    def test_a_whole_batch_is_adopted(self):
        berth = self.fast(**SLOW)
        job = self.take_on(berth, count=3, seed=11)
        pid = self.stop_drawing(berth, job, picture=2)
        kill_berth(berth)
        self.go_on(pid)
        berth.up()
        after = self.wait(berth, job, "complete").json()["result"]["images"]
        self.assertEqual([11, 12, 13], [each["seed"] for each in after])
        self.assertEqual(3, len({each["image"] for each in after}))

    def test_what_a_fallback_draws_is_adopted_by_the_fallback(self):
        berth = self.berth_with(fast_config(
            image_extra=FALLBACK, llm_arguments=("--standin-token-ms", "100"), **SLOW) + SMALL)
        berth.up().wait_state("chat", "ready")
        self.assertEqual(200, berth.picture().status)
        talk = berth.stream("Tell a very long story.", max_tokens=600)
        self.assertTrue(talk.begun.wait(30), "the image server is displaced now")
        job = self.take_on(berth, seed=21, count=2)
        pid = self.stop_drawing(berth, job)
        self.assertEqual("small", self.state(berth, job).json()["server"])
        kill_berth(berth)
        self.go_on(pid)
        berth.up()
        after = self.wait(berth, job, "complete", 410).json()
        self.assertEqual(("complete", "small"), (after.get("status"), after.get("server")), after)
        self.assertEqual([21, 22], [each["seed"] for each in after["result"]["images"]])
        self.assertEqual(pid, record_of(berth, "small")["pid"])
        self.assertEqual("small", berth.record("step", "image_job_adopted", "small")["server"])
        self.assertIsNone(berth.record("step", "image_job_adopted", "image"))

    def test_after_kill_9_and_the_end_of_its_server_running_is_interrupted(self):
        berth, done, before, running, queued = self.three()
        kill_berth(berth)
        os.kill(record_of(berth, "image")["keeper_pid"], signal.SIGKILL)
        wait_for("it is gone", lambda: not lives(self.painter))
        berth.up()
        self.assertEqual(before["result"], self.state(berth, done).json()["result"])
        self.assert_interrupted(berth, running)
        self.assert_interrupted(berth, queued)

    def test_after_down_and_up_done_is_served_and_the_others_are_interrupted(self):
        berth, done, before, running, queued = self.three()
        berth.down()
        berth.process.wait(30)
        berth.up()
        self.assertEqual(before["result"], self.state(berth, done).json()["result"])
        self.assert_interrupted(berth, running)
        self.assert_interrupted(berth, queued)

    def test_a_picture_that_was_changed_on_the_disk_is_not_served(self):
        berth = self.fast()
        job = self.take_on(berth, steps=1)
        self.wait(berth, job, "complete")
        kill_berth(berth)
        picture = next(Path(f"{berth.state}/s/images").iterdir())
        os.truncate(picture, 10)
        berth.up()
        reply = self.state(berth, job)
        self.assertEqual((410, "expired"), (reply.status, reply.json()["error"]["code"]))
        cancelled = self.cancel(berth, job)
        self.assertEqual((410, reply.json()), (cancelled.status, cancelled.json()))

    def test_of_a_batch_the_pictures_that_are_there_are_served(self):
        berth = self.fast()
        job = self.take_on(berth, steps=1, count=3, seed=30)
        self.wait(berth, job, "complete")
        Path(f"{berth.state}/s/images/{job}-2.png").unlink()
        result = self.state(berth, job).json()["result"]
        self.assertEqual([30, 32], [each["seed"] for each in result["images"]])
        self.assertEqual([31], result["gone"])
        self.assertEqual(409, self.cancel(berth, job).status)


class OneJob(ImageTest):
    def test_a_batch_is_one_offload_and_its_seeds_count_on(self):
        berth = self.fast()
        job = self.take_on(berth, count=3, seed=100)
        done = self.wait(berth, job, "complete").json()
        self.assertEqual([100, 101, 102], [each["seed"] for each in done["result"]["images"]])
        self.assertEqual([(64, 64)] * 3, self.sizes(self.state(berth, job)))
        self.assertEqual(3, len({each["image"] for each in done["result"]["images"]}))
        self.assertGreater(done["result"]["timeTaken"], 0)
        self.assertEqual(1, berth.steps().count("victim_gone"))
        self.assertEqual(1, berth.steps().count("dispatched"))

    def test_progress_never_falls_and_is_below_100_until_the_pictures_are_there(self):
        gate = self.gate()
        berth = self.fast(image_binary=gate.program, **SLOW)
        gate.shut()
        events = self.events(berth, self.take_on(berth, count=2), gate.open)
        told = [data for name, data in events if name == "progress"]
        shares = [each["percentage"] for each in told]
        self.assertEqual(sorted(shares), shares)
        self.assertLessEqual(max(shares), 99)
        self.assertEqual({"loading", "diffusion", "decoding"}, {each["stage"] for each in told})
        self.assertEqual([1, 2], sorted({each["currentImage"] for each in told}))
        self.assertEqual({25}, {each["totalSteps"] for each in told if each["stage"] == "diffusion"})
        name, last = events[-1]
        self.assertEqual(("complete", "complete"), (name, last["status"]))
        self.assertEqual(2, len(last["result"]["images"]))

    def test_it_goes_on_without_a_client_and_is_told_to_whoever_asks(self):
        berth = self.fast()
        job = self.take_on(berth)
        self.wait(berth, job, "complete")
        port = berth.server("image")["front_port"]
        self.assertEqual("complete", berth.get(f"{ROUTE}/{job}", port=port).json()["status"])
        self.assertEqual(404, berth.get(f"{ROUTE}/gen_1_0", port=port).status)

    def test_a_server_that_dies_over_it_is_asked_once_more(self):
        berth = self.berth_with("")
        arm = f"{berth.state}/arm"
        Path(berth.config_path).write_text(
            f'listen = "127.0.0.1:0"\nstate = "{berth.state}/s"\n' +
            fast_config(faults=f"once={arm}:die_image"))
        Path(arm).touch()
        berth.up()
        self.wait(berth, self.take_on(berth, seed=3), "complete")
        self.assertEqual([1, 2], berth.starts("image"))

    def drawn(self, berth, generation):
        return (place(berth, "image", generation) / "log").read_text().count(
            "generate_image completed")

    def test_after_the_death_of_its_server_progress_stands_and_what_is_there_is_not_drawn_again(self):
        berth = self.fast(**SLOW)
        job = self.take_on(berth, count=3, seed=50)
        follower = Later(lambda: self.events(berth, job))
        pid = self.stop_drawing(berth, job, picture=2)
        there = self.drawn(berth, 1)
        wait_for("Berth has them", lambda: self.state(berth, job).json()["progress"][
            "currentImage"] == there + 1)
        os.kill(pid, signal.SIGKILL)
        after = self.wait(berth, job, "complete").json()["result"]["images"]
        self.assertEqual([50, 51, 52], [each["seed"] for each in after])
        self.assertEqual(3, len({each["image"] for each in after}))
        told = [data for name, data in follower.get() if name == "progress"]
        for member in ("percentage", "currentImage"):
            self.assertEqual(sorted(each[member] for each in told), [each[member] for each in told])
        self.assertEqual([1, 2], berth.starts("image"))
        self.assertEqual(3 - there, self.drawn(berth, 2), "what was there was kept")

    def test_a_server_that_dies_over_it_twice_is_named_with_the_next_step(self):
        berth = self.fast(faults="die_image")
        error = self.wait(berth, self.take_on(berth), "error").json()["error"]
        self.assertEqual({"code": "server_gone", "message": '"image" gave no answer: it ended while '
                          "it drew; see `berth logs image`"}, error)
        self.assertEqual([1, 2], berth.starts("image"))

    def test_a_picture_that_fails_is_an_error_with_the_words_of_the_server(self):
        berth = self.fast(faults="fail_image")
        done = self.wait(berth, self.take_on(berth), "error").json()
        self.assertEqual("upstream", done["error"]["code"])
        self.assertIn("no results", done["error"]["message"])
        self.assertEqual(200, berth.chat("Hi").status)

    def test_pictures_are_private_and_prompts_are_nowhere_on_the_disk(self):
        berth = self.fast()
        self.wait(berth, self.take_on(berth, prompt="xyzzy-plugh"), "complete")
        pictures = list(Path(f"{berth.state}/s/images").iterdir())
        self.assertEqual([0o600], [stat.S_IMODE(each.stat().st_mode) for each in pictures])
        self.assertEqual(0o700, stat.S_IMODE(pictures[0].parent.stat().st_mode))
        berth.down()
        found = [path for path in Path(berth.state).rglob("*")
                 if path.is_file() and b"xyzzy" in path.read_bytes()]
        self.assertEqual([], found)

    def test_pictures_are_kept_for_their_time_and_then_told_gone(self):
        berth = self.fast(policy='image_result_ttl = "300ms"')
        job = self.take_on(berth, steps=1)
        reply = self.wait(berth, job, 410)
        self.assertEqual("expired", reply.json()["error"]["code"])
        self.assertIn("image_result_ttl", reply.json()["error"]["message"])
        self.assertEqual([], list(Path(f"{berth.state}/s/images").iterdir()))

    def test_health_tells_whether_it_draws(self):
        berth = self.fast(faults="hang_image")
        port = berth.server("image")["front_port"]
        self.assertEqual({"status": "ok", "busy": False, "backend": "absent"},
                         berth.get("/health", port=port).json())
        self.take_on(berth)
        wait_for("busy", lambda: berth.get("/health", port=port).json() ==
                 {"status": "ok", "busy": True, "backend": "busy"})


class Cancelled(ImageTest):
    def test_a_queued_one_is_withdrawn(self):
        berth = self.fast(**SLOW)
        first = self.take_on(berth)
        pid = self.stop_drawing(berth, first)
        second = self.take_on(berth)
        self.assertEqual((200, {"id": second, "status": "cancelled"}),
                         ((reply := self.cancel(berth, second)).status, reply.json()))
        self.assertEqual("cancelled", self.status(berth, second))
        self.assertEqual(0, berth.server("image")["waiting"])
        self.go_on(pid)
        self.wait(berth, first, "complete")
        log = (place(berth, "image") / "log").read_text()
        self.assertEqual(1, log.count("generating image"), "the second was never drawn")

    def test_the_end_of_a_running_one_is_awaited(self):
        berth = self.fast(**SLOW)
        job = self.take_on(berth)
        pid = self.stop_drawing(berth, job)
        self.assertEqual(202, self.cancel(berth, job, "?wait=0").status)
        self.assertEqual("in_progress", self.status(berth, job))
        self.go_on(pid)
        self.assertEqual(200, self.cancel(berth, job).status)
        log = (place(berth, "image") / "log").read_text()
        self.assertEqual(1, log.count("generate_image completed"))
        self.assertEqual("cancelled", self.status(berth, job))
        self.assertEqual(0, berth.server("image")["running"])
        self.assertIsNone(berth.record("decision", "exited"), "its server was not ended")
        self.assertEqual([], list(Path(f"{berth.state}/s/images").iterdir()))

    def test_of_a_batch_the_pictures_that_are_not_begun_are_not_drawn(self):
        berth = self.fast(**SLOW)
        job = self.take_on(berth, count=4)
        pid = self.stop_drawing(berth, job)
        self.assertEqual(202, self.cancel(berth, job, "?wait=0").status)
        self.go_on(pid)
        self.assertEqual(200, self.cancel(berth, job).status)
        self.assertEqual(200, berth.chat("Hi").status, "the LLM has the memory")
        log = (place(berth, "image") / "log").read_text()
        self.assertEqual([1, 1], [log.count("generating image"), log.count("generate_image completed")])

    def test_with_cancel_restart_the_server_ends_at_once_and_is_no_failure(self):
        berth = self.fast(step_ms=4000, image_extra='cancel = "restart"')
        for _ in range(3):  # a crash loop would be put off now
            job = self.take_on(berth)
            self.wait(berth, job, "in_progress")
            wait_for("it is drawn", lambda: "generating image" in
                     (place(berth, "image") / "log").read_text())
            pid = berth.server("image")["pid"]
            self.assertEqual(200, self.cancel(berth, job).status)
            self.assertNotIn("generate_image completed",
                             (place(berth, "image") / "log").read_text(), "that takes 100 s")
            self.assertFalse(lives(pid))
            self.assertEqual("cancelled", self.status(berth, job))
        self.assertEqual(3, berth.steps().count("cancel_restarts"))
        self.assertEqual('server "image" must end (its picture was cancelled, and `cancel` is "restart")',
                         berth.record("decision", "exited")["text"])
        self.assertEqual(200, berth.chat("Hi").status)

    def test_it_can_be_done_twice_but_not_after_the_end(self):
        gate = self.gate()
        berth = self.fast(image_binary=gate.program)
        gate.shut()
        first, second = self.take_on(berth, steps=1), self.take_on(berth)
        self.assertEqual([200, 200], [self.cancel(berth, second).status for _ in range(2)])
        gate.open()
        self.wait(berth, first, "complete")
        late = self.cancel(berth, first)
        self.assertEqual((409, "conflict"), (late.status, late.json()["error"]["code"]))
        self.assertEqual(404, self.cancel(berth, "gen_1_0").status)


class OtherForms(ImageTest):
    def test_open_ais_form_on_the_front_port_and_the_main_address_is_answered_at_once(self):
        berth = self.fast()
        for port in (berth.port(), berth.server("image")["front_port"]):
            reply = berth.picture(port=port)
            self.assertEqual(200, reply.status)
            self.assertIn("b64_json", reply.json()["data"][0])

    def test_sdapi_txt2img_is_relayed_on_both(self):
        berth = self.fast()
        for port in (berth.port(), berth.server("image")["front_port"]):
            reply = berth.post("/sdapi/v1/txt2img", {"prompt": "a boat", "width": 64, "height": 64,
                                                     "steps": 1}, port=port)
            self.assertEqual(200, reply.status, reply.body)
            self.assertEqual(1, len(reply.json()["images"]))

    def test_the_main_address_and_the_control_socket_take_jobs_too(self):
        berth = self.fast()
        wish = {"prompt": "a boat", "width": 64, "height": 64, "steps": 1}
        first = berth.post("/api/v1/servers/image/images", wish)
        second = berth.api("POST", "/api/v1/servers/image/images", json.dumps(wish))
        self.assertEqual([201, 201], [first.status, second.status])
        for reply in (first, second):
            self.wait(berth, reply.json()["id"], "complete")
        self.assertEqual(200, berth.get(f"/api/v1/images/{first.json()['id']}").status)
        refused = berth.post("/api/v1/servers/chat/images", wish)
        self.assertEqual((400, "bad_request"), (refused.status, refused.json()["error"]["code"]))


if __name__ == "__main__":
    unittest.main()
