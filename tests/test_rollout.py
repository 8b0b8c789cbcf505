"""A new version of a model takes over from an old one, and is left again by itself if it is bad."""

import contextlib
import json

import pytest
from mesh import EEA, Node, chat, wait_for

ECHO = "hither-stub 1\nkind=infer slots=4 length={length}\n"
# Two calls while it is added and opened are answered rightly: one to learn its answers, and one to prove them.
CRASHES = "hither-stub 1\nkind=infer slots=4 crash_at=2\n"


@pytest.fixture(scope="module")
def sites():
    """Munich, which publishes, and paris, which has both versions as well."""
    with contextlib.ExitStack() as stack:
        munich, paris = (stack.enter_context(contextlib.closing(Node(name, EEA))) for name in ["munich", "paris"])
        munich.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        munich.up()
        ticket = munich.json("invite", "--site", "paris", "--jurisdiction", "FR")["ticket"]
        paris.up().run("join", ticket)
        yield munich, paris


def add(sites, name, text):
    """Publishes a stub at the first site and brings it to all."""
    publisher, *others = sites
    path = publisher.data / f"{name.replace(':', '-')}.stub"
    # What differs in nothing is the same model; the length of texts is nothing to one that takes tensors.
    path.write_text(text.format(length=10 + sum(name.encode())))
    publisher.run("models", "add", path, "--name", name)
    for node in others:
        wait_for(f"{node.name} knows {name}", lambda node=node: any(model["name"] == name for model in node.view()["models"]))
        node.run("models", "pull", name)
    for node in sites:
        wait_for(f"{name} is ready at {node.name}", lambda node=node: stage(node, name) == "ready")


def stage(node, name):
    return next((model["stage"] for model in node.view()["nodes"][0]["models"] if model["name"] == name), None)


def ask(node, path):
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [2.5]}
    status, headers, body = node.post(f"/v2/models/{path}/infer", {"inputs": [tensor]})
    assert (status, body["outputs"][0]["data"]) == (200, [2.5]), body
    return body["model_version"], headers


def rollout(node, name):
    return next((rollout for rollout in node.view()["rollouts"] if rollout["name"] == name), None)


def test_a_share_of_the_requests_then_all_then_back(sites):
    munich, paris = sites
    add(sites, "fraud", ECHO)
    add(sites, "fraud:2", ECHO)
    assert json.loads(munich.get("/v2/models/fraud")[1])["versions"] == ["1", "2"]
    assert ask(paris, "fraud")[0] == "1", "who publishes a version does not roll it out by that"
    assert ask(paris, "fraud/versions/2")[0] == "2", "versions stand side by side"

    assert "no version of fraud is being rolled out" in munich.run("models", "rollout", "fraud").stdout
    munich.run("models", "rollout", "fraud", "fraud:2", "--share", "50%")
    wait_for("paris has heard of it", lambda: rollout(paris, "fraud"))
    for node in sites:
        met = [ask(node, "fraud")[0] for _ in range(60)]
        # Of sixty draws at a half, less than ten one way come once in ten million runs.
        assert 10 <= met.count("2") <= 50, met
    wait_for("it is counted", lambda: rollout(paris, "fraud")["new"]["tried"] >= 10)

    munich.run("models", "rollout", "fraud", "fraud:2")
    wait_for("it is whole at paris", lambda: rollout(paris, "fraud")["state"] == "whole")
    answers = [ask(paris, "fraud") for _ in range(10)]
    assert {version for version, _ in answers} == {"2"}
    assert "fraud:2" in munich.run("models", "rollout", "fraud").stdout

    # Any member that may publish goes back, not only the one that published.
    paris.run("models", "rollback", "fraud")
    wait_for("munich has heard of it", lambda: rollout(munich, "fraud")["state"] == "taken_back")
    assert {ask(munich, "fraud")[0] for _ in range(10)} == {"1"}
    assert "E0446" in paris.run("models", "rollback", "fraud", check=False).stderr

    # What was said outlives the program, and by site is a share, too.
    munich.run("models", "rollout", "fraud", "fraud:2", "--site", "paris")
    wait_for("paris has heard of it", lambda: rollout(paris, "fraud")["sites"] == ["paris"])
    paris.kill()
    paris.up()
    wait_for("both are ready again", lambda: stage(paris, "fraud") == stage(paris, "fraud:2") == "ready")
    assert ({ask(paris, "fraud")[0] for _ in range(10)}, {ask(munich, "fraud")[0] for _ in range(10)}) == ({"2"}, {"1"})


def test_a_version_that_crashes_is_left_by_itself_and_no_client_notices(sites):
    munich, paris = sites
    add(sites, "risk", ECHO)
    add(sites, "risk:2", CRASHES)
    munich.run("models", "rollout", "risk", "risk:2")
    wait_for("paris has heard of it", lambda: rollout(paris, "risk"))

    def asked():
        ask(munich, "risk")
        ask(paris, "risk")
        return rollout(munich, "risk")["state"] == rollout(paris, "risk")["state"] == "went_back"

    wait_for("both have gone back", asked)
    assert {ask(node, "risk")[0] for node in sites for _ in range(5)} == {"1"}
    reasons = {rollout(node, "risk")["reason"] for node in sites}
    assert all("failed in" in reason or "other members" in reason for reason in reasons), reasons
    assert any("went back from risk:2" in warning for warning in munich.view()["warnings"])
    assert "went back" in paris.run("models", "rollout", "risk").stdout


def test_a_conversation_that_fails_before_its_first_word_is_answered_by_the_old_version(sites):
    munich, paris = sites
    add(sites, "talk", "hither-stub 1\nlength={length}\n")
    add(sites, "talk:2", "hither-stub 1\ncrash_at=0 length={length}\n")
    munich.run("models", "rollout", "talk", "talk:2")
    wait_for("paris has heard of it", lambda: rollout(paris, "talk"))
    status, headers, body = chat(paris, model="talk")
    assert (status, headers["x-hither-model"]) == (200, "talk"), (dict(headers), body)
    assert len(body["choices"][0]["message"]["content"]) > 0, body
    wait_for("the new version was asked first", lambda: rollout(paris, "talk")["new"]["failed"])
    # One that has begun stays with its weights, and says that it failed.
    add(sites, "tell", "hither-stub 1\nlength={length}\n")
    add(sites, "tell:2", "hither-stub 1\ncrash_at=3 length={length}\n")
    munich.run("models", "rollout", "tell", "tell:2")
    wait_for("paris has heard of that, too", lambda: rollout(paris, "tell"))
    status, headers, body = chat(paris, model="tell")
    assert status != 200, body
    wait_for("it is counted", lambda: rollout(paris, "tell")["new"]["failed"])


def test_what_makes_no_sense_is_refused_with_what_to_do(sites, tmp_path):
    munich, _ = sites
    add(sites, "plain", ECHO)
    (tmp_path / "talker.stub").write_text("hither-stub 1\nlength=5\n")
    munich.run("models", "add", tmp_path / "talker.stub", "--name", "plain:talks")
    for words, code in [
        (["plain", "plain"], "E0443"),
        (["plain", "plain:9"], "E0401"),
        (["nobody", "plain"], "E0401"),
        (["plain", "fraud"], "E0442"),
        (["plain", "plain:talks"], "E0444"),
    ]:
        refused = munich.run("models", "rollout", *words, check=False)
        assert refused.returncode != 0 and code in refused.stderr, (words, refused.stderr)
    refused = munich.run("models", "rollout", "plain", "plain:2", "--share", "150%", check=False)
    assert refused.returncode != 0 and "10% or 0.1" in refused.stderr
