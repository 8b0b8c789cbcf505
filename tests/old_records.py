"""A ledger of long ago, written without Hither: by the public forms that ledgers are made of, with a node's own key."""

import base64
import datetime
import hashlib
import json

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


NOW = datetime.datetime.now(datetime.timezone.utc)


def ago(days):
    """A time of a record, so many days before now: the same for all of them."""
    then = NOW - datetime.timedelta(days=days)
    return then.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def denied(days, subject="DE"):
    """A refusal, so many days ago, of a request about people somewhere."""
    return {
        "kind": "deny", "ts": ago(days), "mono_ms": 1, "req": "01935a7c-9f00-7000-8000-000000000001", "attempt": 0,
        "app": "old", "model": "old", "class": "secret", "tags": [], "subj": [subject], "decision": "deny", "considered": 0,
        "policy": "b3:" + "00" * 32,
    }


def started(days):
    """A start of the node that writes, in Bavaria, so many days ago."""
    place = {"node": None, "site": "munich", "jur": "DE-BY", "assurance": 1}
    return {"kind": "config.start", "ts": ago(days), "mono_ms": 1, "place": place, "policy": "b3:" + "00" * 32, "version": "0.1.0"}


def left(days, to):
    """A request that was permitted to leave for a country, so many days ago, and did."""
    place = {"node": "22" * 32, "site": "abroad", "jur": to, "assurance": 1}
    about = {"mono_ms": 1, "req": f"01935a7c-9f00-7000-8000-{days:012}", "attempt": 1, "app": "old", "model": "old",
             "class": "personal", "tags": [], "subj": ["DE"], "policy": "b3:" + "00" * 32, "place": place}
    return [
        {**about, "kind": "egress.intent", "ts": ago(days), "decision": "permit", "rule": "abroad", "bytes_out": 9},
        {**about, "kind": "egress.settled", "ts": ago(days), "bytes_out": 9, "bytes_in": 3, "outcome": "answered"},
    ]


def first_transfer(days, to):
    """What a node writes before payload leaves for a country for the first time."""
    return {"kind": "first_transfer", "ts": ago(days), "mono_ms": 1, "left": "DE", "to": to}


def root(leaves):
    """RFC 6962, by its definition."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + root(leaves[:split]) + root(leaves[split:])).digest()


def write(data, segments):
    """Writes a ledger of closed segments and an empty open one into a node's data directory; gives the node's id."""
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex((data / "key").read_text().strip()))
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    folder, origin, typed = data / "ledger", f"hither/{raw.hex()[:10]}", b"\x01" + raw
    number = hashlib.sha256(origin.encode() + b"\n" + typed).digest()[:4]
    folder.mkdir()
    (folder / "node.vkey").write_text(f"{origin}+{number.hex()}+{base64.b64encode(typed).decode()}\n")
    leaves = []
    for records in segments:
        lines = b""
        name = f"ledger-{len(leaves):020}.jsonl"
        for record in records:
            whole = {**record, "v": 1, "seq": len(leaves), "node": raw.hex()}
            if record["kind"] == "config.start":
                whole["place"] = {**record["place"], "node": raw.hex()}
            line = json.dumps(whole, sort_keys=True, separators=(",", ":")).encode()
            leaves.append(hashlib.sha256(b"\x00" + line).digest())
            lines += line + b"\n"
        (folder / name).write_bytes(lines)
    text = f"{origin}\n{len(leaves)}\n{base64.b64encode(root(leaves)).decode()}\n"
    signature = base64.b64encode(number + key.sign(text.encode())).decode()
    (folder / "checkpoint").write_text(f"{text}\n\u2014 {origin} {signature}\n", encoding="utf-8")
    return raw.hex()
