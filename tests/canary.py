"""One secret word for each run of the tests. It goes with the payloads that they send, and whatever a node leaves behind
(its log, data directory, ledger, metrics, spans, temporary files, core dumps) is searched for it before it is removed."""

import base64
import mmap
import os
import pathlib
import secrets
import urllib.parse

# Programs that the tests start get the same word.
WORD = os.environ.setdefault("HITHER_CANARY", f"canary-{secrets.token_hex(8)}")

# Where the programs of this run put temporary files; set by conftest.py.
TEMPORARY = "HITHER_TEST_TMPDIR"


class Leak(AssertionError):
    """The word was found where it must not be."""


def forms(word):
    """How a word may be written: plain, wide, in hexadecimal, in base64 whatever stands before it, backwards."""
    plain = word.encode()
    yield "plain", plain
    yield "UTF-16", word.encode("utf-16-le")
    yield "hexadecimal", plain.hex().encode()
    yield "backwards", plain[::-1]
    for before in range(3):
        # The first and the last letters of base64 depend on the neighbours.
        text = base64.b64encode(b"\0" * before + plain)
        yield f"base64 after {before}", text[(before * 8 + 5) // 6 : len(text) // 4 * 4 - 4]
    quoted = urllib.parse.quote(word, safe="").encode()
    if quoted != plain:
        yield "quoted", quoted


def within(data, word=WORD):
    """The forms of the word that are in bytes or in mapped memory."""
    return [name for name, form in forms(word) if data.find(form) >= 0]


def search(folder, word=WORD):
    """Every file below a folder that has the word in its bytes or its name, with the form; and how many were read."""
    found, read = [], 0
    for path in sorted(pathlib.Path(folder).rglob("*")):
        found += [f"{path}: in its name" for _ in within(str(path.relative_to(folder)).encode(), word)]
        if path.is_symlink() or not path.is_file():
            continue
        read += 1
        with open(path, "rb") as file:
            if path.stat().st_size == 0:
                continue
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                found += [f"{path}: {form}" for form in within(data, word)]
    return found, read


def check(folder):
    """Raises if the word is anywhere below a folder."""
    found, _ = search(folder)
    if found:
        raise Leak(f"a payload was left behind: {found}")


def check_text(what, data):
    """Raises if the word is in what somebody was told."""
    found = within(data if isinstance(data, bytes) else str(data).encode())
    if found:
        raise Leak(f"a payload is in {what}: {found}")
