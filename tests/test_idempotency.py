"""`Idempotency-Key` with OpenAI's own client: a second try has the first one's answer, and nothing ran twice."""

import concurrent.futures
import contextlib
import threading

import httpx
import openai
import pytest

from mesh import CANARY, EEA, Node, wait_for
from test_endpoints import Server, lives, section

# Twenty milliseconds a token: slow enough to be left while it speaks.
TALKER = "hither-stub 1\ntoken_us=20000 length=1000 slots=4\n"


@pytest.fixture(scope="module")
def server():
    with contextlib.closing(Server()) as server:
        yield server


@pytest.fixture(scope="module")
def node(server):
    config = '[models]\npull = "manual"\n' + section("lab", server.port)
    with contextlib.closing(Node("munich", EEA, config)) as node:
        node.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        node.up()
        path = node.data / "talker.stub"
        path.write_text(TALKER)
        node.run("models", "add", path, "--name", "talker")
        wait_for("it is ready", lambda: node.get("/v2/models/talker/ready")[0] == 200)
        yield node


@pytest.fixture(scope="module")
def client(node):
    with openai.OpenAI(base_url=f"{node.url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


def say(client, key, text="hello", model="talker", **more):
    messages = [{"role": "user", "content": f"{text} {CANARY}"}]
    asked = {"model": model, "messages": messages, "max_tokens": 5, **more}
    return client.chat.completions.create(**asked, extra_headers={"Idempotency-Key": key})


def ran(node):
    return node.view()["totals"]["requests"]


def test_a_second_try_has_the_first_answer_and_runs_nothing(node, client):
    first = say(client, "one")
    wait_for("it is counted", lambda: ran(node) == 1)
    again = say(client, "one")
    assert first.model_dump() == again.model_dump() and first.choices[0].message.content
    streams = [list(say(client, "two", stream=True)) for _ in range(2)]
    assert streams[0] == streams[1] and len(streams[0]) > 2
    # Each of these runs: another key, and what failed before.
    assert say(client, "three").id != first.id
    wait_for("three ran", lambda: ran(node) == 3)
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        say(client, "one", text="another")
    assert refused.value.code == "E0423" and refused.value.body["help"]
    assert ran(node) == 3


def test_while_the_first_runs_the_client_tries_again_by_itself(node, client, server):
    wait_for("the server is there", lambda: lives(node))
    before = ran(node)
    # The server outside holds the first answer until the others were told so: nothing here depends on how fast a machine is.
    server.http.mode = "hold"
    refused = threading.Event()
    hooks = {"response": [lambda response: refused.set() if response.status_code == 409 else None]}
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor())
        stack.callback(server.http.go_on.set)
        http = stack.enter_context(httpx.Client(event_hooks=hooks, timeout=60))
        first = pool.submit(say, client, "slow", model="assistant")
        assert server.http.held.wait(60)
        with pytest.raises(openai.ConflictError) as busy:
            say(client, "slow", model="assistant")
        assert busy.value.response.headers["retry-after"] == "1"
        patient = client.with_options(max_retries=10, http_client=http)
        again = pool.submit(say, patient, "slow", model="assistant")
        assert refused.wait(60) and not first.done()
        server.http.go_on.set()
        assert again.result().id == first.result().id
    assert len([path for path, *_ in server.http.asked if "completions" in path]) == 1
    wait_for("one ran", lambda: ran(node) == before + 1)


def test_whoever_leaves_may_ask_again(node, client):
    with say(client, "left", stream=True, max_tokens=400) as stream:
        next(iter(stream))

    def free():
        with contextlib.suppress(openai.ConflictError):
            return list(say(client, "left", stream=True, max_tokens=400))

    assert len(wait_for("the key is free", free)) > 400


def test_data_that_may_not_be_kept_have_no_key(node, client):
    with pytest.raises(openai.APIStatusError) as refused:
        client.chat.completions.create(
            model="talker", messages=[{"role": "user", "content": CANARY}], max_tokens=2,
            extra_headers={"Idempotency-Key": "four", "x-hither-class": "special"},
        )
    assert refused.value.status_code == 451 and "leave Idempotency-Key out" in str(refused.value.body)
