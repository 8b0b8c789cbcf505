"""Who belongs, who says so, and what becomes of those who belong no more."""

import concurrent.futures
import contextlib
import json
import urllib.request

import pytest

from mesh import EEA, Node, marked, wait_for

# A stub speaks slowly enough to be met while it speaks: forty seconds for an answer of a thousand tokens.
TALKER = "hither-stub 1\ntoken_us=40000 length=1000 slots=4\n"
CONFIG = '[models]\npull = "manual"\n[drill]\nallow = true\n'
PLACES = {"munich": "DE-BY", "paris": "FR", "lyon": "FR", "nice": "FR"}


@pytest.fixture
def sites():
    """Nodes by name; munich founded the mesh, the others have not joined yet."""
    with contextlib.ExitStack() as stack:
        nodes = {name: stack.enter_context(contextlib.closing(Node(name, EEA, CONFIG))) for name in PLACES}
        nodes["munich"].run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        for node in nodes.values():
            node.up()
        yield nodes


def join(host, guest):
    """A guest joins by an invite of a host."""
    ticket = host.json("invite", "--site", guest.name, "--jurisdiction", PLACES[guest.name])["ticket"]
    return guest.run("join", ticket, check=False)


def key(node):
    return node.view()["me"]["node"]


def present(node):
    """The other sites that a node sees."""
    return {other["member"]["site"] for other in node.view()["nodes"][1:] if other["presence"] == "present"}


def see(nodes, *names):
    """Waits until these nodes see one another and nobody else."""
    for name in names:
        others = set(names) - {name}
        wait_for(f"{name} sees {others}", lambda name=name, others=others: present(nodes[name]) == others)


def members(node):
    return {member["site"] for member in node.json("member", "ls")}


def talk(node, model="talker"):
    """Begins a stream; the response, and the site that answers."""
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "Tell me a story."}]}
    data = json.dumps(marked("/v1/chat/completions", body)).encode()
    request = urllib.request.Request(
        node.url + "/v1/chat/completions", data, {"Content-Type": "application/json", "x-hither-class": "internal"}
    )
    answer = urllib.request.urlopen(request, timeout=60)
    return answer, answer.headers["x-hither-served-by"]


def add_talker(node):
    path = node.data / "talker.stub"
    path.write_text(TALKER)
    node.run("models", "add", path, "--name", "talker")


def test_a_revoked_member_is_cut_off_at_once_and_never_gets_back_in(sites):
    munich, paris, lyon = sites["munich"], sites["paris"], sites["lyon"]
    assert join(munich, paris).returncode == 0
    assert join(munich, lyon).returncode == 0
    see(sites, "munich", "paris", "lyon")
    add_talker(lyon)
    wait_for("the talker can be asked", lambda: talk_begins(paris))
    # A stream of paris runs at lyon when munich ends lyon's membership.
    answer, site = talk(paris)
    assert site == "lyon" and answer.readline().startswith(b"data: {")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        rest = pool.submit(answer.read)
        assert "no member any more" in munich.run("member", "revoke", "lyon").stdout
        said = rest.result(timeout=10)
    # Nobody else has the model, so it ends with an error, and does not go on at lyon.
    assert b'"error"' in said and said.count(b"data: ") < 900, said[-400:]
    see(sites, "munich", "paris")
    assert members(munich) == members(paris) == {"munich", "paris"}
    wait_for("lyon sees nobody", lambda: not present(lyon))
    wait_for("lyon is told", lambda: any("member" in warning for warning in lyon.view()["warnings"]))
    # It is on the record of both, and in the log of both.
    for node in (munich, paris):
        assert node.json("authority")["revoked"] == [key(lyon)]
    # Started anew it has its certificate still, and nobody believes it.
    lyon.kill()
    lyon.up()
    refused = join(munich, lyon)
    assert refused.returncode == 1 and "revoked" in refused.stderr, refused.stderr
    # The others, started anew, remember. One after the other: each start is at another port.
    for node in (munich, paris):
        node.kill()
        node.up()
        see(sites, "munich", "paris")
    assert not present(lyon)
    assert "member.revoke" in paris.run("ledger", "show", paris.data / "ledger").stdout


def talk_begins(node):
    """Whether the talker answers there."""
    try:
        answer, _ = talk(node)
    except urllib.error.HTTPError:
        return False
    answer.close()
    return True


def test_an_issuer_lets_in_whom_it_may_while_the_founder_is_away(sites):
    munich, paris, lyon, nice = sites.values()
    assert join(munich, paris).returncode == 0
    see(sites, "munich", "paris")
    refused = paris.run("invite", "--site", "lyon", "--jurisdiction", "FR", check=False)
    assert refused.returncode == 1 and "E0207" in refused.stderr
    appointed = munich.run("authority", "appoint", "paris", "--within", "FR").stdout
    assert "may let others in who stand in FR" in appointed
    wait_for("paris knows", lambda: paris.json("authority")["issuers"])
    refused = paris.run("invite", "--site", "ulm", "--jurisdiction", "DE", check=False)
    assert refused.returncode == 1 and "E0207" in refused.stderr and "DE" in refused.stderr
    munich.kill()
    assert join(paris, lyon).returncode == 0
    assert join(paris, nice).returncode == 0
    see(sites, "paris", "lyon", "nice")
    # What paris may not: say who lets others in, revoke the founder.
    refused = paris.run("authority", "appoint", "lyon", check=False)
    assert refused.returncode == 1 and "E0211" in refused.stderr
    founder = paris.json("authority")["founder"]
    assert "E0211" in paris.run("member", "revoke", founder, check=False).stderr
    assert "E0207" in lyon.run("member", "revoke", "nice", check=False).stderr
    # What it may: end the membership of one that it let in. The founder hears of both when it is back.
    paris.run("member", "revoke", "nice")
    see(sites, "paris", "lyon")
    munich.up()
    see(sites, "munich", "paris", "lyon")
    assert munich.json("authority")["revoked"] == [key(nice)]
    # Dismissed, it lets in nobody; whom it let in stays, for the founder vouches.
    munich.run("authority", "dismiss", "paris")
    wait_for("paris knows", lambda: not paris.json("authority")["issuers"])
    see(sites, "munich", "paris", "lyon")
    refused = paris.run("invite", "--site", "lille", "--jurisdiction", "FR", check=False)
    assert refused.returncode == 1 and "E0207" in refused.stderr
    assert key(nice) in lyon.json("authority")["revoked"]
    # Also after a start without the founder, from what is on the disk.
    for node in (munich, paris):
        node.kill()
    paris.up()
    see(sites, "paris", "lyon")


def test_whom_an_issuer_let_in_stays_when_the_issuer_is_revoked(sites):
    munich, paris, lyon = sites["munich"], sites["paris"], sites["lyon"]
    assert join(munich, paris).returncode == 0
    see(sites, "munich", "paris")
    munich.run("authority", "appoint", "paris")
    wait_for("paris knows", lambda: paris.json("authority")["issuers"])
    assert join(paris, lyon).returncode == 0
    see(sites, "munich", "paris", "lyon")
    munich.run("member", "revoke", "paris")
    see(sites, "munich", "lyon")
    said = munich.json("authority")
    assert said["issuers"] == [] and said["revoked"] == [key(paris)]


def test_a_node_is_named_by_the_beginning_of_its_key_or_by_its_site(sites):
    munich, paris = sites["munich"], sites["paris"]
    assert join(munich, paris).returncode == 0
    see(sites, "munich", "paris")
    unknown = munich.run("member", "revoke", "atlantis", check=False)
    assert unknown.returncode == 2 and "E0213" in unknown.stderr and "hither member ls" in unknown.stderr
    listed = munich.run("member", "ls").stdout
    assert "its certificate holds 29 days" in listed or "its certificate holds 30 days" in listed, listed
    itself = munich.run("member", "revoke", key(munich)[:12], check=False)
    assert itself.returncode == 1 and "E0209" in itself.stderr
    munich.run("member", "revoke", key(paris)[:8])
    see(sites, "munich")
    shown = munich.run("authority").stdout
    assert "founder" in shown and "munich" in shown and f"revoked  {key(paris)[:10]}" in shown


def test_a_ticket_is_read_from_a_file_and_works_once(sites):
    munich, paris, lyon = sites["munich"], sites["paris"], sites["lyon"]
    ticket = munich.data / "ticket"
    ticket.write_text(munich.run("invite", "--site", "paris", "--jurisdiction", "FR").stdout)
    assert "E0130" in paris.run("join", "--ticket-file", munich.data / "none", check=False).stderr
    assert paris.run("join", check=False).returncode == 2
    assert "paris" in paris.run("join", "--ticket-file", ticket).stdout
    used = lyon.run("join", "--ticket-file", ticket, check=False)
    assert used.returncode == 1 and "E0204" in used.stderr, used.stderr
    see(sites, "munich", "paris")


def test_a_log_that_is_damaged_stops_the_start_so_that_nobody_gets_back_in(sites):
    munich, paris = sites["munich"], sites["paris"]
    assert join(munich, paris).returncode == 0
    see(sites, "munich", "paris")
    munich.run("member", "revoke", "paris")
    munich.kill()
    log = munich.data / "authority"
    kept = log.read_bytes()
    for damage in (kept[:-1], kept[:10] + bytes([kept[10] ^ 1]) + kept[11:], b"", b"garbage"):
        log.write_bytes(damage)
        started = munich.run("up", "--api", "127.0.0.1:0", "--mesh", "127.0.0.1:0", check=False, timeout=30)
        assert started.returncode == 1 and "E0108" in started.stderr, started.stderr
        assert "/authority" in started.stderr and "join" in started.stderr, started.stderr
    log.write_bytes(kept)
    munich.up()
    assert members(munich) == {"munich"}
