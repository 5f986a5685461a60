# SPDX-License-Identifier: Apache-2.0
"""An LLM and a picture server that do not fit together, both asked for all the time (design 6).

Nobody starves, and nobody is loaded for nothing. Loads, pictures and ageing take a fraction of a
second here; the journal's order and counts decide, no time does.
"""

import threading
import unittest

from fast_world import fast_config
from harness import E2eTest, Later, wait_for
from turns_seen import Story, complaints_of

TURNS = 4  # that each server has had when the clients stop
PAINTERS, CHATTERS = 4, 2  # pictures wait while one is painted and one client comes again
CLICKS = 6
CLICK_SECONDS = 0.6  # from one click to the next
QUIET_SECONDS = 2.5  # in which a chase of two servers would be seen
STARVES_SECONDS = 60  # a turn that does not end would go on for ever


class Client(threading.Thread):
    """Asks, and asks again as soon as it has its answer."""

    def __init__(self, ask, over):
        super().__init__(daemon=True)
        self.ask, self.over, self.answers = ask, over, []
        self.start()

    def run(self):
        while not self.over.is_set():
            try:
                self.answers.append(self.ask().status)
            except OSError as error:
                self.answers.append(repr(error))
                return


class Turns(E2eTest):
    def up(self, **options):
        berth = self.berth_with(fast_config(["--standin-faults", "slow_load=0.1"],
                                            faults="slow_load=0.1", step_ms=4, **options))
        berth.up().wait_state("chat", "ready")
        self.port = berth.port()
        return berth

    def chat(self, berth):
        return berth.chat("And then?", port=self.port)

    def picture(self, berth):
        return berth.picture(port=self.port)

    def run_clients(self, berth, chatters, painters, what, is_seen):
        """Has them ask until each server has had its turns and `is_seen` is true of one."""
        over = threading.Event()
        clients = [Client(lambda: self.chat(berth), over) for _ in range(chatters)]
        clients += [Client(lambda: self.picture(berth), over) for _ in range(painters)]
        try:
            wait_for(f"each server has had {TURNS} turns, and {what}", lambda: min(
                len(berth.starts(server)) for server in ("chat", "image")) > TURNS and
                any(map(is_seen, Story(berth.journal()).turns)), STARVES_SECONDS)
        finally:
            over.set()
            for client in clients:
                client.join()
        answers = [answer for client in clients for answer in client.answers]
        self.assertEqual({200}, set(answers), "no request fails")
        story = Story(berth.journal())
        self.assertEqual([], complaints_of(story), story.turns)

    def test_an_agent_that_calls_and_calls_and_a_painter_share_the_memory(self):
        self.run_clients(self.up(policy='ageing = "1s"'), 1, 1,
                         "an empty queue for a moment did not end the agent's turn",
                         lambda turn: turn.server == "chat" and turn.served > 1 and
                         not turn.unasked)

    def test_a_stream_of_pictures_whose_queue_is_never_empty_does_not_starve_chats(self):
        self.run_clients(self.up(policy='ageing = "1s"'), CHATTERS, PAINTERS,
                         "the turn of a busy server ended",
                         lambda turn: turn.server == "image" and turn.left_waiting > 0)

    def test_pictures_clicked_with_pauses_and_chats_between_find_their_turns(self):
        # Both are wanted: who has left comes back unasked, soon, and only over who stands behind it.
        berth = self.up(policy='ageing = "1s"\nlinger_max = "100ms"', image_extra='wanted = "on"')
        pause, later = threading.Event(), []
        for _ in range(CLICKS):
            for ask in (self.picture, self.chat):
                later.append(Later(lambda ask=ask: ask(berth)))
                pause.wait(CLICK_SECONDS / 2)
        self.assertEqual({200}, {each.get().status for each in later}, "no request fails")
        berth.wait_state("chat", "ready")
        pause.wait(QUIET_SECONDS)
        story = Story(berth.journal())
        self.assertEqual([], complaints_of(story), story.turns)
        self.assertEqual("chat", story.turns[-1].server, "the LLM has come home and stays")
        self.assertGreater(len(story.of("image")), 0)
        self.assertEqual(2 * CLICKS, sum(turn.served for turn in story.turns))


if __name__ == "__main__":
    unittest.main()
