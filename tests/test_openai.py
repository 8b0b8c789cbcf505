"""The client of OpenAI for Python, as applications use it, against one node. Runs with its versions 2 and 3."""

import asyncio
import base64
import collections
import contextlib
import json
import struct
import time

import openai
import pydantic
import pytest

from mesh import CANARY, EEA, LANGUAGE_MODEL, Node, wait_for

CHAT = "smollm2-135m"
WEATHER = {
    "name": "weather",
    "description": "Tells the weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"enum": ["Paris", "Lyon"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


class Verdict(pydantic.BaseModel):
    raining: bool
    degrees: int = pydantic.Field(ge=-20, le=40)


@pytest.fixture(scope="module")
def client(munich_alone):
    with openai.OpenAI(base_url=f"{munich_alone.url}/v1", api_key="none", max_retries=0, timeout=120) as client:
        yield client


def ask(client, text="Name one colour.", **more):
    messages = [{"role": "user", "content": text}]
    return client.chat.completions.create(model=CHAT, messages=messages, **{"max_tokens": 12, "temperature": 0, "stop": [CANARY], **more})


def respond(client, given="Name one colour.", **more):
    return client.responses.create(model=CHAT, input=given, **{"max_output_tokens": 16, "temperature": 0, "user": CANARY, **more})


def refusal(call, kind=openai.BadRequestError):
    with pytest.raises(kind) as error:
        call()
    return error.value


def busy(node):
    return sum(model["busy"] for model in node.view()["nodes"][0]["models"])


def texts_of(chunks):
    """The text of each choice of a stream."""
    texts = collections.defaultdict(str)
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += (choice.delta.content if hasattr(choice, "delta") else choice.text) or ""
    return [texts[index] for index in sorted(texts)]


def test_several_texts_come_at_once(client):
    drawn = dict(text="Tell me something.", temperature=1, seed=40, max_tokens=8, extra_body={"ignore_eos": True})
    both = ask(client, n=2, **drawn)
    assert [choice.index for choice in both.choices] == [0, 1]
    first, second = [choice.message.content for choice in both.choices]
    assert first and second and first != second
    assert [choice.finish_reason for choice in both.choices] == ["length", "length"]
    # The prompt counts once, each text for itself.
    assert both.usage.prompt_tokens == ask(client, **drawn).usage.prompt_tokens
    assert both.usage.completion_tokens == 16
    streamed = list(ask(client, n=2, stream=True, stream_options={"include_usage": True}, **drawn))
    assert all(texts_of(streamed)) and len(texts_of(streamed)) == 2
    roles = [choice.delta.role for chunk in streamed for choice in chunk.choices if choice.delta.role]
    ends = [choice.finish_reason for chunk in streamed for choice in chunk.choices if choice.finish_reason]
    assert (roles, ends) == (["assistant"] * 2, ["length"] * 2) and streamed[-1].usage == both.usage
    # More than run at once: the rest waits for its turn.
    many = ask(client, n=9, **{**drawn, "max_tokens": 2})
    assert [choice.index for choice in many.choices] == list(range(9)) and many.usage.completion_tokens == 18


def test_usage_is_told_at_the_end_and_all_along(client):
    options = {"include_usage": True, "continuous_usage_stats": True}
    chunks = list(ask(client, stream=True, stream_options=options, extra_body={"ignore_eos": True}))
    counts = [chunk.usage.completion_tokens for chunk in chunks]
    assert counts == sorted(counts) and counts[0] >= 1 and counts[-1] == 12
    assert chunks[-1].choices == [] and chunks[-1].usage.prompt_tokens > 0
    assert all(chunk.usage is None for chunk in list(ask(client, stream=True, stream_options={"include_usage": True}))[:-1])
    assert refusal(lambda: ask(client, stream_options={"include_usage": True})).param == "stream_options"
    # Not before the first token exists: the first event has text.
    first = chunks[0].choices[0].delta
    assert first.role == "assistant" and first.content is not None


def test_completions_take_every_form_of_prompt(client):
    def complete(prompt, **more):
        return client.completions.create(model=CHAT, prompt=prompt, **{"max_tokens": 2, "temperature": 0, "stop": [CANARY], **more})

    # What comes next is beyond doubt: beside another text, numbers differ in their last digits.
    once, sky = complete("Once upon a"), complete("The capital of France is")
    assert (once.choices[0].text[:5], sky.choices[0].text[:6]) == (" time", " Paris")
    both = complete(["Once upon a", "The capital of France is"])
    assert [choice.text for choice in both.choices] == [once.choices[0].text, sky.choices[0].text]
    assert both.usage.prompt_tokens == once.usage.prompt_tokens + sky.usage.prompt_tokens
    echoed = complete(["Once upon a", "The capital of France is"], echo=True)
    assert [choice.text for choice in echoed.choices] == \
        ["Once upon a" + once.choices[0].text, "The capital of France is" + sky.choices[0].text]
    streamed = list(complete(["Once upon a", "The capital of France is"], stream=True, n=1))
    assert texts_of(streamed) == [choice.text for choice in both.choices]
    ids = [28, 1712, 282]
    assert complete(ids).usage.prompt_tokens == 3
    lists = complete([ids, ids[:2]])
    assert lists.choices[0].text == complete(ids).choices[0].text and lists.usage.prompt_tokens == 5
    chances = complete("Once upon a", logprobs=2).choices[0].logprobs
    assert "".join(chances.tokens) == once.choices[0].text
    assert len(chances.token_logprobs) == len(chances.top_logprobs) == len(chances.text_offset) > 0
    assert refusal(lambda: complete("a", suffix="b")).param == "suffix"
    # Some send every field, and null for what they do not want.
    assert complete("Once upon a", logprobs=None, seed=None, stop=None, best_of=1).choices[0].text == once.choices[0].text


def test_what_says_nothing_about_the_answer_changes_nothing(client):
    plain = ask(client).choices[0].message.content
    again = ask(client, user="me", metadata={"a": "b"}, store=False, service_tier="auto", parallel_tool_calls=False)
    assert again.choices[0].message.content == plain
    fixed = ask(client, stop=None, extra_body={"min_tokens": 9, "max_completion_tokens": 9})
    assert fixed.usage.completion_tokens == 9 and fixed.choices[0].finish_reason == "length"
    for field, value in [("temprature", 1), ("reasoning_effort", "high"), ("n", 0), ("min_tokens", 3)]:
        assert refusal(lambda: ask(client, extra_body={field: value})).param == field


def test_every_role_and_parts_are_understood(client):
    answer = client.chat.completions.create(
        model=CHAT,
        max_tokens=4,
        messages=[
            {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
            {"role": "user", "content": "Weather in Paris?", "name": "someone"},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "rain"}]},
        ],
    )
    assert answer.choices[0].message.content


def test_parse_gives_the_object_that_was_declared(client):
    messages = [{"role": "user", "content": "It pours, at twelve degrees."}]
    said = client.chat.completions.parse(model=CHAT, messages=messages, response_format=Verdict, max_tokens=60)
    verdict = said.choices[0].message.parsed
    assert isinstance(verdict, Verdict) and -20 <= verdict.degrees <= 40
    made = client.responses.parse(model=CHAT, input="It pours, at twelve degrees.", text_format=Verdict)
    assert isinstance(made.output_parsed, Verdict)


def test_calls_of_tools_come_in_streams_as_in_whole_answers(client):
    asked = dict(
        text="What is the weather in Paris?", max_tokens=64, tools=[{"type": "function", "function": WEATHER}],
        tool_choice="required", parallel_tool_calls=False,
    )
    whole = ask(client, **asked).choices[0]
    (call,) = whole.message.tool_calls
    assert whole.message.content is None and whole.finish_reason == "tool_calls"
    assert call.id and call.function.name == "weather" and json.loads(call.function.arguments)["city"] in ("Paris", "Lyon")
    name, arguments, ends = "", "", []
    for chunk in ask(client, stream=True, **asked):
        choice = chunk.choices[0]
        for delta in choice.delta.tool_calls or []:
            assert delta.index == 0
            name += delta.function.name or ""
            arguments += delta.function.arguments or ""
        ends += [choice.finish_reason] if choice.finish_reason else []
    assert (name, json.loads(arguments), ends) == ("weather", json.loads(call.function.arguments), ["tool_calls"])


def test_vectors_are_the_same_as_numbers_and_as_base64(client, munich_alone):
    def raw(**more):
        return munich_alone.post("/v1/embeddings", {"model": CHAT, "input": ["Rain in Lyon.", "Sun."], **more})[2]["data"]

    numbers, packed = raw(), raw(encoding_format="base64")
    for one, other in zip(numbers, packed, strict=True):
        bytes_ = base64.b64decode(other["embedding"])
        unpacked = struct.unpack(f"<{len(bytes_) // 4}f", bytes_)
        assert [struct.pack("<f", value) for value in one["embedding"]] == [struct.pack("<f", value) for value in unpacked]
    by_client = client.embeddings.create(model=CHAT, input=["Rain in Lyon.", "Sun."])
    assert [entry.index for entry in by_client.data] == [0, 1]
    assert by_client.data[1].embedding == pytest.approx(numbers[1]["embedding"], abs=1e-6)
    ids = client.embeddings.create(model=CHAT, input=[[28, 1712], [282]], encoding_format="float")
    assert len(ids.data) == 2 and ids.usage.prompt_tokens == 3


def test_a_response_is_one_text_or_a_stream_of_events(client):
    whole = respond(client, instructions="You are brief.")
    assert whole.status in ("completed", "incomplete") and whole.output_text
    assert whole.output[0].type == "message" and whole.store is False
    assert whole.usage.total_tokens == whole.usage.input_tokens + whole.usage.output_tokens
    events = list(respond(client, instructions="You are brief.", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    assert kinds[:4] == ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"]
    assert kinds[-4:-1] == ["response.output_text.done", "response.content_part.done", "response.output_item.done"]
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole.output_text
    assert events[-1].response.output_text == whole.output_text and events[-1].response.usage == whole.usage
    with client.responses.stream(model=CHAT, input="Name one colour.", temperature=0, max_output_tokens=16) as stream:
        helped = [event.delta for event in stream if event.type == "response.output_text.delta"]
    assert "".join(helped) == respond(client).output_text
    short = respond(client, "Count to fifty.", max_output_tokens=3)
    assert short.status == "incomplete" and short.incomplete_details.reason == "max_output_tokens"


def test_a_conversation_in_responses_comes_whole_with_each_request(client):
    tools = [{"type": "function", "strict": True, **WEATHER}]
    said = [{"role": "user", "content": "What is the weather in Paris?"}]
    first = respond(client, said, tools=tools, tool_choice="required", max_output_tokens=64)
    (call,) = [item for item in first.output if item.type == "function_call"]
    assert call.name == "weather" and json.loads(call.arguments)["city"] in ("Paris", "Lyon")
    said += [item.to_dict() for item in first.output]
    said.append({"type": "function_call_output", "call_id": call.call_id, "output": "rain, twelve degrees"})
    second = respond(client, said, tools=tools)
    assert second.output_text and second.usage.input_tokens > first.usage.input_tokens
    events = list(respond(client, said[:1], tools=tools, tool_choice="required", max_output_tokens=64, stream=True))
    done = [event for event in events if event.type == "response.function_call_arguments.done"]
    assert [json.loads(event.arguments) for event in done] == [json.loads(call.arguments)]
    for field, value in [("store", True), ("previous_response_id", first.id), ("conversation", "c")]:
        assert refusal(lambda: respond(client, **{field: value})).param == field
    assert "background" in str(refusal(lambda: client.responses.retrieve(first.id), openai.NotFoundError))


def test_chances_of_tokens_are_told_in_responses(client):
    include = ["message.output_text.logprobs"]
    part = respond(client, include=include, top_logprobs=2).output[0].content[0]
    assert "".join(chance.token for chance in part.logprobs) == part.text
    assert all(len(chance.top_logprobs) == 2 for chance in part.logprobs)
    streamed = [event for event in respond(client, include=include, stream=True) if event.type == "response.output_text.done"]
    assert "".join(chance.token for chance in streamed[0].logprobs) == part.text


def test_models_with_a_slash_in_their_name_are_found():
    with contextlib.closing(Node("slash", EEA)) as node:
        node.up()
        node.run("models", "add", LANGUAGE_MODEL, "--name", "org/smollm2", "--licence", "Apache-2.0")
        wait_for("it is ready", lambda: node.get("/v2/models/org%2Fsmollm2/ready")[0] == 200)
        for path in ["/v1/models/org/smollm2", "/v1/models/org%2Fsmollm2"]:
            assert json.loads(node.get(path)[1])["id"] == "org/smollm2"
        with openai.OpenAI(base_url=f"{node.url}/v1", api_key="none", max_retries=0, timeout=120) as client:
            assert client.models.retrieve("org/smollm2").id == "org/smollm2"
            messages = [{"role": "user", "content": "Name one colour."}]
            answer = client.chat.completions.create(model="org/smollm2", messages=messages, max_tokens=4)
            assert answer.model == "org/smollm2" and answer.choices[0].message.content


def test_errors_are_those_that_the_client_knows(client, munich_alone):
    unknown = refusal(lambda: client.chat.completions.create(model="none", messages=[{"role": "user", "content": "x"}]),
                      openai.NotFoundError)
    assert (unknown.code, unknown.param, unknown.type) == ("model_not_found", "model", "invalid_request_error")
    for stream in [False, True]:
        long = refusal(lambda: ask(client, "word " * 20_000, stream=stream))
        assert long.code == "context_length_exceeded"
        long = refusal(lambda: respond(client, "word " * 20_000, stream=stream))
        assert long.code == "context_length_exceeded"
    for path, status in [("/v1/nothing", 404), ("/v1/chat/completions", 405)]:
        got, body = munich_alone.get(path)
        assert got == status and set(json.loads(body)["error"]) >= {"message", "type", "param", "code"}
    assert munich_alone.get("/health")[0] == 200


def test_whoever_leaves_frees_the_slot(client, munich_alone):
    endless = dict(text="Tell a long story.", max_tokens=1500, extra_body={"ignore_eos": True})
    stream = ask(client, stream=True, n=2, **endless)
    next(iter(stream))
    wait_for("both run", lambda: busy(munich_alone) == 2, 10)
    left = time.monotonic()
    stream.close()
    wait_for("the slots are free", lambda: busy(munich_alone) == 0, 5)
    print(f"streams: free after {time.monotonic() - left:.3f} s")
    with respond(client, "Tell a long story.", stream=True, max_output_tokens=1500, extra_body={"ignore_eos": True}) as events:
        assert next(iter(events)).type == "response.created"
    wait_for("the slot is free", lambda: busy(munich_alone) == 0, 5)
    with pytest.raises(openai.APITimeoutError):
        ask(client.with_options(timeout=0.5), **endless)
    wait_for("the slot is free", lambda: busy(munich_alone) == 0, 5)


def test_many_ask_at_once(munich_alone):
    async def all_of_them():
        async with openai.AsyncOpenAI(base_url=f"{munich_alone.url}/v1", api_key="none", timeout=120) as client:
            asked = [
                client.chat.completions.create(
                    model=CHAT, messages=[{"role": "user", "content": f"Say {word}."}], max_tokens=4, temperature=0)
                for word in ["one", "two", "three", "four", "five", "six"]
            ]
            return await asyncio.gather(*asked)

    answers = asyncio.run(all_of_them())
    assert len({answer.id for answer in answers}) == 6
    assert all(0 < answer.usage.completion_tokens <= 4 for answer in answers)
