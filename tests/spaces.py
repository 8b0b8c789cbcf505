"""Machines made of network namespaces, joined by a bridge, and what their cards send. They end with whoever made them, need
no rights but those of a user namespace, and reach nothing of the machine that they run on.
"""

import contextlib
import http.client
import ipaddress
import json
import socket
import struct
import subprocess
import sys
import threading

from mesh import Node, marked, parse

# A program that holds namespaces until its input ends.
HOLD = "ip link set lo up && echo ready && read -r _"


class Machine:
    """A network namespace of its own, whose card is on the bridge."""

    def __init__(self, network, name):
        self.network = network
        self.holder = subprocess.Popen(
            [*enter(network.holder), "unshare", "--net", "sh", "-c", HOLD],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        assert self.holder.stdout.readline() == "ready\n", "no namespace was made"
        network.sh(
            f"ip link add v-{name} type veth peer name eth0 netns {self.holder.pid} && "
            f"ip link set v-{name} master bridge up"
        )
        # Nothing of its own accord but what is asked for here.
        self.sh("echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_ra; ip link set eth0 up")

    @property
    def prefix(self):
        """What stands before a command that runs on this machine."""
        return enter(self.holder)

    def sh(self, lines):
        return run([*self.prefix, "sh", "-ec", lines])

    def address(self, *addresses):
        """Gives the card these addresses, and takes the others."""
        lines = "ip -4 addr flush dev eth0; ip -6 addr flush dev eth0 scope global"
        for address in addresses:
            lines += f"; ip addr add {address} dev eth0" + (" nodad" if ":" in address else "")
        self.sh(lines)


class Network:
    """A bridge, and machines on it."""

    def __init__(self):
        self.holder = subprocess.Popen(
            ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", HOLD],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        assert self.holder.stdout.readline() == "ready\n", "no namespace was made"
        self.machines = []
        # Every card hears every multicast: nobody asks this bridge who wants it.
        self.sh("ip link add bridge type bridge mcast_snooping 0 && ip link set bridge up")

    def sh(self, lines):
        return run([*enter(self.holder), "sh", "-ec", lines])

    def machine(self, name):
        self.machines.append(Machine(self, name))
        return self.machines[-1]

    def close(self):
        for place in [*self.machines, self]:
            place.holder.stdin.close()
            place.holder.wait()
            place.holder.stdout.close()


def enter(holder):
    return ["nsenter", "--target", str(holder.pid), "--user", "--preserve-credentials", "--net", "--"]


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


class HiddenNode(Node):
    """A node on a machine of its own: it is asked over its Unix socket, for its ports are out of reach."""

    def __init__(self, machine, name, policy=None, config=""):
        super().__init__(name, policy, config)
        self.machine = machine

    def up(self, mesh="0.0.0.0:0", words=None):
        return super().up(prefix=self.machine.prefix, mesh=mesh, words=words)

    def call(self, method, path, body=None, headers=None):
        link = http.client.HTTPConnection("localhost", timeout=60)
        link.sock = socket.socket(socket.AF_UNIX)
        with contextlib.closing(link):
            link.sock.connect(str(self.data / "api.sock"))
            link.request(method, path, body, {"Content-Type": "application/json", **(headers or {})})
            answer = link.getresponse()
            return answer.status, answer.headers, answer.read()

    def get(self, path):
        status, _, body = self.call("GET", path)
        return status, body

    def post(self, path, body, headers=None, timeout=120):
        status, headers, body = self.call("POST", path, json.dumps(marked(path, body)), headers)
        return status, headers, parse(body)


# Prints each packet that leaves by a card, or goes to this machine itself: the card, then its first bytes.
CAPTURE = """
import socket, sys
PACKET_OUTGOING, EVERY = 4, 3
link = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(EVERY))
print("ready", flush=True)
while True:
    data, (card, protocol, kind, _, _) = link.recvfrom(2048)
    if kind == PACKET_OUTGOING:
        print(card, protocol, data[:128].hex(), flush=True)
"""


class Capture:
    """Everything that a machine sends, from the start of the capture on."""

    def __init__(self, machine):
        self.packets = []
        self.process = subprocess.Popen(
            [*machine.prefix, sys.executable, "-c", CAPTURE], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "ready\n", "nothing can be captured"
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            card, protocol, data = line.split()
            self.packets.append((card, int(protocol), bytes.fromhex(data)))

    def contacted(self):
        """Whom: (protocol, address, port or None). What the kernel says to find its neighbours is left out, but for whom it
        looks."""
        return {contact for packet in list(self.packets) if (contact := contact_of(*packet))}

    def close(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()


# Prints each packet that leaves by a card and has one of the words in it.
TAP = """
import socket, sys
PACKET_OUTGOING, EVERY = 4, 3
words = [bytes.fromhex(word) for word in sys.argv[1:]]
link = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(EVERY))
link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
print("ready", flush=True)
while True:
    # Segments may be put together by the card alone: 64 KB of them are one packet here.
    data, (card, _, kind, _, _) = link.recvfrom(1 << 17)
    if kind == PACKET_OUTGOING and card != "lo" and any(word in data for word in words):
        print(card, len(data), flush=True)
"""

# What the kernel counts of all that a machine sends, by whom it is for: a capture may miss packets, and this does not.
COUNTED = "add table inet tap; add chain inet tap out {{ type filter hook output priority 0; }}"
COUNTER = "; add counter inet tap to{number}; add rule inet tap out ip daddr {address} counter name to{number}"


class Wiretap:
    """How many bytes a machine sends to each of some addresses, and packets in which words can be read."""

    def __init__(self, machine, words, addresses):
        self.machine, self.addresses, self.hits = machine, list(addresses), []
        rules = COUNTED.format() + "".join(
            COUNTER.format(number=number, address=address) for number, address in enumerate(self.addresses)
        )
        run([*machine.prefix, "nft", rules])
        self.process = subprocess.Popen(
            [*machine.prefix, sys.executable, "-c", TAP, *(word.hex() for word in words)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "ready\n", "nothing can be captured"
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.hits.append(line)

    def bytes_to(self, address):
        """Bytes of all packets to an address since the tap was set."""
        said = json.loads(run([*self.machine.prefix, "nft", "-j", "list", "counters", "table", "inet", "tap"]))["nftables"]
        counted = {entry["counter"]["name"]: entry["counter"]["bytes"] for entry in said if "counter" in entry}
        return counted[f"to{self.addresses.index(address)}"]

    def close(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()
        run([*self.machine.prefix, "nft", "delete table inet tap"])


PROTOCOLS = {1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 58: "icmp6"}


def contact_of(card, protocol, data):
    """Whom a packet is for."""
    if protocol == 0x0806:
        # Who is looked for on the wire, though nothing was sent to it yet.
        return "arp", str(ipaddress.IPv4Address(data[24:28])), None
    if protocol == 0x0800:
        head = (data[0] & 15) * 4
        kind, to, rest = data[9], ipaddress.IPv4Address(data[16:20]), data[head:]
    elif protocol == 0x86DD:
        kind, to, rest = data[6], ipaddress.IPv6Address(data[24:40]), data[40:]
        # From nobody: whether somebody has an address already, before it is used.
        if kind == 58 and rest[0] == 135 and any(data[8:24]):
            return "ndp", str(ipaddress.IPv6Address(rest[8:24])), None
        # Multicast listener reports, whose head lies before them, and what routers are asked.
        if kind == 0 or (kind == 58 and rest[0] in (133, 135, 136, 143)):
            return None
    else:
        return f"protocol {protocol}", card, None
    if kind == 2:
        return None
    name = PROTOCOLS.get(kind, f"protocol {kind}")
    port = struct.unpack("!H", rest[2:4])[0] if name in ("tcp", "udp") else None
    return name, str(to), port
