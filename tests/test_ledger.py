"""The ledger of a running node, checked by a program that shares no code with it."""

import shutil
import subprocess

from mesh import ROOT

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
