"""The clients of OpenAI and Ollama for Node.js, as applications use them, against one node."""

import json
import shutil
import subprocess

import pytest

from mesh import CACHE, ROOT, wait_for

CHAT = "smollm2-135m"


@pytest.fixture(scope="module")
def said(munich_alone):
    """What the clients returned."""
    folder = CACHE / "node-clients"
    assert shutil.which("node") and (folder / "node_modules").is_dir(), "the clients are not there: scripts/node-clients"
    # Beside what it imports: Node looks for it there.
    script = shutil.copy(ROOT / "tests/clients/node/talk.mjs", folder / "talk.mjs")
    done = subprocess.run(["node", script, munich_alone.url, CHAT], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_answers_are_whole_or_streamed_and_the_same(said):
    assert CHAT in said["models"] and said["retrieved"] == CHAT
    (choice,) = said["whole"]["choices"]
    assert choice["message"]["content"] and choice["finish_reason"] in ("stop", "length")
    assert said["streamed"]["text"] == choice["message"]["content"]
    assert said["streamed"]["ends"] == [choice["finish_reason"]] and said["streamed"]["usage"] == said["whole"]["usage"]
    (first, second) = said["several"]
    assert (first[0], second[0]) == (0, 1) and first[1] != second[1]


def test_tools_and_formats_are_kept_to(said):
    ((name, arguments),) = said["called"]
    assert name == "weather" and arguments["city"] in ("Paris", "Lyon")
    assert isinstance(said["kept"]["ok"], bool)


def test_vectors_are_the_same_packed_and_plain(said):
    packed, plain = said["vectors"]
    assert len(packed) == 2 and len(packed[0]) == 576
    for one, other in zip(packed, plain, strict=True):
        assert one == pytest.approx(other, abs=1e-6)


def test_responses_are_whole_or_events(said):
    assert said["response"]["text"] and said["response"]["status"] in ("completed", "incomplete")
    assert said["events"]["text"] == said["response"]["text"]
    kinds = said["events"]["kinds"]
    assert kinds[0] == "response.created" and kinds[-1] == f"response.{said['response']['status']}"


def test_a_file_and_its_batch_come_back_line_by_line(said):
    name, kept, sent = said["batch"]["file"]
    assert (name, kept) == ("asks.jsonl", sent)
    assert said["batch"]["ended"] == ["completed", {"total": 2, "completed": 2, "failed": 0}]
    text = said["whole"]["choices"][0]["message"]["content"]
    assert said["batch"]["texts"] == [["line-0", text], ["line-1", text]]


def test_errors_are_those_that_the_client_knows(said):
    assert said["errors"] == [
        ["NotFoundError", 404, "model_not_found", "model"],
        ["BadRequestError", 400, "invalid_value", "temperature"],
        ["BadRequestError", 400, "unsupported_parameter", "store"],
    ]


def test_whoever_leaves_frees_the_slot(said, munich_alone):
    assert said["left"] == "assistant"
    wait_for("the slot is free", lambda: all(model["busy"] == 0 for model in munich_alone.view()["nodes"][0]["models"]), 5)


def test_the_client_of_ollama_is_answered(said):
    told = said["ollama"]
    assert told["whole"]["message"]["content"] == told["text"] and told["whole"]["eval_count"] > 0
    assert f"{CHAT}:latest" in told["listed"] and len(told["vectors"][0]) == 576 and told["version"].count(".") == 2
    assert "hither models ls" in told["error"]
