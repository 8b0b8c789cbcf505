"""Three nodes started by hand and joined by invites do what the demo shows."""

import concurrent.futures
import json
import signal
import time

from mesh import LANGUAGE_MODEL, ROOT, chat, wait_for

JAKARTA_LAW = """
version = 1
[default]
unlabelled = "internal"
[[permit]]
id = "asean-internal"
action = ["infer"]
class = ["internal"]
origin = ["ASEAN"]
target = ["ASEAN"]
[[forbid]]
id = "id-bank"
class = ["personal", "special", "secret"]
action = ["infer"]
origin = ["ID"]
target_not = ["ID"]
"""


def ready(node, name):
    return node.get(f"/v2/models/{name}/ready")[0] == 200


def held(node, name, stage="ready"):
    """Whether the node itself has the model at that stage."""
    here = node.view()["nodes"][0]
    return any(model["name"] == name and model["stage"] == stage for model in here["models"])


def test_a_model_is_used_at_a_peer_then_fetched_and_used_at_home(three_sites):
    munich, paris, jakarta = three_sites
    munich.run("models", "add", LANGUAGE_MODEL, "--name", "smollm2-135m", "--licence", "Apache-2.0")
    assert "smollm2-135m" in munich.run("models", "ls").stdout
    wait_for("munich has it", lambda: held(munich, "smollm2-135m"))
    wait_for("paris knows of it", lambda: "smollm2-135m" in paris.get("/v1/models")[1].decode())

    def at_munich():
        status, headers, body = chat(paris)
        return (status, headers, body) if status == 200 else None

    status, headers, body = wait_for("munich answers", at_munich)
    assert headers["x-hither-served-by"] == "munich"
    assert headers["x-hither-rule"] == "eea-personal"
    assert headers["x-hither-device"] == "cpu"
    assert int(headers["x-hither-egress-bytes"]) > 0
    explained = paris.run("explain", headers["x-hither-request"]).stdout
    assert "munich" in explained and "eea-personal" in explained
    assert "munich: started, on its cpu" in explained
    loaded = munich.run("ps").stdout
    assert "smollm2-135m" in loaded and "cpu, llama.cpp" in loaded, loaded

    paris.run("models", "pull", "smollm2-135m")
    wait_for("paris has it", lambda: held(paris, "smollm2-135m"), 120)
    status, headers, _ = chat(paris)
    assert (status, headers["x-hither-served-by"], headers["x-hither-egress-bytes"]) == (200, "paris", "0")

    # A border stops the same question, and says why.
    (jakarta.data / "policy.toml").write_text(JAKARTA_LAW)
    status, _, body = chat(jakarta, headers={"x-hither-class": "personal", "x-hither-subjects": "ID"})
    assert status == 451, body
    done = jakarta.run("run", "smollm2-135m", "hello", check=False)
    assert done.returncode == 3, done.stderr

    for node in [munich, paris, jakarta]:
        node.process.terminate()
        assert node.process.wait(60) == 0, node.tail()
        munich.run("ledger", "verify", node.data / "ledger")
    munich.run("ledger", "reconcile", *[node.data / "ledger" for node in [munich, paris, jakarta]])


def test_an_invite_lets_in_one_node_once(three_sites):
    munich, paris, _ = three_sites
    ticket = munich.json("invite", "--site", "lyon", "--jurisdiction", "FR")["ticket"]
    paris.run("join", ticket)
    again = paris.run("join", ticket, check=False)
    assert again.returncode == 1 and "used already" in again.stderr, again.stderr
    short = munich.json("invite", "--site", "lille", "--jurisdiction", "FR", "--ttl", "1s")["ticket"]
    over = time.time() + 1.1
    wait_for("the invite is over", lambda: time.time() > over)
    expired = paris.run("join", short, check=False)
    assert expired.returncode == 1 and "expired" in expired.stderr, expired.stderr
    wrong = paris.run("join", "hither1nonsense", check=False)
    assert wrong.returncode in (1, 2) and "ticket" in wrong.stderr, wrong.stderr
    refused = paris.run("invite", "--site", "nice", "--jurisdiction", "FR", check=False)
    assert refused.returncode == 1 and "may not let others in" in refused.stderr, refused.stderr


def test_no_death_elsewhere_fails_a_request_that_is_answered_at_home(three_sites):
    munich, paris, jakarta = three_sites
    paris.run("models", "add", ROOT / "models/fraud.onnx", "--name", "fraud")
    wait_for("paris has it", lambda: held(paris, "fraud"))
    golden = json.loads((ROOT / "models/fraud.golden.json").read_text())
    row = golden["input"][0]
    body = {"inputs": [{"name": "input", "shape": [1, len(row)], "datatype": "FP32", "data": row}]}

    def decide(_):
        return paris.post("/v2/models/fraud/infer", body)[0]

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = pool.map(decide, range(1500))
        munich.signal(signal.SIGSTOP)
        jakarta.kill()
        munich.kill()
        munich.up()
        assert set(answers) == {200}


def test_a_node_alone_contacts_nobody_and_answers(munich_alone):
    wait_for("ready", lambda: ready(munich_alone, "fraud"))
    status, headers, _ = chat(munich_alone)
    assert status == 200 and headers["x-hither-served-by"] == "munich"
    view = munich_alone.view()
    assert view["totals"]["egress_requests"] == 0
