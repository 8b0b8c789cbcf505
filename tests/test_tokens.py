"""Tokens of an issuer in the place of keys: RSA and curves, an issuer over HTTPS, and what is left when it is gone."""

import base64
import contextlib
import hashlib
import hmac
import http.server
import ipaddress
import json
import re
import ssl
import threading
import time

import jwt
import openai
import pytest
import tritonclient.grpc as grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt import algorithms

from certificates import certificate
from mesh import CANARY, EEA, ROOT, Node, wait_for

TALKER = "hither-stub 1\nlength=5 slots=4\n"


class Issuer:
    """Publishes its keys, and counts who asks for what."""

    def __init__(self, folder):
        self.keys = {
            "rsa": ("RS256", rsa.generate_private_key(public_exponent=65537, key_size=2048)),
            "curve": ("ES256", ec.generate_private_key(ec.SECP256R1())),
            "edwards": ("EdDSA", ed25519.Ed25519PrivateKey.generate()),
        }
        self.asked = []
        issuer = self

        class Answers(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.asked.append(self.path)
                pages = {"/.well-known/openid-configuration": issuer.description(), "/keys": issuer.published()}
                page = pages.get(self.path)
                said = json.dumps(page).encode()
                self.send_response(200 if page else 404)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "issuer.pem", folder / "issuer.key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def description(self):
        return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}

    def published(self):
        kinds = {"RS256": algorithms.RSAAlgorithm, "ES256": algorithms.ECAlgorithm, "EdDSA": algorithms.OKPAlgorithm}
        return {"keys": [
            {**kinds[kind].to_jwk(key.public_key(), as_dict=True), "kid": name} for name, (kind, key) in self.keys.items()
        ]}

    def claims(self, **changes):
        claims = {"iss": self.url, "aud": ["hither", "another"], "sub": "svc-till", "exp": int(time.time()) + 600}
        return {name: value for name, value in {**claims, **changes}.items() if value is not None}

    def token(self, by="rsa", algorithm=None, kid=None, **changes):
        kind, key = self.keys[by]
        return jwt.encode(self.claims(**changes), key, algorithm=algorithm or kind, headers={"kid": kid or by})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("issuer")
    authority = certificate(folder, "authority", None)
    certificate(folder, "issuer", [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))], authority)
    return folder


@pytest.fixture(scope="module")
def issuer(folder):
    with contextlib.closing(Issuer(folder)) as issuer:
        yield issuer


def start(folder, section, api=""):
    munich = Node("munich", EEA, f'[models]\npull = "manual"\n[api]\n{api}\n[api.oidc]\naudience = "hither"\n{section}')
    (munich.data / "authority.pem").write_bytes((folder / "authority.pem").read_bytes())
    munich.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
    munich.up()
    path = munich.data / "talker.stub"
    path.write_text(TALKER)
    munich.run("models", "add", path, "--name", "talker")
    ready(munich)
    return munich


def ready(munich):
    here = lambda: munich.json("status")["nodes"][0]["models"]
    wait_for("it speaks", lambda: any(held["stage"] == "ready" for held in here()))


@pytest.fixture(scope="module")
def shut(folder, issuer):
    """Nobody comes without a key or a token; where the keys are, the issuer says."""
    section = f'issuer = "{issuer.url}"\nca_file = "authority.pem"\n'
    with contextlib.closing(start(folder, section, 'keys = "required"')) as munich:
        munich.run("apps", "add", "till", "--subject", "svc-till")
        munich.run("apps", "add", "press", "--subject", "svc-press", "--models", "none-of-these")
        wait_for("it has the keys", lambda: "/keys" in issuer.asked)
        wait_for("and believes them", lambda: answers(munich, issuer.token()))
        yield munich


def say(munich, token):
    with openai.OpenAI(base_url=f"{munich.url}/v1", api_key=token, max_retries=0, timeout=60) as speaks:
        messages = [{"role": "user", "content": f"hello {CANARY}"}]
        return speaks.chat.completions.with_raw_response.create(model="talker", messages=messages, max_tokens=3)


def answers(munich, token):
    try:
        return say(munich, token).status_code == 200
    except openai.AuthenticationError:
        return False


def refused(munich, token):
    with pytest.raises(openai.AuthenticationError) as error:
        say(munich, token)
    assert error.value.body["hither_code"] == "E0119", error.value.body
    assert error.value.response.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert token not in str(error.value.body)
    return error.value.body["message"]


def app_of(munich, answer):
    return munich.json("explain", answer.headers["x-hither-request"])["request"]["app"]


def test_a_token_is_its_app_whatever_signs_it(shut, issuer):
    for by, algorithm in [("rsa", "RS256"), ("rsa", "RS512"), ("rsa", "PS256"), ("curve", "ES256"), ("edwards", "EdDSA")]:
        assert app_of(shut, say(shut, issuer.token(by, algorithm))) == "till", (by, algorithm)
    with pytest.raises(openai.PermissionDeniedError, match="app press may not use model talker"):
        say(shut, issuer.token(sub="svc-press"))
    with grpc.InferenceServerClient(shut.url.removeprefix("http://")) as client:
        headers = {"authorization": f"Bearer {issuer.token()}"}
        assert client.get_server_metadata(headers=headers).name == "hither"
        with pytest.raises(Exception, match="UNAUTHENTICATED"):
            client.get_server_metadata(headers={"authorization": f"Bearer {issuer.token(aud='x')}"})
    listed = {app["name"]: app.get("subject") for app in shut.json("apps", "ls")}
    assert listed == {"till": "svc-till", "press": "svc-press"}
    taken = shut.run("apps", "add", "other", "--subject", "svc-till", check=False)
    assert taken.returncode == 1 and "error[E0167]" in taken.stderr and "--unlink subject" in taken.stderr


def test_a_token_that_is_wrong_says_why_and_lets_nobody_in(shut, issuer, folder):
    now = int(time.time())
    for changes, why in [
        ({"exp": now - 120}, "it has expired"),
        ({"nbf": now + 300}, "it is not valid yet"),
        ({"iss": "https://evil.example"}, "it is of another issuer"),
        ({"aud": "another"}, "it is for another audience"),
        ({"aud": None}, "it lacks a claim"),
        ({"exp": None}, "it lacks a claim"),
        ({"sub": None}, "it lacks a claim"),
        ({"kid": "curve"}, "an algorithm that is not taken"),
        ({"sub": "svc-stranger"}, "its sub is svc-stranger"),
    ]:
        assert why in refused(shut, issuer.token(**changes)), changes
    with contextlib.closing(Issuer(folder)) as other:
        assert "its signature is wrong" in refused(shut, other.token(iss=issuer.url))
    assert "not a token that can be read" in refused(shut, jwt.encode(issuer.claims(), None, algorithm="none", headers={"kid": "rsa"}))

    # Signed with the public key as if it were a secret: everybody has that.
    encode = lambda part: base64.urlsafe_b64encode(part).rstrip(b"=")
    public = issuer.keys["rsa"][1].public_key()
    for secret in [
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1),
    ]:
        head = json.dumps({"alg": "HS256", "kid": "rsa"}).encode()
        text = encode(head) + b"." + encode(json.dumps(issuer.claims()).encode())
        forged = text + b"." + encode(hmac.new(secret, text, hashlib.sha256).digest())
        assert "an algorithm that is not taken" in refused(shut, forged.decode())


def test_without_a_token_nobody_comes_in_and_a_key_still_does(shut):
    with pytest.raises(openai.AuthenticationError) as error:
        say(shut, "sk-none")
    assert error.value.body["hither_code"] == "E0116" and "send a token of" in str(error.value.body["help"])
    key = shut.json("apps", "add", "by-key")["key"]
    assert app_of(shut, say(shut, key)) == "by-key"
    shut.run("apps", "rm", "by-key")


def test_the_issuer_is_asked_for_its_keys_and_not_for_each_token(shut, issuer):
    for _ in range(5):
        say(shut, issuer.token())
        assert "had not published" in refused(shut, issuer.token(kid="unknown"))
    # At the start; and once more if a minute has gone by since.
    assert len(issuer.asked) <= 4 and set(issuer.asked) == {"/.well-known/openid-configuration", "/keys"}


def test_tokens_are_believed_after_a_restart_without_the_issuer(folder):
    with contextlib.closing(Issuer(folder)) as issuer:
        section = f'issuer = "{issuer.url}"\njwks = "{issuer.url}/keys"\nca_file = "authority.pem"\n'
        munich = start(folder, section)
        munich.run("apps", "add", "till", "--subject", "svc-till")
        wait_for("it believes them", lambda: answers(munich, issuer.token()))
    with contextlib.closing(munich):
        munich.process.terminate()
        assert munich.process.wait(60) == 0, munich.tail()
        munich.up()
        ready(munich)
        warned = lambda: any("those of before are used" in text for text in munich.json("status")["warnings"])
        wait_for("it says that nobody answers", warned)
        assert app_of(munich, say(munich, issuer.token())) == "till"
        assert app_of(munich, say(munich, "sk-none")) == "anonymous"
        assert "it has expired" in refused(munich, issuer.token(exp=int(time.time()) - 120))


def test_keys_in_a_file_are_taken_anew_and_the_claim_can_be_another(folder, issuer):
    munich = Node("munich", EEA, '[api.oidc]\nissuer = "plant"\naudience = "hither"\njwks = "keys.json"\napp_claim = "azp"\n')
    with contextlib.closing(munich), contextlib.closing(Issuer(folder)) as other:
        munich.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        refusal = munich.run("up", check=False)
        assert refusal.returncode == 2 and "keys.json cannot be read" in refusal.stderr, refusal.stderr
        (munich.data / "keys.json").write_text(json.dumps(issuer.published()))
        munich.up()
        munich.run("apps", "add", "till", "--subject", "till-7")
        path = munich.data / "talker.stub"
        path.write_text(TALKER)
        munich.run("models", "add", path, "--name", "talker")
        ready(munich)
        old, new = (one.token(iss="plant", azp="till-7", sub=None) for one in (issuer, other))
        assert app_of(munich, say(munich, old)) == "till" and not answers(munich, new)
        (munich.data / "keys.json").write_text(json.dumps(other.published()))
        wait_for("the new keys are believed", lambda: answers(munich, new))
        assert not answers(munich, old)


def test_the_page_shows_what_works(folder, issuer):
    page = (ROOT / "docs/access.md").read_text()
    # What it says of references is for test_references.py.
    [config], [typed, *_] = (re.findall(rf"```{kind}\n(.*?)```", page, re.S) for kind in ("toml", "sh"))
    with contextlib.closing(Node("munich", EEA, config)) as munich:
        for source, name in [("issuer.pem", "node.pem"), ("issuer.key", "node.key"), ("authority.pem", "clients.pem")]:
            (munich.data / name).write_bytes((folder / source).read_bytes())
        (munich.data / "issuer-keys.json").write_text(json.dumps(issuer.published()))
        munich.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        munich.ready = lambda: (munich.data / "api.addr").exists() and munich.run("status", check=False).returncode == 0
        munich.up()
        for line in typed.splitlines():
            assert line.startswith("hither ")
            munich.run(*line.split()[1:])
        known = {app["name"]: (app.get("certificate"), app.get("subject")) for app in munich.json("apps", "ls")}
        assert known == {
            "till": (None, None), "press": ("spiffe://plant/press", None), "nightly": (None, "svc-nightly"),
        }
        assert not munich.json("status")["warnings"]
