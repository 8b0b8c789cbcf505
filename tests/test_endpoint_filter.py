"""What leaves for a server outside the mesh is read before: masked or blocked on every path, and on the record without what
was found."""

import contextlib
import json

import openai
import pytest

import canary
from mesh import EEA, wait_for
from test_endpoints import CLOUD_RULE, US, WORDS, Server, ask, lives, node, section

MAIL, IBAN, CARD = "max.power@example.org", "DE89 3704 0044 0532 0130 00", "4111 1111 1111 1111"
LAW = EEA.replace('"internal"\n', '"public"\n', 1) + CLOUD_RULE
PROMPT = f"Write to {MAIL} and to sue@example.org, account {IBAN}; {MAIL} is the first."
MASKED = "Write to [EMAIL_1] and to [EMAIL_2], account [IBAN_1]; [EMAIL_1] is the first."


def filtered(name, words=""):
    return f"[endpoint.{name}.filter]\n{words}\n"


@pytest.fixture
def server():
    with contextlib.closing(Server()) as server:
        yield server


@contextlib.contextmanager
def cloud(server, words="", more=()):
    """A node with one server in a cloud, and a filter before it."""
    with node(section("cloud", server.port, US), filtered("cloud", words), *more, policy=LAW) as munich:
        wait_for("the cloud is there", lambda: lives(munich, "cloud"))
        yield munich


def requests(server):
    """What the server was sent, as text; whether it lives is asked without a body."""
    return [json.dumps(body) for _, _, body in server.http.asked]


def records(munich, kind):
    return [record for record in munich.json("ledger", "show", munich.data / "ledger")["records"] if record["kind"] == kind]


def chat(text, **fields):
    return {"messages": [{"role": "user", "content": text}], **fields}


def test_what_is_found_is_masked_and_the_record_says_how_much(server):
    with cloud(server) as munich:
        status, headers, body = ask(munich, **chat(PROMPT))
        assert status == 200, body
        assert headers["x-hither-served-by"] == "cloud" and headers["x-hither-masked"] == "email=3,iban=1"
        [sent] = requests(server)
        assert MASKED in sent and "example.org" not in sent and "3704" not in sent
        explained = munich.run("explain", headers["x-hither-request"]).stdout
        assert "cloud: email=3,iban=1 masked before it leaves for there" in explained, explained
        left = int(headers["x-hither-egress-bytes"])
        [filtered_] = wait_for("it is on the record", lambda: records(munich, "egress.filtered"))
        assert (filtered_["decision"], filtered_["found"]) == ("mask", {"email": 3, "iban": 1})
        assert filtered_["place"]["site"] == "cloud"
        [settled] = wait_for("it is settled", lambda: records(munich, "egress.settled"))
        [intent] = records(munich, "egress.intent")
        assert intent["bytes_out"] == settled["bytes_out"] == left, (intent, settled, left)
        assert filtered_["seq"] < intent["seq"]
        # The same without anything to find leaves as it is, and is as much longer.
        status, headers, _ = ask(munich, **chat(PROMPT.replace("@", " at ").replace("DE89", "DE88")))
        assert status == 200 and "x-hither-masked" not in headers
        assert int(headers["x-hither-egress-bytes"]) > left
        assert len(records(munich, "egress.filtered")) == 1
        page = munich.get("/metrics")[1].decode()
        assert 'hither_link_filtered_total{site="cloud",kind="email",action="mask"} 3' in page, page
        assert munich.run("ledger", "verify", munich.data / "ledger").returncode == 0
        assert not canary.search(munich.data, MAIL)[0], "the address is nowhere but in the request"


def test_every_path_to_the_server_is_masked(server):
    with cloud(server) as munich:
        client = openai.OpenAI(base_url=munich.url + "/v1", api_key="none", max_retries=0)
        words = [{"role": "user", "content": PROMPT}]
        stream = client.chat.completions.create(model="assistant", messages=words, stream=True)
        assert [chunk.choices[0].delta.content for chunk in stream][: len(WORDS)] == WORDS
        tool = {"type": "function", "function": {"name": "send", "description": f"from {MAIL}", "parameters": {
            "type": "object", "properties": {"to": {"type": "string", "default": MAIL}}}}}
        call = {"id": "c1", "type": "function", "function": {"name": "send", "arguments": json.dumps({"to": MAIL})}}
        asked = [{"role": "system", "content": f"You answer for {MAIL}."}, *words,
                 {"role": "assistant", "content": "", "tool_calls": [call]},
                 {"role": "tool", "tool_call_id": "c1", "content": f"sent to {MAIL}, card {CARD}"}]
        status, headers, body = ask(munich, messages=asked, tools=[tool], stop=["sue@example.org"])
        assert status == 200 and headers["x-hither-masked"] == "email=9,iban=1,card=1", (body, headers.items())
        for path, body in [
            ("/v1/completions", {"prompt": PROMPT}),
            ("/v1/responses", {"input": PROMPT, "instructions": f"for {MAIL}", "store": False}),
            ("/api/chat", {"messages": words, "stream": False}),
            ("/api/generate", {"prompt": PROMPT, "stream": False}),
            ("/v1/embeddings", {"input": [PROMPT]}),
        ]:
            before = len(server.http.asked)
            # The stub knows no vectors and no bare texts; what it was sent is what matters.
            munich.post(path, {"model": "assistant", **body})
            assert len(server.http.asked) > before, path
        job = {"deadline_s": 600, "request": {
            "url": "/v1/chat/completions", "body": {"model": "assistant", **chat(PROMPT)}}}
        status, _, answer = munich.post("/v1/jobs", job)
        assert status == 202, answer
        wait_for("the job is answered", lambda: b'"status":"done"' in munich.get(f"/v1/jobs/{answer['id']}")[1])
        assert len(server.http.asked) == 8
        for sent in requests(server):
            assert "example.org" not in sent and "3704" not in sent and "[EMAIL_1]" in sent, sent


def test_what_is_blocked_never_arrives_and_the_error_says_what_to_do(server):
    with cloud(server, 'action = "block"\nkinds = ["email", "card"]') as munich:
        status, headers, body = ask(munich, **chat(PROMPT))
        assert status == 422 and headers["x-hither-code"] == "E0306", body
        error = body["error"]
        assert "endpoint cloud" in error["message"] and "email=3" in error["message"], error
        assert MAIL not in json.dumps(body) and "iban" not in error["message"]
        assert 'action = \\"mask\\"' in json.dumps(body), body
        explained = munich.run("explain", body["error"]["request"]).stdout
        assert "email=3" in explained and MAIL not in explained, explained
        assert requests(server) == []
        [filtered_] = wait_for("it is on the record", lambda: records(munich, "egress.filtered"))
        assert (filtered_["decision"], filtered_["found"]) == ("block", {"email": 3})
        [settled] = wait_for("it is settled", lambda: records(munich, "egress.settled"))
        assert settled["bytes_out"] == 0
        assert munich.view()["totals"]["egress_requests"] == 0
        page = munich.get("/metrics")[1].decode()
        assert 'hither_link_withheld_total{site="cloud"} 1' in page, page
        # What is not looked for leaves.
        status, headers, _ = ask(munich, **chat(f"account {IBAN}"))
        assert status == 200 and "x-hither-masked" not in headers
        reconciled = munich.run("ledger", "verify", munich.data / "ledger")
        assert reconciled.returncode == 0


def test_a_place_that_may_not_have_it_is_passed_over_for_one_that_may(server):
    with contextlib.closing(Server()) as lab:
        with cloud(server, 'action = "block"', [section("lab", lab.port)]) as munich:
            wait_for("the lab is there", lambda: lives(munich, "lab"))
            for _ in range(8):
                status, headers, body = ask(munich, **chat(PROMPT))
                assert (status, headers["x-hither-served-by"]) == (200, "lab"), body
                assert "x-hither-masked" not in headers
            assert requests(server) == [] and all(MAIL in sent for sent in requests(lab))


def test_a_second_try_passes_the_filter_of_its_own_place(server):
    with contextlib.closing(Server()) as other:
        more = [section("other", other.port, US), filtered("other", 'kinds = ["email"]')]
        with cloud(server, "", more) as munich:
            wait_for("both are there", lambda: lives(munich, "other"))
            server.http.mode = "drop"

            def tried():
                status, headers, body = ask(munich, **chat(PROMPT))
                assert (status, headers["x-hither-served-by"]) == (200, "other"), body
                assert headers["x-hither-masked"] == "email=3"
                return requests(server)

            first = wait_for("one went to the first, and came back", tried)
            assert all("[IBAN_1]" in sent and "example.org" not in sent for sent in first)
            assert all(IBAN in sent and "example.org" not in sent for sent in requests(other))


def test_what_cannot_be_read_does_not_leave_unless_it_may(server):
    with cloud(server) as munich:
        status, _, body = munich.post("/v1/completions", {"model": "assistant", "prompt": [1, 2, 3]})
        assert status == 422 and "ids of tokens" in body["error"]["message"], body
        assert requests(server) == []
    with cloud(server, 'unreadable = "pass"') as munich:
        munich.post("/v1/completions", {"model": "assistant", "prompt": [1, 2, 3]})
        assert len(requests(server)) == 1


def test_a_server_on_this_machine_is_filtered_if_told_so(server):
    with node(section("lab", server.port), filtered("lab")) as munich:
        wait_for("the server is there", lambda: lives(munich))
        status, headers, body = ask(munich, **chat(PROMPT))
        assert status == 200 and headers["x-hither-masked"] == "email=3,iban=1", body
        assert "example.org" not in requests(server)[0]


def test_the_doctor_says_what_leaves_unread(server):
    with node(section("cloud", server.port, US), policy=LAW) as munich:
        said = munich.run("doctor", check=False).stdout
        assert "endpoint cloud: requests leave for it as they are" in said, said
        assert "[endpoint.cloud.filter]" in said
