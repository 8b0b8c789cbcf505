"""What a kernel counts and stops of what a node sends, by the rules that its policy makes, and what the node makes of it."""

import contextlib
import json
import signal
import subprocess
import sys

from mesh import EEA, Node, wait_for
from test_lan import found, holds, join, network, node, served  # noqa: F401 (fixtures)

QUIET = '[models]\npull = "manual"\n[mesh]\nmdns = false\n'
SEND = """
import socket, sys
try:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"a secret", (sys.argv[1], int(sys.argv[2])))
except PermissionError:
    print("stopped")
"""


def nft(machine, *words, text=None):
    done = subprocess.run(
        [*machine.prefix, "nft", *words], input=text, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, (done.stderr, text)
    return done.stdout


def without_ipv6(node):  # noqa: F811
    """The user of this node is that of the kernel's own sockets, too, which look for neighbours and say who listens."""
    node.machine.sh("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6")


def counted(machine):
    """Packets by counter."""
    said = json.loads(nft(machine, "-j", "list", "counters", "table", "inet", "hither"))["nftables"]
    return {entry["counter"]["name"]: entry["counter"]["packets"] for entry in said if "counter" in entry}


def test_what_a_node_sends_goes_to_members_and_the_kernel_stops_the_rest(node):  # noqa: F811
    munich, paris = node("munich", "10.0.0.1/24", config=QUIET), node("paris", "10.0.0.2/24", config=QUIET)
    without_ipv6(munich)
    found(munich, mesh="10.0.0.1:0")
    paris.up(mesh="10.0.0.2:0")
    join(munich, paris)
    holds(paris, "assistant")
    policy = munich.data / "for-the-kernel.toml"
    policy.write_text(EEA)
    rules = wait_for("the address of paris is known", lambda: (
        text := munich.run("policy", "firewall", policy, "--uid", "0").stdout
    ) and "10.0.0.2 . " in text and text)
    nft(munich.machine, "-f", "-", text=rules)
    served(munich, "assistant", "paris")
    wait_for("packets are counted", lambda: counted(munich.machine)["lawful"] > 0)
    assert counted(munich.machine)["leak"] == 0, counted(munich.machine)
    # The same again, while the mesh goes on.
    nft(munich.machine, "-f", "-", text=rules)
    served(munich, "assistant", "paris")

    sent = subprocess.run(
        [*munich.machine.prefix, sys.executable, "-c", SEND, "10.0.0.9", "4433"], capture_output=True, text=True, timeout=60
    )
    assert sent.stdout == "stopped\n", sent
    assert counted(munich.machine)["leak"] == 1
    # The gateway's rules are read by the same kernel.
    gateway = munich.run("policy", "firewall", policy).stdout
    assert "10.0.0.1 . " in gateway and "goto judge" in gateway
    nft(munich.machine, "-c", "-f", "-", text=gateway)

    # To whom nothing may go, packets of the mesh are counted apart.
    closed = munich.data / "closed.toml"
    closed.write_text('version = 1\n[default]\ncross_border = "deny"\nunlabelled = "special"\n')
    shut = json.loads(munich.run("--json", "policy", "firewall", closed, "--uid", "0").stdout)
    assert shut["lawful"] == [] and any(address.startswith("10.0.0.2:") for address in shut["others"]), shut


COUNTERS = '[egress.kernel]\ncommand = ["nft", "-j", "list", "counters", "table", "inet", "hither"]\nevery_s = 1\n'


def records(node, *kinds):
    """The records of a node's ledger, of some kinds."""
    shown = node.json("ledger", "show", node.data / "ledger")["records"]
    return [record for record in shown if record["kind"] in kinds]


def warned(node, word):
    return any(word in warning for warning in node.view()["warnings"])


def last(node):
    return (records(node, "kernel.counted", "kernel.unread") or [{}])[-1]


def test_a_node_reads_its_kernels_counters_and_a_leak_is_in_its_ledger_and_its_status(node):  # noqa: F811
    munich = node("munich", "10.0.0.1/24", config=QUIET + COUNTERS)
    paris = node("paris", "10.0.0.2/24", config=QUIET)
    without_ipv6(munich)
    found(munich, mesh="10.0.0.1:0")
    # Without the rules nothing is known, and that is what is said.
    wait_for("munich says that nothing is counted", lambda: last(munich).get("kind") == "kernel.unread")
    wait_for("and warns", lambda: warned(munich, "kernel-unread: "))
    paris.up(mesh="10.0.0.2:0")
    join(munich, paris)
    holds(paris, "assistant")
    policy = munich.data / "for-the-kernel.toml"
    policy.write_text(EEA)
    rules = wait_for("the address of paris is known", lambda: (
        text := munich.run("policy", "firewall", policy, "--uid", "0").stdout
    ) and "10.0.0.2 . " in text and text)
    nft(munich.machine, "-f", "-", text=rules)
    wait_for("the counters are read", lambda: last(munich).get("kind") == "kernel.counted")
    wait_for("the warning is over", lambda: not warned(munich, "kernel-"))
    served(munich, "assistant", "paris")

    # Every byte of payload that arrived passed the counters, and nothing else left.
    compared = wait_for("payload is counted", lambda: [
        record for record in records(munich, "kernel.counted") if record.get("payload", 0) > 0])
    settled = {record["bytes_out"] for record in records(munich, "egress.settled") if record["outcome"] == "answered"}
    assert settled and sum(record["payload"] for record in compared) >= min(settled), (compared, settled)
    counted = records(munich, "kernel.counted")
    assert sum(r.get("payload", 0) for r in counted) <= sum(r["lawful"] + r["talk"] for r in counted), counted
    assert not any(record["leak_packets"] for record in counted) and not warned(munich, "kernel-")

    # Something runs as the user of the node, and tells somebody.
    subprocess.run([*munich.machine.prefix, sys.executable, "-c", SEND, "10.0.0.9", "4433"], check=True, timeout=60)
    wait_for("the leak is in the ledger", lambda: sum(r["leak_packets"] for r in records(munich, "kernel.counted")) == 1)
    wait_for("and in the status", lambda: "kernel-leak: the kernel stopped 1 packets" in munich.run("status").stdout)
    shown = munich.run("ledger", "show", munich.data / "ledger").stdout
    assert "leak 1 packets" in shown and "kernel.unread" in shown
    # Loaded anew, the counters begin anew: said, and no number is made of it.
    nft(munich.machine, "-f", "-", text=rules)
    wait_for("it is seen", lambda: any(r["span"] == "reset" and "payload" not in r for r in records(munich, "kernel.counted")))
    wait_for("the leak is dealt with", lambda: not warned(munich, "kernel-leak"))

    # The last reading is the node's last word, and the next start goes on from it.
    munich.signal(signal.SIGTERM)
    munich.process.wait(60)
    assert last(munich)["kind"] == "kernel.counted", last(munich)
    before = len(records(munich, "kernel.counted"))
    munich.up(mesh="10.0.0.1:0")
    anew = wait_for("it reads again", lambda: records(munich, "kernel.counted")[before:])
    assert anew[0]["span"] == "since" and "payload" in anew[0], anew[0]
    table = munich.json("audit", "report", munich.data / "ledger", "--table", "kernel")["tables"]["kernel"]
    assert {row["leak_packets"] for row in table} >= {"0", "1"} and any("not known" in row["since"] for row in table), table
    assert munich.run("ledger", "verify", munich.data / "ledger").stdout.startswith("ok")


def test_payload_that_no_kernel_counted_is_an_alarm():
    with contextlib.ExitStack() as stack:
        munich, paris = (stack.enter_context(contextlib.closing(Node(name, EEA, QUIET))) for name in ("munich", "paris"))
        still = munich.data / "still.json"
        counter = lambda name: {"counter": {
            "family": "inet", "name": name, "table": "hither", "handle": 1, "packets": 0, "bytes": 0}}
        still.write_text(json.dumps({"nftables": [counter(name) for name in ("lawful", "talk", "leak")]}))
        (munich.data / "hither.toml").write_text(
            QUIET + f'[egress.kernel]\ncommand = ["cat", "{still}"]\nevery_s = 1\n')
        found(munich)
        paris.up()
        join(munich, paris)
        holds(paris, "assistant")
        served(munich, "assistant", "paris")
        wait_for("it is told", lambda: warned(munich, "kernel-short: "))
        short = [record for record in records(munich, "kernel.counted") if "short" in record]
        assert short and all(record["short"] == record["payload"] > 0 for record in short), short
        rows = munich.json("audit", "report", munich.data / "ledger", "--table", "kernel")["tables"]["kernel"]
        assert any(row["beside"].startswith("SHORT by ") for row in rows), rows
