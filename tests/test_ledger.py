"""The ledger of a running node, checked by a program that shares no code with it."""

import contextlib
import json
import shutil
import signal
import subprocess

from mesh import EEA, HITHER, ROOT, Node, wait_for

VERIFIER = ROOT / "scripts" / "verify-ledger"


def verify(folder, *node):
    """Runs the verifier."""
    return subprocess.run([VERIFIER, folder, *node], capture_output=True, text=True, timeout=60)


def test_somebody_else_verifies_the_ledger_and_finds_a_changed_byte(munich_alone, tmp_path):
    copy = tmp_path / "ledger"
    shutil.copytree(munich_alone.data / "ledger", copy)
    found = verify(copy)
    assert found.returncode == 0, found.stderr
    assert "unchanged and signed" in found.stdout and not found.stdout.startswith("0 records")

    other = verify(copy, "00" * 32)
    assert other.returncode == 1 and "is signed by node" in other.stderr

    for name in ["ledger.jsonl", "checkpoint", "node.vkey"]:
        whole = (copy / name).read_bytes()
        for at in range(0, len(whole), len(whole) // 8):
            changed = bytearray(whole)
            changed[at] ^= 1
            (copy / name).write_bytes(changed)
            assert verify(copy).returncode == 1, f"{name}, byte {at}"
        (copy / name).write_bytes(whole)
    assert verify(copy).returncode == 0


def test_a_damaged_ledger_is_owned_up_to_and_kept(tmp_path):
    with contextlib.closing(Node("munich", EEA)) as munich:
        munich.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        munich.up()
        ledger = munich.data / "ledger"
        running = munich.run("ledger", "accept-loss", check=False)
        assert running.returncode != 0 and "E0810" in running.stderr and "stop the node" in running.stderr, running.stderr
        munich.signal(signal.SIGTERM)
        assert munich.process.wait(60) == 0
        whole = munich.run("ledger", "accept-loss", check=False)
        assert whole.returncode == 1 and "E0809" in whole.stderr, whole.stderr

        lines = ledger / "ledger.jsonl"
        damaged = lines.read_bytes().replace(b"config.start", b"config.stort", 1)
        lines.write_bytes(damaged)
        munich.up()
        warned = wait_for("it says so", lambda: [w for w in munich.view()["warnings"] if "audit-damaged" in str(w)])
        assert "accept-loss" in str(warned)
        munich.kill()

        kept = json.loads(munich.run("--json", "ledger", "accept-loss").stdout)["kept"]
        assert (tmp_path / kept / "ledger.jsonl").read_bytes() == damaged
        first = json.loads(lines.read_text().splitlines()[0])
        assert first["kind"] == "loss.accept" and first["signed"] >= 1
        assert first["sha256"] == subprocess.run(
            ["sha256sum", f"{kept}/ledger.jsonl"], capture_output=True, text=True, check=True
        ).stdout.split()[0]
        assert verify(ledger).returncode == 0
        munich.up()
        assert not [w for w in munich.view()["warnings"] if "audit-damaged" in str(w)]


def test_records_are_shown_as_they_are_written(tmp_path):
    def shown():
        return [json.loads(line)["kind"] for line in (tmp_path / "shown").read_text().splitlines(True) if line.endswith("\n")]

    with contextlib.closing(Node("munich", EEA)) as munich, open(tmp_path / "shown", "w") as out:
        munich.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        munich.up()
        wait_for("it wrote", lambda: (munich.data / "ledger" / "ledger.jsonl").stat().st_size)
        tail = subprocess.Popen([HITHER, "--data", munich.data, "--json", "ledger", "tail", "--last", "1"], stdout=out)
        try:
            wait_for("the last is shown", lambda: shown() == ["config.start"])
            (munich.data / "next.toml").write_text(EEA.replace("version = 1", "version = 2"))
            munich.run("policy", "apply", munich.data / "next.toml")
            wait_for("the next is shown", lambda: shown() == ["config.start", "policy.change"])
        finally:
            tail.terminate()
            tail.wait(60)
