// SPDX-License-Identifier: Apache-2.0
// genai-electron's cycle over HTTP, without a package: node picture.mjs http://127.0.0.1:8700 llm image out.png
import { writeFile } from 'node:fs/promises';

const [base, llm, image, file] = process.argv.slice(2);

async function ask(path, body) {
  const options = body && { method: 'POST', body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } };
  const reply = await fetch(base + path, options);
  const answer = await reply.json();
  if (!reply.ok) throw new Error(`${answer.error.code}: ${answer.error.message}`);
  return answer;
}

// Check if offload would be needed
const { would_need_offload, text } = await ask(`/api/v1/servers/${image}/would-need-offload`);
console.log(would_need_offload ? 'Image generation will temporarily stop LLM' : 'Enough resources', `(${text})`);

// Ask for a picture, and for a chat meanwhile: it waits for the LLM, which comes back by itself
const picture = ask('/v1/images/generations', { model: image, prompt: 'A harbour at dawn', size: '256x256', response_format: 'b64_json' });
const chat = ask('/v1/chat/completions', { model: llm, max_tokens: 8, messages: [{ role: 'user', content: 'Hello' }] });

await writeFile(file, Buffer.from((await picture).data[0].b64_json, 'base64'));
console.log('Image written:', file);
console.log('LLM says:', (await chat).choices[0].message.content);
