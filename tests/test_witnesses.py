"""Ledgers and their witnesses: members that sign a checkpoint once they saw that it only grew, and what they say if it did not."""

import re
import shutil

from mesh import Node, chat, two_sites, wait_for


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
