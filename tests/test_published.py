"""Policies that the founder signs into the authority log: who lives by them, from when on, and who does not."""

import contextlib

import pytest

from mesh import EEA, Node, wait_for
from test_membership import join, key, present, see

PLACES = {"munich": "DE-BY", "paris": "FR", "lyon": "FR"}
CONFIG = '[models]\npull = "manual"\n'


def version(number, more=""):
    return EEA.replace("version = 1", f"version = {number}") + more


STAYS = '[[forbid]]\nid = "stays-home"\naction = ["infer"]\ntarget = ["FR"]\n'


@pytest.fixture
def sites():
    """munich founded the mesh, paris and lyon are in it; all have the policy of version 1."""
    with contextlib.ExitStack() as stack:
        nodes = {name: stack.enter_context(contextlib.closing(Node(name, version(1), CONFIG))) for name in PLACES}
        nodes["munich"].run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        for node in nodes.values():
            node.up()
        for guest in ("paris", "lyon"):
            assert join(nodes["munich"], nodes[guest]).returncode == 0
        see(nodes, *PLACES)
        yield nodes


def write(node, text):
    path = node.data / "next.toml"
    path.write_text(text)
    return path


def in_force(node):
    """The version of the policy in force, by its text on the disk, which is what the node says that it lives by."""
    text = (node.data / "policy.toml").read_text()
    digest = node.view()["policy"]
    if digest != node.json("policy", "published")["in_force"]:
        return None
    return next((line.split()[-1] for line in text.splitlines() if line.startswith("version =")), None)


def lives_by(node, number):
    wait_for(f"{node.name} lives by version {number}", lambda: in_force(node) == str(number))


def refused(node, code, *words):
    done = node.run(*words, check=False)
    assert done.returncode == 1 and code in done.stderr, (done.stdout, done.stderr)
    return done.stderr


def test_a_policy_is_signed_once_and_every_node_lives_by_it(sites):
    munich, paris, lyon = sites.values()
    before = paris.view()["policy"]
    lyon.kill()
    new = write(munich, version(2, STAYS))
    rehearsed = munich.json("policy", "publish", new, "--dry-run")
    assert rehearsed["dry_run"] and rehearsed["changes"]["changes"], rehearsed
    assert munich.json("policy", "published")["published"] == []
    said = munich.run("policy", "publish", new).stdout
    assert "published for all nodes: version 2" in said, said
    for node in (munich, paris):
        lives_by(node, 2)
    # Who was away lives by it when it is back, and says so.
    lyon.up()
    lives_by(lyon, 2)
    wait_for("munich sees that all do", lambda: {
        member["policy"] for member in munich.json("policy", "published")["members"]
    } == {munich.view()["policy"]})
    assert munich.run("policy", "published").stdout.count("version 2") == 4
    # It is on the record with the key that signed it, and the text before is kept for whoever reads that record.
    changed = [record for record in paris.json("ledger", "show", paris.data / "ledger")["records"]
               if record["kind"] == "policy.change"]
    assert changed[-1]["by"] == key(munich) and changed[-1]["policy"] == f"b3:{paris.view()['policy']}", changed
    assert paris.run("policy", "published", before[:10]).stdout == version(1)
    assert paris.run("policy", "published", f"b3:{paris.view()['policy'][:12]}").stdout == version(2, STAYS)
    assert "E0318" in paris.run("policy", "published", "abcdef123456", check=False).stderr
    # No other policy takes its place at one of them: not by hand, and not in its file.
    other = write(paris, version(3))
    assert "hither policy publish" in refused(paris, "E0315", "policy", "apply", other)
    paris.kill()
    (paris.data / "policy.toml").write_text(version(7))
    paris.up()
    lives_by(paris, 2)


def test_what_is_no_better_than_what_is_there_is_not_published(sites):
    munich, paris, _ = sites.values()
    refused(paris, "E0211", "policy", "publish", write(paris, version(2)))
    wrong = '[[test]]\ngiven = { class = "special", origin = "DE", target = "US" }\nexpect = "permit"\n'
    refused(munich, "E0332", "policy", "publish", write(munich, version(2, wrong)))
    refused(munich, "E0317", "policy", "withdraw")
    munich.run("policy", "publish", write(munich, version(2)))
    lives_by(paris, 2)
    assert "version = 3" in refused(munich, "E0317", "policy", "publish", write(munich, version(2, STAYS)))
    assert in_force(munich) == "2"


def test_a_policy_for_some_nodes_is_for_them_alone(sites):
    munich, paris, lyon = sites.values()
    said = munich.run("policy", "publish", write(munich, version(4)), "--within", "FR", "--operators", "acme").stdout
    assert "nodes of acme that stand in FR" in said, said
    for node in (paris, lyon):
        lives_by(node, 4)
    assert in_force(munich) == "1"
    munich.run("policy", "withdraw", "--within", "FR", "--operators", "acme")
    wait_for("paris hears it", lambda: paris.json("policy", "published")["published"] == [])
    # What it lives by stays, and is its own again.
    assert in_force(paris) == "4"
    paris.run("policy", "apply", write(paris, version(5)))
    assert in_force(paris) == "5"


def test_nodes_of_another_operator_choose_whether_they_follow(sites):
    munich, paris, lyon = sites.values()
    with contextlib.closing(Node("nice", version(1), CONFIG)) as nice:
        nice.up()
        ticket = munich.json("invite", "--site", "nice", "--jurisdiction", "FR", "--operator", "zwei")["ticket"]
        nice.run("join", ticket)
        wait_for("nice sees them", lambda: present(nice) == set(PLACES))
        munich.run("policy", "publish", write(munich, version(2, STAYS)))
        lives_by(paris, 2)
        told = wait_for("nice is told", lambda: [
            warning for warning in nice.view()["warnings"] if warning.startswith("published-policy: ")
        ])
        assert "acme runs the founder, and zwei this node" in told[0] and 'follow = "mesh"' in told[0], told
        assert in_force(nice) == "1"
        # It can read what it is asked to live by, and take it by hand.
        digest = nice.json("policy", "published")["published"][0]["digest"]
        wait_for("its text is there", lambda: nice.json("policy", "published")["published"][0]["held"])
        taken = write(nice, nice.run("policy", "published", digest).stdout)
        assert taken.read_text() == version(2, STAYS)
        nice.run("policy", "apply", taken)
        assert in_force(nice) == "2"
        wait_for("nothing is in the way", lambda: not nice.view()["warnings"])
        # Or follow from now on.
        nice.kill()
        (nice.data / "hither.toml").write_text(CONFIG + '[law]\nfollow = "mesh"\n')
        nice.up()
        munich.run("policy", "publish", write(munich, version(3)))
        lives_by(nice, 3)
    # And one of the same operator that does not want to.
    lyon.kill()
    (lyon.data / "hither.toml").write_text(CONFIG + '[law]\nfollow = "nobody"\n')
    lyon.up()
    munich.run("policy", "publish", write(munich, version(6)))
    lives_by(paris, 6)
    wait_for("lyon is told", lambda: any("nobody" in warning for warning in lyon.view()["warnings"]))
    lyon.run("policy", "apply", write(lyon, version(9)))
    assert in_force(lyon) == "9"


def test_where_the_founder_needs_others_they_read_the_policy_and_approve(sites):
    munich, paris, lyon = sites.values()
    munich.run("authority", "quorum", "1", "--approvers", "paris")
    proposed = munich.json("policy", "publish", write(munich, version(2, STAYS)))
    assert proposed["proposal"] and in_force(munich) == "1"
    wait_for("paris is asked", lambda: paris.json("authority")["proposals"])
    assert f"policy version 2, b3:{proposed['digest'][:10]}" in paris.run("authority").stdout
    text = wait_for("its text is there", lambda: paris.run("policy", "published", proposed["digest"], check=False).stdout)
    assert text == version(2, STAYS)
    assert in_force(lyon) == "1"
    paris.run("authority", "approve", proposed["proposal"][:10])
    for node in sites.values():
        lives_by(node, 2)
