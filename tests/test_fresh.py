"""How new certificates have to be: data whose rules want an assurance leave a member that no issuer has vouched for lately."""

import contextlib
import shutil
import socket

import pytest

from mesh import Node, chat, clock, wait_for
from test_membership import CONFIG, join, key, see

# Personal data go to members that somebody vouched for within a day; internal data to others, too.
POLICY = """
version = 1
[default]
unlabelled = "internal"
[members]
certified_within_hours = 24
[[permit]]
id = "internal"
class = ["internal"]
target = ["EEA"]
[[permit]]
id = "personal-if-vouched"
class = ["personal"]
target = ["EEA"]
assurance = 1
"""
PERSONAL = {"x-hither-class": "personal"}
HOUR_MS = 3_600_000


@contextlib.contextmanager
def mesh():
    """Three sites, and where each stands: whoever is started anew is found there by those who were away meanwhile."""
    with contextlib.ExitStack() as stack:
        names = ("munich", "paris", "lyon")
        sites = {name: stack.enter_context(contextlib.closing(Node(name, POLICY, CONFIG))) for name in names}
        with contextlib.ExitStack() as held:
            ends = [held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in sites]
            for end in ends:
                end.bind(("127.0.0.1", 0))
            at = {name: "127.0.0.1:%d" % end.getsockname()[1] for name, end in zip(names, ends, strict=True)}
        sites["munich"].run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        for name, node in sites.items():
            node.up(mesh=at[name])
        for name in ("paris", "lyon"):
            assert join(sites["munich"], sites[name]).returncode == 0
        see(sites, *names)
        yield sites, at


def ask(node, headers=None):
    return chat(node, model="assistant", headers=headers)


def is_answered(node, headers=None):
    return ask(node, headers)[0] == 200


def seen(viewer, site):
    return next(node for node in viewer.view()["nodes"] if node["member"]["site"] == site)


def warned(node):
    return [text for text in node.view()["warnings"] if text.startswith("certificate-old: ")]


@pytest.mark.skipif(not shutil.which("faketime"), reason="the package faketime is not installed")
def test_personal_data_leave_a_member_that_no_issuer_reached_for_a_day_until_one_does():
    with mesh() as (sites, at):
        munich, paris, lyon = sites.values()
        stub = lyon.data / "assistant.stub"
        stub.write_text("hither-stub 1\nprefill_us=0 token_us=100 length=4\n")
        lyon.run("models", "add", stub, "--name", "assistant")
        wait_for("paris is served", lambda: is_answered(paris, PERSONAL))
        assert seen(paris, "lyon")["member"]["assurance"] == "vouched" and not seen(paris, "lyon")["evidence"]["outdated"]
        made = {name: node.view()["me"]["expires_unix_ms"] for name, node in sites.items()}

        # A day and an hour later, munich, which alone vouches for others, is away.
        for node in sites.values():
            node.kill()
        for node in (paris, lyon):
            node.up(prefix=clock("+25h"), mesh=at[node.name])
        see(sites, "paris", "lyon")
        wait_for("internal data go there", lambda: is_answered(paris))
        status, _, answer = ask(paris, PERSONAL)
        assert status in (403, 451), answer
        told = paris.run("explain", answer["error"]["request"]).stdout
        assert "its certificate was made more than 25 h ago, and the policy here wants one of the last 24 h" in told, told
        outdated = seen(paris, "lyon")["evidence"]["outdated"]
        assert (outdated["certified_within_hours"], outdated["certified_unix_ms"]) == (24, made["lyon"] - 30 * 24 * HOUR_MS)
        listed = paris.run("member", "ls").stdout
        assert "claimed: its certificate was made more than 25 h ago" in listed, listed
        assert warned(lyon) and "certificate-old" in lyon.run("status").stdout
        # At home personal data are worked on as before.
        assert is_answered(lyon, PERSONAL)

        # It is back, and makes all of them anew, its own as well.
        munich.up(prefix=clock("+25h"), mesh=at["munich"])
        wait_for("personal data go there again", lambda: is_answered(paris, PERSONAL))
        for name, node in sites.items():
            renewed = lambda node=node, name=name: node.view()["me"]["expires_unix_ms"] >= made[name] + 25 * HOUR_MS
            wait_for(f"{name} has a newer one", renewed)
            wait_for(f"{name} warns no more", lambda node=node: not warned(node))
        for viewer in sites.values():
            for name in sites:
                vouched = lambda viewer=viewer, name=name: seen(viewer, name)["member"]["assurance"] == "vouched"
                wait_for(f"{viewer.name} knows that of {name}", vouched)


@pytest.mark.skipif(not shutil.which("faketime"), reason="the package faketime is not installed")
def test_an_issuer_makes_certificates_anew_where_the_founder_is_away_and_its_own_grows_old():
    with mesh() as (sites, at):
        munich, paris, lyon = sites.values()
        munich.run("authority", "appoint", "paris")
        wait_for("paris knows", lambda: paris.json("authority")["issuers"])
        wait_for("lyon knows", lambda: lyon.json("authority")["issuers"])
        for node in sites.values():
            node.kill()
        for node in (paris, lyon):
            node.up(prefix=clock("+25h"), mesh=at[node.name])
        see(sites, "paris", "lyon")
        wait_for("lyon has a newer one", lambda: seen(lyon, "lyon")["member"]["assurance"] == "vouched")
        assert seen(lyon, "lyon")["evidence"]["certificate_by"] == key(paris)
        # Nobody vouches for itself but the founder.
        assert warned(paris) and seen(lyon, "paris")["member"]["assurance"] == "claimed"
        # The founder, which it cannot vouch for, belongs all the same.
        munich.up(prefix=clock("+25h"), mesh=at["munich"])
        see(sites, *sites)
        wait_for("paris has a newer one", lambda: not warned(paris))
        wait_for("all know that of munich", lambda: seen(lyon, "munich")["member"]["assurance"] == "vouched")
