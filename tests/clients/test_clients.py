"""Clients that other people wrote talk to a node unchanged: tritonclient and openai.

Needs a node with the models `fraud`, `maintenance` and `smollm2-135m`: HITHER_HTTP names one, or one is started.
"""

import json
import os

import numpy
import openai
import pytest
import tritonclient.http
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

CHAT = "smollm2-135m"
TABULAR = ["fraud", "maintenance"]


@pytest.fixture(scope="module")
def url(request):
    return os.environ.get("HITHER_HTTP") or request.getfixturevalue("munich_alone").url


@pytest.fixture(scope="module")
def triton(url):
    with tritonclient.http.InferenceServerClient(url.removeprefix("http://")) as client:
        yield client


@pytest.fixture(scope="module")
def chat(url):
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=120) as client:
        yield client


def rows(triton, model, count):
    """Inputs of a model, filled from its own metadata: `count` rows of small numbers."""
    made = {}
    for spec in triton.get_model_metadata(model)["inputs"]:
        shape = [count if size == -1 else size for size in spec["shape"]]
        values = numpy.linspace(-1, 1, int(numpy.prod(shape))).reshape(shape)
        made[spec["name"]] = (spec["datatype"], values.astype(triton_to_np_dtype(spec["datatype"])))
    return made


def infer(triton, model, inputs, binary=True, names=None, **more):
    sent = []
    for name, (datatype, values) in inputs.items():
        tensor = tritonclient.http.InferInput(name, list(values.shape), datatype)
        tensor.set_data_from_numpy(values, binary_data=binary)
        sent.append(tensor)
    outputs = None
    if names is not None:
        outputs = [tritonclient.http.InferRequestedOutput(name, binary_data=binary) for name in names]
    return triton.infer(model, sent, outputs=outputs, **more)


def test_triton_sees_a_live_server(triton):
    assert triton.is_server_live()
    assert triton.is_server_ready()
    server = triton.get_server_metadata()
    assert server["name"] == "hither"
    assert "binary_tensor_data" in server["extensions"]


@pytest.mark.parametrize("model", TABULAR)
def test_triton_sees_a_model(triton, model):
    assert triton.is_model_ready(model)
    assert triton.is_model_ready(model, "1")
    assert not triton.is_model_ready(model, "2")
    assert not triton.is_model_ready("never-heard-of")
    metadata = triton.get_model_metadata(model)
    assert metadata["name"] == model
    assert metadata["versions"] == ["1"]
    assert metadata["inputs"] and metadata["outputs"]


@pytest.mark.parametrize("model", TABULAR)
@pytest.mark.parametrize("count", [1, 5])
def test_binary_and_json_give_the_same_answer(triton, model, count):
    inputs = rows(triton, model, count)
    names = [output["name"] for output in triton.get_model_metadata(model)["outputs"]]
    binary = infer(triton, model, inputs, binary=True, names=names, request_id="my own")
    plain = infer(triton, model, inputs, binary=False, names=names)
    default = infer(triton, model, inputs)
    assert binary.get_response()["id"] == "my own"
    for name in names:
        first = binary.as_numpy(name)
        assert first is not None and first.shape[0] == count
        assert numpy.isfinite(first).all()
        numpy.testing.assert_array_equal(first, plain.as_numpy(name))
        numpy.testing.assert_array_equal(first, default.as_numpy(name))


def test_chosen_outputs_come_alone(triton):
    name = triton.get_model_metadata("fraud")["outputs"][-1]["name"]
    answer = infer(triton, "fraud", rows(triton, "fraud", 2), names=[name])
    assert [output["name"] for output in answer.get_response()["outputs"]] == [name]


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_compressed_requests_are_read(triton, coding):
    inputs = rows(triton, "fraud", 3)
    name = triton.get_model_metadata("fraud")["outputs"][0]["name"]
    plain = infer(triton, "fraud", inputs)
    packed = infer(triton, "fraud", inputs, request_compression_algorithm=coding)
    numpy.testing.assert_array_equal(plain.as_numpy(name), packed.as_numpy(name))


def test_triton_hears_what_is_wrong(triton):
    good = rows(triton, "fraud", 1)
    name, (datatype, values) = next(iter(good.items()))
    for inputs, said in [
        ({}, "is missing"),
        ({**good, "surprise": (datatype, values)}, "surprise"),
        ({name: (datatype, numpy.repeat(values, 2, axis=-1))}, "shape"),
        ({name: ("INT64", values.astype(numpy.int64))}, datatype),
    ]:
        with pytest.raises(InferenceServerException) as error:
            infer(triton, "fraud", inputs)
        assert error.value.status() == "400", error.value
        assert said in error.value.message()
    with pytest.raises(InferenceServerException) as error:
        infer(triton, "never-heard-of", good)
    assert error.value.status() == "404"
    with pytest.raises(InferenceServerException) as error:
        infer(triton, "fraud", good, names=["no such output"])
    assert error.value.status() == "400"
    with pytest.raises(InferenceServerException) as error:
        infer(triton, CHAT, good)
    assert error.value.status() == "400" and "chat/completions" in error.value.message()


def ask(chat, text="Name one colour.", **more):
    messages = [{"role": "user", "content": text}]
    return chat.chat.completions.create(model=CHAT, messages=messages, **{"max_tokens": 12, "temperature": 0, **more})


def test_openai_lists_models(chat):
    assert CHAT in [model.id for model in chat.models.list()]
    assert chat.models.retrieve(CHAT).id == CHAT
    with pytest.raises(openai.NotFoundError) as error:
        chat.models.retrieve("org/never-heard-of")
    assert error.value.code == "model_not_found"


def test_openai_gets_an_answer(chat):
    answer = ask(chat)
    choice = answer.choices[0]
    assert choice.message.role == "assistant" and choice.message.content
    assert choice.finish_reason in ("stop", "length")
    usage = answer.usage
    assert usage.prompt_tokens > 0 and 0 < usage.completion_tokens <= 12
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_a_stream_says_the_same_as_the_whole(chat):
    whole = ask(chat)
    chunks = list(ask(chat, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    ends = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason]
    assert ends == [whole.choices[0].finish_reason]
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1


def test_one_seed_gives_one_text(chat):
    texts = [ask(chat, temperature=1, seed=seed).choices[0].message.content for seed in (7, 7)]
    assert texts[0] == texts[1]


def test_parts_and_the_newer_name_of_the_limit_are_understood(chat):
    parts = [{"type": "text", "text": "Count: one,"}, {"type": "text", "text": " two,"}]
    answer = ask(chat, parts, max_completion_tokens=3, max_tokens=50, extra_body={"ignore_eos": True})
    assert answer.usage.completion_tokens == 3
    assert answer.choices[0].finish_reason == "length"


def test_headers_say_where_an_answer_came_from(chat):
    raw = chat.chat.completions.with_raw_response.create(
        model=CHAT, messages=[{"role": "user", "content": "hi"}], max_tokens=2
    )
    for header in ["request", "served-by", "jurisdiction", "rule", "model", "attempts", "migrations", "egress-bytes"]:
        assert raw.headers.get(f"x-hither-{header}"), header
    assert "decode;dur=" in raw.headers["server-timing"]


def test_openai_hears_what_is_wrong(chat):
    with pytest.raises(openai.NotFoundError) as error:
        chat.chat.completions.create(model="never-heard-of", messages=[{"role": "user", "content": "hi"}])
    assert error.value.code == "model_not_found"
    for field, value in [
        ("temperature", 3),
        ("n", 0),
        ("top_logprobs", 3),
        ("tools", [{"type": "retrieval"}]),
        ("response_format", {"type": "yaml"}),
        ("audio", {"voice": "alloy", "format": "wav"}),
    ]:
        with pytest.raises(openai.BadRequestError) as error:
            ask(chat, **{field: value})
        assert error.value.param == field, error.value
    with pytest.raises(openai.BadRequestError) as error:
        ask(chat, extra_headers={"x-hither-class": "public"})
    assert "tightened" in str(error.value)


def test_an_answer_keeps_to_its_format_and_shows_its_chances(chat):
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"], "additionalProperties": False}
    answer = ask(
        chat,
        "Is it raining?",
        max_tokens=24,
        logprobs=True,
        top_logprobs=2,
        response_format={"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}},
    ).choices[0]
    assert isinstance(json.loads(answer.message.content)["ok"], bool)
    chances = answer.logprobs.content
    assert chances and all(len(token.top_logprobs) == 2 and token.logprob <= 0 for token in chances)


def test_a_call_that_must_be_made_is_made(chat):
    tool = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"enum": ["Paris", "Lyon"]}}}}
    tool["parameters"] |= {"required": ["city"], "additionalProperties": False}
    answer = ask(
        chat,
        "What is the weather in Paris?",
        max_tokens=64,
        tools=[{"type": "function", "function": tool}],
        tool_choice={"type": "function", "function": {"name": "weather"}},
    ).choices[0]
    assert answer.finish_reason in ("tool_calls", "stop")
    (call,) = answer.message.tool_calls
    assert call.function.name == "weather" and json.loads(call.function.arguments)["city"] in ("Paris", "Lyon")


def test_texts_become_vectors_and_kin_lies_closer(chat):
    texts = ["The cat sleeps on the sofa.", "A kitten naps on the couch.", "Interest rates rose by a quarter point."]
    answer = chat.embeddings.create(model=CHAT, input=texts, encoding_format="float")
    one, kin, other = [numpy.array(entry.embedding) for entry in answer.data]
    assert len(one) == 576 and answer.usage.prompt_tokens > 15
    closeness = lambda a, b: float(a @ b / numpy.linalg.norm(a) / numpy.linalg.norm(b))
    assert closeness(one, kin) > closeness(one, other)
    # The client's own default is base64: the same numbers.
    again = chat.embeddings.create(model=CHAT, input=texts[0])
    assert numpy.allclose(again.data[0].embedding, one, atol=1e-3)


@pytest.mark.parametrize("stream", [False, True])
def test_an_overlong_prompt_is_refused_not_cut(chat, stream):
    with pytest.raises(openai.BadRequestError) as error:
        ask(chat, "word " * 20_000, stream=stream)
    assert error.value.code == "context_length_exceeded", error.value
