#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every claim of the demo fails when what it claims is not so: a check that cannot fail proves nothing."""
import os
import pathlib
import socket
import tempfile
import threading
import unittest

import demo_story
from demo_story import IMAGE, LLM, ns

# demo_story has put scripts/demo_lib on the path.
import checks
import clients
import daemon
import journal


class Checks(unittest.TestCase):
    def setUp(self):
        os.environ.pop("BERTH_PRESET", None)  # judged as a release
        self.told = demo_story.evidence()
        self.records = self.told.cycle.records

    def failed(self):
        return [check.claim for check in checks.judge(self.told) if not check.holds]

    def assert_fails(self, *words):
        """Exactly the claims with these words fail, in this order."""
        failed = self.failed()
        self.assertEqual(len(failed), len(words), failed)
        for claim, word in zip(failed, words):
            self.assertIn(word, claim)

    def step(self, name):
        return self.told.cycle.step_record(name)

    def decision(self, name, server):
        return journal.first(self.records, "decision", name, server)

    def test_all_holds_where_all_went_well(self):
        self.assert_fails()

    def test_a_short_conversation(self):
        self.told.a[0].timings["prompt_n"] = 499
        self.assert_fails("at least 500 prompt tokens")

    def test_a_decision_whose_numbers_do_not_ask_for_it(self):
        self.decision("offload", IMAGE)["numbers"] = {**demo_story.NUMBERS, "others_bytes": 250 << 20}
        self.assert_fails("put out because")

    def test_no_decision(self):
        self.decision("offload", IMAGE)["name"] = "fits"
        self.assert_fails("put out because")

    def test_a_missing_step(self):
        self.step("room_for_victim")["name"] = "other"
        self.assert_fails("steps of a cycle in order")

    def test_steps_in_another_order(self):
        one, other = self.step("newcomer_ready"), self.step("dispatched")
        one["n"], other["n"] = other["n"], one["n"]
        self.assert_fails("steps of a cycle in order")

    def test_a_linger_instead_of_a_closed_gate(self):
        record = next(r for r in self.records if r["kind"] == "step" and (r["name"], r["server"]) == ("gate_closed", IMAGE))
        record["name"] = "linger_over"
        self.assert_fails("steps of a cycle in order")  # before the picture was done
        record["n"] = self.step("job_done")["n"] + 0.5
        self.assert_fails()

    def test_a_turn_that_nothing_ended(self):
        self.records = self.told.cycle.records = [
            r for r in self.records if (r["kind"], r["name"], r.get("server")) != ("step", "gate_closed", IMAGE)]
        self.assert_fails("steps of a cycle in order")

    def test_a_reply_without_its_done(self):
        self.told.a[1].ends_with_done = False
        self.assert_fails("chat A, streaming")

    def test_a_reply_that_lost_a_token_in_the_middle(self):
        reply = self.told.a[1].reply
        for lost in (b" w70", b" w71"):
            reply.body = reply.body.replace(lost, b"")
        self.told.a[1] = clients.Stream(reply)
        self.assert_fails("chat A, streaming")

    def test_a_body_without_its_end(self):
        self.told.a[1].reply.complete = False
        self.assert_fails("chat A, streaming")

    def test_a_server_that_is_stopped_before_the_reply_ends(self):
        self.step("victim_stopping")["t_ns"] = ns(1500.4)
        self.assert_fails("chat A, streaming")

    def test_a_row_that_is_written_too_late(self):
        self.step("row_committed")["t_ns"] = ns(1501)
        self.assert_fails("on the disk")

    def test_a_refused_chat(self):
        self.told.b[1].reply.status = 503
        self.assert_fails("chat B, sent", "chat B's conversation")

    def test_a_chat_that_is_sent_before_the_llm_is_gone(self):
        self.told.b[1].reply.sent_ns = ns(1600)
        self.assert_fails("chat B, sent")

    def test_a_chat_that_is_answered_before_the_restore(self):
        self.step("state_restored")["t_ns"] = ns(4901)
        self.assert_fails("chat B, sent")

    def test_a_request_that_was_sent_twice(self):
        again = journal.first(self.records, "event", "job_arrived", LLM)
        self.records.append({**again, "job": 99})
        self.assert_fails("sent anything twice")

    def test_a_torn_picture(self):
        self.told.picture = demo_story.picture_reply(demo_story.png(512, 512)[:-20])
        self.assert_fails("sound PNG")

    def test_a_picture_of_another_size(self):
        self.told.picture = demo_story.picture_reply(demo_story.png(512, 256))
        self.assert_fails("sound PNG")

    def test_an_answer_without_a_picture(self):
        self.told.picture.body = b'{"error": {"message": "no"}}'
        self.assert_fails("sound PNG")

    def test_a_picture_that_is_held_back_until_the_llm_is_back(self):
        self.told.picture.ended_ns = ns(4901)
        self.assert_fails("picture was answered before")

    def test_room_that_was_not_there(self):
        seen = self.decision("room_seen", IMAGE)
        seen["numbers"] = {**seen["numbers"], "free_bytes": 499 << 20}
        self.assert_fails("seen free")

    def test_a_server_that_is_started_before_room_was_seen(self):
        order, seen = journal.first(self.records, "action", "move_to", LLM), self.decision("room_seen", LLM)
        order["n"], seen["n"] = seen["n"], order["n"]
        self.assert_fails("seen free")

    def test_both_servers_in_memory(self):
        self.records.append({"n": 10**6, "t_ns": ns(1700), **demo_story.memory(0, 240, 470)[1]})
        self.assert_fails("never in memory together")

    def test_another_command_line(self):
        self.told.after.cmdline = self.told.after.cmdline.replace(b"smol", b"SMOL")
        self.assert_fails("byte-identical command line")

    def test_a_server_that_was_never_restarted(self):
        self.told.after.generation, self.told.after.pid = self.told.before.generation, self.told.before.pid
        self.assert_fails("byte-identical command line")

    def test_a_conversation_that_did_not_come_back(self):
        self.told.a[2].timings["cache_n"] = 771  # of 779: 98.97 %
        self.assert_fails("chat A's conversation")

    def test_a_debt_that_is_still_there(self):
        self.told.after.displaced = True
        self.assert_fails("nothing is owed")

    def test_a_process_that_stayed(self):
        self.told.leftovers = [(4711, "llama-server -m smol.gguf")]
        self.assert_fails("nothing is left running")

    def test_a_berth_that_takes_too_much(self):
        for size in (0, 20 << 20):
            self.told.own_bytes = size
            self.assert_fails("Berth itself holds less")

    def test_a_picture_of_the_cycle_that_cannot_be_drawn(self):
        self.told.drawing = "TypeError: no victim_gone"
        self.assert_fails("can be drawn")


class Client(unittest.TestCase):
    def reply_to(self, answer):
        """Returns what a client keeps of these bytes, after which the server closes."""
        listener = socket.create_server(("127.0.0.1", 0))

        def serve():
            connection, _ = listener.accept()
            with connection:
                received = b""
                while not received.endswith(b"{}"):
                    received += connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        reply = clients.Request(listener.getsockname(), "/v1/chat/completions", {}).wait(10)
        thread.join()
        listener.close()
        return reply

    def test_a_whole_reply(self):
        for answer in (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                       b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"):
            reply = self.reply_to(answer)
            self.assertEqual((reply.status, reply.body, reply.complete, reply.error), (200, b"hello", True, ""))
            self.assertEqual(reply.pieces[-1][1], 5)
            self.assertLessEqual(reply.sent_ns, reply.pieces[0][0])

    def test_a_reply_that_is_cut_off(self):
        for answer in (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
                       b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello"):
            reply = self.reply_to(answer)
            self.assertEqual((reply.status, reply.body, reply.complete), (200, b"hello", False))

    def test_no_reply_at_all(self):
        reply = self.reply_to(b"")
        self.assertEqual((reply.status, reply.complete), (None, False))
        self.assertIn("RemoteDisconnected", reply.error)


class Config(unittest.TestCase):
    def test_only_one_of_the_two_servers_fits(self):
        for llm, image in ((300, 500), (300, 2600), (900, 300), (1, 1)):
            capacity = daemon.capacity_mib(llm, image)
            self.assertLessEqual(4 * max(llm, image), 3 * capacity)
            self.assertGreater(4 * (llm + image), 3 * capacity)
        self.assertEqual(daemon.capacity_mib(300, 500), 1000)


class Journal(unittest.TestCase):
    def test_a_line_counts_when_it_is_whole(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "journal.jsonl")
            read = journal.Journal(path)
            read.follow()
            self.assertIsNone(read.wait_for(lambda record: True, 0.05))
            with open(path, "ab", buffering=0) as file:
                file.write(b'{"n": 1, "kind": "step"}\n{"n": 2, ')
                self.assertEqual(read.wait_for(lambda record: True, 10)["n"], 1)
                file.write(b'"kind": "event"}\n')
                self.assertEqual(read.wait_for(lambda record: record["n"] == 2, 10)["kind"], "event")
            read.close()
            self.assertEqual(len(read.records), 2)


if __name__ == "__main__":
    unittest.main()
