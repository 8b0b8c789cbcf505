"""Nodes that several tests share: they are started once."""

import contextlib
import os
import pty
import re
import pathlib
import subprocess
import tempfile
import threading

import pytest

import canary
from mesh import EEA, HITHER, LANGUAGE_MODEL, ROOT, Node, wait_for


@pytest.fixture(scope="session", autouse=True)
def temporary_files():
    """One folder for whatever the programs of this run put aside, searched when all have ended."""
    with tempfile.TemporaryDirectory(prefix="hither-tests-") as folder:
        # Others may pass through, as through the folder that it stands for.
        os.chmod(folder, 0o711)
        before = os.environ.get("TMPDIR")
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        yield pathlib.Path(folder)
        canary.check(folder)
        tempfile.tempdir = None
        os.environ.pop("TMPDIR")
        if before is not None:
            os.environ["TMPDIR"] = before


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


class Demo:
    """`hither demo` at a terminal: it plays its steps, then stays up and takes keys."""

    def __init__(self):
        self.master, slave = pty.openpty()
        self.seen = ""
        self.process = subprocess.Popen(
            [HITHER, "demo", "--models", ROOT / "models"], stdin=slave, stdout=slave, stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        with contextlib.suppress(OSError):
            while chunk := os.read(self.master, 65536):
                # Without the colours.
                self.seen += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", chunk.decode(errors="replace"))

    def shows(self, text):
        assert self.process.poll() is None or text in self.seen, self.seen[-4000:]
        return text in self.seen

    def press(self, keys):
        os.write(self.master, keys.encode())

    def url(self, site):
        """Where a site answers, as printed after the steps."""
        return re.findall(rf"{site}\s+API and dashboard (http://127\.0\.0\.1:\d+)", self.seen)[-1]

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)
        os.close(self.master)


@pytest.fixture(scope="session")
def running_demo():
    """The demo after its six steps."""
    with contextlib.closing(Demo()) as demo:
        wait_for("the demo stays up", lambda: demo.shows("q quit"), 400)
        yield demo
        demo.press("q")
        assert demo.process.wait(60) == 0, demo.seen[-4000:]
