"""Assurance 2: where a member stands is measured by others of its country, and a rule that wants it is held by that."""

import contextlib

import pytest
from mesh import Node, chat, wait_for

# Internal data go anywhere in the area; special ones only where round trips show that the machine is near.
POLICY = """
version = 1
[default]
unlabelled = "internal"
[[permit]]
id = "internal"
action = ["infer"]
class = ["internal"]
target = ["EEA"]
[[permit]]
id = "special-if-near"
action = ["infer"]
class = ["special"]
target = ["FR"]
assurance = 2
"""
QUIET = '[models]\npull = "manual"\n'
SPECIAL = {"x-hither-class": "special"}


@contextlib.contextmanager
def mesh(*places, config=QUIET):
    """munich, which began, and others of these places, by name; the second holds a model."""
    with contextlib.ExitStack() as stack:
        nodes = [stack.enter_context(contextlib.closing(Node(name, POLICY, config))) for name, _ in places]
        nodes[0].run("init", "--site", places[0][0], "--jurisdiction", places[0][1], "--operator", "acme")
        nodes[0].up()
        for node, (name, place) in zip(nodes[1:], places[1:], strict=True):
            node.up()
            join(nodes[0], node, place)
        stub = nodes[1].data / "assistant.stub"
        stub.write_text("hither-stub 1\nprefill_us=0 token_us=100 length=4\n")
        nodes[1].run("models", "add", stub, "--name", "assistant")
        yield nodes


def join(founder, node, place):
    node.run("join", founder.json("invite", "--site", node.name, "--jurisdiction", place)["ticket"])


def ask(node, headers=None):
    return chat(node, model="assistant", headers=headers)


def seen(viewer, site):
    return next((node for node in viewer.view()["nodes"] if node["member"]["site"] == site), None)


def assurance(viewer, site):
    node = seen(viewer, site)
    return node and node["member"]["assurance"]


def weights(viewer, site):
    node = seen(viewer, site)
    return {sample["site"]: sample["weight"] for sample in node["evidence"]["samples"]} if node else {}


def test_special_data_go_to_a_member_that_two_others_of_its_country_measured_and_not_after_one_of_them_is_revoked():
    places = [("munich", "DE"), ("paris", "FR"), ("lyon", "FR")]
    with mesh(*places) as (munich, paris, lyon):
        wait_for("munich is served", lambda: ask(munich)[0] == 200)
        wait_for("lyon measured paris", lambda: weights(munich, "paris") == {"lyon": "near"})
        # One anchor is not enough, wherever it is.
        assert assurance(munich, "paris") == "vouched"
        status, _, answer = ask(munich, SPECIAL)
        assert status in (403, 451), answer
        told = munich.run("explain", answer["error"]["request"]).stdout
        assert "members in FR that measured it within 25 ms: 1, where 2 (near) takes 2" in told, told

        with contextlib.closing(Node("nice", POLICY, QUIET)) as nice:
            nice.up()
            join(munich, nice, "FR")
            wait_for("paris is near", lambda: assurance(munich, "paris") == "near")
            assert weights(munich, "paris") == {"lyon": "near", "nice": "near"}
            # Who asks and who answers judge by themselves; that munich is in another country is no matter.
            wait_for("paris knows it, too", lambda: assurance(paris, "paris") == "near")
            status, headers, answer = wait_for("it goes there", lambda: (got := ask(munich, SPECIAL))[0] == 200 and got)
            assert headers["x-hither-served-by"] == "paris"
            assert assurance(munich, "munich") == "vouched", "nobody else is in its country"

            # What it rests on is shown, and on the record.
            listed = munich.run("member", "ls").stdout
            assert "near" in listed and " ms from nice, " in listed and " km at most, 0 min ago: near" in listed, listed
            sample = next(s for s in seen(munich, "paris")["evidence"]["samples"] if s["site"] == "nice")
            assert sample["bound_km"] == -(-sample["rtt_us"] // 10) and sample["rtt_us"] < 25_000
            # Who vouches for it, too.
            assert seen(munich, "paris")["evidence"]["certificate_by"] == munich.view()["me"]["node"]
            assert "signed by munich" in listed, listed
            members = {member["site"]: member for member in munich.json("member", "ls")}
            assert members["paris"]["assurance"] == "near" and members["paris"]["evidence"]["certificate"] == "vouched"
            assert "FR (near)" in munich.run("status").stdout
            wait_for("the ledger has it", lambda: intents(munich) == [2])

            # A new start of paris is another one until it was measured.
            paris.process.terminate()
            paris.process.wait(30)
            paris.up()
            wait_for("paris is near again", lambda: assurance(munich, "paris") == "near")
            wait_for("and asked", lambda: ask(munich, SPECIAL)[0] == 200)

            munich.run("member", "revoke", "nice")
            wait_for("nice is none of them", lambda: seen(munich, "nice") is None)
            assert assurance(munich, "paris") == "vouched"
            assert ask(munich, SPECIAL)[0] in (403, 451)
            assert ask(munich)[0] == 200, "other data go there as before"
        lyon.kill()


def intents(node):
    """Levels of assurance of the places that special data left for."""
    records = node.json("ledger", "show", node.data / "ledger")["records"]
    return [
        record["place"]["assurance"]
        for record in records
        if record["kind"] == "egress.intent" and record["class"] == "special"
    ]


def test_what_counts_as_near_is_the_judges_own_to_say():
    places = [("munich", "FR"), ("paris", "FR"), ("lyon", "FR")]
    with mesh(*places) as (munich, paris, lyon):
        # munich measures paris itself, and lyon does.
        wait_for("paris is near", lambda: assurance(munich, "paris") == "near")
        wait_for("and asked", lambda: ask(munich, SPECIAL)[0] == 200)
        assert set(weights(munich, "paris")) == {"munich", "lyon"}
        wait_for("all are near for all", lambda: all(
            assurance(viewer, site) == "near" for viewer in (munich, paris, lyon) for site in ("munich", "paris", "lyon")
        ))


@pytest.mark.parametrize("said", ["0", "101"])
def test_a_limit_that_means_nothing_is_refused(said):
    with contextlib.closing(Node("munich", POLICY, f"{QUIET}[assurance]\nnear_ms = {said}\n")) as node:
        node.run("init", "--site", "munich", "--jurisdiction", "DE", "--operator", "acme")
        done = node.run("up", "--api", "127.0.0.1:0", check=False)
        assert done.returncode != 0 and "near_ms under [assurance]" in done.stderr + done.stdout, done
