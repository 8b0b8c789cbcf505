"""Ledgers for an auditor: what the law keeps here, what is on the record before it leaves, and what the folder is worth."""

import contextlib
import json
import pathlib
import shutil
import subprocess
import sys

import pytest

from mesh import EEA, HITHER, ROOT, Node, two_sites, wait_for
from test_audit import AUDITORS
from test_traces import row


@pytest.fixture(scope="module")
def sites():
    """munich worked on something special of its own, and on something personal for paris."""
    with two_sites() as (munich, paris):
        munich.run("models", "add", ROOT / "models/fraud.onnx", "--name", "fraud")
        wait_for("paris knows of the model", lambda: paris.get("/v2/models/fraud/ready")[0] == 200)
        for node, label in [(munich, "special"), (paris, "personal")]:
            body = {"inputs": [row(node)]}
            status, headers, answer = node.post("/v2/models/fraud/infer", body, {"x-hither-class": label})
            assert (status, headers["x-hither-served-by"]) == (200, "munich"), answer
        kinds = {"egress.answer", "request.end"}
        wait_for("it is on the record", lambda: kinds <= {record["kind"] for record in records(munich.data / "ledger")})
        yield munich, paris


def records(folder):
    return [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines() if line.endswith("}")]


def export(node, to, *args):
    """Types it: how it ended, and what it said."""
    done = node.run("audit", "export", "--to", to, *args, check=False)
    return done.returncode, done.stdout + done.stderr


def put_in_force(node, version, rules):
    file = node.data / "next.toml"
    file.write_text(EEA.replace("version = 1", f"version = {version}") + rules)
    node.run("policy", "apply", file)


def test_what_no_rule_lets_go_is_not_written(sites, tmp_path):
    munich, _ = sites
    put_in_force(munich, 2, AUDITORS.replace('origin = ["EEA"]', 'class = ["personal"]'))
    code, said = export(munich, tmp_path / "out", "--for", "DE")
    assert code == 1 and "E0820" in said and "special data" in said and "auditors came closest, but class" in said, said
    assert "personal data" not in said and 'action = ["export"]' in said, said
    assert list(tmp_path.iterdir()) == []
    assert all(record["kind"] != "export" for record in records(munich.data / "ledger"))


def test_a_copy_is_on_the_record_before_it_is_handed_over_and_verifies_without_us(sites, tmp_path):
    munich, _ = sites
    put_in_force(munich, 3, AUDITORS)
    code, said = export(munich, tmp_path / "far", "--for", "US")
    assert code == 1 and "target: US is not in" in said and not (tmp_path / "far").exists(), said

    out = tmp_path / "out"
    done = munich.json("audit", "export", "--to", out, "--for", "DE", "--operator", "auditor")
    [ledger] = done["ledgers"]
    assert ledger["recorded"] and done["rules"] == ["auditors"], done
    copy = out / ledger["folder"]
    [record] = [record for record in records(copy) if record["kind"] == "export"]
    assert (record["to"], record["op"], record["rules"]) == ("DE", "auditor", ["auditors"])
    assert 0 < record["signed"] < ledger["signed"] and record["policy"] == "b3:" + done["policy"]
    assert record in records(munich.data / "ledger")

    me = munich.view()["me"]["node"]
    assert ledger["folder"] == f"munich-{me[:10]}"
    verified = munich.json("ledger", "verify", copy, "--node", me)
    assert (verified["signed"], verified["kinds"]["export"], verified["torn_bytes"]) == (ledger["signed"], 1, 0)
    checked = subprocess.run(
        [sys.executable, ROOT / "scripts/verify-ledger", copy, me], capture_output=True, text=True, timeout=60
    )
    assert checked.returncode == 0, checked.stderr
    assert {file.name for file in out.iterdir()} == {ledger["folder"], "policies", "README.txt"}
    in_force = [file.read_text() for file in (out / "policies").iterdir()]
    assert any('id = "auditors"' in text for text in in_force)
    assert f"hither-ledger-verify --node {me}" in (out / "README.txt").read_text()
    table = munich.run("audit", "report", copy, "--table", "law").stdout
    assert "auditor in DE" in table and "by auditors" in table, table
    code, said = export(munich, out, "--for", "DE")
    assert code == 2 and "E0827" in said, said


def test_whose_ledger_it_is_says_which_policy_is_asked(sites, tmp_path):
    munich, paris = sites
    put_in_force(munich, 4, "")
    open_one = tmp_path / "open.toml"
    open_one.write_text(EEA + AUDITORS)
    code, said = export(munich, tmp_path / "own", "--for", "DE", "--policy", open_one)
    assert code == 2 and "E0823" in said and "lives by another policy" in said, said
    # Nor does anybody go past a node that runs by asking from elsewhere.
    with contextlib.closing(Node("auditor")) as auditor:
        code, said = export(auditor, tmp_path / "own", munich.data / "ledger", "--for", "DE", "--policy", open_one)
        assert code == 2 and "E0830" in said and f"--data {munich.data}" in said, said
    ledgers = []
    for node in (munich, paris):
        for folder in ("ledger", "policies"):
            shutil.copytree(node.data / folder, tmp_path / node.name / folder)
        ledgers.append(tmp_path / node.name / "ledger")
    # Of a copy at somebody else's no node can say anything.
    with contextlib.closing(Node("auditor")) as auditor:
        code, said = export(auditor, tmp_path / "none", *ledgers, "--for", "DE")
        assert code == 2 and "E0822" in said, said
        code, said = export(auditor, tmp_path / "out", *ledgers, "--for", "DE", "--policy", open_one)
        assert code == 0 and said.count("on no record, for its node does not run here") == 2, said
        copies = sorted(file for file in (tmp_path / "out").iterdir() if file.name[:5] in ("munic", "paris"))
        agreed = subprocess.run([HITHER, "audit", "reconcile", *copies], capture_output=True, text=True, timeout=60)
        assert agreed.returncode == 0, agreed.stderr
        code, said = export(auditor, tmp_path / "twice", ledgers[0], ledgers[0], "--for", "DE", "--policy", open_one)
        assert code == 2 and "E0824" in said, said
    assert not pathlib.Path(tmp_path / "own").exists()
