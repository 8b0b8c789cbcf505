"""One key on two machines, members that leave, and the file for whoever is asked to help."""

import contextlib
import shutil
import tarfile

import pytest

from mesh import EEA, Node, chat, clock, wait_for
from test_membership import CONFIG, add_talker, join, key, members, present, see

PLACES = {"munich": "DE-BY", "paris": "FR"}


@pytest.fixture
def mesh():
    """Munich, which founded the mesh, and paris, a member."""
    with contextlib.ExitStack() as stack:
        nodes = {name: stack.enter_context(contextlib.closing(Node(name, EEA, CONFIG))) for name in PLACES}
        nodes["munich"].run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        for node in nodes.values():
            node.up()
        assert join(nodes["munich"], nodes["paris"]).returncode == 0
        see(nodes, "munich", "paris")
        yield nodes


def says(node, words):
    return any(words in warning for warning in node.view()["warnings"])


def test_of_two_nodes_with_one_key_the_later_serves_nobody_and_the_earlier_goes_on(mesh):
    munich, paris = mesh["munich"], mesh["paris"]
    add_talker(paris)
    wait_for("munich is served", lambda: chat(munich, model="talker", max_tokens=3)[0] == 200)
    with contextlib.closing(Node("copy")) as copy:
        for name in ("key", "mesh.toml", "authority", "members", "incarnation", "policy.toml", "hither.toml"):
            shutil.copy(paris.data / name, copy.data / name)
        copy.up()
        wait_for("the copy says why", lambda: says(copy, "E0214 key-in-use"), seconds=15)
        wait_for("the first says it, too", lambda: says(paris, "key-in-use"), seconds=15)
        assert not says(paris, "E0214")
        status, headers, _ = chat(copy, model="talker", max_tokens=3)
        assert (status, headers["x-hither-code"]) == (503, "E0214")
        assert "another machine" in copy.run("status").stdout
        # The first serves its own clients, and the mesh, while the copy runs.
        assert chat(paris, model="talker", max_tokens=3)[0] == 200
        wait_for("munich is served again", lambda: chat(munich, model="talker", max_tokens=3)[0] == 200, seconds=15)
        for _ in range(5):
            assert chat(munich, model="talker", max_tokens=3)[0] == 200
        assert present(munich) == {"paris"}


def test_a_node_that_is_started_again_and_again_is_not_taken_for_two(mesh):
    munich, paris = mesh["munich"], mesh["paris"]
    for _ in range(3):
        paris.kill()
        paris.up()
        see(mesh, "munich", "paris")
    assert not says(paris, "key-in-use") and not says(munich, "key-in-use")


@pytest.mark.skipif(not shutil.which("faketime"), reason="the package faketime is not installed")
def test_a_certificate_is_renewed_but_not_by_an_issuer_whose_clock_is_far_from_the_others(mesh):
    munich, paris = mesh["munich"], mesh["paris"]
    before = paris.view()["me"]["expires_unix_ms"]
    # By this clock less than twenty days are left.
    ahead = clock("+15d")
    munich.kill()
    munich.up(prefix=ahead)
    see(mesh, "munich", "paris")
    wait_for("paris says that its clock is behind", lambda: says(paris, "15 days behind") or says(paris, "14 days behind"))
    wait_for("munich says that its own is ahead", lambda: says(munich, "days ahead"))
    assert paris.view()["me"]["expires_unix_ms"] == before
    # It is fifteen days later for both.
    paris.kill()
    paris.up(prefix=ahead)
    see(mesh, "munich", "paris")
    renewed = before + 14 * 86_400_000
    wait_for("the certificate is made anew", lambda: paris.view()["me"]["expires_unix_ms"] > renewed, seconds=30)
    assert not says(munich, "days ahead")
    # It holds by the clock of either, and after a restart.
    paris.kill()
    paris.up()
    see(mesh, "munich", "paris")


def test_a_member_that_leaves_is_forgotten_and_keeps_what_is_its_own(mesh):
    munich, paris = mesh["munich"], mesh["paris"]
    add_talker(paris)
    left = key(paris)
    asked = paris.run("leave", check=False)
    assert asked.returncode == 2 and "hither leave --yes" in asked.stderr
    assert members(munich) == {"munich", "paris"}, "nothing happens before it is meant"
    refused = munich.run("leave", "--yes", check=False)
    assert refused.returncode == 1 and "E0215" in refused.stderr and "founder" in refused.stderr
    assert "has left" in paris.run("leave", "--yes").stdout
    wait_for("munich forgot it", lambda: members(munich) == {"munich"})
    assert members(paris) == {"here"} and key(paris) == left
    assert list(paris.data.glob("mesh.toml.left-*")), "what it was is set aside"
    recorded = lambda: "member.leave" in paris.run("ledger", "show", paris.data / "ledger").stdout
    wait_for("it is on the record", recorded)
    assert "member.leave" in munich.run("ledger", "show", munich.data / "ledger").stdout
    wait_for("its models are there", lambda: chat(paris, model="talker", max_tokens=3)[0] == 200)
    # For good: neither a restart nor an invite brings the key back.
    for node in (munich, paris):
        node.kill()
        node.up()
    refused = join(munich, paris)
    assert refused.returncode == 1 and "never gets back in" in refused.stderr, refused.stderr
    assert members(munich) == {"munich"}


def test_a_report_holds_what_helps_and_no_key(mesh):
    paris = mesh["paris"]
    secret = (paris.data / "key").read_text().strip()
    app = paris.json("apps", "add", "triage")["key"]
    ticket = mesh["munich"].json("invite", "--site", "lyon", "--jurisdiction", "FR")["ticket"]
    chat(paris, headers={"Authorization": f"Bearer {app}"})
    log = paris.data / "report.log"
    log.write_text((paris.data / "log").read_text() + f"\nkey {secret}\napp {app}\njoin {ticket}\nthe last line\n")
    report = paris.data / "report.tar.gz"
    said = paris.run("bugreport", "--output", report, "--log", log).stdout
    assert "nothing was sent" in said
    with tarfile.open(report) as archive:
        names = {member.name for member in archive.getmembers()}
        text = b"".join(archive.extractfile(member).read() for member in archive.getmembers())
    assert {"hither-report/doctor.json", "hither-report/status.json", "hither-report/log.txt"} <= names
    for word in (secret, app, ticket):
        assert word.encode() not in text
    assert b"paris" in text and b"the last line" in text
