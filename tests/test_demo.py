"""The demo, with every network but loopback cut: it asserts its own six steps."""

import json
import subprocess
import urllib.request

from mesh import HITHER, ROOT, wait_for


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


def test_the_demo_at_a_terminal_takes_keys(running_demo):
    def paris_sees_munich():
        with urllib.request.urlopen(running_demo.url("paris") + "/hither/v1/view", timeout=30) as answer:
            nodes = json.loads(answer.read())["nodes"]
        return next(node for node in nodes if node["member"]["site"] == "munich")["presence"]

    assert paris_sees_munich() == "present"
    running_demo.press("k1")
    wait_for("munich is gone", lambda: paris_sees_munich() == "gone")
    running_demo.press("r1")
    wait_for("munich is back", lambda: paris_sees_munich() == "present", 120)
    running_demo.press("p1")
    wait_for("munich is cut off", lambda: paris_sees_munich() == "gone")
    running_demo.press("p1")
    wait_for("munich is healed", lambda: paris_sees_munich() == "present", 120)
    running_demo.press("x2")
    wait_for("the last request is explained", lambda: running_demo.shows("Request "), 30)
