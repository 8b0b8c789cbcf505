"""What operators do with policies: the page about them types true, and a policy is put in force while requests run."""

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess

import openai
import pytest

from mesh import EEA, HITHER, ROOT, Node, two_sites, wait_for

PAGE = (ROOT / "docs/policies.md").read_text()
NO_FRANCE = '[[forbid]]\nid = "not-in-france"\naction = ["infer"]\ntarget = ["FR"]\n'


FAILING = '[[test]]\ngiven = { class = "special", origin = "DE", target = "US" }\nexpect = "permit"\n'


def put(node, body):
    """Sends a policy over the operator's socket: status and code of the answer."""
    link = http.client.HTTPConnection("localhost", timeout=60)
    link.sock = socket.socket(socket.AF_UNIX)
    with contextlib.closing(link):
        link.sock.connect(str(node.data / "api.sock"))
        link.request("POST", "/hither/v1/policy", json.dumps(body))
        answer = link.getresponse()
        return answer.status, json.loads(answer.read()).get("code")


def blocks(kind):
    """The blocks of a kind with what stands behind it on the line that opens them."""
    return re.findall(rf"^```{kind} ?(.*?)\n(.*?)^```$", PAGE, re.M | re.S)


def steady(text, *names):
    """Without what is another each time: times, keys, and where things lie."""
    for name in names:
        text = text.replace(str(name), "DIR")
    return re.sub(r"(\d+\.\d|…) ms", "… ms", text)


@contextlib.contextmanager
def sites_of_the_page():
    """munich and paris with the policy of the page."""
    policies = dict(blocks("toml"))
    with contextlib.ExitStack() as stack:
        munich, paris = (
            stack.enter_context(contextlib.closing(Node(name, policies["policy.toml"]))) for name in ("munich", "paris")
        )
        munich.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        munich.up()
        ticket = munich.json("invite", "--site", "paris", "--jurisdiction", "FR")["ticket"]
        paris.up()
        paris.run("join", ticket)
        wait_for("munich sees paris", lambda: any(seen["presence"] == "present" for seen in munich.view()["nodes"]))
        yield munich


def test_what_the_page_shows_is_what_is_typed_and_said(tmp_path):
    policies = dict(blocks("toml"))
    assert set(policies) == {"policy.toml", "next.toml", "blocs.toml"}
    for name, text in policies.items():
        (tmp_path / name).write_text(text)
    shown = [block for _, block in blocks("console")]
    assert len(shown) >= 6
    with sites_of_the_page() as munich:
        environment = {**os.environ, "HITHER_DATA": str(munich.data), "NO_COLOR": "1"}
        said = []
        for block in shown:
            typed, _, _ = block.partition("\n")
            command = typed.removeprefix("$ hither ")
            assert command != typed, typed
            done = subprocess.run(
                f'"$HITHER" {command}', shell=True, cwd=tmp_path, env={**environment, "HITHER": HITHER},
                capture_output=True, text=True, timeout=180,
            )
            said.append(steady(f"{typed}\n{done.stdout}{done.stderr}", munich.data))
    if os.environ.get("UPDATE_GOLDEN"):
        page = PAGE
        for block, text in zip(shown, said):
            page = page.replace(block, text)
        (ROOT / "docs/policies.md").write_text(page)
    else:
        assert said == [steady(block) for block in shown]
    assert all(len(line) <= 80 for text in said for line in text.splitlines()[1:]), said


def test_a_policy_put_in_force_ends_what_it_does_not_permit_and_the_ledger_says_so():
    with two_sites() as (munich, paris):
        stub = paris.data / "assistant.stub"
        stub.write_text("hither-stub 1\nprefill_us=0 token_us=50000 length=2000\n")
        paris.run("models", "add", stub, "--name", "assistant")
        wait_for("munich knows it", lambda: any(
            held["stage"] == "ready" for seen in munich.view()["nodes"] for held in seen["models"]
        ))
        checked = munich.json("policy", "check", munich.data / "policy.toml")["failover"]
        assert {left["class"]: left["places"] for left in checked["classes"]}["internal"] == 1, checked
        client = openai.OpenAI(base_url=munich.url + "/v1", api_key="none", max_retries=0)
        stream = iter(client.chat.completions.create(
            model="assistant", messages=[{"role": "user", "content": "A colour?"}], stream=True,
        ))
        next(stream)
        new = munich.data / "next.toml"
        new.write_text(EEA + NO_FRANCE)
        rehearsed = munich.json("policy", "apply", "--dry-run", new)
        assert rehearsed["dry_run"] and rehearsed["changes"]["changes"], rehearsed
        next(stream)
        applied = munich.json("policy", "apply", new)
        assert applied["in_force"] == munich.view()["policy"] != rehearsed["in_force"]
        with pytest.raises(openai.APIError):
            for _ in stream:
                pass
        left = munich.json("policy", "check", new)["failover"]["classes"]
        assert {one["places"] for one in left} == {0}, left
        assert (munich.data / "policy.toml").read_text() == EEA + NO_FRANCE
        wait_for("it is on the record, once", lambda: munich.run(
            "ledger", "show", munich.data / "ledger"
        ).stdout.count("policy.change") == 1)
        # A node that is started anew lives by it as well.
        munich.kill()
        munich.up()
        assert munich.view()["policy"] == applied["in_force"]


def test_a_policy_that_cannot_be_kept_is_not_put_in_force():
    with contextlib.closing(Node("munich", EEA)) as munich:
        munich.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        munich.up()
        before = munich.view()["policy"]
        new = munich.data / "another.toml"
        new.write_text(EEA + NO_FRANCE)
        for body, code in [
            ({"text": EEA + NO_FRANCE, "over": "00" * 32}, "E0313"),
            ({"text": EEA + "[[permit]]", "over": before}, "E0312"),
            ({"text": new.read_text() + FAILING, "over": before}, "E0312"),
        ]:
            assert put(munich, body) == (422, code), body
            assert munich.view()["policy"] == before
        # What is written first is in the way: a folder has its name.
        (munich.data / "policy.new").mkdir()
        refused = munich.run("--json", "policy", "apply", new, check=False)
        assert refused.returncode == 1 and "E0314" in refused.stdout, refused.stdout
        assert munich.view()["policy"] == before and (munich.data / "policy.toml").read_text() == EEA
        (munich.data / "policy.new").rmdir()
        (munich.data / "policy.toml").chmod(0o640)
        munich.run("policy", "apply", new)
        assert munich.view()["policy"] != before
        assert (munich.data / "policy.toml").stat().st_mode & 0o777 == 0o640
