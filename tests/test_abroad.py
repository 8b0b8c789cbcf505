"""A payload that may not go abroad, and a machine abroad that would take it: what its wire, its memory, its files and its ledger have
of it.

What leaves is encrypted, so that a capture can show three things alone: that no packet has the word in plain, how many bytes go
to whom, and that a payload of megabytes would be seen among them. The last is shown by sending one: under a policy that permits
it, the same check finds it on the way there and in the memory of the machine abroad."""

import contextlib
import concurrent.futures
import json
import pathlib
import secrets
import signal
import subprocess
import sys

import pytest

import canary
from mesh import EEA, wait_for
from spaces import HiddenNode, Network, Wiretap
from test_lan import found, join

PLAIN = '[models]\npull = "manual"\n[mesh]\nmdns = false\n'
# 20 tokens a second, so that there is time to look, and room for prompts of megabytes.
STUB = "hither-stub 1\ntoken_us=50000 length=400 slots=4 context=60000000\n"
ANYWHERE = EEA.replace('target = ["EEA"]', 'target = ["EEA", "ID"]')
assert ANYWHERE != EEA
ADDRESSES = {"munich": "10.0.0.1", "paris": "10.0.0.2", "jakarta": "10.0.0.3"}
# Of one request. Gossip of a minute is a hundredth of it.
PAYLOAD = 2_000_000


@pytest.fixture
def sites():
    """munich, which has no model; paris and jakarta, which have the same one."""
    with contextlib.closing(Network()) as network, contextlib.ExitStack() as stack:
        nodes = {}
        for name, address in ADDRESSES.items():
            machine = network.machine(name)
            machine.address(f"{address}/24")
            # Whoever is abroad would take anything: its policy is an old one.
            policy = ANYWHERE if name == "jakarta" else EEA
            nodes[name] = stack.enter_context(contextlib.closing(HiddenNode(machine, name, policy, PLAIN)))
        found(nodes["munich"], mesh="10.0.0.1:0")
        for name, place in (("paris", "FR"), ("jakarta", "ID")):
            nodes[name].up(mesh=f"{ADDRESSES[name]}:0")
            join(nodes["munich"], nodes[name], place)
            path = nodes[name].data / "assistant.stub"
            path.write_text(STUB)
            nodes[name].run("models", "add", path, "--name", "assistant")
        yield nodes


@contextlib.contextmanager
def taps(nodes, words):
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(contextlib.closing(Wiretap(node.machine, words, ADDRESSES.values()))) for name, node in nodes.items()}


def ask(node, text, tokens=3, **headers):
    """One request from munich: status, and who served it."""
    body = {"model": "assistant", "messages": [{"role": "user", "content": text}], "max_tokens": tokens}
    status, told, _ = node.post("/v1/chat/completions", body, {"x-hither-class": "internal", "x-hither-timeout-ms": "20000", **headers})
    return status, told.get("x-hither-served-by")


def payload(word):
    """Two megabytes that cannot be made smaller, with the word all over them."""
    noise = secrets.token_urlsafe(PAYLOAD * 3 // 4)
    return " ".join(f"{word} {noise[at : at + 900]}" for at in range(0, PAYLOAD, 900))


def applies(node, text, version):
    path = node.data / "next.toml"
    path.write_text(text.replace("version = 1", f"version = {version}", 1))
    node.run("policy", "apply", path)


def in_memory(pid, word):
    """Whether a process or one that it started has the word in its memory."""
    family = [pid, *map(int, pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    return any(canary.within(part, word) for member in family for part in memory(member))


def memory(pid):
    """What a process has written to, in parts that overlap."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights, *_ = line.split()
            start, end = (int(number, 16) for number in span.split("-"))
            if not rights.startswith("rw") or "[v" in line:
                continue
            for at in range(start, end, 1 << 24):
                with contextlib.suppress(OSError, ValueError):
                    file.seek(at)
                    yield file.read(min((1 << 24) + 256, end - at))


def is_asked(node, kinds):
    shown = node.json("ledger", "show", node.data / "ledger")["records"]
    return [record for record in shown if record["kind"] in kinds]


def bytes_to(tapped, name):
    """What all machines together sent to one."""
    return sum(tap.bytes_to(ADDRESSES[name]) for tap in tapped.values())


def test_a_payload_that_may_go_abroad_is_seen_there_and_one_that_may_not_is_nowhere(sites):
    munich, paris, jakarta = sites["munich"], sites["paris"], sites["jakarta"]
    forms = lambda word: [form for _, form in canary.forms(word)]

    # The plant: the only place with the model is abroad, and the policy lets it go there. Then every check must find it.
    planted = f"planted-{secrets.token_hex(8)}"
    paris.kill()
    applies(munich, ANYWHERE, 2)
    with taps(sites, forms(planted)) as tapped, concurrent.futures.ThreadPoolExecutor() as pool:
        wait_for("jakarta is known with its model", lambda: ask(munich, "hello") == (200, "jakarta"))
        sent = pool.submit(ask, munich, payload(planted), 60)
        wait_for("the payload is on the wire abroad", lambda: bytes_to(tapped, "jakarta") > PAYLOAD)
        wait_for("and in the memory there", lambda: in_memory(jakarta.process.pid, planted))
        assert sent.result(60) == (200, "jakarta")
        # In plain it is nowhere, and a packet that has it is seen.
        assert not any(tap.hits for tap in tapped.values())
        tell = f"import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'{planted}', ('10.0.0.3', 9))"
        subprocess.run([*munich.machine.prefix, sys.executable, "-c", tell], check=True, timeout=60)
        wait_for("the word in plain is a hit", lambda: tapped["munich"].hits)
    assert is_asked(jakarta, ["ingress.accept"])

    # From here on nothing may go there, and who is there has no memory of before. Its own policy would take it still.
    word = f"abroad-{secrets.token_hex(8)}"
    applies(munich, EEA, 3)
    for node in (jakarta, paris):
        node.kill()
        node.up(mesh=f"{ADDRESSES[node.name]}:0")
    before = len(is_asked(jakarta, ["ingress.accept", "ingress.refuse", "egress.answer"]))
    with taps(sites, forms(word)) as tapped, concurrent.futures.ThreadPoolExecutor() as pool:
        wait_for("paris serves", lambda: ask(munich, f"hello {word}") == (200, "paris"))
        sees = lambda: any(node["member"]["site"] == "jakarta" and node["models"] for node in munich.view()["nodes"])
        wait_for("munich knows that jakarta has the model, too", sees)
        for _ in range(3):
            assert ask(munich, payload(word)) == (200, "paris")
        # Special data may go nowhere, and a preference is no permit.
        assert ask(munich, payload(word), **{"x-hither-class": "special"})[0] == 451
        assert ask(munich, payload(word), **{"x-hither-prefer": "jakarta"}) == (200, "paris")
        # The place that serves it is frozen, and then dies under it: tries elsewhere have nowhere to go.
        cut = [pool.submit(ask, munich, payload(word), 100) for _ in range(2)]
        wait_for("both are on their way", lambda: bytes_to(tapped, "paris") > 6 * PAYLOAD)
        paris.signal(signal.SIGSTOP)
        late = pool.submit(ask, munich, payload(word))
        paris.kill()
        assert all(status != 200 for status, _ in [future.result(60) for future in [*cut, late]])
        for _ in range(3):
            assert ask(munich, payload(word))[0] in (451, 503)

        assert bytes_to(tapped, "paris") > 6 * PAYLOAD
        # One payload would be twice as much.
        assert bytes_to(tapped, "jakarta") < PAYLOAD // 2
        assert not any(tap.hits for tap in tapped.values())
    assert not in_memory(jakarta.process.pid, word)
    assert in_memory(munich.process.pid, word), "the search would find it where it is"
    assert canary.search(jakarta.data, word)[0] == []
    assert len(is_asked(jakarta, ["ingress.accept", "ingress.refuse", "egress.answer"])) == before
    permitted = [record for record in is_asked(munich, ["egress.intent"]) if record["place"]["site"] == "jakarta"]
    changed = is_asked(munich, ["policy.change"])[-1]["seq"]
    assert permitted and all(record["seq"] < changed for record in permitted), permitted[-1]


# What the card counts beside payload. Of each packet that it is given: Ethernet, IPv4 and UDP (14, 20, 8). Such a packet may be a
# train of datagrams that are cut apart later, each with a head of its own: a short header of QUIC with its connection id and two
# bytes of number (11, RFC 9000 17.3.1); the tag of AES-GCM or ChaCha20-Poly1305 (16, RFC 9001 5.3); a STREAM frame's type, id,
# offset and length (8, RFC 9000 19.8). Datagrams have 1452 bytes, the most that the QUIC stack tries on Ethernet.
PACKET, DATAGRAM, IN_DATAGRAM = 14 + 20 + 8, 1452, 11 + 16 + 8


def sent_by(node):
    """Bytes and packets that the card of a machine sent."""
    told = json.loads(node.machine.sh("ip -s -s -j link show dev eth0"))[0]["stats64"]["tx"]
    return told["bytes"], told["packets"]


def test_the_ledger_has_as_many_bytes_as_the_card_sent(sites):
    munich, jakarta = sites["munich"], sites["jakarta"]
    jakarta.kill()
    wait_for("paris serves", lambda: ask(munich, "hello") == (200, "paris"))
    count = lambda: sum(record["bytes_out"] for record in is_asked(munich, ["egress.settled"]))
    bytes_before, packets_before = sent_by(munich)
    ledger_before = count()
    for _ in range(10):
        assert ask(munich, payload("counted")) == (200, "paris")
    bytes_after, packets_after = sent_by(munich)
    wait_for("all are settled", lambda: len(is_asked(munich, ["egress.intent"])) == len(is_asked(munich, ["egress.settled"])))
    ledger, packets = count() - ledger_before, packets_after - packets_before
    wire = bytes_after - bytes_before
    datagrams = (wire - packets * PACKET) / DATAGRAM
    ratio = datagrams * (DATAGRAM - IN_DATAGRAM) / ledger
    print(f"ledger {ledger} bytes, card {wire} bytes in {packets} packets: {wire / ledger:.4f}, without headers {ratio:.4f}")
    assert ledger > 10 * PAYLOAD
    assert abs(ratio - 1) < 0.01, (ledger, wire, packets, ratio)
