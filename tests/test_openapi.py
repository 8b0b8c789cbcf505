"""What is served is what the description says, asked by requests that nobody thought of."""

import contextlib
import json
import os
import subprocess
import urllib.request

import pytest

from mesh import CACHE, EEA, LANGUAGE_MODEL, ROOT, Node, wait_for

TOOL = CACHE / "venv-openapi/bin/schemathesis"
FOLDER = ROOT / "tests/openapi"
# It never ends; the dashboard's test reads it.
ENDLESS = "/hither/v1/events"


@pytest.fixture
def guarded():
    """A node that answers nobody without a key, and the key of an app."""
    config = '[models]\npull = "manual"\n[api]\nkeys = "required"\n[jobs]\nmax = 64\n'
    with contextlib.closing(Node("munich", EEA, config)) as node:
        node.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        node.up()
        node.run("models", "add", ROOT / "models/fraud.onnx", "--name", "fraud", "--licence", "Apache-2.0")
        node.run("models", "add", LANGUAGE_MODEL, "--name", "smollm2-135m", "--licence", "Apache-2.0")
        yield node, node.json("apps", "add", "tester")["key"]


def test_every_answer_is_one_that_the_description_says(guarded, tmp_path):
    node, key = guarded
    with urllib.request.urlopen(node.url + "/openapi.json", timeout=30) as answer:
        described = json.load(answer)
    # This node needs a key, where the description has to allow for those that do not.
    described["security"] = [ways for ways in described["security"] if ways]
    schema, report = tmp_path / "openapi.json", tmp_path / "events.ndjson"
    schema.write_text(json.dumps(described))
    done = subprocess.run(
        [
            TOOL, "--config-file", FOLDER / "schemathesis.toml", "run", schema, "--url", node.url,
            "--header", f"Authorization: Bearer {key}", "--report-ndjson-path", report, "--no-color",
        ],
        cwd=FOLDER, capture_output=True, text=True, timeout=900, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    said = done.stdout[-20000:] + done.stderr[-2000:]
    assert done.returncode == 0, said
    asked = report.read_text()
    for path, methods in described["paths"].items():
        for method in methods:
            label = f"{method.upper()} {path}"
            assert path == ENDLESS or label in asked, f"{label} was never asked"
    assert node.get("/health")[0] == 200 and node.process.poll() is None
