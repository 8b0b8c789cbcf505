"""Nodes that cannot reach each other, and relays of nobody but the mesh.

A node that is bound to the loopback of IPv6 and one that is bound to that of IPv4 cannot send each other a packet; both reach
a relay over TCP. Routers, and paths through them, are played by `cargo xtask lab` (rows N1 to N5).
"""

import contextlib
import re

import pytest

from mesh import EEA, Node, wait_for

RELAYS = EEA + """
[[permit]]
id = "relays-nearby"
action = ["relay"]
target = ["EEA"]
"""
PLAIN = '[models]\npull = "manual"\n'
WITH_RELAY = PLAIN + '[mesh.relay]\nlisten = "127.0.0.1:0"\n'
# The name makes each a file of its own: two with one content would be one model.
STUB = "hither-stub 1\ntoken_us=1000 length=200 slots=4 context={context}\n"


@pytest.fixture
def start():
    """Starts nodes that end with the test."""
    with contextlib.ExitStack() as stack:

        def make(name, policy=RELAYS, config=PLAIN):
            return stack.enter_context(contextlib.closing(Node(name, policy, config)))

        yield make


def found(node):
    node.run("init", "--site", node.name, "--jurisdiction", "DE-BY", "--operator", "acme")


def ticket(node, site, jurisdiction="FR"):
    return node.json("invite", "--site", site, "--jurisdiction", jurisdiction)["ticket"]


def relay_of(node):
    """The relay as the node prints it: KEY@IP:PORT."""
    found = lambda: re.search(r"relay +([0-9a-f]{64}@\S+)", node.tail())
    return wait_for(f"{node.name} prints its relay", found).group(1)


def holds(node, model):
    """Gives a node a model that nobody else has."""
    path = node.data / f"{model}.stub"
    path.write_text(STUB.format(context=5000 + len(node.name)))
    node.run("models", "add", path, "--name", model)
    wait_for(f"{model} is ready", lambda: node.get(f"/v2/models/{model}/ready")[0] == 200)


def knows(node, site):
    """Waits until the picture of a node shows another: it is made anew several times a second."""
    wait_for(f"{node.name} knows {site}", lambda: any(other["member"]["site"] == site for other in node.view()["nodes"]))


def served(asker, model, by):
    """Whether a node is served by another, once it has heard of it."""

    def ask():
        body = {"model": model, "messages": [{"role": "user", "content": "who is there"}], "max_tokens": 3}
        status, headers, _ = asker.post("/v1/chat/completions", body, {"x-hither-class": "internal"})
        return status == 200 and headers["x-hither-served-by"] == by

    wait_for(f"{asker.name} is served by {by}", ask)


def test_two_that_cannot_reach_each_other_join_and_serve_over_the_relay_of_a_member(start):
    munich, paris = start("munich", config=WITH_RELAY), start("paris")
    found(munich)
    munich.up()
    paris.up(mesh="[::1]:0")
    paris.run("join", ticket(munich, "paris"))
    holds(munich, "of-munich")
    holds(paris, "of-paris")
    served(paris, "of-munich", "munich")
    served(munich, "of-paris", "paris")
    key, address = relay_of(munich).split("@")
    for node, other in ((paris, "munich"), (munich, "paris")):
        pong = node.json("ping", other, "--count", 5)
        assert len(pong["round_trips_us"]) == 5 and min(pong["round_trips_us"]) <= pong["p50_us"]
        assert pong["path"] == "relayed" and pong["address"] == address, pong
        assert pong["relay"] == {"node": key, "site": "munich", "jurisdiction": "DE-BY"}
    said = paris.run("ping", "munich").stdout
    assert "over the relay munich (DE-BY)" in said and "10 round trips" in said, said
    counted_as_relayed(paris, "munich", key)


def counted_as_relayed(node, to, key):
    """Payload that passed a relay is counted as what it is by where it went, and as that."""
    def settled():
        """What left, once nothing of it is still to be written: a record that nobody waits for may take a tenth of a second."""
        rows = node.json("audit", "report", node.data / "ledger", "--table", "transfers")["tables"]["transfers"]
        return rows if rows and all(row["unsettled"] == "" for row in rows) else None

    rows = wait_for("what was sent is on the record", settled)
    records = [record for record in node.json("ledger", "show", node.data / "ledger")["records"]
               if record["kind"] in ("egress.settled", "egress.answer") and record["bytes_out"] > 0]
    assert all(record["relay"] == {"node": key, "site": to, "jur": "DE-BY"} for record in records), records
    links = lambda: {link["link"]: link["requests"] + link["answers"] for link in node.view()["spending"]["links"]}
    sent = sum(record["bytes_out"] for record in records)
    wait_for("the picture has it", lambda: links()["relay"] == links()["cross-border"] == sent)
    assert "of those above, over a relay" in node.run("budget", "egress").stdout
    assert all(row["over_the_relay_of"] == f"{key[:10]} (DE-BY)" for row in rows), rows
    metrics = node.get("/metrics")[1].decode()
    line = next(line for line in metrics.splitlines() if line.startswith("hither_link_relayed_bytes_total{"))
    assert line.rsplit(" ", 1)[1] == str(sent), line


def test_a_path_without_a_relay_is_told_as_such_and_an_unknown_node_is_an_error(start):
    munich, paris = start("munich"), start("paris")
    found(munich)
    munich.up()
    paris.up()
    paris.run("join", ticket(munich, "paris"))
    knows(paris, "munich")
    links = {link["link"]: link for link in paris.view()["spending"]["links"]}
    assert links["relay"] == {"link": "relay", "requests": 0, "answers": 0, "cost": 0}
    pong = paris.json("ping", "munich")
    assert pong["path"] == "direct" and pong["relay"] is None and len(pong["round_trips_us"]) == 10, pong
    assert pong["address"].startswith("127.0.0.1:"), pong
    unknown = paris.run("ping", "atlantis", check=False)
    assert unknown.returncode == 2 and "E0213" in unknown.stderr, unknown.stderr
    itself = paris.run("ping", "paris", check=False)
    assert itself.returncode == 1 and "E0210" in itself.stderr, itself.stderr
    munich.kill()
    gone = paris.run("ping", "munich", check=False)
    assert gone.returncode == 1 and "E0218" in gone.stderr, gone.stderr


def test_a_relay_that_the_law_does_not_permit_carries_hellos_alone(start):
    munich, paris = start("munich", config=WITH_RELAY), start("paris", policy=EEA)
    found(munich)
    munich.up()
    paris.up(mesh="[::1]:0")
    # The founder is reached for the hello; what comes after it would be the ciphertext of requests.
    paris.run("join", ticket(munich, "paris"))
    knows(paris, "munich")
    refused = paris.run("ping", "munich", check=False)
    assert refused.returncode == 1 and "E0218" in refused.stderr, refused.stderr
    assert 'action = ["relay"]' in refused.stderr, refused.stderr
    # Until its law does.
    paris.kill()
    (paris.data / "policy.toml").write_text(RELAYS)
    paris.up(mesh="[::1]:0")
    holds(munich, "of-munich")
    served(paris, "of-munich", "munich")


def test_a_relay_that_stands_alone_is_named_let_in_and_used(start):
    hub, munich, paris = start("hub"), start("munich"), start("paris")
    hub.up(words=["relay", "--listen", "127.0.0.1:0"])
    relay = relay_of(hub)
    (munich.data / "hither.toml").write_text(f'{PLAIN}[mesh]\nrelays = ["{relay}"]\n')
    found(munich)
    munich.up(mesh="[::1]:0")
    # The founder cannot be reached but over the relay, which is nobody's yet.
    hub.run("join", ticket(munich, "hub", "DE-BY"))
    paris.up()
    paris.run("join", ticket(munich, "paris"))
    holds(munich, "of-munich")
    holds(paris, "of-paris")
    served(paris, "of-munich", "munich")
    served(munich, "of-paris", "paris")
    pong = paris.json("ping", "munich")
    assert (pong["path"], pong["relay"]["site"]) == ("relayed", "hub"), pong
    # Who is thrown out of the mesh is off its relay.
    munich.run("member", "revoke", "paris")
    lost = lambda: munich.run("ping", "paris", check=False).returncode != 0
    wait_for("paris is gone", lost)
    wait_for("and does not get back", lambda: paris.run("ping", "munich", check=False).returncode != 0)


def test_what_is_no_relay_is_refused_with_the_form(start):
    munich = start("munich", config=PLAIN + '[mesh]\nrelays = ["relay.example:443"]\n')
    found(munich)
    refused = munich.run("up", "--api", "127.0.0.1:0", check=False)
    assert refused.returncode == 2 and "E0103" in refused.stderr and "KEY@IP:PORT" in refused.stderr, refused.stderr
