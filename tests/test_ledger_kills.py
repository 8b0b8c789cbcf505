"""A node that is killed at any moment: what left is on the record before it leaves, and the record is whole.

`HITHER_KILLS=200` kills it so often; a dozen times is for every day. The seed is printed, and `HITHER_SEED` plays it again.
"""

import contextlib
import json
import os
import random
import threading
import urllib.error

from mesh import Node, wait_for
from test_budgets import PUBLIC
from test_endpoints import Server, US, lives, section

KILLS = int(os.environ.get("HITHER_KILLS", "12"))


def intents(munich):
    """Bytes of each transfer that was about to begin, by the ledger."""
    files = sorted((munich.data / "ledger").glob("ledger*.jsonl"))
    # What a kill cut off in the middle of a line is no record.
    lines = [line for file in files for line in file.read_text().splitlines(True) if line.endswith("\n")]
    return sorted(record["bytes_out"] for record in map(json.loads, lines) if record["kind"] == "egress.intent")


def question(length):
    # With a seed of its own, or the node would draw one, of more or fewer bytes.
    return {"model": "assistant", "messages": [{"role": "user", "content": "x" * length}], "seed": 7}


def arrived(server):
    """Letters of each question that came to the server: each question has another length."""
    asked = [body["messages"][-1]["content"] for path, _, body in server.http.asked if path.endswith("completions")]
    return sorted(len(text) for text in asked)


class Askers:
    """Threads that ask until the node is gone, each question longer than any before."""

    def __init__(self, munich, length):
        self.munich, self.length, self.lock = munich, length, threading.Lock()
        self.threads = [threading.Thread(target=self.ask, daemon=True) for _ in range(4)]
        for thread in self.threads:
            thread.start()

    def next(self):
        with self.lock:
            self.length += 1
            return self.length

    def ask(self):
        with contextlib.suppress(OSError, urllib.error.URLError, ValueError):
            while True:
                body = question(self.next())
                self.munich.post("/v1/chat/completions", body, {"x-hither-class": "public"}, timeout=10)

    def end(self):
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive()
        return self.length


def test_nothing_leaves_without_a_record_and_the_record_survives_every_kill():
    seed = int(os.environ.get("HITHER_SEED") or random.randrange(1 << 32))
    print(f"HITHER_SEED={seed}")
    draw = random.Random(seed)
    with contextlib.closing(Server()) as server:
        config = '[models]\npull = "manual"\n' + section("cloud", server.port, US)
        with contextlib.closing(Node("munich", PUBLIC, config)) as munich:
            munich.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
            length, whole, less = 1000, 0, None
            for kill in range(KILLS):
                munich.up()
                wait_for("the server is there", lambda: lives(munich, "cloud"))
                if less is None:
                    # A letter more is a byte more: the first, asked alone, tells by how many they differ.
                    body = question(length)
                    assert munich.post("/v1/chat/completions", body, {"x-hither-class": "public"})[0] == 200
                    less = wait_for("it is on the record", lambda: intents(munich))[0] - length
                askers = Askers(munich, length)
                before = len(server.http.asked)
                # No moment is better than another: among four that ask, each arrival is one of another's writing.
                enough = before + draw.randrange(1, 60)
                wait_for("so much has left", lambda: len(server.http.asked) >= enough)
                munich.kill()
                length = askers.end()
                done = munich.run("ledger", "verify", munich.data / "ledger", check=False)
                assert done.returncode == 0, (seed, kill, done.stderr)
                written = intents(munich)
                came = arrived(server)
                missing = set(came) - {count - less for count in written}
                assert not missing, (seed, kill, missing)
                assert len(written) >= max(whole, len(came)), (seed, kill)
                whole = len(written)
            assert len(set(arrived(server))) >= KILLS
