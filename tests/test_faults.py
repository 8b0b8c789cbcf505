"""What breaks from time to time, and what must not break with it."""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket

from mesh import EEA, LANGUAGE_MODEL, ROOT, Node, chat, wait_for

GOLDEN = json.loads((ROOT / "models/fraud.golden.json").read_text())
DECISION = {
    "inputs": [{"name": "input", "shape": [1, 12], "datatype": "FP32", "data": GOLDEN["input"][0]}],
}


def workers(node):
    """The worker processes of a node."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            stat = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            if int(stat[1]) == node.process.pid and stat[0] != "Z":
                found.append(int(entry.name))
    return found


def decide(node):
    return node.post("/v2/models/fraud/infer", DECISION)


def test_a_worker_that_dies_is_replaced_and_its_requests_are_answered(munich_alone):
    wait_for("fraud is ready", lambda: decide(munich_alone)[0] == 200)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(decide, munich_alone) for _ in range(400)]
        for worker in workers(munich_alone):
            os.kill(worker, signal.SIGKILL)
        statuses = {answer.result()[0] for answer in answers}
    assert statuses == {200}
    for name in ["maintenance", "smollm2-135m"]:
        wait_for(f"{name} is back", lambda: munich_alone.get(f"/v2/models/{name}/ready")[0] == 200)
    wait_for("the language model answers", lambda: chat(munich_alone)[0] == 200)


def test_a_flood_is_answered_or_refused_and_the_node_stays(munich_alone):
    wait_for("fraud is ready", lambda: decide(munich_alone)[0] == 200)
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        chats = [pool.submit(chat, munich_alone, headers={"x-hither-timeout-ms": "3000"}) for _ in range(64)]
        decisions = [pool.submit(decide, munich_alone) for _ in range(1000)]
        seen = {answer.result()[0] for answer in decisions}
        answered = [answer.result() for answer in chats]
    assert seen <= {200, 503} and 200 in seen, seen
    assert {status for status, _, _ in answered} <= {200, 429, 504}, answered
    for status, headers, body in answered:
        assert status != 429 or int(headers["retry-after"]) >= 1, body
    assert decide(munich_alone)[0] == 200


def test_garbage_is_refused_in_the_protocols_own_form(munich_alone):
    for body in [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 5000, b'{"inputs": 7}', b'{"inputs": []}']:
        status, _, answer = munich_alone.post("/v2/models/fraud/infer", body)
        assert status == 400 and isinstance(answer["error"], str), (body[:20], status, answer)
        status, _, answer = munich_alone.post("/v1/chat/completions", body)
        assert status == 400 and isinstance(answer["error"]["message"], str), (body[:20], status, answer)
    head = f"POST /v2/models/fraud/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: {65 << 20}\r\n\r\n"
    with socket.create_connection(munich_alone.url.removeprefix("http://").split(":"), timeout=30) as raw:
        raw.sendall(head.encode())
        assert b" 413 " in raw.recv(65536).split(b"\r\n")[0]
    assert decide(munich_alone)[0] == 200


def test_a_full_disk_stops_a_fetch_and_nothing_else():
    with contextlib.ExitStack() as stack:
        munich, paris = [stack.enter_context(contextlib.closing(Node(name, EEA))) for name in ["munich", "paris"]]
        munich.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        munich.up()
        munich.run("models", "add", LANGUAGE_MODEL, "--name", "smollm2-135m")
        paris.up_with_small_disk("models", 40)
        paris.run("join", munich.json("invite", "--site", "paris", "--jurisdiction", "FR")["ticket"])
        wait_for("munich answers for paris", lambda: chat(paris)[0] == 200)
        paris.run("models", "pull", "smollm2-135m", check=False)
        wait_for("paris says why", lambda: any("disk" in text or "space" in text for text in paris.view()["warnings"]))
        status, headers, _ = chat(paris)
        assert (status, headers["x-hither-served-by"]) == (200, "munich")


def test_while_the_ledgers_disk_is_full_nothing_leaves_and_what_is_here_answers():
    with contextlib.ExitStack() as stack:
        munich, paris = [stack.enter_context(contextlib.closing(Node(name, EEA))) for name in ["munich", "paris"]]
        munich.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        munich.up()
        munich.run("models", "add", LANGUAGE_MODEL, "--name", "smollm2-135m")
        paris.up_with_small_disk("ledger", 2)
        paris.run("join", munich.json("invite", "--site", "paris", "--jurisdiction", "FR")["ticket"])
        paris.run("models", "add", ROOT / "models/fraud.onnx", "--name", "fraud")
        wait_for("munich answers for paris", lambda: chat(paris)[0] == 200)
        wait_for("paris decides itself", lambda: decide(paris)[0] == 200)
        # The disk that only the node sees.
        filler = pathlib.Path(f"/proc/{paris.process.pid}/root{paris.data}/ledger/filler")
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(512))

        def came():
            shown = munich.json("ledger", "show", munich.data / "ledger")["records"]
            return sum(record["kind"] == "ingress.accept" for record in shown)

        # What is left of the last page takes a few records more.
        wait_for("nothing leaves any more", lambda: chat(paris)[0] == 503, 60)
        before = came()
        for _ in range(5):
            status, _, body = chat(paris)
            assert (status, body["error"]["hither_code"]) == (503, "E0505"), body
            assert decide(paris)[0] == 200, "what is answered here waits for no disk"
        assert came() == before, "nothing came there either"
        filler.unlink()
        wait_for("data leave again", lambda: chat(paris)[0] == 200, 60)
        copy = paris.data / "copy"
        shutil.copytree(filler.parent, copy)
        assert paris.run("ledger", "verify", copy).returncode == 0
        gaps = [record for record in paris.json("ledger", "show", copy)["records"] if record["kind"] == "gap"]
        assert gaps and sum(gap["dropped"] for gap in gaps) >= 5, gaps


def test_a_changed_ledger_is_told_and_nothing_leaves():
    with contextlib.ExitStack() as stack:
        munich, paris = [stack.enter_context(contextlib.closing(Node(name, EEA))) for name in ["munich", "paris"]]
        munich.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        for node in [munich, paris]:
            node.up()
        munich.run("models", "add", LANGUAGE_MODEL, "--name", "smollm2-135m")
        paris.run("join", munich.json("invite", "--site", "paris", "--jurisdiction", "FR")["ticket"])
        wait_for("munich answers for paris", lambda: chat(paris)[0] == 200)
        paris.run("models", "add", ROOT / "models/fraud.onnx", "--name", "fraud")
        paris.process.terminate()
        assert paris.process.wait(60) == 0
        # What joined while it ran keeps its ledger at the next start.
        paris.up()
        wait_for("munich answers for paris again", lambda: chat(paris)[0] == 200)
        assert not any("audit" in text for text in paris.view()["warnings"]), paris.view()["warnings"]
        paris.process.terminate()
        assert paris.process.wait(60) == 0
        book = paris.data / "ledger/ledger.jsonl"
        kept = book.read_bytes()
        changed = bytearray(kept)
        changed[len(changed) // 2] ^= 1
        book.write_bytes(changed)
        assert munich.run("ledger", "verify", paris.data / "ledger", check=False).returncode == 1

        paris.up()
        wait_for("paris knows munich again", lambda: "munich" in json.dumps(paris.view()["nodes"]))
        assert any("audit-damaged" in text for text in paris.view()["warnings"])
        wait_for("it decides at home", lambda: decide(paris)[0] == 200)
        status, _, body = wait_for("egress is refused", lambda: refused(chat(paris)))
        assert status == 503 and "ledger" in json.dumps(body), body
        assert book.read_bytes() == bytes(changed), "it was repaired in silence"


def refused(answer):
    return answer if answer[0] == 503 and "ledger" in json.dumps(answer[2]) else None


def test_a_copied_key_directory_is_not_started_twice(munich_alone):
    second = munich_alone.run("up", "--api", "127.0.0.1:0", check=False)
    assert second.returncode == 1 and "runs on" in second.stderr, second.stderr
