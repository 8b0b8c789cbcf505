"""The law is asked now and then, with nothing in hand, whether what must stay here would: the answer is on the record."""

import contextlib

from mesh import EEA, Node, two_sites, wait_for

TOO_OPEN = EEA.replace('class = ["internal", "personal"]', 'class = ["internal", "personal", "secret"]')
assert TOO_OPEN != EEA


def pulse(node, kind):
    """What the ledger has of it."""
    shown = node.json("ledger", "show", node.data / "ledger")["records"]
    return [record for record in shown if record["kind"] == kind and record.get("app") == "canary"]


def applies(node, text, number):
    path = node.data / "next.toml"
    path.write_text(text.replace("version = 1", f"version = {number}", 1))
    node.run("policy", "apply", path)


def warned(node):
    return [warning for warning in node.view()["warnings"] if warning.startswith("canary: ")]


def test_a_law_that_lets_a_secret_out_is_told_and_one_that_does_not_leaves_a_pulse():
    with two_sites() as (munich, paris):
        wait_for("munich knows paris", lambda: len(munich.view()["nodes"]) == 2)
        # A law that is new is asked at once, and not in an hour.
        applies(munich, EEA + "# the same\n", 2)
        denied = wait_for("the pulse", lambda: pulse(munich, "deny"))
        assert denied[-1]["considered"] == 1 and denied[-1]["class"] == "secret" and denied[-1]["tags"] == ["canary"], denied
        assert denied[-1]["policy"] == "b3:" + munich.view()["policy"] and not warned(munich)

        applies(munich, TOO_OPEN, 3)
        told = wait_for("it is told", lambda: warned(munich))
        assert "secret leave for paris (FR) by rule eea-personal" in told[0], told
        permitted = pulse(munich, "canary.permit")
        assert permitted[-1]["place"]["site"] == "paris" and permitted[-1]["rule"] == "eea-personal", permitted
        # Nothing left with it, and the other end never heard of it.
        assert not pulse(munich, "egress.intent") and not pulse(paris, "ingress.accept") + pulse(paris, "ingress.refuse")

        applies(munich, EEA, 4)
        wait_for("it is over", lambda: not warned(munich))
        wait_for("with a pulse", lambda: len(pulse(munich, "deny")) == 2)


def test_a_node_alone_has_a_pulse_that_says_so():
    with contextlib.closing(Node("alone", EEA)) as node:
        node.run("init", "--site", "alone", "--jurisdiction", "DE-BY", "--operator", "acme")
        node.up()
        applies(node, EEA + "# the same\n", 2)
        denied = wait_for("the pulse", lambda: pulse(node, "deny"))
        assert denied[-1]["considered"] == 0, denied
        # It is no request of anybody: in no sample, and told apart from what the law refused to an app.
        report = node.json("audit", "report", node.data / "ledger", "--sample", 100)["tables"]
        assert report["sample"] == [] and {row["by"] for row in report["refusals"]} == {"the law, as a test"}, report
        refused = node.run("apps", "add", "canary", check=False)
        assert refused.returncode == 1 and "E0163" in refused.stderr, refused.stderr
