"""What a kernel counts and stops of what a node sends, by the rules that its policy makes."""

import json
import subprocess
import sys

from mesh import EEA, wait_for
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


def counted(machine):
    """Packets by counter."""
    said = json.loads(nft(machine, "-j", "list", "counters", "table", "inet", "hither"))["nftables"]
    return {entry["counter"]["name"]: entry["counter"]["packets"] for entry in said if "counter" in entry}


def test_what_a_node_sends_goes_to_members_and_the_kernel_stops_the_rest(node):  # noqa: F811
    munich, paris = node("munich", "10.0.0.1/24", config=QUIET), node("paris", "10.0.0.2/24", config=QUIET)
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
