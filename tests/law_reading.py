"""A second reading of the law, in Python, that shares nothing with the program's: policies of the forms that the storm uses,
judged as docs/policies.md says. A permit holds if each of its lines certainly does; a forbid unless one of them certainly does
not."""

import struct
import tomllib

# Members of the European Economic Area (the European Union, and three states more), written down from the treaties.
EEA = set("AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IS IT LI LT LU LV MT NL NO PL PT RO SE SI SK".split())

# What a rule of this reading may say. Anything else is refused: a line that is passed over would be a law that is not read.
LINES = {"id", "action", "class", "origin", "target", "target_not", "tags", "models", "purpose", "same_operator", "assurance", "not_control"}


def within(region, place):
    """Whether a place lies in a region of codes and blocs."""
    country = place.split("-")[0]
    return any(code in (place, country) or (code == "EEA" and country in EEA) for code in region)


class Law:
    """One policy."""

    def __init__(self, text):
        self.text, self.digest = text, "b3:" + blake3(text.encode()).hex()
        read = tomllib.loads(text)
        assert set(read) <= {"version", "default", "permit", "forbid"}, set(read)
        self.permits, self.forbids = read.get("permit", []), read.get("forbid", [])
        for rule in self.permits + self.forbids:
            assert set(rule) <= LINES, set(rule) - LINES

    def judge(self, request, origin, target):
        """The ids of the permits under which a request may be worked on elsewhere; none if it may not. `request` has class,
        tags, subjects, purpose and model; the two places have jurisdiction, operator, control and assurance."""
        if any(self.matches(rule, request, origin, target, forbid=True) for rule in self.forbids):
            return []
        return [rule["id"] for rule in self.permits if self.matches(rule, request, origin, target, forbid=False)]

    @staticmethod
    def matches(rule, request, origin, target, forbid):
        sources = [origin["jurisdiction"], *request["subjects"]]
        some = any if forbid else all
        # What is not known counts for the worse.
        control = target["control"]
        free = forbid if control is None else bool(set(control) & set(rule.get("not_control", []))) == forbid
        lines = {
            "action": lambda want: "infer" in want,
            "class": lambda want: request["class"] in want,
            "origin": lambda want: some(within(want, place) for place in sources),
            "target": lambda want: within(want, target["jurisdiction"]),
            "target_not": lambda want: not within(want, target["jurisdiction"]),
            "tags": lambda want: bool(set(want) & set(request["tags"])),
            "models": lambda want: request["model"] in want,
            "purpose": lambda want: request["purpose"] in want,
            "same_operator": lambda want: (origin["operator"] == target["operator"]) == want,
            "assurance": lambda want: target["assurance"] >= want,
            "not_control": lambda want: free,
        }
        return all(lines[line](want) for line, want in rule.items() if line != "id")


# BLAKE3 of one chunk (its paper, section 2): a policy of up to 1024 bytes has no tree.
IV = [0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19]
PERMUTATION = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8]
CHUNK_START, CHUNK_END, ROOT = 1, 2, 8
MASK = 0xFFFFFFFF


def blake3(data):
    """The digest of up to 1024 bytes."""
    assert len(data) <= 1024, "a longer text has more than one chunk"
    chain, blocks = IV, [data[at : at + 64] for at in range(0, len(data), 64)] or [b""]
    for number, block in enumerate(blocks):
        is_last = number == len(blocks) - 1
        flags = (CHUNK_START if number == 0 else 0) | (CHUNK_END | ROOT if is_last else 0)
        words = list(struct.unpack("<16I", block.ljust(64, b"\0")))
        chain = compressed(chain, words, len(block), flags)
    return struct.pack("<8I", *chain)


def compressed(chain, words, length, flags):
    state = [*chain, *IV[:4], 0, 0, length, flags]
    for turn in range(7):
        for number, (a, b, c, d) in enumerate([
            (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
            (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
        ]):
            for word, first, second in ((words[2 * number], 16, 12), (words[2 * number + 1], 8, 7)):
                state[a] = (state[a] + state[b] + word) & MASK
                state[d] = turned(state[d] ^ state[a], first)
                state[c] = (state[c] + state[d]) & MASK
                state[b] = turned(state[b] ^ state[c], second)
        words = [words[at] for at in PERMUTATION]
    return [state[at] ^ state[at + 8] for at in range(8)]


def turned(word, by):
    return ((word >> by) | (word << (32 - by))) & MASK
