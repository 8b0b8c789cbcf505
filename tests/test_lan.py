"""Nodes on a network of their own: whom they contact, how members find each other when their addresses change, and IPv6."""

import contextlib
import re
import subprocess
import sys
import time

import pytest

from mesh import EEA, chat, wait_for
from spaces import Capture, HiddenNode, Network

STUB = "hither-stub 1\ntoken_us=1000 length=200 slots=4 context={context}\n"
PLAIN = '[models]\npull = "manual"\n'
MDNS = {("udp", "224.0.0.251", 5353), ("udp", "ff02::fb", 5353)}


@pytest.fixture
def network():
    with contextlib.closing(Network()) as network:
        yield network


@pytest.fixture
def node(network):
    """Makes a node on a machine of its own."""
    with contextlib.ExitStack() as stack:

        def make(name, *addresses, config=PLAIN):
            machine = network.machine(name)
            machine.address(*addresses)
            return stack.enter_context(contextlib.closing(HiddenNode(machine, name, EEA, config)))

        yield make


@pytest.fixture
def capture():
    """Captures what machines send."""
    with contextlib.ExitStack() as stack:
        yield lambda machine: stack.enter_context(contextlib.closing(Capture(machine)))


def found(node, **kind):
    node.run("init", "--site", node.name, "--jurisdiction", "DE-BY", "--operator", "acme")
    node.up(**kind)


def join(issuer, node, jurisdiction="FR"):
    ticket = issuer.json("invite", "--site", node.name, "--jurisdiction", jurisdiction)["ticket"]
    node.run("join", ticket)


def holds(node, model):
    """Gives a node a model that nobody else has."""
    path = node.data / f"{model}.stub"
    path.write_text(STUB.format(context=5000 + len(node.name)))
    node.run("models", "add", path, "--name", model)
    wait_for(f"{model} is ready", lambda: node.get(f"/v2/models/{model}/ready")[0] == 200)


def is_served(asker, model, by):
    status, headers, _ = chat(asker, model=model, max_tokens=3, headers={"x-hither-class": "internal"})
    return status == 200 and headers["x-hither-served-by"] == by


def served(asker, model, by, seconds=60):
    wait_for(f"{asker.name} is served by {by}", lambda: is_served(asker, model, by), seconds)


def sees(node, site):
    return any(other["member"]["site"] == site and other["presence"] == "present" for other in node.view()["nodes"])


def multicast(node):
    return node.view()["reach"]["multicast"]


def busy(node, model, seconds):
    """Lets a node work for a while, as its users would."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert chat(node, model=model, max_tokens=3)[0] == 200


def outside(contacts, *allowed):
    """What was contacted besides this machine itself, those that are allowed, and multicast DNS."""
    own = {"127.0.0.1", "::1"}
    return {
        contact for contact in contacts
        if contact not in MDNS and contact[1] not in own and contact[1] not in allowed or contact[2] == 53
    }


def one_mesh(munich, paris):
    """Munich founds a mesh and holds a model, paris joins and is served; they look for each other by multicast."""
    found(munich)
    paris.up()
    join(munich, paris)
    holds(munich, "of-munich")
    served(paris, "of-munich", "munich")
    wait_for("multicast runs", lambda: multicast(munich)["state"] == "runs")


def checks(node):
    """What the doctor finds, by name."""
    return {check["name"]: check for check in node.json("doctor")["checks"]}


def test_members_whose_addresses_changed_find_each_other_by_multicast_and_not_without_it(node):
    munich, paris = node("munich", "10.7.0.1/24"), node("paris", "10.7.0.2/24")
    one_mesh(munich, paris)
    assert multicast(munich)["on"] == ["10.7.0.1"]
    # Both are down before either comes back: one that is still there would hear where the other went.
    munich.kill()
    paris.kill()
    for number, each in enumerate((munich, paris)):
        each.machine.address(f"10.7.0.{101 + number}/24")
        (each.data / "hither.toml").write_text(PLAIN + "[mesh]\nmdns = false\n")
        each.up()
    wait_for("multicast is off", lambda: multicast(paris)["state"] == "off")
    assert "mdns = false" in paris.run("status").stdout
    # Three times as long as it takes below.
    with pytest.raises(AssertionError):
        wait_for("they meet", lambda: sees(paris, "munich") or sees(munich, "paris"), seconds=20)
    for each in (munich, paris):
        each.kill()
        (each.data / "hither.toml").write_text(PLAIN)
        each.up()
    served(paris, "of-munich", "munich")
    wait_for("it is seen", lambda: sees(munich, "paris"))
    pong = paris.json("ping", "munich")
    assert pong["address"].startswith("10.7.0.101:") and pong["seen_as"].startswith("10.7.0.102:"), pong
    # A peer that does not answer the doctor within its time is no finding about routers: it is asked again.
    told = wait_for("a peer says how it sees paris", lambda: (found := checks(paris)) and "NAT" in found and found)
    assert "members are looked for on 10.7.0.102" in told["mDNS"]["found"], told
    assert "an address of its own machine" in told["NAT"]["found"], told
    assert "straight to 1 of 1 peers" in told["UDP"]["found"] and "all peers have" in told["versions"]["found"], told
    assert "members are looked for on 10.7.0.102" in paris.run("status").stdout


def test_an_address_that_changes_while_the_node_runs_is_announced(node):
    munich, paris = node("munich", "10.7.0.1/24"), node("paris", "10.7.0.2/24")
    found(munich)
    paris.up()
    join(munich, paris)
    wait_for("they meet", lambda: sees(munich, "paris"))
    paris.kill()
    munich.machine.address("10.7.0.111/24")
    wait_for("the new address is announced", lambda: multicast(munich)["on"] == ["10.7.0.111"])
    paris.machine.address("10.7.0.112/24")
    paris.up()
    wait_for("they meet again", lambda: sees(munich, "paris") and sees(paris, "munich"))


def test_a_fresh_node_contacts_nobody(node, capture):
    munich = node("munich", "10.7.0.1/24", "fd00:7::1/64")
    # Whatever is far goes here, and is seen.
    munich.machine.sh("ip route add default via 10.7.0.254; ip route add default via fd00:7::fe")
    seen = capture(munich.machine)
    found(munich, mesh="[::]:0")
    munich.run("invite", "--site", "paris", "--jurisdiction", "FR")
    holds(munich, "of-munich")
    busy(munich, "of-munich", 12)
    assert multicast(munich)["state"] == "alone"
    assert outside(seen.contacted()) == set()
    # Alone it does not even look for others.
    assert not MDNS & seen.contacted()


def test_two_members_contact_each_other_alone(node, capture):
    munich, paris = node("munich", "10.7.0.1/24"), node("paris", "10.7.0.2/24")
    for each in (munich, paris):
        each.machine.sh("ip route add default via 10.7.0.254")
    seen = [capture(each.machine) for each in (munich, paris)]
    one_mesh(munich, paris)
    busy(paris, "of-munich", 12)
    members = ("10.7.0.1", "10.7.0.2")
    for each in seen:
        assert outside(each.contacted(), *members) == set()
        assert MDNS & each.contacted()


def test_the_capture_sees_whoever_else_is_contacted(node, capture):
    """That the two tests above can fail: a relay that is named is contacted, and so is a server outside the mesh."""
    # The base point of the curve: a key that nobody has to have.
    relay = f'[mesh]\nrelays = ["58{"66" * 31}@192.0.2.5:7844"]\n'
    munich = node("munich", "10.7.0.1/24", config=PLAIN + relay)
    munich.machine.sh("ip route add default via 10.7.0.254")
    seen = capture(munich.machine)
    found(munich)
    # There is no router: that it was looked for is what there is to see.
    wait_for("it is seen", lambda: ("arp", "10.7.0.254", None) in outside(seen.contacted()))


# Sends announcements of multicast DNS in the name of a service: a key, an address and a port each.
ANNOUNCE = """
import socket, struct, sys
name = lambda *labels: b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\\0"
def record(owner, kind, data):
    return owner + struct.pack("!HHIH", kind, 1, 120, len(data)) + data
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for line in sys.stdin:
    service, key, address, port = line.split()
    host = name(f"{key}-{port}", "local")
    srv = record(name(key, service, "_udp", "local"), 33, struct.pack("!HHH", 0, 0, int(port)) + host)
    there = record(host, 1, socket.inet_aton(address))
    link.sendto(struct.pack("!HHHHHH", 0, 0x8400, 0, 1, 0, 1) + srv + there, ("224.0.0.251", 5353))
"""


def base32(number):
    """A name that could be a key."""
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    return "".join(letters[(number >> (5 * place)) % 32] for place in range(51)) + "a"


def test_what_strangers_announce_leads_nowhere_and_is_bounded(node, network, capture):
    munich, paris = node("munich", "10.7.0.1/24"), node("paris", "10.7.0.2/24")
    for each in (munich, paris):
        each.machine.sh("ip route add default via 10.7.0.254")
    stranger = network.machine("stranger")
    stranger.address("10.7.0.66/24")
    stranger.sh("ip route add 224.0.0.0/4 dev eth0")
    found(munich)
    paris.up()
    join(munich, paris)
    wait_for("they meet", lambda: sees(munich, "paris"))
    heard = capture(paris.machine)
    # The name of the service stands in what members announce.
    said = lambda: [re.search(rb"(_hither-[a-z2-7]{16})\x04_udp", packet[2]) for packet in heard.packets]
    service = next(match for match in wait_for("it is asked for", lambda: [m for m in said() if m])).group(1).decode()
    key = spelled(paris.view()["me"]["node"])
    paris.kill()
    seen = capture(munich.machine)
    places = [(base32(7), "10.7.0.77"), (key, "192.0.2.9"), (key, "10.7.0.88")]
    lines = [f"{service} {whose} {address} 4001" for whose, address in places]

    def is_tried():
        # Again and again, as members do: what changes too soon is left for the next time.
        announce(stranger, lines)
        return any(contact[1] == "10.7.0.88" for contact in seen.contacted())

    # Of a member, on this network: tried, and in vain, for nobody there has the key.
    wait_for("it is tried", is_tried)
    contacted = {contact[1] for contact in seen.contacted()}
    # Of a stranger, and of a member but elsewhere: not tried.
    assert not contacted & {"10.7.0.77", "192.0.2.9", "10.7.0.254"}, contacted
    flood = [f"{service} {base32(1000 + number)} 10.7.0.77 4001" for number in range(400)]

    def are_too_many():
        # What comes faster than it is read is lost, as with any datagrams.
        announce(stranger, flood)
        return multicast(munich)["state"] == "failed"

    wait_for("they are too many", are_too_many)
    assert "makes them up" in multicast(munich)["reason"]
    assert "10.7.0.77" not in {contact[1] for contact in seen.contacted()}
    # Whoever told its address is found all the same.
    paris.up(mesh="0.0.0.0:7843")
    wait_for("they meet again", lambda: sees(munich, "paris"))


def spelled(node):
    """The key of a node, as it announces it."""
    bits = int(node, 16) << 4
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    return "".join(letters[(bits >> (5 * place)) % 32] for place in reversed(range(52)))


def announce(machine, lines):
    done = subprocess.run(
        [*machine.prefix, sys.executable, "-c", ANNOUNCE], input="\n".join(lines), text=True, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_a_mesh_over_ipv6_alone(node):
    munich, paris = node("munich", "fd00:7::1/64"), node("paris", "fd00:7::2/64")
    found(munich, mesh="[::]:0")
    paris.up(mesh="[::]:0")
    wait_for("it is reached over IPv6", lambda: munich.view()["reach"]["addresses"])
    addresses = munich.view()["reach"]["addresses"]
    assert [address.rpartition(":")[0] for address in addresses] == ["[fd00:7::1]"], addresses
    join(munich, paris)
    holds(munich, "of-munich")
    holds(paris, "of-paris")
    served(paris, "of-munich", "munich")
    served(munich, "of-paris", "paris")
    assert munich.json("ping", "paris")["address"].startswith("[fd00:7::2]:")
    # The same with changed addresses, over IPv6's own multicast.
    for number, each in enumerate((munich, paris)):
        each.kill()
        each.machine.address(f"fd00:7::{101 + number}/64")
        each.up(mesh="[::]:0")
    served(paris, "of-munich", "munich")


def test_a_node_that_listens_on_every_network_speaks_both(node):
    munich, paris, oslo = (
        node("munich", "10.7.0.1/24", "fd00:7::1/64"), node("paris", "10.7.0.2/24"), node("oslo", "fd00:7::3/64"),
    )
    found(munich, mesh="[::]:7843")
    paris.up(mesh="0.0.0.0:0")
    oslo.up(mesh="[::]:0")
    join(munich, paris)
    join(munich, oslo)
    holds(munich, "of-munich")
    served(paris, "of-munich", "munich")
    served(oslo, "of-munich", "munich")
    assert paris.json("ping", "munich")["address"] == "10.7.0.1:7843"
    assert oslo.json("ping", "munich")["address"] == "[fd00:7::1]:7843"
