"""Clients of a storm: they send requests with drawn labels, and write down what they sent and who answered."""

import contextlib
import itertools
import json
import os
import random
import socket
import threading
import time

CONNECTIONS = 8

# Every label that is sent: the observer judges by what stands here, and not by what a node makes of it.
VARIANTS = [
    {"model": model, "class": class_, "subjects": subjects, "tags": tags, "purpose": purpose, "family": family}
    for model, class_, subjects, tags, purpose, family in itertools.product(
        ["near", "far", "wide"], ["public", "internal", "personal", "special", "secret"],
        [[], ["DE"], ["ID"], ["DE", "ID"], ["US"]], [[], ["phi"]], [None, "triage"], [False, True],
    )
]
BODY = json.dumps({"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1.0, 2.0, 3.0, 4.0]}]}).encode()


def request(variant):
    """The bytes of one request."""
    headers = [f"POST /v2/models/{variant['model']}/infer HTTP/1.1", "Host: localhost", "Content-Type: application/json",
               f"Content-Length: {len(BODY)}", f"x-hither-class: {variant['class']}", "x-hither-timeout-ms: 2000"]
    for name in ("subjects", "tags"):
        if variant[name]:
            headers.append(f"x-hither-{name}: {','.join(variant[name])}")
    if variant["family"]:
        headers.append("x-hither-quality: family")
    if variant["purpose"]:
        headers.append(f"x-hither-purpose: {variant['purpose']}")
    return "\r\n".join(headers).encode() + b"\r\n\r\n" + BODY


REQUESTS = [request(variant) for variant in VARIANTS]


class Link:
    """A connection to one of the nodes, made anew when it breaks."""

    def __init__(self, addresses, entry):
        with open(os.path.join(addresses, entry)) as file:
            host, port = file.read().rsplit(":", 1)
        self.entry, self.socket, self.read = entry, socket.create_connection((host, int(port)), timeout=5), b""

    def ask(self, data):
        """Status, headers (lower case)."""
        self.socket.sendall(data)
        while b"\r\n\r\n" not in self.read:
            self.more()
        head, self.read = self.read.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        length = int(headers["content-length"])
        while len(self.read) < length:
            self.more()
        self.read = self.read[length:]
        return int(lines[0].split(" ")[1]), headers

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the node closed the connection")
        self.read += data

    def close(self):
        self.socket.close()


def client(addresses, entries, requests, seed, until, answered, queue):
    """One process of clients. Puts what it sent and got into the queue."""
    seen = {"statuses": {}, "requests": {}, "served": {}, "lost": 0}
    lock = threading.Lock()
    threads = [threading.Thread(target=connection, args=(addresses, entries, requests // CONNECTIONS, f"{seed}/{number}", until, answered, seen, lock))
               for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    queue.put(seen)


def connection(addresses, entries, requests, seed, until, answered, seen, lock):
    """One connection after the other, one request at a time. Sends no more than it was told, answered or not."""
    draw, link = random.Random(seed), None
    statuses, sent, served, lost = {}, {}, {}, 0
    for number in range(requests):
        if time.time() > until:
            break
        variant = draw.randrange(len(VARIANTS))
        while link is None and time.time() < until:
            with contextlib.suppress(OSError, ValueError):
                link = Link(addresses, draw.choice(entries))
        if link is None:
            break
        try:
            status, headers = link.ask(REQUESTS[variant])
        except (OSError, ValueError, KeyError):
            # It was sent, perhaps, and who got it is away.
            lost += 1
            if link:
                link.close()
            link = None
            continue
        statuses[status] = statuses.get(status, 0) + 1
        if "x-hither-request" in headers:
            sent[headers["x-hither-request"]] = variant
            if status == 200:
                served[headers["x-hither-request"]] = (link.entry, headers.get("x-hither-served-by"))
        if number % 16 == 0:
            with answered.get_lock():
                answered.value += 16
    if link:
        link.close()
    with lock:
        seen["lost"] += lost
        seen["requests"].update(sent)
        seen["served"].update(served)
        for status, count in statuses.items():
            seen["statuses"][status] = seen["statuses"].get(status, 0) + count
