"""No payload is left behind: one secret word goes through every protocol of two nodes, in what is answered, refused, wrong,
left and cut off, and then everything that they told and left is searched. Every other test does the same with its own nodes
(`Node.close`). The search is tested first: it has to find."""

import base64
import concurrent.futures
import contextlib
import http.client
import json
import signal
import urllib.parse

import numpy
import pytest
import tritonclient.grpc
from tritonclient.utils import InferenceServerException

import canary
from canary import WORD
from mesh import EEA, LANGUAGE_MODEL, ROOT, Node, chat, two_sites, wait_for
from tensor_models import onnx_model

ECHO = ([("INPUT0", "BYTES", [-1])], [("OUTPUT0", "BYTES", [-1])])


@pytest.mark.parametrize("write", [
    lambda word: word.encode(),
    lambda word: f"before {word} after".encode() + b"\0" * 5000,
    lambda word: json.dumps({"prompt": f"\n\"{word}\""}).encode(),
    lambda word: word.encode("utf-16-le"),
    lambda word: f"prompt={word}".encode().hex().encode(),
    lambda word: word.encode()[::-1],
    *[lambda word, at=at: base64.b64encode(b"x" * at + word.encode() + b" and more") for at in range(6)],
])
def test_the_search_finds_the_word_in_every_form(tmp_path, write):
    # Another word than that of the run, which would be found at the end of it.
    word = "canary-0123456789abcdef"
    folder = tmp_path / "node/ledger"
    folder.mkdir(parents=True)
    (folder / "clean").write_bytes(b"a ledger " * 1000)
    (folder / "empty").touch()
    assert canary.search(tmp_path, word) == ([], 2)
    (folder / "segment").write_bytes(write(word))
    found, read = canary.search(tmp_path, word)
    assert read == 3 and found and all(str(folder / "segment") in line for line in found), found


def test_the_search_looks_at_names_and_a_close_fails_upon_a_find(tmp_path):
    word = "canary-0123456789abcdef"
    (tmp_path / f"upload-{word}").touch()
    assert canary.search(tmp_path, word)[0] == [f"{tmp_path / f'upload-{word}'}: in its name"]
    node = Node("leaky", EEA)
    (node.data / "core.4711").write_text(f"memory {WORD} of a worker")
    with pytest.raises(canary.Leak, match="core.4711: plain"):
        node.close()
    assert not node.data.exists()
    with pytest.raises(canary.Leak, match="the metrics: plain|in the metrics"):
        canary.check_text("the metrics", f'requests{{prompt="{WORD}"}} 1'.encode())


@pytest.fixture(scope="module")
def sites():
    """munich has the models; paris asks, and keeps what it may."""
    with two_sites() as (munich, paris):
        munich.run("models", "add", LANGUAGE_MODEL, "--name", "smollm2-135m")
        munich.run("models", "add", ROOT / "models/fraud.onnx", "--name", "fraud")
        path = munich.data / "echo.onnx"
        path.write_bytes(onnx_model("echo", 0, *ECHO))
        munich.run("models", "add", path, "--name", "echo")
        for name in ("smollm2-135m", "fraud", "echo"):
            wait_for(f"paris knows {name}", lambda: paris.get(f"/v2/models/{name}/ready")[0] == 200)
        yield munich, paris


def texts(paris):
    """The word as text, in every form of request for text."""
    said = [{"role": "system", "content": f"You know {WORD}."}, {"role": "user", "content": f"What is {WORD}?"}]
    tool = {"name": "look", "description": WORD, "parameters": {"type": "object", "properties": {WORD: {"enum": [WORD]}}}}
    schema = {"type": "object", "properties": {"word": {"enum": [WORD]}}, "required": ["word"], "additionalProperties": False}
    model = {"model": "smollm2-135m", "temperature": 0, "user": WORD}
    chats = {"messages": said, "max_tokens": 8, **model}
    as_json = {"type": "json_schema", "json_schema": {"name": "w", "strict": True, "schema": schema}}
    for stream in (False, True):
        yield "/v1/chat/completions", {**chats, "stream": stream}, 200
        yield "/v1/completions", {"prompt": [f"Say {WORD}:", WORD], "max_tokens": 4, "echo": True, "stream": stream, **model}, 200
        yield "/v1/responses", {"input": said, "instructions": WORD, "max_output_tokens": 8, "store": False, "stream": stream, **model}, 200
        yield "/api/chat", {"model": "smollm2-135m", "messages": said, "stream": stream, "options": {"num_predict": 4}}, 200
        yield "/api/generate", {"model": "smollm2-135m", "prompt": WORD, "system": WORD, "stream": stream, "options": {"num_predict": 4}}, 200
    yield "/v1/chat/completions", {**chats, "response_format": as_json, "max_tokens": 80}, 200
    yield "/v1/chat/completions", {**chats, "tools": [{"type": "function", "function": tool}], "tool_choice": "auto"}, 200
    yield "/v1/chat/completions", {**chats, "prompt_cache_key": WORD, "logprobs": True, "top_logprobs": 2}, 200
    yield "/v1/embeddings", {"model": "smollm2-135m", "input": [WORD, f"about {WORD}"]}, 200
    yield "/api/embed", {"model": "smollm2-135m", "input": WORD}, 200
    # What is wrong with it is told to whoever asked, and to nobody else.
    yield "/v1/chat/completions", {**chats, WORD: 1}, 400
    yield "/v1/chat/completions", {**chats, "response_format": {"type": WORD}}, 400
    yield "/v1/chat/completions", {**chats, "messages": [{"role": WORD, "content": WORD}]}, 400
    yield "/v1/chat/completions", {**chats, "messages": [{"role": "user", "content": f"{WORD} " * 2000}]}, 400
    yield "/v1/chat/completions", {**chats, "model": f"none-{WORD}"}, 404
    yield f"/v1/{WORD}", chats, 404
    yield "/api/chat", {"model": "smollm2-135m", "messages": WORD}, 400


def asked(paris, path, body, headers=None):
    """What comes of it. A machine that has much else to do says so, and is asked again."""

    def once():
        status, told, answer = paris.post(path, body, headers)
        return (status, told, answer if isinstance(answer, str) else json.dumps(answer)) if status not in (429, 503) else None

    return wait_for(f"{path} is answered", once)


def test_texts_leave_nothing(sites):
    _, paris = sites
    answers = []
    for path, body, wanted in texts(paris):
        status, _, answer = asked(paris, path, body)
        assert status == wanted, (path, body, answer)
        answers.append(answer)
    # The word was really there: echoed, and chosen by a schema that allows nothing else.
    assert sum(WORD in answer for answer in answers) >= 4, answers
    # The law's no, a deadline that passes, a label that cannot be read, keys and names of the client's own.
    special = {"x-hither-class": "special"}
    said = {"model": "smollm2-135m", "messages": [{"role": "user", "content": WORD}], "max_tokens": 4}
    assert chat(paris, WORD, special)[0] == 451
    assert chat(paris, WORD, {"x-hither-timeout-ms": "1"})[0] == 504
    assert chat(paris, WORD, {"x-hither-purpose": f"{WORD}!"})[0] == 400
    for _ in range(2):
        status, headers, _ = asked(paris, "/v1/chat/completions", said, {"Idempotency-Key": WORD, "x-request-id": WORD})
        assert (status, headers["x-request-id"]) == (200, WORD)
    assert headers["x-hither-replayed"] == "true"
    assert chat(paris, f"another {WORD}", {"Idempotency-Key": WORD})[0] == 422


def test_tensors_leave_nothing(sites):
    _, paris = sites
    tensor = {"name": "INPUT0", "shape": [2], "datatype": "BYTES", "data": [WORD, f"and {WORD}"]}
    status, _, answer = paris.post("/v2/models/echo/infer", {"id": WORD, "inputs": [tensor], "parameters": {"note": WORD}})
    assert status == 200 and answer["outputs"][0]["data"] == tensor["data"] and answer["id"] == WORD, answer
    for wrong in [{**tensor, "name": WORD}, {**tensor, "datatype": WORD}, {**tensor, "datatype": "INT32"}]:
        assert paris.post("/v2/models/echo/infer", {"id": WORD, "inputs": [wrong]})[0] == 400
    assert paris.post("/v2/models/echo/infer", f"{{{WORD}".encode())[0] == 400
    with contextlib.closing(tritonclient.grpc.InferenceServerClient(urllib.parse.urlsplit(paris.url).netloc)) as client:
        sent = tritonclient.grpc.InferInput("INPUT0", [1], "BYTES")
        sent.set_data_from_numpy(numpy.array([WORD.encode()], object))
        assert client.infer("echo", [sent], request_id=WORD).as_numpy("OUTPUT0").tolist() == [WORD.encode()]
        with pytest.raises(InferenceServerException):
            client.infer(f"none-{WORD}", [sent])


def test_jobs_leave_nothing_but_what_is_sealed(sites):
    munich, paris = sites
    body = {"model": "smollm2-135m", "messages": [{"role": "user", "content": WORD}], "max_tokens": 4}
    asks = {"deadline_s": 600, "metadata": {"note": WORD}, "request": {"url": "/v1/chat/completions", "body": body}}
    status, _, job = paris.post("/v1/jobs", asks, {"Idempotency-Key": f"job-{WORD}"})
    assert status == 202, job
    done = wait_for("the job is done", lambda: (
        lambda seen: seen if seen["status"] == "done" else None)(json.loads(paris.get(f"/v1/jobs/{job['id']}")[1])))
    assert done["metadata"] == {"note": WORD}
    for node in sites:
        canary.check(node.data)


def test_clients_that_leave_and_programs_that_die_leave_nothing(sites):
    munich, paris = sites
    netloc = urllib.parse.urlsplit(paris.url).netloc
    body = {"model": "smollm2-135m", "messages": [{"role": "user", "content": f"A tale of {WORD}."}], "max_tokens": 400,
            "ignore_eos": True, "stream": True}

    def leaves():
        with contextlib.closing(http.client.HTTPConnection(netloc, timeout=60)) as link:
            link.request("POST", "/v1/chat/completions", json.dumps(body))
            answer = link.getresponse()
            return answer.status == 200 and answer.read(1)

    wait_for("a stream that is left", leaves)

    def told():
        with contextlib.suppress(OSError, http.client.HTTPException):
            return paris.post("/v1/chat/completions", body)[2]

    with concurrent.futures.ThreadPoolExecutor() as pool:
        streams = [pool.submit(told) for _ in range(3)]
        wait_for("munich speaks", lambda: any(model["busy"] for model in munich.view()["nodes"][0]["models"]))
        # As a broken promise would end it: with a core dump, where the system lets one be written.
        munich.signal(signal.SIGABRT)
        munich.process.wait(60)
        for stream in streams:
            stream.result(60)
    for node in sites:
        canary.check(node.data)
    said = paris.run("status").stdout + paris.run("--json", "status").stdout + paris.tail()
    canary.check_text("what paris says and logs", said)
    ledger = paris.run("ledger", "show", paris.data / "ledger").stdout
    assert "egress" in ledger
    canary.check_text("the ledger in words", ledger)
