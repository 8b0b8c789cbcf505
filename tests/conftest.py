"""Nodes that several tests share: they are started once."""

import contextlib
import os

import pytest

from mesh import EEA, LANGUAGE_MODEL, ROOT, Node, wait_for


@pytest.fixture(scope="session")
def munich_alone():
    """One node with all three models: what the client libraries talk to."""
    with contextlib.closing(Node("munich", EEA)) as node:
        node.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        node.up()
        node.run("models", "add", ROOT / "models/fraud.onnx", "--name", "fraud", "--licence", "Apache-2.0")
        node.run("models", "add", ROOT / "models/maintenance.onnx", "--name", "maintenance", "--licence", "Apache-2.0")
        node.run("models", "add", LANGUAGE_MODEL, "--name", "smollm2-135m", "--licence", "Apache-2.0")
        for name in ["fraud", "maintenance", "smollm2-135m"]:
            wait_for(f"{name} is ready", lambda: node.get(f"/v2/models/{name}/ready")[0] == 200)
        os.environ["HITHER_HTTP"] = node.url
        yield node


@pytest.fixture
def three_sites():
    """Three nodes, each started by hand; two joined by invites."""
    with contextlib.ExitStack() as stack:
        munich, paris, jakarta = [
            stack.enter_context(contextlib.closing(Node(name, EEA))) for name in ["munich", "paris", "jakarta"]
        ]
        munich.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        for node in [munich, paris, jakarta]:
            node.up()
        for node, code in [(paris, "FR"), (jakarta, "ID")]:
            ticket = munich.json("invite", "--site", node.name, "--jurisdiction", code)["ticket"]
            node.run("join", ticket)
        for node in [munich, paris, jakarta]:
            wait_for(f"{node.name} sees all three", lambda: sites_present(node) == {"munich", "paris", "jakarta"})
        yield munich, paris, jakarta


def sites_present(node):
    """The sites that a node sees, itself included."""
    return {
        seen["member"]["site"] for seen in node.view()["nodes"] if seen["presence"] in ("here", "present")
    }
