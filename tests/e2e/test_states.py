# SPDX-License-Identifier: Apache-2.0
"""Each named state of the LLM when a picture is asked for, and pictures that go wrong
(issue 3, must show 4)."""

import os
import unittest
from pathlib import Path

from harness import ONE_STEP, SLOW_STEP_MS, E2eTest, Stream, real_llama, wait_for


def moves(berth, server=None):
    return [(r["server"], r["rung"]) for r in berth.journal()
            if r["kind"] == "action" and r["name"] == "move_to" and server in (None, r["server"])]


class EachNamedState(E2eTest):
    def test_nothing_moves_for_an_llm_that_is_off(self):
        berth = self.berth().up()
        berth.wait_state("chat", "ready")
        berth.cli("stop", "chat")
        self.assertEqual("off", berth.server("chat")["wanted"])
        before = len(moves(berth, "chat"))
        self.assertEqual(200, berth.picture().status)
        self.assertEqual(200, berth.picture().status)
        self.assertEqual(before, len(moves(berth, "chat")), "nothing moves, ever")
        refused = berth.chat("Hi")
        self.assertEqual(503, refused.status)
        self.assertEqual("stopped_by_user", refused.json()["error"]["code"])

    def test_an_absent_llm_is_not_brought_back(self):
        berth = self.berth(wanted="on_demand").up()
        self.assertEqual(200, berth.picture().status)
        self.assertEqual([("image", "resident")], moves(berth))

    def test_a_user_stop_while_displaced_is_honoured(self):
        berth = self.berth(step_ms=SLOW_STEP_MS).up()
        berth.wait_state("chat", "ready")
        picture = berth.drawing()
        berth.cli("stop", "chat")
        self.assertTrue(picture.is_alive(), "it is drawn on")
        berth.end_drawing(picture)
        berth.wait_step("job_done")
        berth.down()
        self.assertEqual(1, berth.starts("chat")[-1], "it was started once")
        row = berth.rows()["chat"]
        self.assertEqual("off", row["wanted"])
        self.assertIsNone(row["displaced_by"])

    def test_a_start_is_awaited_and_then_displaced(self):
        gate = self.new_folder() / "gate"
        os.mkfifo(gate)
        berth = self.berth(binary=self.llama_behind(gate)).up()
        berth.wait_state("chat", "starting")
        picture = berth.picture_later()
        berth.wait_step("job_arrived")
        self.assertEqual([("chat", "resident")], moves(berth), "the picture waits for the start")
        Path(gate).write_text("go\n")
        self.assertEqual(200, picture.get().status)
        berth.wait_step("row_cleared")
        self.assertEqual([("chat", "resident"), ("chat", "absent"), ("image", "resident"),
                          ("image", "absent"), ("chat", "resident")], moves(berth))

    def test_a_server_that_is_started_beside_one_that_comes_first_is_said_to_stay_out(self):
        berth = self.berth().up()
        berth.wait_state("chat", "ready")
        said = berth.cli("start", "image", check=False)
        self.assertNotEqual(0, said.returncode)
        words = " ".join(said.stderr.split())
        self.assertIn('"image" is wanted from now on, but does not fit beside "chat"', words)
        self.assertEqual(("on", "absent"), tuple(berth.server("image")[k] for k in ("wanted", "state")))
        self.assertEqual(200, berth.picture().status, "a request brings it")

    def llama_behind(self, gate):
        """A real llama-server whose first start goes on when a line is in the pipe `gate`."""
        path = f"{gate}-llama-server"
        Path(path).write_text(f"""#!/bin/sh
case "$*" in *--host*) [ -p "{gate}" ] && read -r line < "{gate}" && rm "{gate}" ;; esac
exec "{real_llama()[0]}" "$@"
""")
        os.chmod(path, 0o755)
        return path

    def test_a_stream_is_finished_first(self):
        berth = self.berth().up()
        berth.wait_state("chat", "ready")
        stream = berth.stream("Tell a story.")
        self.assertTrue(stream.begun.wait(30))
        self.assertEqual(200, berth.picture().status)
        stream.finish()
        self.assertTrue(stream.bytes().endswith(b"data: [DONE]\n\n"))
        stopping = berth.record("step", "victim_stopping")
        done = next(r for r in berth.journal() if r["kind"] == "event" and
                    r["name"] == "job_ended")
        self.assertLess(done["n"], stopping["n"])

    def test_an_llm_that_is_displaced_already_is_not_displaced_again(self):
        berth = self.berth(step_ms=SLOW_STEP_MS).up()
        berth.wait_state("chat", "ready")
        first = berth.drawing()
        second = berth.picture_later(prompt=ONE_STEP)
        wait_for("the second waits", lambda: berth.server("image")["waiting"] == 1)
        berth.end_drawing(first)
        self.assertEqual(200, second.get().status)
        berth.wait_step("row_cleared")
        self.assertEqual(1, berth.steps().count("victim_gone"), "one offload for both")


class PicturesThatGoWrong(E2eTest):
    def serves_again(self, berth):
        berth.wait_step("row_cleared")
        self.assertEqual(200, berth.chat("Hi").status)
        server = berth.server("chat")
        self.assertFalse(server["displaced"])
        wait_for("nothing is left", lambda: not any(
            s["running"] + s["waiting"] for s in berth.status()["servers"]))

    def test_a_picture_that_fails_is_an_answer_and_the_llm_serves_again(self):
        berth = self.berth(faults="fail_image").up()
        berth.wait_state("chat", "ready")
        self.assertEqual(500, berth.picture().status)
        self.serves_again(berth)

    def test_an_image_server_that_dies_is_an_answer_and_the_llm_serves_again(self):
        berth = self.berth(faults="die_image").up()
        berth.wait_state("chat", "ready")
        reply = berth.picture()
        self.assertEqual(502, reply.status)
        self.assertIn("image", reply.json()["error"]["message"])
        self.serves_again(berth)

    def test_an_image_server_that_hangs_is_cut_at_its_job_limit(self):
        berth = self.berth(faults="hang_image", image_extra='job_limit = "2s"').up()
        berth.wait_state("chat", "ready")
        reply = berth.picture()
        self.assertEqual(504, reply.status)
        self.assertIn("job_limit", reply.json()["error"]["message"])
        self.serves_again(berth)

    def test_a_client_that_leaves_while_the_llm_drains_leaves_everything_as_it_was(self):
        berth = self.berth().up()
        pid = berth.wait_state("chat", "ready")["pid"]
        stream = berth.stream("Tell a long story.", max_tokens=800)
        self.assertTrue(stream.begun.wait(30))
        picture = Stream(berth.port(), "/v1/images/generations",
                         {"model": "image", "prompt": "x", "size": "64x64"})
        berth.wait_step("row_committed")
        picture.leave()
        berth.wait_step("row_cleared")
        self.assertEqual(200, berth.chat("Hi").status)
        stream.finish()
        self.assertTrue(stream.bytes().endswith(b"data: [DONE]\n\n"))
        self.assertEqual(pid, berth.server("chat")["pid"], "nobody was stopped")
        self.assertNotIn("victim_stopping", berth.steps())

    def test_a_client_that_leaves_a_running_picture_does_not_keep_the_llm_away(self):
        berth = self.berth(step_ms=500).up()  # a picture takes 10 s, and nobody can stop it
        berth.wait_state("chat", "ready")
        berth.drawing().leave()
        self.serves_again(berth)
        ended = [r for r in berth.journal() if r["name"] == "job_ended"]
        self.assertEqual("cancelled", ended[0]["how"])

    def test_a_client_that_leaves_a_stream_frees_its_slot_at_the_server(self):
        berth = self.berth().up()
        berth.wait_state("chat", "ready")
        stream = berth.stream("Tell a very long story.", max_tokens=1500)
        self.assertTrue(stream.begun.wait(30))
        stream.leave()
        wait_for("the slot is free", lambda: berth.server("chat")["running"] == 0, 20)
        wait_for("the server itself says so",
                 lambda: "stop processing" in berth.cli("logs", "chat").stdout)
        self.assertEqual(200, berth.chat("Hi").status)


if __name__ == "__main__":
    unittest.main()
