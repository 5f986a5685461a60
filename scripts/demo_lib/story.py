# SPDX-License-Identifier: Apache-2.0
"""What the clients of the demo do, in order: two chats, a picture in between, and the chats again."""
import dataclasses

import clients
import daemon
import journal
from cycle import IMAGE, LLM, Cycle

STEP_SECONDS_MAX = 60
# So many tokens have come when the picture is asked for: chat A is in the middle of its reply.
TOKENS_BEFORE_PICTURE = 12
TOKENS_MAX = {"short": 24, "reply": 100}
PICTURE_SIZE = (512, 512)
PICTURE_PROMPT = "a lighthouse in a storm at night, a small steamer passing the reef"
NOTES = """\
Here are my notes for the story.
The harbour of Saltmere lies at the end of a long bay, and for three hundred years ships have found it by one light. \
The lighthouse stands on a rock that is an island twice a day, when the tide is in, and a hill at the end of a \
causeway when the tide is out. Its tower is built of grey granite, forty metres high, with two hundred and seven \
steps inside, and the keeper climbs them every evening with a can of oil in one hand and a lantern in the other.
The keeper is called Marta. She came to the rock when she was nineteen, to help her uncle for one winter, and she \
stayed. She knows the ships by the sound of their engines, the fishermen by the way they wave, and the weather by \
the colour of the water in front of the causeway. In the village they say that she talks to the gulls, which is \
true, and that the gulls answer, which she has never denied.
In the autumn of that year a storm came up from the south-west, as they do, but it did not pass in a night. On the \
first day it took the roofs from the boat sheds. On the second day it broke the causeway in two places, so that \
nobody could cross, whatever the tide. On the third day, at dusk, Marta saw a ship beyond the outer bank: a small \
steamer, low in the water, with one mast gone and no smoke from her funnel. She was drifting towards the reef that \
is called the Teeth, and there were people on her deck.
The lamp burned, but the spray had covered the glass with salt, and from the sea its beam can have been no more than \
a pale stain. So Marta tied a rope around her waist, opened the iron door of the gallery, and went out with a bucket \
of fresh water and a cloth. Each time she had cleaned one pane, the wind had covered the one before. She cleaned \
them all the same, one after the other, for seven hours, while the beam swept over her and out to the ship.
The mate of the steamer said later that they had given up, and that then somebody had opened a window in the night. \
They set the one sail they had, and steered for the light, and passed the Teeth so closely that they heard the \
shingle move. At dawn they ran on to the sand behind the rock. Nobody was lost.

Name the place of this story in one sentence."""
NEXT_OF_A = ("Good. Now describe the picture that belongs on the cover: the sea, the sky, the tower, the ship, and "
             "the keeper at her lamp.")
LAST_OF_A = "Thank you. Give it a title of five words."
FIRST_OF_B, NEXT_OF_B = "Why is the sea salty?", "And why do ships of iron float on it?"


@dataclasses.dataclass
class Played:
    cycle: Cycle
    a: list
    b: list
    picture: clients.Reply
    before: object
    after: object


class Conversation:
    """A chat that sends its whole history with every turn, as chat programs do."""

    def __init__(self, address, name, system, teller):
        self._address, self._name, self._teller = address, name, teller
        self._messages = [{"role": "system", "content": system}]
        self._request = None
        self.turns = []

    def ask(self, text, tokens_max):
        """Sends the next turn and returns at once."""
        self._messages.append({"role": "user", "content": text})
        self._request = clients.Request(self._address, "/v1/chat/completions", {
            "model": LLM, "messages": self._messages, "max_tokens": tokens_max, "stream": True,
            "temperature": 0, "repeat_penalty": 1.1,  # so small a model repeats itself otherwise
        }, self._name, self._teller_of_turn())
        return self._request

    def _teller_of_turn(self):
        """Returns a call that says the first token and the end of a reply, once each, when they come."""
        said = set()

        def tell(reply):
            if "first" not in said and (tokens := clients.Stream(reply).token_times):
                said.add("first")
                self._teller.at(tokens[0], self._name, f"first token, {(tokens[0] - reply.sent_ns) / 1e6:.0f} ms after it asked")
            if reply.ended_ns is not None:
                stream = clients.Stream(reply)
                self._teller.at(reply.ended_ns, self._name,
                                f"complete: {stream.timings.get('predicted_n')} tokens; {stream.timings.get('cache_n')} of "
                                f"{stream.prompt_tokens()} prompt tokens were cached: \"{stream.text[:50].strip()}...\"")
        return tell

    def answered(self):
        """Waits for the reply, keeps it in the history, and returns it."""
        reply = self._request.wait()
        stream = clients.Stream(reply)
        if reply.ended_ns is None or reply.status != 200 or not stream.timings:
            raise daemon.Failure(f"a chat got no whole reply: status {reply.status}, {reply.error} {reply.body[-300:]!r}")
        self._messages.append({"role": "assistant", "content": stream.text})
        self.turns.append(stream)
        return stream


def play(berth, teller):
    """Brings Berth up and lets the clients do their work. Raises daemon.Failure."""
    status = berth.up()
    everybody, front = daemon.addresses_in(status)
    teller.say(f"berth is up at {everybody[0]}:{everybody[1]}, the LLM's own port is {front[1]}; "
               f"memory for both servers: {berth.capacity} MiB, of which 3/4 may be used")
    records = journal.Journal(berth.state / "journal.jsonl", teller.record)
    records.follow()
    watch = daemon.MemoryWatch(everybody)
    try:
        return act(berth, teller, records, {"main": everybody, "front": front})
    finally:
        watch.close()
        records.close()


def act(berth, teller, records, addresses):
    a = Conversation(addresses["front"], "chat A", "You are the editor of a small travel magazine.", teller)
    b = Conversation(addresses["main"], "chat B", "Answer in one short sentence, for a child of six.", teller)
    for chat, text in ((a, NOTES), (b, FIRST_OF_B)):
        chat.ask(text, TOKENS_MAX["short"])
        chat.answered()
    before = berth.llm()
    streaming = a.ask(NEXT_OF_A, TOKENS_MAX["reply"])
    streaming.wait_for(lambda reply: len(clients.Stream(reply).token_times) >= TOKENS_BEFORE_PICTURE)
    teller.say("now chat A is in the middle of its second reply, and somebody asks for a picture\n")
    picture = ask_for_picture(addresses["main"], teller)
    asked_ns = picture.reply.sent_ns
    gone = records.wait_for(lambda r: (r["kind"], r["name"]) == ("step", "victim_gone") and r["t_ns"] > asked_ns,
                            STEP_SECONDS_MAX)
    if gone is None:
        raise daemon.Failure("the LLM was not put out: the journal has no step victim_gone")
    held = b.ask(NEXT_OF_B, TOKENS_MAX["short"])
    teller.at(held.reply.sent_ns, "chat B", "sends its next turn while the LLM is gone")
    a.answered()
    drawn = picture.wait()
    b.answered()
    a.ask(LAST_OF_A, TOKENS_MAX["short"])
    a.answered()
    after = berth.llm()
    records.close()
    return Played(cycle=Cycle(records.records, asked_ns), a=a.turns, b=b.turns, picture=drawn, before=before, after=after)


def ask_for_picture(address, teller):
    width, height = PICTURE_SIZE
    body = {"model": IMAGE, "prompt": PICTURE_PROMPT, "size": f"{width}x{height}", "n": 1, "response_format": "b64_json"}

    def tell(reply):
        if reply.ended_ns is not None:
            teller.at(reply.ended_ns, "picture", f"answered: status {reply.status}, {len(reply.body)} bytes")

    picture = clients.Request(address, "/v1/images/generations", body, "picture", tell)
    teller.asked_ns = picture.reply.sent_ns
    teller.at(teller.asked_ns, "picture", f'asked for: "{PICTURE_PROMPT}"')
    return picture
