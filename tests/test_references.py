"""An app that still has what it asked shows that a record is about it, with other people's HMAC; and nobody does without the key."""

import contextlib
import gzip
import hashlib
import hmac
import json
import os
import re
import shutil
import subprocess
import urllib.request

import openai
import pytest

from mesh import HITHER, ROOT, Node, two_sites, wait_for

TALKER = "hither-stub 1\ntoken_us=1000 length=4 slots=4\n"


def records(node, **wanted):
    lines = [json.loads(line) for line in (node.data / "ledger/ledger.jsonl").read_text().splitlines() if line.endswith("}")]
    return [record for record in lines if all(record.get(name) == value for name, value in wanted.items())]


def ended(node, request):
    wait_for("its end is on the record", lambda: records(node, req=request, kind="request.end"))
    return records(node, req=request)


def keys(node, app):
    """Day and key, as an operator reads the files."""
    found = {}
    for file in (node.data / "references" / f"{app}.keys").glob("*.key"):
        assert file.stat().st_mode & 0o777 == 0o600
        found[file.stem] = file.read_text().strip()
    return found


def mac(key, request, body):
    """The reference, without a line of ours."""
    said = f"{request} {hashlib.sha256(body).hexdigest()}".encode()
    return "hmac-sha256:" + hmac.new(bytes.fromhex(key), said, hashlib.sha256).hexdigest()


def find(node, body, app, *args):
    done = subprocess.run(
        [HITHER, "--data", node.data, "ledger", "find", "-", "--app", app, *args],
        input=body, capture_output=True, timeout=60,
    )
    return done.returncode, (done.stdout + done.stderr).decode()


@pytest.fixture(scope="module")
def sites():
    """munich has the model, and paris the apps: triage refers to data up to personal, billing to none."""
    with two_sites() as (munich, paris):
        stub = munich.data / "talker.stub"
        stub.write_text(TALKER)
        munich.run("models", "add", stub, "--name", "talker")
        wait_for("paris knows of the model", lambda: paris.get("/v2/models/talker/ready")[0] == 200)
        paris.keys = {
            "triage": paris.json("apps", "add", "triage", "--references", "personal")["key"],
            "billing": paris.json("apps", "add", "billing")["key"],
        }
        yield munich, paris


def ask(node, app, text, label="personal"):
    """Asks with OpenAI's client, and gives the request's id and the body as it was sent."""
    sent = []
    headers = {"x-hither-class": label}
    client = openai.OpenAI(
        base_url=node.url + "/v1", api_key=node.keys[app], default_headers=headers, max_retries=0,
        http_client=openai.DefaultHttpxClient(event_hooks={"request": [lambda request: sent.append(request.content)]}),
    )
    answer = client.chat.completions.with_raw_response.create(
        model="talker", messages=[{"role": "user", "content": text}], max_tokens=4
    )
    [body] = sent
    return answer.headers["x-hither-request"], body


def test_what_an_app_asked_is_found_on_the_record_by_its_bytes_alone(sites, tmp_path):
    munich, paris = sites
    request, body = ask(paris, "triage", "a question about somebody")
    other, _ = ask(paris, "triage", "another question")
    of_request = ended(paris, request)
    referring = [record["kind"] for record in of_request if "ref" in record]
    assert sorted(referring) == ["egress.intent", "request.end"], of_request
    [reference] = {record["ref"] for record in of_request if "ref" in record}
    assert reference not in {record.get("ref") for record in ended(paris, other)}

    [day] = [day for day, key in keys(paris, "triage").items() if mac(key, request, body) == reference]
    # The same once more does not look alike.
    same, again = ask(paris, "triage", "a question about somebody")
    assert again == body and reference not in {record.get("ref") for record in ended(paris, same)}

    code, said = find(paris, body, "triage")
    assert code == 0 and said.count(request) == 2 and other not in said, said
    found = json.loads(find(paris, body, "triage", "--json")[1])
    assert found["requests"] == [request, same] and reference in {record["ref"] for record in found["records"]}
    # Whoever is given a copy of the ledger and one day's key needs no node.
    given = tmp_path / "given"
    given.mkdir()
    shutil.copy(paris.data / "references/triage.keys" / f"{day}.key", given)
    with contextlib.closing(Node("auditor")) as auditor:
        code, said = find(auditor, body, "triage", "--ledger", paris.data / "ledger", "--keys", given)
        assert code == 0 and request in said, said
        code, said = find(auditor, body, "triage", "--ledger", paris.data / "ledger")
        assert code == 1 and "E0816" in said, said
        (given / f"{day}.key").rename(given / "2001-01-01.key")
        code, said = find(auditor, body, "triage", "--ledger", paris.data / "ledger", "--keys", given)
        assert code == 1 and "E0815" in said and "0 do not fit them" in said and "it cannot be said" in said, said
    # What ran elsewhere is referred to where it entered, and by nobody else.
    assert records(munich, req=request) and all("ref" not in record for record in records(munich))
    for node in (munich, paris):
        node.run("ledger", "verify", node.data / "ledger")


def test_another_byte_another_app_and_what_is_not_wanted_find_nothing(sites):
    _, paris = sites
    request, body = ask(paris, "triage", "a question about somebody else")
    ended(paris, request)
    code, said = find(paris, body.replace(b":", b": ", 1), "triage")
    assert code == 1 and "E0815" in said and "byte for byte" in said, said
    code, said = find(paris, body, "billing")
    assert code == 1 and "E0816" in said and "hither apps limit billing --references" in said, said
    # What is special may not leave paris, which has a model of its own.
    stub = paris.data / "own.stub"
    stub.write_text(TALKER.replace("length=4", "length=5"))
    paris.run("models", "add", stub, "--name", "own")
    wait_for("it is here", lambda: paris.get("/v2/models/own/ready")[0] == 200)
    for app, label in [("billing", "personal"), ("triage", "special")]:
        headers = {"Authorization": f"Bearer {paris.keys[app]}", "x-hither-class": label, "content-type": "application/json"}
        sent = json.dumps({"model": "own", "prompt": "x", "max_tokens": 2}).encode()
        answer = urllib.request.urlopen(
            urllib.request.Request(paris.url + "/v1/completions", sent, headers), timeout=30
        )
        assert all("ref" not in record for record in ended(paris, answer.headers["x-hither-request"])), (app, label)


def test_every_way_in_is_referred_to_by_what_came(sites):
    _, paris = sites
    said = {"model": "talker", "prompt": "a prompt", "max_tokens": 2}
    chat = {"model": "talker", "messages": [{"role": "user", "content": "hello"}]}
    line = {"custom_id": "1", "method": "POST", "url": "/v1/completions", "body": said}
    headers = {"Authorization": f"Bearer {paris.keys['triage']}", "content-type": "application/json"}

    def post(path, body, more=None):
        status, _, answer = paris.post(path, body, {**headers, **(more or {})})
        assert status in (200, 202), answer

    def is_found(body):
        wait_for("it is on the record", lambda: find(paris, body, "triage")[0] == 0)

    for path, asked in [
        ("/v1/completions", {**said, "n": 2}),
        ("/v1/responses", {"model": "talker", "input": "hello"}),
        ("/api/generate", {"model": "talker", "prompt": "hello", "stream": False}),
        ("/api/chat", {**chat, "stream": False}),
    ]:
        body = json.dumps(asked).encode()
        post(path, body)
        is_found(body)
    # Compressed, it is what it says that counts; a key for repetitions changes nothing.
    body = json.dumps({**said, "prompt": "packed"}).encode()
    post("/v1/completions", gzip.compress(body), {"content-encoding": "gzip", "idempotency-key": "once"})
    is_found(body)
    # Of a job and of a line it is the body in it.
    inner = {**said, "prompt": "later"}
    post("/v1/jobs", json.dumps({"deadline_s": 60, "request": {"url": "/v1/completions", "body": inner}}).encode())
    is_found(json.dumps(inner).encode())
    client = openai.OpenAI(base_url=paris.url + "/v1", api_key=paris.keys["triage"])
    file = client.files.create(file=("lines.jsonl", json.dumps(line).encode() + b"\n"), purpose="batch")
    before = len(records(paris, kind="request.end"))
    client.batches.create(input_file_id=file.id, endpoint="/v1/completions", completion_window="24h")
    wait_for("the line is answered", lambda: len(records(paris, kind="request.end")) > before)
    is_found(json.dumps(said).encode())


def test_a_key_outlives_a_start_and_nothing_outlives_the_key(sites):
    _, paris = sites
    request, body = ask(paris, "triage", "what is to be forgotten")
    ended(paris, request)
    paris.kill()
    paris.up()
    wait_for("munich is there", lambda: paris.get("/v2/models/talker/ready")[0] == 200)
    assert find(paris, body, "triage")[0] == 0
    before = keys(paris, "triage")
    assert "references to data up to personal" in paris.run("apps", "ls").stdout
    paris.run("apps", "shred", "triage")
    code, said = find(paris, body, "triage")
    assert code == 1 and "E0816" in said, said
    wait_for("it is on the record", lambda: records(paris, kind="reference.destroy"))
    [destroyed] = records(paris, kind="reference.destroy")
    days = sorted(before)
    assert (destroyed["app"], destroyed["first_day"], destroyed["last_day"]) == ("triage", days[0], days[-1])
    assert "policy" not in destroyed
    # What comes after it has another key, and goes with the app.
    request, body = ask(paris, "triage", "what is to be forgotten")
    assert "ref" in ended(paris, request)[-1] and not set(keys(paris, "triage").values()) & set(before.values())
    table = paris.run("audit", "report", paris.data / "ledger", "--table", "lost").stdout
    assert "keys of references of triage" in table, table
    # Of what came before it can be said that it cannot be said.
    code, said = find(paris, b"{}", "triage")
    assert code == 1 and "2 do not fit them" in said and "it cannot be said" in said, said
    paris.run("apps", "rm", "triage")
    assert not (paris.data / "references/triage.keys").exists()
    wait_for("it is on the record", lambda: len(records(paris, kind="reference.destroy")) == 2)
    paris.run("ledger", "verify", paris.data / "ledger")


def test_the_page_shows_what_works(sites, tmp_path):
    _, paris = sites
    page = (ROOT / "docs/access.md").read_text()
    _, typed, checked = re.findall(r"```sh\n(.*?)```", page, re.S)
    add, find_it, shred = (line.partition("#")[0].split()[1:] for line in typed.splitlines())
    paris.keys["triage"] = paris.json(*add)["key"]
    request, body = ask(paris, "triage", "a question for the page")
    of_request = ended(paris, request)
    (tmp_path / "request.json").write_bytes(body)
    done = subprocess.run(
        [HITHER, "--data", paris.data, *find_it], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and request in done.stdout, done.stderr
    [key] = (paris.data / "references/triage.keys").glob("*.key")
    [named] = set(re.findall(r"[0-9-]{10}\.key", checked))
    shutil.copy(key, tmp_path / named)
    done = subprocess.run(
        ["bash", "-c", checked], cwd=tmp_path, env={**os.environ, "REQUEST_ID": request}, capture_output=True, text=True,
        timeout=60,
    )
    assert done.returncode == 0 and done.stdout.split()[-1] in of_request[-1]["ref"], done.stdout + done.stderr
    paris.run(*shred)
    assert not key.exists()
