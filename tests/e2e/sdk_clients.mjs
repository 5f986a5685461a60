// SPDX-License-Identifier: Apache-2.0
// A conversation through the `openai` or the `@anthropic-ai/sdk` package, streamed; as sdk_openai.py.
//
//     node sdk_clients.mjs PACKAGES BASE_URL openai|anthropic < turns.json
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [packages, baseUrl, sdk] = process.argv.slice(2);
const load = createRequire(`${packages}/node/`);
const say = (fact) => process.stdout.write(JSON.stringify(fact) + "\n");

const kinds = {
  openai() {
    const OpenAI = load("openai").default;
    const client = new OpenAI({ baseURL: `${baseUrl}/v1`, apiKey: "unused", maxRetries: 0 });
    return async (messages, piece) => {
      const stream = await client.chat.completions.create({
        model: "chat", messages, stream: true, temperature: 0, max_tokens: 48 });
      let finish = null;
      for await (const { choices } of stream) {
        piece(choices[0]?.delta?.content ?? "");
        finish = choices[0]?.finish_reason ?? finish;
      }
      return finish;
    };
  },
  anthropic() {
    const Anthropic = load("@anthropic-ai/sdk").default;
    const client = new Anthropic({ baseURL: baseUrl, apiKey: "unused", maxRetries: 0 });
    return async (messages, piece) => {
      const stream = client.messages.stream({ model: "chat", messages, temperature: 0, max_tokens: 48 });
      stream.on("text", piece);
      return (await stream.finalMessage()).stop_reason;
    };
  },
};

const ask = kinds[sdk]();
const messages = [];
for (const [number, turn] of JSON.parse(readFileSync(0, "utf8")).entries()) {
  messages.push({ role: "user", content: turn });
  let text = "";
  const finish = await ask(messages, (piece) => {
    if (text === "" && piece !== "") say({ begun: number });
    text += piece;
  });
  messages.push({ role: "assistant", content: text });
  say({ reply: number, text, finish });
}
