"""Servers outside the mesh whose keys are pinned: spoken to while they show one, and left alone when they show another."""

import base64
import contextlib
import hashlib
import ipaddress
import re
import ssl
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from certificates import certificate
from mesh import EEA, ROOT, Node, wait_for
from test_endpoints import Server, ask, lives, warned

NAMES = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]


def pin_of(key):
    """As RFC 7469 says."""
    spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "sha256/" + base64.b64encode(hashlib.sha256(spki).digest()).decode()


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """An authority, and the keys of two certificates that it signed: first and second."""
    folder = tmp_path_factory.mktemp("keys")
    signer = certificate(folder, "authority", [])
    pins = {"authority": pin_of(signer[1])}
    for name in ("first", "second"):
        pins[name] = pin_of(certificate(folder, name, NAMES, signer)[1])
    return folder, pins


def server(folder, name, port=0):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return contextlib.closing(Server(port, context))


@contextlib.contextmanager
def node(folder, port, pin):
    text = (
        f'[models]\npull = "manual"\n[endpoint.lab]\nurl = "https://127.0.0.1:{port}"\nmodels = ["assistant"]\n'
        f'ca_file = "{folder / "authority.pem"}"\npin = {pin}\n'
    )
    with contextlib.closing(Node("munich", EEA, text)) as munich:
        munich.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        munich.up()
        yield munich


def test_a_server_that_shows_another_key_is_sent_nothing_and_the_operator_is_told_which(keys):
    folder, pins = keys
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(server(folder, "first"))
        munich = stack.enter_context(node(folder, first.port, f'"{pins["first"]}"'))
        wait_for("the server is there", lambda: lives(munich))
        assert ask(munich)[0] == 200
        first.close()
        with server(folder, "second", first.port) as second:
            told = f"another key than is pinned: {pins['second']}"
            wait_for("the operator is told", lambda: ask(munich)[0] == 503 and warned(munich, told))
            assert "endpoint lab" in munich.run("status").stdout
            assert second.http.asked == []
        with server(folder, "first", first.port):
            wait_for("the right key is believed", lambda: ask(munich)[0] == 200)
            wait_for("the warning is gone", lambda: not warned(munich, "another key"))


@pytest.mark.parametrize("pinned", [["first", "second"], ["authority"]])
def test_the_next_key_and_the_key_of_the_authority_may_be_pinned(keys, pinned):
    folder, pins = keys
    words = ", ".join(f'"{pins[name]}"' for name in pinned)
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(server(folder, "first"))
        munich = stack.enter_context(node(folder, first.port, f"[{words}]"))
        wait_for("the first key is believed", lambda: ask(munich)[0] == 200)
        first.close()
        with server(folder, "second", first.port):
            wait_for("and the second", lambda: ask(munich)[0] == 200)


def test_the_line_in_the_docs_gives_the_pin(keys):
    folder, pins = keys
    [line] = re.findall(r"^openssl s_client .*?-base64$", (ROOT / "docs/endpoints.md").read_text(), re.MULTILINE | re.DOTALL)
    with server(folder, "first") as first:
        line = line.replace("models.example:443", f"127.0.0.1:{first.port}").replace("models.example", "localhost")
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60)
    assert "sha256/" + done.stdout.strip() == pins["first"], done


def test_a_pin_that_is_none_is_refused_when_the_node_starts(keys):
    folder, _ = keys
    text = '[endpoint.lab]\nurl = "https://127.0.0.1:1"\nmodels = ["assistant"]\npin = "sha256/abc"\n'
    with contextlib.closing(Node("munich", EEA, text)) as munich:
        munich.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme", check=False)
        failed = munich.run("up", check=False)
        assert failed.returncode != 0 and "no pin such as sha256/" in failed.stderr, failed.stderr
