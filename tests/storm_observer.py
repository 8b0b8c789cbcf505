"""The observer of a storm: it reads ledgers line by line, and believes of them only what the clients, the operator of the mesh and
the other ends do not contradict."""

import collections
import json


class Observer:
    """What it knows: where each site stands, which laws each was given, in their order, which labels clients send, and which
    models stand in for which: those behind it in the ladder."""

    def __init__(self, places, given, variants, ladder):
        self.places, self.variants, self.ladder, self.files = places, variants, ladder, {}
        self.given = {site: {law.digest: law for law in laws} for site, laws in given.items()}
        self.last = {site: laws[-1] for site, laws in given.items()}
        self.labels, self.served, self.statuses, self.lost = {}, {}, collections.Counter(), 0
        self.sites, self.violations, self.counts = {}, [], collections.Counter()
        # By request, attempt, origin and target: what the two ends have of it.
        self.intents, self.settled, self.accepted = {}, {}, {}
        self.judged = {}

    def sent(self, clients):
        """What one process of clients saw."""
        self.labels.update(clients["requests"])
        self.served.update(clients["served"])
        self.statuses.update(clients["statuses"])
        self.lost += clients["lost"]

    def wrong(self, site, record, what):
        self.violations.append(f"{site}, record {record['seq']}, {record['kind']}: {what}")

    def read(self, site, folder):
        """One ledger: the records in their order, none missing."""
        law, seq = None, 0
        for path in [*sorted(folder.glob("ledger-*.jsonl")), folder / "ledger.jsonl"]:
            with open(path, "rb") as lines:
                for line in lines:
                    record = json.loads(line)
                    if record["seq"] != seq:
                        self.wrong(site, record, f"record {seq} is missing")
                    seq = record["seq"] + 1
                    law = self.look(site, record, law)
        self.counts["records"] += seq

    def look(self, site, record, law):
        """One record. Gives the law that is in force behind it."""
        kind = record["kind"]
        if kind in ("config.start", "policy.change"):
            if kind == "config.start":
                self.sites[record["node"]] = site
                # Before it joined, a node stands nowhere.
                if record["place"]["site"] == site:
                    self.identity(site, record, site, "home")
            if record["policy"] not in self.given[site]:
                self.wrong(site, record, "nobody gave it this policy")
            return record["policy"]
        self.counts[kind] += 1
        if kind == "member.join":
            self.identity(site, record, record["place"]["site"], "home" if record["place"]["node"] == record["node"] else "peer")
        if kind == "egress.intent":
            self.permission(site, record, law, leaves=True)
            self.counts["tries again"] += record["attempt"] > 1
            self.intents[self.key(record, record["node"], record["place"]["node"])] = record["bytes_out"]
        elif kind == "ingress.accept":
            self.permission(site, record, law, leaves=False)
            self.accepted[self.key(record, record["place"]["node"], record["node"])] = record["bytes_in"]
        elif kind == "egress.settled" and record["bytes_out"] > 0:
            key = self.key(record, record["node"], record["place"]["node"])
            if key not in self.intents:
                self.wrong(site, record, "payload left, and nothing was written before")
            self.settled[key] = (record["bytes_out"], record["outcome"])
            if "left_by" in record:
                # The law changed between its intent and its way out: the newer one has to permit it as well.
                self.counts["left by a newer law"] += 1
                self.lawful(site, record, record["left_by"], leaves=True)
        elif kind == "egress.answer" and record["bytes_out"] > 0:
            if self.key(record, record["place"]["node"], record["node"]) not in self.accepted:
                self.wrong(site, record, "an answer left, and its request was never taken in")
        return law

    @staticmethod
    def key(record, origin, target):
        return record["req"], record["attempt"], origin, target

    def identity(self, site, record, other, kind):
        """Whether a record says of a place what its operator said when it was let in."""
        known, place = self.places[other], record["place"]
        true = {"jur": known["jurisdiction"], "op": known["operator"], "control": known["control"], "kind": kind}
        said = {field: place.get(field) for field in true}
        if said != true:
            self.wrong(site, record, f"{other} was let in as {true}, and not {said}")

    def permission(self, site, record, law, leaves):
        """Whether what a node permitted itself was lawful, by the policy that it was given."""
        if record["policy"] != law:
            self.wrong(site, record, f"decided by {record['policy'][:12]}, and {law[:12]} is in force")
        self.identity(site, record, record["place"]["site"], "peer")
        self.lawful(site, record, record, leaves)

    def lawful(self, site, record, by, leaves):
        """Whether a rule of a policy permits what a record is about."""
        other = record["place"]["site"]
        origin, target = (site, other) if leaves else (other, site)
        label = self.labels.get(record["req"])
        if label is None:
            # Nobody was told of its end; what the node wrote is all there is.
            self.counts["labels taken from the ledger"] += 1
            label = {"model": record["model"], "class": record["class"], "subjects": record["subj"], "tags": record["tags"],
                     "purpose": record.get("purpose"), "family": True}
        else:
            label = dict(self.variants[label])
            # Without a word the people concerned are those where it entered.
            label["subjects"] = label["subjects"] or [self.places[origin]["jurisdiction"]]
        said = (record["model"], record["class"], sorted(record["subj"]), record["tags"], record.get("purpose"))
        if said != (label["model"], label["class"], sorted(label["subjects"]), label["tags"], label["purpose"]):
            self.wrong(site, record, f"the client sent {label}, and the record has {said}")
        # The law is asked about the model that runs.
        label = {**label, "model": self.ran(site, record, label)}
        # What nobody gave is judged by the last that somebody did.
        read = self.given[site].get(by["policy"]) or self.last[site]
        question = (read.digest, json.dumps(label), origin, target)
        if question not in self.judged:
            self.judged[question] = read.judge(label, self.places[origin], self.places[target])
        if by["rule"] not in self.judged[question]:
            permits = self.judged[question] or "nothing"
            self.wrong(site, record, f"{label['class']} from {origin} at {target} by {by['rule']}: {permits} permits it")

    def ran(self, site, record, label):
        """The model that a request ran on: what was asked for, or a smaller one if the client takes one."""
        ran = record.get("ran")
        if ran is None:
            return label["model"]
        self.counts["ran as another model"] += 1
        smaller = self.ladder[self.ladder.index(label["model"]) + 1:] if label["family"] else []
        if ran["model"] not in smaller:
            self.wrong(site, record, f"{label} ran as {ran['model']}, and {smaller or 'nothing'} may stand in for it")
        # One name is one file, wherever it runs.
        if self.files.setdefault(ran["model"], ran["digest"]) != ran["digest"]:
            self.wrong(site, record, f"{ran['model']} is {ran['digest'][:12]}, and {self.files[ran['model']][:12]} elsewhere")
        return ran["model"]

    def end(self):
        """Lays both ends side by side. Gives everything that was found."""
        where = lambda key: f"{key[0]}/{key[1]} from {self.sites.get(key[2])} to {self.sites.get(key[3])}"
        for key, bytes_in in self.accepted.items():
            if self.intents.get(key) != bytes_in:
                self.violations.append(f"{where(key)}: {bytes_in} bytes came, and {self.intents.get(key)} were permitted to leave")
        for key, (bytes_out, outcome) in self.settled.items():
            if outcome == "answered" and self.accepted.get(key) != bytes_out:
                self.violations.append(f"{where(key)}: answered, and the other end never took it in")
        # What became of it may be lost with a node that is killed; that it leaves is on the disk before.
        reached = {(request, origin, target) for request, _, origin, target in self.intents}
        node_of = {site: node for node, site in self.sites.items()}
        for request, (entry, by) in self.served.items():
            if by != entry and (request, node_of[entry], node_of[by]) not in reached:
                self.violations.append(f"{request}: answered by {by}, and {entry} has no record that it would leave")
        return {
            "requests": sum(self.statuses.values()) + self.lost, "lost with their node": self.lost,
            "statuses": dict(sorted(self.statuses.items())), "records": self.counts["records"],
            "egresses": len(self.intents), "left": len(self.settled), "ingresses": len(self.accepted),
            "denials": self.counts["deny"], "refused by the target": self.counts["ingress.refuse"],
            "tries again": self.counts["tries again"], "labels taken from the ledger": self.counts["labels taken from the ledger"],
            "left by a newer law": self.counts["left by a newer law"], "ran as another model": self.counts["ran as another model"],
            "decisions judged": len(self.intents) + len(self.accepted), "violations": self.violations,
        }
