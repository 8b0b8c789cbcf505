"""Ledgers and their witnesses: members that sign a checkpoint once they saw that it only grew, and what they say if it did not."""

import contextlib
import re
import shutil

from mesh import EEA, Node, chat, two_sites, wait_for
from test_budgets import PUBLIC
from test_endpoints import US, Server, lives, section
from test_endpoints import node as site


def witnessed(node):
    """How many records others signed, and who did."""
    text = node.run("ledger", "verify", node.data / "ledger").stdout
    found = re.search(r"the first (\d+) records were signed by (\d+) other nodes", text)
    return (int(found[1]), re.findall(r"node ([0-9a-f]{64})  at ", text)) if found else (0, [])


def ask(node, more_than):
    # Records of what happened here may be written a tenth of a second later.
    wait_for("there is more to sign", lambda: node.json("ledger", "verify", node.data / "ledger")["signed"] > more_than)
    meet(node)
    wait_for("it is signed", lambda: witnessed(node)[0] > more_than)
    return witnessed(node)


def meet(node):
    """Waits until somebody is there who can be asked."""
    wait_for("somebody can be asked", lambda: node.run("ledger", "witness", check=False).returncode == 0)


def write(node, count=3):
    """Records, as requests that nobody can answer leave them."""
    for _ in range(count):
        chat(node, model="assistant")


def test_a_ledger_is_signed_by_another_member_and_what_was_told_anew_is_not():
    with two_sites() as (munich, paris):
        stub = munich.data / "assistant.stub"
        stub.write_text("hither-stub 1\nprefill_us=0 token_us=100 length=4\n")
        munich.run("models", "add", stub, "--name", "assistant")
        meet(munich)
        size, by = ask(munich, 0)
        assert by == [paris.view()["me"]["node"]]
        write(munich)
        more, _ = ask(munich, size)
        assert more > size

        # A ledger that was put back as it had been is a whole one to whoever looks at it alone.
        munich.process.terminate()
        munich.process.wait(30)
        kept = munich.data / "kept"
        shutil.copytree(munich.data / "ledger", kept)
        munich.up()
        meet(munich)
        write(munich)
        ask(munich, more)
        munich.process.terminate()
        munich.process.wait(30)
        shutil.rmtree(munich.data / "ledger")
        kept.rename(munich.data / "ledger")
        assert munich.run("ledger", "verify", munich.data / "ledger").returncode == 0
        munich.up()
        meet(munich)
        wait_for("munich is told", lambda: [
            text for text in munich.view()["warnings"] if "when it was longer, or had another beginning" in text
        ])


def test_nobody_is_there_to_sign():
    alone = Node("munich")
    try:
        alone.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        alone.up()
        done = alone.run("ledger", "witness", check=False)
        assert done.returncode == 1 and "E0812" in done.stderr, done
    finally:
        alone.close()


DEMAND = "[ledger]\nwitness_within_days = 1\n"


def test_a_policy_may_let_nothing_leave_before_somebody_signed():
    cloud = contextlib.closing(Server())
    with cloud as server, site(section("cloud", server.port, US), policy=PUBLIC + DEMAND) as munich:
        wait_for("the server is there", lambda: lives(munich, "cloud"))
        # Nobody is there who could sign.
        refused = [chat(munich, model="assistant")[0] for _ in range(3)]
        assert 200 not in refused, refused
        wait_for("it says why", lambda: any(text.startswith("unwitnessed: ") for text in munich.view()["warnings"]))
        assert not [path for path, *_ in server.http.asked if "completions" in path]
        kinds = lambda: {record["kind"] for record in munich.json("ledger", "show", munich.data / "ledger")["records"]}
        wait_for("they are on the record", lambda: "request.end" in kinds())
        assert "egress.intent" not in kinds()
        with contextlib.closing(Node("paris", EEA)) as paris:
            ticket = munich.json("invite", "--site", "paris", "--jurisdiction", "FR")["ticket"]
            paris.up()
            paris.run("join", ticket)
            ask(munich, 0)
        assert chat(munich, model="assistant")[0] == 200
        wait_for("nothing is in the way", lambda: not any("unwitnessed" in text for text in munich.view()["warnings"]))
        # And after a start, by what was kept.
        munich.process.terminate()
        munich.process.wait(30)
        munich.up()
        wait_for("the server is there", lambda: lives(munich, "cloud"))
        assert chat(munich, model="assistant")[0] == 200
