"""A storm of requests through real nodes, and an observer outside of them.

    python tests/storm.py --requests 1000000 [--seed 1] [--minutes 15] [--plant]

Five nodes in five countries, each with a policy of its own that changes all the time; clients that send requests of all classes at
once; nodes that are killed, frozen and cut off. Afterwards the observer reads every ledger line by line, and judges each egress and
each ingress by a second reading of the law (law_reading.py): the label as the client sent it, the place as it was let in, and the
policy that was given to the node. With --plant two nodes are given a policy behind the observer's back, which it must find."""

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time

from law_reading import Law
from mesh import Node, wait_for
from storm_clients import VARIANTS, client
from storm_observer import Observer

# A family of models, from the largest to the smallest: for who takes any of it a smaller one answers where there is no room.
LADDER = ["wide", "far", "near"]
CONFIG = (
    '[models]\npull = "manual"\nslots = 2\n[mesh]\nmdns = false\n[drill]\nallow = true\n'
    f"[ladder]\nfamily = {json.dumps(LADDER)}\n"
)
STUB = "hither-stub 1\nkind=infer prefill_us={service} slots=2\ncontext={context}\n"
HEAD = 'version = {version}\n[default]\nunlabelled = "public"\n'

# Three laws that people might agree on, one after the other, and one that nobody did.
LAWS = [
    """[[permit]]
id = "public"
action = ["infer"]
class = ["public"]
[[permit]]
id = "eea-personal"
action = ["infer"]
class = ["internal", "personal"]
origin = ["EEA"]
target = ["EEA"]
same_operator = true
[[forbid]]
id = "id-stays"
class = ["personal", "special", "secret"]
origin = ["ID"]
target_not = ["ID"]
[[forbid]]
id = "phi-stays"
tags = ["phi"]
target_not = ["EEA"]
""",
    """[[permit]]
id = "public"
action = ["infer"]
class = ["public"]
[[permit]]
id = "internal-abroad"
action = ["infer"]
class = ["internal"]
origin = ["EEA", "US"]
target = ["EEA", "US"]
[[permit]]
id = "personal"
action = ["infer"]
class = ["personal"]
origin = ["EEA"]
target = ["EEA"]
not_control = ["US", "CN"]
assurance = 1
""",
    """[[permit]]
id = "public-eea"
action = ["infer"]
class = ["public"]
target = ["EEA"]
[[permit]]
id = "triage"
action = ["infer"]
class = ["personal", "special"]
purpose = ["triage"]
models = ["near"]
origin = ["DE", "FR"]
target = ["AT", "FR"]
""",
]
OPEN = '[[permit]]\nid = "open"\naction = ["infer"]\n'

# Sites: where they stand, and who runs them. The first makes the mesh.
SITES = {
    "munich": ("DE-BY", "acme"), "paris": ("FR", "acme"), "wien": ("AT", "acme"), "jakarta": ("ID", "acme"), "boston": ("US", "other"),
}
# Who holds which model. Clients ask munich, paris and jakarta.
HOLDERS = {"near": ["paris", "wien"], "far": ["jakarta", "boston"], "wide": ["paris", "wien", "jakarta", "boston"]}
ENTRIES = ["munich", "paris", "jakarta"]


class Storm:
    """The nodes, and what is done to them."""

    def __init__(self, seed, plant=False):
        self.random, self.plant = random.Random(seed), plant
        self.version = 1
        self.stack = contextlib.ExitStack()
        self.given = {site: [] for site in SITES}
        self.nodes, self.counted, self.done = {}, {}, {}
        self.addresses = tempfile.mkdtemp(prefix="hither-storm-")
        for site in SITES:
            self.nodes[site] = self.stack.enter_context(contextlib.closing(Node(site, self.law(site, LAWS[0]), CONFIG)))

    def law(self, site, rules):
        """The text of a policy that a node is given from now on; the observer is told."""
        self.version += 1
        text = HEAD.format(version=self.version) + rules
        self.given[site].append(Law(text))
        return text

    def up(self):
        first = self.nodes["munich"]
        first.run("init", "--site", "munich", "--jurisdiction", SITES["munich"][0], "--operator", "acme")
        for site, node in self.nodes.items():
            self.start(site)
            if node is not first:
                place, operator = SITES[site]
                other = [] if operator == "acme" else ["--operator", operator]
                ticket = first.json("invite", "--site", site, "--jurisdiction", place, *other)["ticket"]
                node.run("join", ticket)
        for number, (model, holders) in enumerate(HOLDERS.items()):
            for site in holders:
                path = self.nodes[site].data / f"{model}.stub"
                path.write_text(STUB.format(context=5000 + number, service=500 * (number + 1)))
                self.nodes[site].run("models", "add", path, "--name", model)
        for node in self.nodes.values():
            wait_for(f"{node.name} sees the models", lambda: len(known(node)) == len(HOLDERS))
        return self

    def start(self, site):
        node = self.nodes[site].up()
        # Whole or not at all: clients read it while it changes.
        path = os.path.join(self.addresses, site)
        with open(path + ".new", "w") as file:
            file.write(node.url.removeprefix("http://"))
        os.replace(path + ".new", path)

    def apply(self):
        """One node gets another law, which the others do not have: theirs are stale."""
        site = self.random.choice(list(SITES))
        text = self.law(site, self.random.choice(LAWS))
        path = self.nodes[site].data / "next.toml"
        path.write_text(text)
        self.nodes[site].run("policy", "apply", path)

    def freeze(self):
        node = self.nodes[self.random.choice(list(SITES))]
        node.signal(signal.SIGSTOP)
        return lambda: node.signal(signal.SIGCONT)

    def kill(self):
        site = self.random.choice(["munich", "jakarta"] if self.plant else list(SITES))
        self.count(site)
        self.nodes[site].kill()
        if self.plant:
            self.nodes[site].data.joinpath("policy.toml").write_text(HEAD.format(version=9) + OPEN)
        return lambda: self.start(site)

    def part(self):
        node = self.nodes[self.random.choice(list(SITES))]
        node.post("/hither/v1/isolate", {"isolated": True})
        return lambda: node.post("/hither/v1/isolate", {"isolated": False})

    def count(self, site):
        """What a node says it did, before it is killed."""
        if not self.nodes[site].process or self.nodes[site].process.poll() is not None:
            return
        for line in self.nodes[site].get("/metrics")[1].decode().splitlines():
            name, _, value = line.partition(" ")
            if name in ("hither_requests_hedged_total", "hither_requests_taken_by_peers_total", "hither_requests_migrated_total"):
                self.counted[name] = self.counted.get(name, 0) + int(float(value))

    def run(self, requests, seed, until):
        """Sends requests, and lets something happen each time that some hundred have been answered."""
        context = multiprocessing.get_context("spawn")
        processes = min(4, max(2, os.cpu_count() or 2))
        answered, queue = context.Value("L", 0), context.Queue()
        work = [context.Process(target=client, args=(self.addresses, ENTRIES, requests // processes, seed + number, until, answered, queue))
                for number in range(processes)]
        for process in work:
            process.start()
        step, at, undo = max(150, requests // 200), 0, None
        while any(process.is_alive() for process in work) and len(self.done.get("clients", [])) < processes:
            with contextlib.suppress(Exception):
                self.done.setdefault("clients", []).append(queue.get(timeout=0.05))
            if answered.value >= at + step:
                at = answered.value
                if undo:
                    undo()
                    undo = None
                else:
                    kinds = [self.kill] if self.plant else [self.apply, self.apply, self.freeze, self.kill, self.part]
                    happens = self.random.choice(kinds)
                    undo = happens()
                    self.done[happens.__name__] = self.done.get(happens.__name__, 0) + 1
            elif undo and answered.value == self.done.get("seen") and time.monotonic() - self.done["at"] > 3:
                # Nobody answers while one is away: it comes back, so that the storm goes on.
                undo()
                undo = None
            if answered.value != self.done.get("seen"):
                self.done["seen"], self.done["at"] = answered.value, time.monotonic()
        if undo:
            undo()
        while len(self.done.get("clients", [])) < processes:
            self.done.setdefault("clients", []).append(queue.get(timeout=60))
        for process in work:
            process.join(60)
        return self.done["clients"]

    def stop(self):
        for site, node in self.nodes.items():
            self.count(site)
            node.signal(signal.SIGTERM)
        for node in self.nodes.values():
            node.process.wait(60)

    def judged(self):
        """What the observer finds."""
        places = {}
        for site, (jurisdiction, operator) in SITES.items():
            # The issuer vouches for those of its own operator, and knows who can compel them.
            control = ["DE"] if operator == "acme" else None
            places[site] = {"jurisdiction": jurisdiction, "operator": operator, "control": control, "assurance": 1}
        observer = Observer(places, {site: laws for site, laws in self.given.items()}, VARIANTS, LADDER)
        for clients in self.done["clients"]:
            observer.sent(clients)
        for site, node in self.nodes.items():
            observer.read(site, node.data / "ledger")
        return observer.end()

    def close(self):
        self.stack.close()
        for name in os.listdir(self.addresses):
            os.unlink(os.path.join(self.addresses, name))
        os.rmdir(self.addresses)


def known(node):
    """The models that a node sees somewhere."""
    return {model["name"] for other in node.view()["nodes"] for model in other["models"] if model["stage"] == "ready"}


def storm(requests, seed=1, minutes=15, plant=False):
    """Runs one. Gives what was found."""
    with contextlib.closing(Storm(seed, plant)) as storm:
        began = time.monotonic()
        storm.up()
        ready = time.monotonic()
        storm.run(requests, seed, time.time() + 60 * minutes)
        ended = time.monotonic()
        storm.stop()
        found = storm.judged()
        found["happened"] = {name: storm.done.get(name, 0) for name in ("apply", "freeze", "kill", "part")}
        found["counted"] = storm.counted
        found["seconds"] = {"start": round(ready - began), "storm": round(ended - ready), "reading": round(time.monotonic() - ended)}
        return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--plant", action="store_true")
    words = parser.parse_args()
    found = storm(words.requests, words.seed, words.minutes, words.plant)
    print(json.dumps({**found, "violations": found["violations"][:20], "violations_in_all": len(found["violations"])}, indent=2))
    sys.exit(bool(found["violations"]) != words.plant)
