# SPDX-License-Identifier: Apache-2.0
"""What Berth does at start: its last committed row times what it finds (design section 4).

Each test names one line of that table. The lines of jobs, holds and leases come with them.
"""

import os
import signal
import sqlite3
import unittest
from pathlib import Path

from fast_world import LLAMA_STANDIN, SLACK, fast_config, kill_berth, lives, place, record_of
from harness import E2eTest, cmdline, wait_for


class RecoveryTest(E2eTest):
    def fast(self, **options):
        berth = self.berth_with(fast_config(**options))
        return berth

    def ready(self, berth, environment=None):
        return berth.up(environment).wait_state("chat", "ready")["pid"]

    def killed_at(self, step, berth):
        """Kills Berth at that step of what a picture causes; returns the LLM's pid."""
        pid = self.ready(berth, {"BERTH_FAILPOINT": step})
        berth.picture_later()
        berth.wait_killed()
        return pid

    def end_server(self, berth, server):
        """The server ends while no Berth runs: its keeper takes it along."""
        record = record_of(berth, server)
        os.kill(record["keeper_pid"], signal.SIGKILL)
        wait_for("it is gone", lambda: not lives(record["pid"]))

    def is_stored(self, berth, decision):
        """Its row, which was to be written just before it was told, has been."""
        records = berth.journal()
        told = berth.record("decision", decision)
        commit = told and [r for r in records if r["name"] == "commit" and r["n"] < told["n"]][-1]
        return commit and any(r["name"] == "effect_ended" and r["effect"] == commit["effect"]
                              for r in records)

    def decisions(self, berth, server):
        return [r["name"] for r in berth.journal()
                if r["kind"] == "decision" and r.get("server") == server]


class WantedOnAndNotDisplaced(RecoveryTest):
    def test_what_the_user_was_told_is_on_the_disk(self):
        berth = self.fast()
        self.ready(berth)
        for what, skips in (("clear-saved-state", 1), ("start?wait=0", 0)) * 2:
            reply = berth.api("POST", f"/api/v1/servers/chat/{what}")
            kill_berth(berth)
            self.assertIn(reply.status, (200, 202))
            self.assertEqual(skips, berth.rows()["chat"]["skip_next_restore"], what)
            berth.up()

    def test_alive_and_healthy_is_adopted_once_the_work_of_dead_clients_has_ended(self):
        berth = self.fast(llm_arguments=["--standin-faults", "slow_prompt=2"])
        pid = self.ready(berth)
        stream = berth.stream("Tell a story.", max_tokens=4000)  # it runs until its client is gone
        wait_for("it runs", lambda: berth.server("chat")["running"] == 1)
        kill_berth(berth)
        stream.finish()
        self.assertNotIn(b"[DONE]", stream.bytes(), "the client learnt it at once")
        berth.up()
        server = berth.wait_state("chat", "ready")
        self.assertEqual((pid, 0), (server["pid"], server["running"]))
        log = (place(berth, "chat") / "log").read_text()
        self.assertEqual(log.count("processing task"), log.count("stop processing"),
                         "no slot works for a client that is gone")
        self.assertEqual(200, berth.chat("Hi").status)

    def test_alive_but_deaf_is_stopped_and_started(self):
        berth = self.fast()
        pid = self.ready(berth)
        kill_berth(berth)
        os.kill(pid, signal.SIGSTOP)
        berth.up()
        self.assertNotEqual(pid, berth.wait_state("chat", "ready")["pid"])
        self.assertFalse(lives(pid))
        self.assertIn("recovered_stopping", self.decisions(berth, "chat"))
        self.assertEqual([1, 2], berth.starts("chat"))

    def test_not_there_is_started_with_the_same_command_line(self):
        berth = self.fast()
        argv = cmdline(self.ready(berth))
        kill_berth(berth)
        self.end_server(berth, "chat")
        berth.up()
        self.assertEqual(argv, cmdline(berth.wait_state("chat", "ready")["pid"]))
        self.assertEqual([1, 2], berth.starts("chat"))


class OnDemand(RecoveryTest):
    def with_picture_server(self):
        berth = self.fast(wanted="on_demand")
        berth.up()
        self.assertEqual(200, berth.picture().status)
        pid = berth.server("image")["pid"]
        kill_berth(berth)
        return berth, pid

    def test_alive_and_healthy_is_adopted(self):
        berth, pid = self.with_picture_server()
        berth.up()
        self.assertEqual(pid, berth.wait_state("image", "ready")["pid"])
        self.assertEqual(200, berth.picture().status)
        self.assertEqual([1], berth.starts("image"))

    def test_alive_and_drawing_for_a_dead_client_is_adopted_once_the_picture_is_drawn(self):
        berth = self.fast(wanted="on_demand", step_ms=40)
        berth.up()
        berth.picture_later()
        wait_for("it draws", lambda: berth.record("progress", "diffusion"))
        pid = record_of(berth, "image")["pid"]
        os.kill(pid, signal.SIGSTOP)  # it is not through before Berth is killed
        kill_berth(berth)
        begun = len(berth.journal())
        os.kill(pid, signal.SIGCONT)
        berth.up()
        log = (place(berth, "image") / "log").read_text()
        self.assertIn("generate_image completed", log, "it works for nobody once Berth is up")
        self.assertEqual(pid, berth.wait_state("image", "ready")["pid"])
        told = [r["step"] for r in berth.journal()[begun:] if r["name"] == "diffusion"]
        self.assertNotIn(1, told, "what Berth told before it was killed is not told again")
        self.assertEqual(200, berth.picture().status)

    def test_alive_and_drawing_for_a_dead_client_without_end_is_stopped(self):
        berth = self.fast(wanted="on_demand", faults="hang_image")
        berth.up()
        berth.picture_later()
        berth.wait_step("dispatched")
        log = place(berth, "image") / "log"
        wait_for("it draws", lambda: "generating image" in log.read_text())
        kill_berth(berth)
        pid = record_of(berth, "image")["pid"]
        berth.up()
        berth.wait_state("image", "absent")
        self.assertFalse(lives(pid))
        self.assertIn("recovered_stopping", self.decisions(berth, "image"))

    def test_not_there_means_nothing_is_done(self):
        berth, _ = self.with_picture_server()
        self.end_server(berth, "image")
        begun = len(berth.journal())
        berth.up()
        self.assertEqual("absent", berth.server("image")["state"])
        self.assertEqual([], [r for r in berth.journal()[begun:]
                              if r["kind"] == "action" and r["name"] in ("commit", "move_to")])


class Displaced(RecoveryTest):
    def test_alive_and_healthy_was_never_stopped_and_serves_on(self):
        berth = self.fast()
        pid = self.killed_at("row_committed", berth)
        self.assertEqual("image", berth.rows()["chat"]["displaced_by"])
        berth.up()
        self.assertEqual(pid, berth.wait_state("chat", "ready")["pid"])
        self.assertEqual(200, berth.chat("Hi").status)
        self.assertFalse(berth.server("chat")["displaced"])
        self.assertIn("recovered_never_stopped", self.decisions(berth, "chat"))

    def test_not_there_while_the_displacer_draws_for_a_client_that_is_gone_is_restored_now(self):
        # Work that has a name, and so somebody to fetch it, is finished first; a request has none.
        flag = self.new_folder() / "hang"
        berth = self.fast(faults=f"once={flag}:hang_image")
        self.ready(berth)
        flag.touch()
        berth.picture_later()
        wait_for("it paints", lambda: berth.record("progress", "diffusion"))
        kill_berth(berth)
        painter = record_of(berth, "image")["pid"]
        self.assertTrue(lives(painter))
        berth.up()
        wait_for("nobody waits for the picture", lambda: not berth.server("chat")["displaced"])
        self.assertFalse(lives(painter))
        self.assertEqual(200, berth.chat("Hi").status)
        self.assertEqual(200, berth.picture().status)

    def test_not_there_and_no_such_work_is_restored_now(self):
        berth = self.fast()
        self.killed_at("victim_gone", berth)
        berth.up()
        berth.wait_state("chat", "ready")
        wait_for("the row is cleared", lambda: not berth.server("chat")["displaced"])
        self.assertEqual([1, 2], berth.starts("chat"))

    def test_not_there_and_only_on_request_stays_absent_until_it_is_asked_for(self):
        berth = self.fast(faults="hang_image", wanted="on_demand")
        berth.up()
        self.assertEqual(200, berth.chat("Hi").status)
        berth.picture_later()
        berth.wait_step("dispatched", 2)
        berth.cli("clear", "chat")
        wait_for("it is on the disk", lambda: self.is_stored(berth, "saved_state_cleared"))
        kill_berth(berth)
        self.end_server(berth, "image")
        berth.up()
        self.assertEqual("absent", berth.server("chat")["state"])
        self.assertEqual([1], berth.starts("chat"))
        self.assertEqual(200, berth.chat("Hi").status, "a request brings it back")

    def test_not_there_and_its_program_gone_is_an_answer_and_not_a_crash(self):
        folder = self.new_folder()
        program = f"{folder}/llama-server"
        with open(program, "w") as script:
            script.write(f'#!/bin/sh\nexec "{LLAMA_STANDIN}" "$@"\n')
        os.chmod(program, 0o755)
        berth = self.fast(binary=program)
        self.killed_at("victim_gone", berth)
        os.rename(program, program + ".away")
        berth.up()
        failed = berth.wait_state("chat", "failed")
        self.assertIn(program, failed["failure"])
        refused = berth.chat("Hi")
        self.assertEqual((503, "binary_missing"),
                         (refused.status, refused.json()["error"]["code"]))
        self.assertTrue(failed["displaced"], "it is still owed its return")
        os.rename(program + ".away", program)
        self.assertEqual(200, wait_for("it is tried again", lambda: (
            r := berth.chat("Hi")).status == 200 and r.status))


class ConfigurationIsChanged(RecoveryTest):
    """The LLM is owed, and its arguments are others when Berth comes up again."""

    def changed_while_displaced(self, end):
        berth = self.fast(faults="hang_image")
        self.ready(berth)
        berth.picture_later()
        berth.wait_step("dispatched")
        end(berth)
        text = Path(berth.config_path).read_text()
        Path(berth.config_path).write_text(text.replace("context = 2048", "context = 1024"))
        berth.up()
        return cmdline(berth.wait_state("chat", "ready")["pid"])

    def test_after_down_the_new_one_holds(self):
        self.assertIn(b"1024", self.changed_while_displaced(lambda berth: berth.cli("down")))

    def test_after_a_crash_it_comes_back_exactly_as_it_was(self):
        self.assertIn(b"2048", self.changed_while_displaced(kill_berth))


class OffOrWithoutARow(RecoveryTest):
    def test_off_but_alive_is_stopped_and_said_so(self):
        berth = self.fast(llm_extra=SLACK)
        pid = self.ready(berth, {"BERTH_FAILPOINT": "newcomer_stopping"})
        berth.cli("stop", "chat", check=False)
        berth.wait_killed()
        self.assertEqual("off", berth.rows()["chat"]["wanted"])
        self.assertTrue(lives(pid), "Berth died before its signal")
        berth.up()
        wait_for("it is stopped", lambda: not lives(pid))
        self.assertEqual("off", berth.server("chat")["wanted"])
        self.assertIn("recovered_stopping", self.decisions(berth, "chat"))
        self.assertEqual([1], berth.starts("chat"))

    def test_alive_without_a_row_is_stopped_and_said_so(self):
        berth = self.fast()
        pid = self.ready(berth)
        kill_berth(berth)
        db = sqlite3.connect(f"{berth.state}/s/berth.db")
        db.execute("DELETE FROM server")
        db.commit()
        db.close()
        berth.up()
        self.assertNotEqual(pid, berth.wait_state("chat", "ready")["pid"], "it is wanted, anew")
        self.assertFalse(lives(pid))
        self.assertIn("recovered_stopping", self.decisions(berth, "chat"))

    def test_alive_but_no_longer_configured_is_stopped_and_said_so(self):
        berth = self.fast()
        pid = self.ready(berth)
        kill_berth(berth)
        text = open(berth.config_path).read()
        open(berth.config_path, "w").write(text.replace("[server.chat]", "[server.talk]"))
        berth.up()
        wait_for("it is stopped", lambda: not lives(pid))
        self.assertEqual(["stranger_stopped"], berth.steps("stranger_stopped"))
        berth.wait_state("talk", "ready")


if __name__ == "__main__":
    unittest.main()
