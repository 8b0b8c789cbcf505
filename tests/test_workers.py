"""Workers die, hang and run out of memory; files are damaged or something else. The node says so and lives."""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import struct

import pytest

from mesh import CANARY, EEA, LANGUAGE_MODEL, ROOT, Node, wait_for

GOLDEN = json.loads((ROOT / "models/fraud.golden.json").read_text())
ROW = GOLDEN["input"][0]
CONFIG = '[models]\npull = "manual"\nhang_s = 5\nworker_memory_mb = 1500\n'

# A stub speaks slowly enough to be met while it speaks: two seconds for an answer.
TALKER = "hither-stub 1\ntoken_us=20000 length=100 slots=2\n"
ECHO = "hither-stub 1\nkind=infer\n"


@pytest.fixture
def node(request):
    """One node with a model that is to be left alone by everything: fraud."""
    with contextlib.closing(Node("munich", EEA, getattr(request, "param", CONFIG))) as munich:
        munich.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        munich.up()
        munich.run("models", "add", ROOT / "models/fraud.onnx", "--name", "fraud")
        wait_for("fraud is ready", lambda: held(munich, "fraud", "ready"))
        munich.fraud_worker = worker_of(munich, "onnx")
        yield munich
        # Whatever happened, the other model never noticed, and the node stops as it should.
        assert worker_of(munich, "onnx") == munich.fraud_worker
        assert decide(munich)[0] == 200
        munich.process.terminate()
        assert munich.process.wait(60) == 0, munich.tail()


def worker_of(node, format):
    """The process that runs a node's model of a format; None if there is none."""
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            stat = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            arguments = (entry / "cmdline").read_bytes().decode().split("\0")
            if int(stat[1]) == node.process.pid and stat[0] != "Z" and format in arguments:
                return int(entry.name)
    return None


def strike(worker, number):
    """Ends a process by a signal, or stops it. A first SIGSEGV from outside only switches Rust's own handler off."""
    os.kill(worker, number)
    if number != signal.SIGSTOP:
        wait_for("it is gone", lambda: gone_or_struck(worker, number))


def gone_or_struck(worker, number):
    try:
        if pathlib.Path(f"/proc/{worker}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return True
        os.kill(worker, number)
    except (FileNotFoundError, ProcessLookupError):
        return True
    return False


def held(node, name, stage=None):
    """How a model stands at the node itself, or whether it stands so."""
    here = node.view()["nodes"][0]["models"]
    found = next((model for model in here if model["name"] == name), None)
    return found and (found if stage is None else found["stage"] == stage)


def add(node, name, text):
    path = node.data / f"{name}.stub"
    path.write_text(text)
    node.run("models", "add", path, "--name", name)
    wait_for(f"{name} is ready", lambda: held(node, name, "ready"))


def decide(node, **fields):
    body = {"inputs": [{"name": "input", "shape": [1, len(ROW)], "datatype": "FP32", "data": ROW}], **fields}
    return node.post("/v2/models/fraud/infer", body)


def talk(node, **fields):
    body = {"model": "talker", "messages": [{"role": "user", "content": f"hello {CANARY}"}], "max_tokens": 100, **fields}
    return node.post("/v1/chat/completions", body)


def echo(node, numbers):
    body = {"inputs": [{"name": "x", "shape": [1, len(numbers)], "datatype": "FP32", "data": numbers}]}
    return node.post("/v2/models/echo/infer", body)


def binary(model, name, shape, data):
    """Path, body and headers of a call with one tensor as bytes."""
    spec = {"name": name, "shape": shape, "datatype": "FP32", "parameters": {"binary_data_size": len(data)}}
    head = json.dumps({"inputs": [spec]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
    return f"/v2/models/{model}/infer", head + data, headers


def warned(node, *words):
    return next((text for text in node.view()["warnings"] if all(word in text for word in words)), None)


@pytest.mark.parametrize(
    "number, word",
    [
        (signal.SIGSEGV, "SIGSEGV"),
        (signal.SIGKILL, "SIGKILL"),
        (signal.SIGSTOP, "said nothing for too long"),
    ],
)
def test_a_request_outlives_its_worker_and_the_operator_hears_how_it_ended(node, number, word):
    add(node, "talker", TALKER)
    digest = held(node, "talker")["digest"]
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(talk, node)
        wait_for("it speaks", lambda: held(node, "talker")["busy"] == 1)
        strike(worker_of(node, "stub"), number)
        status, headers, body = answer.result()
    assert status == 200, body
    assert body["usage"]["completion_tokens"] == 100, body
    warning = wait_for("it is told", lambda: warned(node, "talker", word))
    assert digest[:10] in warning, warning
    assert word in node.run("status").stdout
    assert word in node.run("explain", headers["x-hither-request"]).stdout
    wait_for("talker is back", lambda: held(node, "talker", "ready"))
    assert talk(node)[0] == 200


def test_three_crashes_quarantine_a_model_here_and_a_word_ends_it(node):
    add(node, "talker", TALKER)
    for times in ["once", "2 times", "3 times"]:
        worker = wait_for("a worker is there", lambda: held(node, "talker", "ready") and worker_of(node, "stub"))
        strike(worker, signal.SIGKILL)
        wait_for("the crash is told", lambda: warned(node, "talker", f"crashed {times}"))
    wait_for("it is in quarantine", lambda: held(node, "talker", "quarantined"))
    warning = wait_for("it is told", lambda: warned(node, "talker", "in quarantine"))
    assert "hither models pull talker" in warning
    wait_for("the signal is told", lambda: warned(node, "talker", "crashed 3 times", "SIGKILL"))
    assert "in quarantine" in node.run("status").stdout
    assert "in quarantine" in node.run("models", "ls").stdout

    status, body = node.get("/v2/models/talker/ready")
    assert status == 503 and "crashed too often" in json.loads(body)["error"], body
    status, _, body = talk(node)
    assert status == 500 and "quarantine" in body["error"]["message"], body
    assert "hither models pull talker" in json.dumps(body), body

    node.run("models", "pull", "talker")
    wait_for("it is back", lambda: held(node, "talker", "ready"))
    wait_for("it is told no more", lambda: not warned(node, "talker", "in quarantine"))
    assert talk(node)[0] == 200


def test_a_request_that_kills_every_worker_ends_with_an_error_in_the_protocols_form(node):
    add(node, "echo", ECHO + "crash_at=0\n")
    status, _, body = echo(node, [1.0, 2.0])
    assert status == 500 and "E0508" in body["error"] and "SIGABRT" in body["error"], body
    add(node, "talker", TALKER + "crash_at=3\n")
    status, _, body = talk(node)
    assert status == 500 and body["error"]["code"] == "E0508" and "SIGABRT" in body["error"]["message"], body


@pytest.mark.parametrize("node", ['[models]\npull = "manual"\nworker_memory_mb = 60\n'], indirect=True)
def test_a_worker_that_wants_more_memory_than_it_may_have_ends_alone(node):
    add(node, "echo", ECHO)
    limits = pathlib.Path(f"/proc/{worker_of(node, 'stub')}/limits").read_text()
    limit = int(next(line for line in limits.splitlines() if line.startswith("Max address space")).split()[3])
    # The program itself does not count, and is some hundred megabytes.
    assert 60_000_000 < limit < 260_000_000, limits
    status, _, body = echo(node, [1.0] * 1000)
    assert status == 200 and body["outputs"][0]["data"] == [1.0] * 1000

    # Forty megabytes are in a worker several times over: as a frame, as a tensor, as an answer.
    numbers = bytes(40_000_000)
    status, _, body = node.post(*binary("echo", "x", [1, len(numbers) // 4], numbers))
    assert status == 500 and "E0508" in body["error"] and "SIGABRT" in body["error"], body
    wait_for("it is told", lambda: warned(node, "echo", "crashed 2 times", "want of memory"))
    wait_for("echo is back", lambda: echo(node, [1.0])[0] == 200)


@pytest.mark.parametrize("node", ['[models]\npull = "manual"\nworker_memory_mb = 100\n'], indirect=True)
def test_a_model_larger_than_memory_is_refused_with_both_sizes(node):
    # Larger than what a worker needs for the smallest model: a real one, and zeros behind it.
    path = node.data / "large.gguf"
    shutil.copyfile(LANGUAGE_MODEL, path)
    os.truncate(path, 120_000_000)
    done = node.run("models", "add", path, "--name", "large", check=False)
    assert done.returncode == 1 and "120.0 MB" in done.stderr and "100.0 MB" in done.stderr, done.stderr


def test_a_death_while_a_model_is_opened_names_the_signal(node):
    path = node.data / "slow.stub"
    path.write_text("hither-stub 1\nload_us=600000000\n")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        adding = pool.submit(node.run, "models", "add", path, "--name", "slow", check=False)
        strike(wait_for("it is being opened", lambda: worker_of(node, "stub")), signal.SIGSEGV)
        done = adding.result()
    assert done.returncode == 1, done.stdout
    assert "SIGSEGV" in done.stderr and "while it opened the model" in done.stderr, done.stderr


def protobuf(*fields):
    """A message of numbers, texts and messages, each with the number of its field."""

    def varint(number):
        head = bytes([number & 0x7F | (0x80 if number > 0x7F else 0)])
        return head + (varint(number >> 7) if number > 0x7F else b"")

    out = b""
    for field, value in fields:
        if isinstance(value, int):
            out += varint(field << 3) + varint(value)
        else:
            content = value.encode() if isinstance(value, str) else value
            out += varint(field << 3 | 2) + varint(len(content)) + content
    return out


def onnx_with_weights_at(place):
    """A model whose weights lie in another file, as the format allows."""
    shape = protobuf((2, protobuf((1, protobuf((1, 4))))))
    value = protobuf((1, "y"), (2, protobuf((1, protobuf((1, 1)) + shape))))
    where = protobuf((1, "location"), (2, place))
    weights = protobuf((1, 4), (2, 1), (8, "w"), (13, where), (14, 1))
    node = protobuf((1, "w"), (2, "y"), (4, "Identity"))
    graph = protobuf((1, node), (2, "thief"), (5, weights), (12, value))
    return protobuf((1, 8), (7, graph), (8, protobuf((2, 13))))


def damaged_files():
    """Names, bytes, and whether a refusal is certain: a flipped bit among the weights changes them and nothing else."""
    chance = random.Random(7)
    onnx = (ROOT / "models/fraud.onnx").read_bytes()
    with LANGUAGE_MODEL.open("rb") as file:
        gguf = file.read(4 << 20)
    huge = b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1 << 60)
    name = struct.pack("<Q", 1 << 62) + b"x"
    yield "half.onnx", onnx[: len(onnx) // 2], True
    yield "short.gguf", gguf, True
    yield "huge.gguf", huge, True
    yield "lying.gguf", b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + name, True
    yield "thief.onnx", onnx_with_weights_at("/etc/passwd"), True
    yield "climber.onnx", onnx_with_weights_at("../key"), True
    yield "empty.onnx", b"", True
    yield "picture.png", b"\x89PNG\r\n\x1a\n" + bytes(1000), True
    yield "noise.onnx", chance.randbytes(50_000), True
    yield "program.onnx", pathlib.Path("/bin/true").read_bytes(), True
    for n in range(6):
        bent = bytearray(onnx)
        for _ in range(20):
            bent[chance.randrange(len(bent))] ^= 1 << chance.randrange(8)
        yield f"bent{n}.onnx", bytes(bent), False
    # The whole of a language model, bent in what its header says and in its words.
    whole = LANGUAGE_MODEL.read_bytes()
    for n in range(4):
        bent = bytearray(whole)
        for _ in range(4):
            bent[chance.randrange(1 << 20)] ^= 1 << chance.randrange(8)
        yield f"bent{n}.gguf", bytes(bent), False


def test_damaged_hostile_and_foreign_files_are_refused_and_the_node_stays(node):
    for name, content, certain in damaged_files():
        path = node.data / name
        path.write_bytes(content)
        done = node.run("models", "add", path, "--name", name.replace(".", "-"), check=False)
        assert done.returncode == 1 or not certain and done.returncode == 0, (name, done.stdout)
        if done.returncode == 1:
            outside = name in ("thief.onnx", "climber.onnx")
            code, text = ("E0145", "only the plain name of a file beside") if outside else ("E0435", "cannot be opened as")
            assert code in done.stderr and text in done.stderr, (name, done.stderr)
        assert decide(node)[0] == 200, name


def test_a_prompt_of_ten_megabytes_and_numbers_that_are_none_are_refused_clearly(munich_alone):
    body = {"model": "smollm2-135m", "messages": [{"role": "user", "content": "word " * (2 << 20)}], "max_tokens": 4}
    status, _, answer = munich_alone.post("/v1/chat/completions", body)
    assert status in (400, 413) and answer["error"]["message"], (status, answer)
    assert answer["error"]["code"] in ("context_length_exceeded", "E0606"), answer

    not_a_number = struct.pack("<12f", *[float("nan")] * 12)
    status, _, answer = munich_alone.post(*binary("fraud", "input", [1, 12], not_a_number))
    # What a model makes of it is the model's affair; what JSON cannot hold is refused by name.
    assert status == 200 or status == 400 and "E0608" in answer["error"], (status, answer)
    assert decide(munich_alone)[0] == 200


def test_a_node_without_a_model_takes_little_memory():
    with contextlib.closing(Node("munich", EEA)) as alone:
        alone.up()
        status = pathlib.Path(f"/proc/{alone.process.pid}/status").read_text()
        resident_kb = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
        assert resident_kb <= 40_000, f"{resident_kb} kB"
