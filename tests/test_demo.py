"""The demo, with every network but loopback cut: it asserts its own six steps."""

import json
import subprocess

from mesh import HITHER, ROOT


def test_the_demo_holds_with_nothing_but_loopback():
    script = f'ip link set lo up && exec "{HITHER}" demo --script --models "{ROOT}/models"'
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", script],
        capture_output=True, text=True, timeout=900, stdin=subprocess.DEVNULL,
    )
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    summary = json.loads(last)
    assert summary["ok"] is True
    assert len(summary["steps"]) == 6
    assert all(step["ok"] for step in summary["steps"]), summary
