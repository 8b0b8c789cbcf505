// What applications in JavaScript do with the clients of OpenAI and Ollama. Prints what the clients returned, as JSON:
// tests/test_javascript.py knows what it has to be. Usage: node talk.mjs URL-OF-THE-NODE MODEL
import { Ollama } from "ollama";
import OpenAI, { toFile } from "openai";

const [url, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0, timeout: 120_000 });
const ollama = new Ollama({ host: url });
const messages = [{ role: "user", content: "Name one colour." }];
// The secret word of the run: nothing may be left of it.
const stop = [process.env.HITHER_CANARY];
const asked = { model, messages, max_tokens: 12, temperature: 0, stop };
const said = {};

said.models = [];
for await (const found of await client.models.list()) said.models.push(found.id);
said.retrieved = (await client.models.retrieve(model)).id;

said.whole = await client.chat.completions.create(asked);

said.streamed = { text: "", usage: null, ends: [] };
const stream = await client.chat.completions.create({ ...asked, stream: true, stream_options: { include_usage: true } });
for await (const chunk of stream) {
  const [choice] = chunk.choices;
  said.streamed.text += choice?.delta?.content ?? "";
  if (choice?.finish_reason) said.streamed.ends.push(choice.finish_reason);
  said.streamed.usage = chunk.usage ?? said.streamed.usage;
}

const several = await client.chat.completions.create({ ...asked, n: 2, temperature: 1, seed: 5 });
said.several = several.choices.map((choice) => [choice.index, choice.message.content]);

const weather = {
  name: "weather",
  parameters: { type: "object", properties: { city: { enum: ["Paris", "Lyon"] } }, required: ["city"], additionalProperties: false },
};
const called = await client.chat.completions.create({
  ...asked,
  max_tokens: 64,
  tools: [{ type: "function", function: weather }],
  tool_choice: "required",
});
said.called = called.choices[0].message.tool_calls.map((call) => [call.function.name, JSON.parse(call.function.arguments)]);

const schema = { type: "object", properties: { ok: { type: "boolean" } }, required: ["ok"], additionalProperties: false };
const kept = await client.chat.completions.parse({
  ...asked,
  max_tokens: 40,
  response_format: { type: "json_schema", json_schema: { name: "answer", strict: true, schema } },
});
said.kept = JSON.parse(kept.choices[0].message.content);

// By default the client asks for base64 and unpacks it.
const packed = await client.embeddings.create({ model, input: ["Rain in Lyon.", "Sun."] });
const plain = await client.embeddings.create({ model, input: ["Rain in Lyon.", "Sun."], encoding_format: "float" });
said.vectors = [packed, plain].map((made) => made.data.map((entry) => Array.from(entry.embedding)));

const response = await client.responses.create({ model, input: "Name one colour.", max_output_tokens: 16, temperature: 0 });
said.response = { text: response.output_text, status: response.status };
said.events = { kinds: [], text: "" };
const events = await client.responses.create({ model, input: "Name one colour.", max_output_tokens: 16, temperature: 0, stream: true });
for await (const event of events) {
  said.events.kinds.push(event.type);
  if (event.type === "response.output_text.delta") said.events.text += event.delta;
}

said.errors = [];
for (const call of [
  () => client.chat.completions.create({ ...asked, model: "none" }),
  () => client.chat.completions.create({ ...asked, temperature: 3 }),
  () => client.responses.create({ model, input: "x", store: true }),
]) {
  try {
    await call();
    said.errors.push(null);
  } catch (error) {
    said.errors.push([error.constructor.name, error.status, error.code, error.param]);
  }
}

const left = await client.chat.completions.create({ ...asked, max_tokens: 1500, ignore_eos: true, stream: true });
for await (const chunk of left) {
  said.left = chunk.choices[0].delta.role;
  break;
}

const asks = [0, 1].map((at) => JSON.stringify({ custom_id: `line-${at}`, method: "POST", url: "/v1/chat/completions", body: asked }));
const file = await client.files.create({ file: await toFile(Buffer.from(asks.join("\n")), "asks.jsonl"), purpose: "batch" });
const batch = await client.batches.create({ input_file_id: file.id, endpoint: "/v1/chat/completions", completion_window: "24h" });
let now = batch;
while (["validating", "in_progress", "finalizing"].includes(now.status)) now = await client.batches.retrieve(batch.id);
const output = await (await client.files.content(now.output_file_id)).text();
said.batch = {
  file: [file.filename, file.bytes, asks.join("\n").length],
  ended: [now.status, now.request_counts],
  texts: output.trim().split("\n").map((line) => JSON.parse(line)).map((line) => [line.custom_id, line.response.body.choices[0].message.content]),
};
for (const id of [file.id, now.output_file_id]) await client.files.delete(id);

const options = { temperature: 0, num_predict: 12 };
said.ollama = { whole: await ollama.chat({ model, messages, options }), text: "", listed: [] };
for await (const part of await ollama.chat({ model, messages, options, stream: true })) said.ollama.text += part.message.content;
for (const found of (await ollama.list()).models) said.ollama.listed.push(found.name);
said.ollama.vectors = (await ollama.embed({ model, input: "Sun." })).embeddings;
said.ollama.version = (await ollama.version()).version;
said.ollama.error = await ollama.chat({ model: "none", messages }).then(() => null, (error) => error.message);

console.log(JSON.stringify(said));
