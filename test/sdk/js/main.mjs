// Drives a tenant's API with OpenAI's SDK. Prints a line for each case; the first failure ends it.
import assert from "node:assert/strict";
import OpenAI from "openai";

const { BASE_URL, LIMITED_URL, SPEECH_URL, API_KEY } = process.env;
const client = new OpenAI({ baseURL: BASE_URL, apiKey: API_KEY, maxRetries: 0 });
const user = (content) => [{ role: "user", content }];
const tools = [{ type: "function", function: { name: "get_weather", parameters: { type: "object", properties: { city: { type: "string" } } } } }];

async function fails(promise, type) {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof type, `${error?.constructor?.name}: ${error}`);
    return error;
  }
  assert.fail("no error");
}

const cases = {
  async "chat, whole"() {
    const got = await client.chat.completions.create({ model: "big", messages: user("hello") });
    assert.equal(got.choices[0].message.content, "Hello, wörld!");
    assert.equal(got.choices[0].finish_reason, "stop");
    assert.equal(got.usage.total_tokens, 24);
    assert.equal(got.enigma, undefined);
  },
  async "chat, streamed"() {
    let text = "", reason = null, usage = null, chunks = 0;
    const stream = await client.chat.completions.create({ model: "big", messages: user("hello"), stream: true, stream_options: { include_usage: true } });
    for await (const chunk of stream) {
      chunks++;
      text += chunk.choices[0]?.delta.content ?? "";
      reason = chunk.choices[0]?.finish_reason ?? reason;
      usage = chunk.usage ?? usage;
    }
    assert.deepEqual([text, reason, usage.total_tokens, chunks], ["Hello, wörld!", "stop", 24, 6]);
  },
  async "chat, by the helper"() {
    const got = await client.chat.completions.stream({ model: "big", messages: user("weather?"), tools }).finalChatCompletion();
    assert.equal(got.choices[0].finish_reason, "tool_calls");
    assert.deepEqual(got.choices[0].message.tool_calls.map((c) => [c.id, c.function.arguments]), [["c1", '{"city":"Wien"}'], ["c2", '{"city":"Graz"}']]);
  },
  async "tools, round trip"() {
    const messages = user("weather?");
    const first = await client.chat.completions.create({ model: "big", messages, tools });
    assert.equal(first.choices[0].message.content, null);
    messages.push(first.choices[0].message);
    for (const call of first.choices[0].message.tool_calls) messages.push({ role: "tool", tool_call_id: call.id, content: "sun" });
    const second = await client.chat.completions.create({ model: "big", messages, tools });
    assert.equal(second.choices[0].message.content, "It is sun.");
  },
  async "tools, run by the helper"() {
    const asked = [];
    const runner = client.chat.completions.runTools({
      model: "big", messages: user("weather?"), stream: true,
      tools: [{ type: "function", function: { ...tools[0].function, parse: JSON.parse, function: ({ city }) => (asked.push(city), "sun") } }],
    });
    assert.equal(await runner.finalContent(), "It is sun.");
    assert.deepEqual(asked, ["Wien", "Graz"]);
  },
  async "a wrong key"() {
    const stranger = new OpenAI({ baseURL: BASE_URL, apiKey: "ce_c4nary-wrong", maxRetries: 0, defaultHeaders: { "x-tenant-id": "acme" } });
    const error = await fails(stranger.chat.completions.create({ model: "big", messages: user("hello") }), OpenAI.AuthenticationError);
    assert.equal(error.code, "invalid_api_key");
  },
  async "too many requests"() {
    const few = new OpenAI({ baseURL: LIMITED_URL, apiKey: API_KEY, maxRetries: 0 });
    await few.chat.completions.create({ model: "big", messages: user("hello") });
    const error = await fails(few.chat.completions.create({ model: "big", messages: user("hello") }), OpenAI.RateLimitError);
    assert.equal(error.code, "rate_limit_exceeded");
    assert.match(error.headers.get("retry-after"), /^[1-9][0-9]*$/);
  },
  async "no such model"() {
    const error = await fails(client.chat.completions.create({ model: "big", messages: user("unknown") }), OpenAI.NotFoundError);
    assert.equal(error.code, "model_not_found");
  },
  async "a bad request"() {
    const error = await fails(client.chat.completions.create({ model: "big", messages: user("x"), n: 2 }), OpenAI.BadRequestError);
    assert.equal(error.param, "n");
  },
  async "a stream that is cut off"() {
    const stream = await client.chat.completions.create({ model: "big", messages: user("cut"), stream: true });
    const error = await fails((async () => { for await (const _ of stream); })(), OpenAI.APIError);
    assert.equal(error.code, "ai_truncated");
  },
  async "embeddings, which come in base64 unless asked"() {
    for (const encoding_format of [undefined, "float", "base64"]) {
      const got = await client.embeddings.create({ model: "embed", input: ["a", "bcd"], ...(encoding_format && { encoding_format }) });
      if (encoding_format === "base64") {
        assert.equal(got.data[0].embedding, "AACAPwAAAL/NzMw9");
        continue;
      }
      assert.equal(got.data[1].embedding[0], 3);
      assert.equal(got.data[1].embedding[1], -0.5);
      assert.ok(Math.abs(got.data[1].embedding[2] - 0.1) < 1e-6);
      assert.equal(got.usage.total_tokens, 7);
    }
  },
  async "models"() {
    const ids = [];
    for await (const model of client.models.list()) ids.push(model.id);
    assert.deepEqual(ids, ["big"]);
    assert.equal((await client.models.retrieve("big")).owned_by, "openai");
    await fails(client.models.retrieve("@cf/meta/none"), OpenAI.NotFoundError);
  },
  async "speech"() {
    const speech = { model: "tts", voice: "ann", input: "Hello" };
    const res = await new OpenAI({ baseURL: SPEECH_URL, apiKey: API_KEY, maxRetries: 0 }).audio.speech.create(speech);
    const bytes = Buffer.from(await res.arrayBuffer());
    assert.equal(res.headers.get("content-type"), "audio/mpeg");
    assert.deepEqual([bytes.length, bytes[0], bytes[1]], [417, 0xff, 0xfb]);
    assert.equal((await fails(client.audio.speech.create(speech), OpenAI.PermissionDeniedError)).code, "tts_not_enabled");
  },
  async "responses, whole"() {
    const got = await client.responses.create({ model: "big", input: "hello" });
    assert.equal(got.output_text, "Hello, wörld!");
    assert.equal(got.usage.total_tokens, 24);
  },
  async "responses, by the helper"() {
    const got = await client.responses.stream({ model: "big", input: "hello" }).finalResponse();
    assert.equal(got.output[0].content[0].text, "Hello, wörld!");
    assert.equal(got.status, "completed");
  },
  async "responses with tools"() {
    const functions = [{ type: "function", strict: false, ...tools[0].function }];
    const input = user("weather?");
    const first = await client.responses.stream({ model: "big", input, tools: functions }).finalResponse();
    const calls = first.output.filter((item) => item.type === "function_call");
    assert.deepEqual(calls.map((c) => c.arguments), ['{"city":"Wien"}', '{"city":"Graz"}']);
    input.push(...first.output);
    for (const call of calls) input.push({ type: "function_call_output", call_id: call.call_id, output: "sun" });
    const second = await client.responses.create({ model: "big", input, tools: functions });
    assert.equal(second.output_text, "It is sun.");
  },
  async "a response that is cut off"() {
    let last;
    for await (const event of await client.responses.create({ model: "big", input: "cut", stream: true })) last = event;
    assert.equal(last.type, "response.failed");
    assert.equal(last.response.error.code, "ai_truncated");
  },
};

for (const [name, run] of Object.entries(cases)) {
  try {
    await run();
  } catch (error) {
    console.log(`not ok - ${name}\n${error.stack}`);
    process.exit(1);
  }
  console.log(`ok - ${name}`);
}
