"""Models of one node: they take turns in memory, and are offered only if they answer what is known."""

import contextlib
import json

import pytest

from mesh import EEA, LANGUAGE_MODEL, ROOT, Node, wait_for

FRAUD, MAINTENANCE = ROOT / "models/fraud.onnx", ROOT / "models/maintenance.onnx"


@pytest.fixture
def node():
    with contextlib.closing(Node("munich", EEA)) as node:
        node.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        yield node.up()


def here(node, name):
    models = [model for model in node.view()["nodes"][0]["models"] if model["name"] == name]
    return models[0] if models else {"stage": "absent", "note": ""}


def row(model):
    """A request of one row, and the label that it gets."""
    golden = json.loads((ROOT / f"models/{model}.golden.json").read_text())
    tensor = {"name": "input", "datatype": "FP32", "shape": [1, len(golden["input"][0])], "data": golden["input"][0]}
    return {"inputs": [tensor]}, golden["label"][0]


def label(body):
    return next(output["data"][0] for output in body["outputs"] if output["name"] == "label")


def test_two_models_take_turns_where_memory_holds_one(node):
    takes = [
        node.json("models", "add", path, "--name", name)["memory"]
        for path, name in [(FRAUD, "fraud"), (MAINTENANCE, "maintenance")]
    ]
    assert min(takes) > 1_000_000
    node.process.terminate()
    assert node.process.wait(60) == 0, node.tail()
    # Room for the larger one, and not for both.
    most = max(takes) // 1_000_000 + min(takes) // 2_000_000
    (node.data / "hither.toml").write_text(f'[models]\npull = "manual"\nmemory_mb = {most}\n')
    node.up()

    def one_is_open():
        stages = {name: here(node, name)["stage"] for name in ["fraud", "maintenance"]}
        return sorted(stages.values()) == ["ready", "stored"]

    wait_for("one of two is open", one_is_open)
    cold = next(name for name in ["fraud", "maintenance"] if here(node, name)["stage"] == "stored")
    assert here(node, cold)["note"] == "not in memory, loaded when it is asked for"
    for name in ["fraud", "maintenance", "fraud", "maintenance"]:
        request, expected = row(name)
        status, headers, body = node.post(f"/v2/models/{name}/infer", request)
        assert (status, label(body)) == (200, expected), body
        assert headers["x-hither-served-by"] == "munich"
        wait_for(f"{name} is shown as open", lambda: here(node, name)["stage"] == "ready")
        assert here(node, name)["note"].startswith("loaded in ")
        assert sum(here(node, model)["memory"] for model in ["fraud", "maintenance"]) <= most * 1_000_000
    assert "of memory, loaded in" in node.run("models", "ls").stdout


def test_a_model_that_is_larger_than_memory_is_refused_with_what_to_do(node):
    node.run("models", "add", FRAUD, "--name", "fraud")
    node.process.terminate()
    assert node.process.wait(60) == 0, node.tail()
    (node.data / "hither.toml").write_text('[models]\npull = "manual"\nmemory_mb = 20\n')
    node.up()
    wait_for("it is known to be too large", lambda: "too large" in here(node, "fraud")["note"])
    status, _, body = node.post("/v2/models/fraud/infer", row("fraud")[0])
    assert status == 503, body
    said = " ".join(node.view()["warnings"])
    assert "model fraud needs" in said and "raise memory_mb under [models]" in said


def test_known_answers_come_with_a_model_and_are_held_against_it(node, tmp_path):
    request, expected = row("fraud")

    def cases(answer):
        path = tmp_path / f"{answer}.json"
        outputs = [{"name": "label", "datatype": "INT64", "shape": [1], "data": [answer]}]
        path.write_text(json.dumps([{"inputs": request["inputs"], "outputs": outputs}]))
        return path

    refused = node.run("models", "add", FRAUD, "--name", "fraud", "--golden", cases(1 - expected), check=False)
    assert refused.returncode != 0
    assert f'output "label" has {expected} at element 0, and not {1 - expected}' in refused.stderr, refused.stderr
    assert node.run("models", "ls").stdout.startswith("no models yet")

    added = node.json("models", "add", FRAUD, "--name", "fraud", "--golden", cases(expected))
    assert added["known_answers"] == 1
    wait_for("fraud is ready", lambda: here(node, "fraud")["stage"] == "ready")


def test_what_a_model_answers_at_its_publisher_is_known_without_being_told(node):
    for path, name in [(MAINTENANCE, "maintenance"), (LANGUAGE_MODEL, "smollm2-135m")]:
        added = node.json("models", "add", path, "--name", name)
        assert added["known_answers"] >= 1, added
        assert added["memory"] > 10_000_000, added
        wait_for(f"{name} is ready", lambda: here(node, name)["stage"] == "ready")


def test_a_model_that_answers_otherwise_is_not_offered_until_it_answers_rightly(node, tmp_path):
    """The stub's sign turns after two calls in one process: one to prove it, and one of a client."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [2.5]}
    (tmp_path / "drifts.stub").write_text("hither-stub 1\nkind=infer wrong_at=2\n")
    (tmp_path / "golden.json").write_text(json.dumps([{"inputs": [tensor], "outputs": [tensor]}]))
    added = node.json("models", "add", tmp_path / "drifts.stub", "--name", "drifts", "--golden", tmp_path / "golden.json")
    assert added["known_answers"] == 1

    def answer():
        return node.post("/v2/models/drifts/infer", {"inputs": [tensor]})

    wait_for("it is ready", lambda: here(node, "drifts")["stage"] == "ready")
    status, _, body = answer()
    assert (status, body["outputs"][0]["data"]) == (200, [2.5])
    refused = node.run("models", "verify", "drifts", check=False)
    assert refused.returncode != 0 and "-2.5e0 at element 0, and not 2.5e0" in refused.stderr, refused.stderr

    wait_for("it is put aside", lambda: here(node, "drifts")["stage"] == "quarantined")
    assert here(node, "drifts")["note"].startswith("gave wrong answers, tried again in ")
    status, _, body = answer()
    assert status == 500 and "drifts" in json.dumps(body), body
    assert node.get("/v2/models/drifts/ready")[0] != 200
    said = " ".join(node.view()["warnings"])
    assert "drifts gives wrong answers on this node" in said and "hither models pull drifts" in said

    # In a new process it is right again.
    node.run("models", "pull", "drifts")
    wait_for("it is ready again", lambda: here(node, "drifts")["stage"] == "ready")
    assert answer()[0] == 200
    assert "no model of this mesh is called fraud" in node.run("models", "verify", "fraud", check=False).stderr
