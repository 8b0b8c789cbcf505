"""The client of Ollama for Python, as applications use it, against one node."""

import json

import ollama
import pytest

from mesh import CANARY, wait_for

CHAT = "smollm2-135m"
GREEDY = {"temperature": 0, "num_predict": 12, "stop": [CANARY]}
HI = [{"role": "user", "content": "Name one colour."}]


@pytest.fixture(scope="module")
def client(munich_alone):
    return ollama.Client(host=munich_alone.url, timeout=120)


def refusal(call):
    with pytest.raises(ollama.ResponseError) as error:
        call()
    return error.value


def test_a_chat_is_whole_or_streamed_and_says_the_same(client):
    whole = client.chat(CHAT, HI, options=GREEDY)
    assert whole.message.role == "assistant" and whole.message.content and whole.done
    assert whole.done_reason in ("stop", "length") and whole.prompt_eval_count > 0 and 0 < whole.eval_count <= 12
    # Nanoseconds: a token takes more than a microsecond, and all of it less than a minute.
    assert 1_000 * whole.eval_count < whole.eval_duration < whole.total_duration < 60e9
    parts = list(client.chat(CHAT, HI, options=GREEDY, stream=True))
    assert "".join(part.message.content for part in parts) == whole.message.content
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True] and len(parts) > 2
    assert parts[-1].eval_count == whole.eval_count and parts[-1].model == CHAT
    assert client.chat(f"{CHAT}:latest", HI, options=GREEDY).message.content == whole.message.content


def test_texts_are_laid_out_unless_they_are_raw(client):
    laid_out = client.generate(CHAT, "Name one colour.", options=GREEDY)
    assert laid_out.response == client.chat(CHAT, HI, options=GREEDY).message.content
    raw = client.generate(CHAT, "Once upon a time", raw=True, options=GREEDY)
    assert raw.response and raw.prompt_eval_count < laid_out.prompt_eval_count
    parts = list(client.generate(CHAT, "Once upon a time", raw=True, options=GREEDY, stream=True))
    assert "".join(part.response for part in parts) == raw.response
    guided = client.generate(CHAT, "Name one colour.", system="You are a pirate.", options=GREEDY)
    assert guided.prompt_eval_count != laid_out.prompt_eval_count


def test_one_seed_gives_one_text(client):
    drawn = {"temperature": 1, "num_predict": 8}
    texts = [client.generate(CHAT, "Tell me something.", options={**drawn, "seed": seed}).response for seed in (7, 7, 8)]
    assert texts[0] == texts[1] != texts[2]


def test_an_answer_keeps_to_its_format(client):
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"], "additionalProperties": False}
    answer = client.chat(CHAT, [{"role": "user", "content": "Is it raining?"}], format=schema, options={"num_predict": 40})
    assert isinstance(json.loads(answer.message.content)["ok"], bool)
    assert isinstance(json.loads(client.generate(CHAT, "A dog, as JSON.", format=schema).response), dict)


def test_tools_are_called_as_functions_of_python(client):
    def add(a: int, b: int) -> int:
        """Adds two numbers.

        Args:
          a (int): The first.
          b (int): The second.
        """
        return a + b

    answer = client.chat(CHAT, [{"role": "user", "content": "What is 2 + 3? Use the tool."}], tools=[add], options=GREEDY)
    # So small a model need not call it; what it calls has to be what it was given.
    assert answer.message.content is not None
    assert all(call.function.name == "add" for call in answer.message.tool_calls or [])
    said = [
        {"role": "user", "content": "What is 2 + 3?"},
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "add", "arguments": {"a": 2, "b": 3}}}]},
        {"role": "tool", "tool_name": "add", "content": "5"},
    ]
    assert client.chat(CHAT, said, options=GREEDY).message.content


def test_vectors_come_one_for_each_text(client):
    both = client.embed(CHAT, ["Rain in Lyon.", "Sun."])
    assert len(both.embeddings) == 2 and len(both.embeddings[0]) == 576 and both.prompt_eval_count > 3
    alone = client.embed(CHAT, "Sun.").embeddings[0]
    assert alone == pytest.approx(both.embeddings[1], abs=1e-3)
    assert client.embeddings(CHAT, "Sun.").embedding == pytest.approx(alone, abs=1e-6)


def test_models_are_listed_shown_and_open(client):
    listed = {model.model: model for model in client.list().models}
    one = listed[f"{CHAT}:latest"]
    assert one.size > 90_000_000 and one.details.format == "gguf" and len(one.digest) == 64
    assert "fraud:latest" not in listed
    shown = client.show(CHAT)
    assert "completion" in shown.capabilities and shown.license == "Apache-2.0"
    client.generate(CHAT, "")
    running = {model.model: model for model in client.ps().models}
    assert running[f"{CHAT}:latest"].digest == one.digest and running[f"{CHAT}:latest"].context_length > 0


def test_a_request_without_a_text_opens_the_model(client):
    opened = client.generate(CHAT, "")
    assert opened.done and opened.done_reason == "load" and opened.response == ""
    assert client.chat(CHAT, []).done_reason == "load"


def test_errors_say_what_to_type(client):
    unknown = refusal(lambda: client.chat("none", HI))
    assert unknown.status_code == 404 and "hither models ls" in unknown.error
    pull = refusal(lambda: client.pull("none"))
    assert pull.status_code == 403 and "hither models pull none" in pull.error
    assert refusal(lambda: client.delete(CHAT)).status_code == 403
    for call, said in [
        (lambda: client.chat(CHAT, HI, think=True), "think"),
        (lambda: client.generate(CHAT, "x", images=[b"aGk="]), "images"),
        (lambda: client.generate(CHAT, "x", suffix="y"), "suffix"),
        (lambda: client.generate(CHAT, "x", options={"num_ctx": 1 << 20}), "num_ctx"),
        (lambda: list(client.chat(CHAT, [{"role": "user", "content": "word " * 20_000}], stream=True)), "tokens"),
    ]:
        error = refusal(call)
        assert error.status_code == 400 and said in error.error, error.error


def test_whoever_leaves_frees_the_slot(client, munich_alone):
    def busy():
        return sum(model["busy"] for model in munich_alone.view()["nodes"][0]["models"])

    stream = client.generate(CHAT, "Once upon a time", raw=True, stream=True, options={"num_predict": 1500, "temperature": 1})
    next(stream)
    stream.close()
    wait_for("the slot is free", lambda: busy() == 0, 5)


def test_clients_find_a_server(munich_alone):
    # Without a browser's Accept.
    assert munich_alone.get("/") == (200, b"Ollama is running")
    assert json.loads(munich_alone.get("/api/version")[1])["version"].count(".") == 2
