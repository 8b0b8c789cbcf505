"""What an invite gives: words that people compare, and roles; and what the founder cannot do alone."""

import contextlib
import re
import shutil
import subprocess

import pytest

from mesh import HITHER, chat, clock, wait_for
from test_membership import PLACES, TALKER, add_talker, join, key, members, see, sites

__all__ = ["sites"]
FOUR_WORDS = re.compile(r"^    ([a-z]+ [a-z]+ [a-z]+ [a-z]+)$")


@contextlib.contextmanager
def typing(node, *words):
    """A command that goes on while others are typed; whoever reads its words, types there."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [HITHER, "--data", node.data, *map(str, words)], stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def words_of(process):
    """The words that a command shows, and what it said before them."""
    said = ""
    for line in process.stderr:
        said += line
        if shown := FOUR_WORDS.match(line.rstrip("\n")):
            return shown[1], said
    raise AssertionError(f"no words in {said!r}")


def ended(process, typed=None):
    """What a command said until its end."""
    out, said = process.communicate(typed, timeout=60)
    return process.returncode, out, said


def invite(host, guest, *options):
    return host.json("invite", "--site", guest.name, "--jurisdiction", PLACES[guest.name], *options)["ticket"]


def issuers(node):
    return [issuer["node"] for issuer in node.json("authority")["issuers"]]


def test_both_screens_show_the_same_words(sites):
    munich, paris = sites["munich"], sites["paris"]
    with typing(munich, "invite", "--site", "paris", "--jurisdiction", "FR", "--wait") as waits:
        ticket = waits.stdout.readline().strip()
        joined = paris.run("join", ticket)
        shown, _ = words_of(waits)
        assert ended(waits)[0] == 0
    assert f"    {shown}\n" in joined.stderr and "member" in joined.stdout.lower()
    see(sites, "munich", "paris")
    # Another invite has other words; a program reads them from the answer.
    lyon = sites["lyon"]
    other = lyon.json("join", invite(munich, lyon))
    assert other["site"] == "lyon" and len(other["words"].split()) == 4 and other["words"] != shown


def test_whoever_waits_for_its_words_is_let_in_once_they_are_typed(sites):
    munich, paris, lyon = sites["munich"], sites["paris"], sites["lyon"]
    ticket = invite(munich, paris, "--confirm")
    with typing(paris, "join", ticket) as joins:
        words, said = words_of(joins)
        assert "hither member confirm" in said
        # Nobody is let in: not by other words, and nobody else by the same ticket.
        wrong = munich.run("member", "confirm", "acorn", "adder", "album", "alley", check=False)
        assert wrong.returncode == 1 and "E0220" in wrong.stderr and "make a new one" in wrong.stderr
        assert "E0220" in munich.run("member", "confirm", "no", "words", check=False).stderr
        late = lyon.run("join", ticket, check=False)
        assert late.returncode == 1 and "E0204" in late.stderr
        assert members(munich) == {"munich"} and joins.poll() is None
        assert "let in as paris" in munich.run("member", "confirm", *words.upper().split()).stdout
        code, out, _ = ended(joins)
    assert code == 0 and "paris" in out
    see(sites, "munich", "paris")


def test_words_are_typed_where_the_invite_was_made_and_never_shown_there(sites):
    munich, paris = sites["munich"], sites["paris"]
    with typing(munich, "invite", "--site", "paris", "--jurisdiction", "FR", "--confirm", "--wait") as waits:
        ticket = waits.stdout.readline().strip()
        with typing(paris, "join", ticket) as joins:
            words, _ = words_of(joins)
            waits.stdin.write("acorn adder album alley\n")
            waits.stdin.flush()
            for line in waits.stderr:
                assert words not in line
                if "E0220" in line:
                    break
            assert members(munich) == {"munich"}
            code, _, said = ended(waits, words + "\n")
            assert code == 0 and "is a member" in said and words not in said
            assert ended(joins)[0] == 0
    see(sites, "munich", "paris")


def test_words_that_nobody_types_let_nobody_in(sites):
    munich, paris = sites["munich"], sites["paris"]
    refused = paris.run("join", invite(munich, paris, "--confirm", "--ttl", "3s"), check=False)
    assert refused.returncode == 1 and "E0204" in refused.stderr and "expired" in refused.stderr
    assert members(munich) == {"munich"}


def test_a_ticket_with_a_letter_changed_or_cut_is_refused_before_anybody_is_asked(sites):
    munich, paris = sites["munich"], sites["paris"]
    ticket = invite(munich, paris)
    swapped = "b" if ticket[40] != "b" else "c"
    for wrong in (ticket[:-1], ticket[:40], ticket[:40] + swapped + ticket[41:], "hither1", "hello"):
        refused = paris.run("join", wrong, check=False)
        assert refused.returncode == 1 and "E0201" in refused.stderr, refused.stderr
    # It is as good as before.
    paris.run("join", ticket)


def test_a_certificate_is_worth_nothing_without_its_key(sites):
    munich, paris, lyon = sites["munich"], sites["paris"], sites["lyon"]
    assert join(munich, paris).returncode == 0
    lyon.kill()
    for name in ("mesh.toml", "authority", "members"):
        shutil.copy(paris.data / name, lyon.data / name)
    started = lyon.run("up", "--api", "127.0.0.1:0", "--mesh", "127.0.0.1:0", check=False, timeout=30)
    assert started.returncode == 1 and "E0108" in started.stderr and "another key" in started.stderr, started.stderr


@pytest.mark.skipif(not shutil.which("faketime"), reason="the package faketime is not installed")
@pytest.mark.parametrize("days", ["+2d", "-2d"])
def test_a_member_whose_clock_is_two_days_off_belongs_and_answers(sites, days):
    munich, paris, lyon = sites["munich"], sites["paris"], sites["lyon"]
    assert join(munich, paris).returncode == 0
    see(sites, "munich", "paris")
    add_talker(paris)
    prefix = clock(days)
    for node in (paris, lyon):
        node.kill()
        node.up(prefix=prefix)
    see(sites, "munich", "paris")
    wait_for("munich is served", lambda: chat(munich, model="talker", max_tokens=3)[0] == 200)
    # An invite ends by both clocks: one that is two days ahead says what may be wrong.
    joined = join(munich, lyon)
    if days == "+2d":
        assert joined.returncode == 1 and "E0202" in joined.stderr and "clock" in joined.stderr
    else:
        assert joined.returncode == 0, joined.stderr


def test_a_member_asks_and_serves_as_its_certificate_lets_it(sites):
    munich, paris, lyon, nice = sites.values()
    for guest, roles in ((paris, "request,publish"), (lyon, "serve,publish"), (nice, "serve,request")):
        guest.run("join", invite(munich, guest, "--roles", roles))
    see(sites, *PLACES)
    listed = {member["site"]: member["roles"] for member in munich.json("member", "ls")}
    assert listed["paris"] == ["request", "publish"] and len(listed["munich"]) == 4
    assert "its roles: serve, publish" in munich.run("member", "ls").stdout
    # Paris has the only talker, and does not serve: nobody asks it, and it answers itself.
    add_talker(paris)
    assert chat(paris, model="talker", max_tokens=3)[0] == 200

    def without_role():
        status, headers, body = chat(munich, model="talker", max_tokens=3)
        return status == 403 and (headers["x-hither-code"], body)

    code, body = wait_for("munich knows of the talker", without_role)
    assert code == "E0219" and "no role serve" in body["error"]["message"] and "hither member ls" in str(body)
    assert "egress" not in munich.run("ledger", "show", munich.data / "ledger").stdout
    # Lyon does not ask, whatever munich has; munich asks lyon, which serves.
    for node, name in ((munich, "here"), (lyon, "there")):
        path = node.data / f"{name}.stub"
        path.write_text(TALKER.replace("40000", "1000" if name == "here" else "1001"))
        node.run("models", "add", path, "--name", name)
    wait_for("munich is served", lambda: chat(munich, model="there", max_tokens=3)[0] == 200)
    wait_for("lyon hears of it", lambda: any(model["name"] == "here" for model in lyon.view()["models"]))
    status, headers, body = wait_for(
        "lyon knows where it is", lambda: (said := chat(lyon, model="here", max_tokens=3))[0] == 403 and said
    )
    assert headers["x-hither-code"] == "E0219" and "no role request" in body["error"]["message"]
    # Nice publishes nothing: its own clients are served, and nobody hears of the model.
    path = nice.data / "alone.stub"
    path.write_text(TALKER.replace("40000", "1002"))
    nice.run("models", "add", path, "--name", "alone")
    wait_for("nice serves itself", lambda: chat(nice, model="alone", max_tokens=3)[0] == 200)
    assert any("role-publish" in warning for warning in nice.view()["warnings"])
    assert not any(model["name"] == "alone" for model in munich.view()["models"])
    assert chat(munich, model="alone", max_tokens=3)[0] == 404
    # The roles are in the certificate, and so they are there after a start anew.
    lyon.kill()
    lyon.up()
    assert lyon.view()["me"]["roles"] == ["serve", "publish"]


def test_an_issuer_gives_the_roles_and_operators_of_its_scope(sites):
    munich, paris, lyon = sites["munich"], sites["paris"], sites["lyon"]
    assert join(munich, paris).returncode == 0
    see(sites, "munich", "paris")
    scope = ("--within", "FR", "--operators", "acme,zwei", "--roles", "serve,request")
    said = munich.run("authority", "appoint", "paris", *scope).stdout
    assert "stand in FR" in said and "run by acme, zwei" in said and "roles serve, request" in said
    wait_for("paris knows", lambda: paris.json("authority")["issuers"])
    asked = ("invite", "--site", "lyon", "--jurisdiction", "FR")
    for wrong in ((), ("--roles", "serve,publish"), ("--roles", "serve", "--operator", "drei")):
        refused = paris.run(*asked, *wrong, check=False)
        assert refused.returncode == 1 and "E0207" in refused.stderr, refused.stderr
    assert paris.run(*asked, "--roles", "rule", check=False).returncode == 2
    lyon.run("join", invite(paris, lyon, "--roles", "serve", "--operator", "zwei"))
    see(sites, "munich", "paris", "lyon")
    listed = {member["site"]: member for member in munich.json("member", "ls")}
    assert (listed["lyon"]["operator"], listed["lyon"]["roles"]) == ("zwei", ["serve"])


def test_what_the_founder_cannot_do_alone_is_proposed_and_approved(sites):
    munich, paris, lyon, nice = sites.values()
    for guest in (paris, lyon, nice):
        assert join(munich, guest).returncode == 0
    see(sites, *PLACES)
    for wrong in (("3", "--approvers", "paris,lyon"), ("1", "--approvers", "munich"), ("2",)):
        refused = munich.run("authority", "quorum", *wrong, check=False)
        assert refused.returncode == 1 and "E02" in refused.stderr, refused.stderr
    munich.run("authority", "quorum", "2", "--approvers", "paris,lyon,nice")
    # Nothing of this is in force by the word of the founder.
    proposed = munich.json("authority", "appoint", "nice", "--within", "FR")["proposal"]
    assert "authority approve" in munich.run("authority", "quorum", "0").stdout
    said = munich.json("authority")
    assert said["issuers"] == [] and said["quorum"]["needed"] == 2 and len(said["proposals"]) == 2
    for words in (("member", "revoke", "lyon"), ("member", "revoke", "nice")):
        refused = munich.run(*words, check=False)
        assert refused.returncode == 1 and "E0224" in refused.stderr and "quorum" in refused.stderr, refused.stderr
    assert "E0223" in munich.run("authority", "approve", proposed[:10], check=False).stderr
    left = lyon.run("leave", "--yes", check=False)
    assert left.returncode == 1 and "E0215" in left.stderr
    # One of two is not enough, and does not count twice; the other is away, and approves when it is back.
    lyon.kill()
    wait_for("paris knows", lambda: paris.json("authority")["proposals"])
    paris.run("authority", "approve", proposed[:10])
    assert "E0223" in paris.run("authority", "approve", proposed[:10], check=False).stderr
    assert "E0223" in paris.run("authority", "approve", "abcdef123456", check=False).stderr
    wait_for("munich hears it", lambda: munich.json("authority")["proposals"][0]["approved"] == [key(paris)])
    assert f"1 of 2 approve: hither authority approve {proposed[:10]}" in munich.run("authority").stdout
    assert munich.json("authority")["issuers"] == []
    lyon.up()
    wait_for("lyon hears of it", lambda: lyon.json("authority")["proposals"])
    lyon.run("authority", "approve", proposed[:10])
    for node in sites.values():
        wait_for(f"{node.name} knows", lambda node=node: issuers(node) == [key(nice)])
    # What is proposed and what is in force is on the disk of each.
    for node in (munich, paris):
        node.kill()
        node.up()
        assert issuers(node) == [key(nice)] and len(node.json("authority")["proposals"]) == 1
    see(sites, *PLACES)
    assert "E0207" in paris.run("invite", "--site", "lille", "--jurisdiction", "FR", check=False).stderr
    nice.run("invite", "--site", "lille", "--jurisdiction", "FR")
