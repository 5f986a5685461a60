# SPDX-License-Identifier: Apache-2.0
"""A conversation through the `openai` package, streamed. Run by test_sdks.py.

    sdk_openai.py PACKAGES BASE_URL < turns.json

Prints {"begun": n} with the first piece of the n-th reply, and {"reply": n, ...} at its end. It
tries nothing again: an error ends it.
"""
import json
import sys

sys.path.insert(0, f"{sys.argv[1]}/python")
import openai  # noqa: E402


def say(**fact):
    print(json.dumps(fact), flush=True)


client = openai.OpenAI(base_url=f"{sys.argv[2]}/v1", api_key="unused", max_retries=0)
messages = []
for number, turn in enumerate(json.load(sys.stdin)):
    messages.append({"role": "user", "content": turn})
    text, finish = "", None
    for piece in client.chat.completions.create(model="chat", messages=messages, stream=True,
                                                temperature=0, max_tokens=48):
        if not text and piece.choices and piece.choices[0].delta.content:
            say(begun=number)
        for choice in piece.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
    messages.append({"role": "assistant", "content": text})
    say(reply=number, text=text, finish=finish)
say(sdk=openai.__version__)
