"""Nodes that decide among themselves which models each of them holds."""

import contextlib
import json

from mesh import EEA, ROOT, Node, wait_for

FRAUD, MAINTENANCE = ROOT / "models/fraud.onnx", ROOT / "models/maintenance.onnx"


def row(model):
    """A request of one row."""
    golden = json.loads((ROOT / f"models/{model}.golden.json").read_text())
    tensor = {"name": "input", "datatype": "FP32", "shape": [1, len(golden["input"][0])], "data": golden["input"][0]}
    return {"inputs": [tensor]}


def ask(node, model):
    status, headers, body = node.post(f"/v2/models/{model}/infer", row(model))
    assert status == 200, body
    return headers["x-hither-served-by"]


def here(node, model):
    """What a node shows of a model at itself."""
    held = [held for held in node.view()["nodes"][0]["models"] if held["name"] == model]
    return held[0] if held else {"stage": "absent", "why": ""}


def metric(node, name):
    said = node.get("/metrics")[1].decode().splitlines()
    return next(int(float(line.split()[-1])) for line in said if line.startswith(f"{name} "))


def knows(node, model):
    return any(known["name"] == model for known in node.view()["models"])


def join(first, node):
    node.run("join", first.json("invite", "--site", node.name, "--jurisdiction", "DE")["ticket"])


def drawn(model, node):
    """The number by which it is found out who of all holders of a model keeps it: whoever has the greatest. SplitMix64 of the
    first eight bytes of both."""
    most = 2**64 - 1
    model, node = int(model[:16], 16), int(node[:16], 16)
    mixed = ((((model << 23) | (model >> 41)) & most) ^ node) + 0x9E3779B97F4A7C15 & most
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 & most
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB & most
    return mixed ^ (mixed >> 31)


def test_what_is_asked_for_at_one_node_gets_a_second_copy_without_a_command():
    config = '[models]\npull = "automatic"\n'
    with contextlib.ExitStack() as stack:
        munich, berlin, bonn = nodes = [
            stack.enter_context(contextlib.closing(Node(name, EEA, config))) for name in ["munich", "berlin", "bonn"]
        ]
        munich.run("init", "--site", "munich", "--jurisdiction", "DE", "--operator", "acme")
        munich.up()
        for node in [berlin, bonn]:
            node.up()
            join(munich, node)
        munich.run("models", "add", FRAUD, "--name", "fraud")
        wait_for("fraud is ready", lambda: here(munich, "fraud")["stage"] == "ready")
        for node in [berlin, bonn]:
            wait_for(f"{node.name} knows it", lambda node=node: knows(node, "fraud"))

        def held_by():
            return [node.name for node in nodes if here(node, "fraud")["stage"] == "ready"]

        assert held_by() == ["munich"], "nobody asked for it"
        wait_for("bonn reaches it", lambda: bonn.post("/v2/models/fraud/infer", row("fraud"))[0] == 200)
        wait_for("a second copy is open", lambda: len(held_by()) >= 2)
        assert len(held_by()) == 2, f"two are enough: {held_by()}"
        owner = next(node for node in [berlin, bonn] if node.name in held_by())
        assert here(owner, "fraud")["why"] == "owner: a second copy of what is asked for"
        assert metric(owner, "hither_models_placed_total") == 1
        assert "owner: a second copy" in owner.run("models", "ls").stdout
        munich.kill()
        wait_for("the other one answers", lambda: ask(bonn, "fraud") == owner.name)


def test_a_pinned_model_stays_and_one_that_is_not_makes_way():
    with contextlib.ExitStack() as stack:
        munich = stack.enter_context(contextlib.closing(Node("munich", EEA)))
        munich.run("init", "--site", "munich", "--jurisdiction", "DE", "--operator", "acme")
        munich.up()
        added = {
            name: munich.json("models", "add", path, "--name", name)
            for path, name in [(FRAUD, "fraud"), (MAINTENANCE, "maintenance")]
        }
        takes = [model["memory"] for model in added.values()]
        # Room for the larger one, and not for both.
        most = max(takes) // 1_000_000 + min(takes) // 2_000_000
        config = f'[models]\npull = "automatic"\nmemory_mb = {most}\n'
        key = munich.view()["me"]["node"]
        while True:
            berlin = stack.enter_context(contextlib.closing(Node("berlin", EEA, config)))
            berlin.up()
            if drawn(added["fraud"]["digest"], berlin.view()["me"]["node"]) < drawn(added["fraud"]["digest"], key):
                break
            # It would be the one that keeps fraud in Germany.
            berlin.kill()
        join(munich, berlin)
        wait_for("berlin knows both", lambda: knows(berlin, "fraud") and knows(berlin, "maintenance"))
        berlin.run("models", "pin", "fraud")
        wait_for("it comes, for it is pinned", lambda: here(berlin, "fraud")["stage"] == "ready")
        assert here(berlin, "fraud")["why"] == "pinned"

        def refused():
            assert ask(berlin, "maintenance") == "munich"
            return any(text.startswith("no room for a copy of maintenance") for text in berlin.view()["warnings"])

        wait_for("what is asked for finds no room", refused)
        removed = berlin.run("models", "rm", "fraud", check=False)
        assert (removed.returncode, "error[E0448]" in removed.stderr) == (1, True), removed.stderr
        assert (here(berlin, "fraud")["stage"], metric(berlin, "hither_models_evicted_total")) == ("ready", 0)

        berlin.run("models", "unpin", "fraud")

        def gave_way():
            ask(berlin, "maintenance")
            return here(berlin, "maintenance")["stage"] == "ready"

        # It has been there for less than a minute, before which no copy leaves.
        wait_for("maintenance has come instead", gave_way, 180)
        assert here(berlin, "fraud")["stage"] == "absent"
        assert metric(berlin, "hither_models_evicted_total") == 1
        assert here(munich, "fraud")["stage"] == "ready", "the last one stays"
        assert "makes way for another" in (berlin.data / "log").read_text()
        assert ask(berlin, "fraud") == "munich"
