"""HTTPS, and apps that show certificates instead of keys, with OpenAI's client, httpx and gRPC."""

import contextlib
import datetime
import ipaddress
import socket
import ssl

import httpx
import openai
import pytest
import tritonclient.grpc as grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mesh import CANARY, EEA, Node, wait_for

TALKER = "hither-stub 1\nlength=5 slots=4\n"
TLS = '[models]\npull = "manual"\n[api.tls]\ncertificate_file = "node.pem"\nkey_file = "node.key"\n'


def certificate(folder, name, names, signer=None):
    """A certificate and its key as files; gives what signs others."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer, signing = signer or (subject, key)
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
    )
    if names:
        made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
    made = made.sign(signing, hashes.SHA256())
    (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ))
    return subject, key


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    authority = certificate(folder, "authority", None)
    certificate(folder, "node", [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")], authority)
    certificate(folder, "till", [x509.DNSName("till-7.shop.example")], authority)
    certificate(folder, "press", [x509.UniformResourceIdentifier("spiffe://plant/press")], authority)
    certificate(folder, "nobody", [x509.DNSName("nobody.example")], authority)
    other = certificate(folder, "stranger", None)
    certificate(folder, "forged", [x509.DNSName("till-7.shop.example")], other)
    return folder


class Secure(Node):
    """A node that speaks HTTPS."""

    def __init__(self, folder, config):
        super().__init__("munich", EEA, config)
        self.folder_of_certificates = folder
        for name in ["node.pem", "node.key", "authority.pem"]:
            (self.data / name).write_bytes((folder / name).read_bytes())

    @property
    def url(self):
        return super().url.replace("http://", "https://")

    def context(self, client=None):
        context = ssl.create_default_context(cafile=self.folder_of_certificates / "authority.pem")
        if client:
            context.load_cert_chain(*(self.folder_of_certificates / f"{client}{end}" for end in (".pem", ".key")))
        return context

    def client(self, client=None):
        return httpx.Client(base_url=self.url, verify=self.context(client), timeout=30)

    def ready(self):
        """By the socket: whoever shows no certificate may not even ask."""
        assert self.process.poll() is None, self.tail()
        return (self.data / "api.addr").exists() and self.run("status", check=False).returncode == 0


@contextlib.contextmanager
def node(folder, config):
    with contextlib.closing(Secure(folder, config)) as munich:
        munich.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        munich.up()
        path = munich.data / "talker.stub"
        path.write_text(TALKER)
        munich.run("models", "add", path, "--name", "talker")
        here = lambda: munich.json("status")["nodes"][0]["models"]
        wait_for("it speaks", lambda: any(held["stage"] == "ready" for held in here()))
        yield munich


@pytest.fixture(scope="module")
def open_(folder):
    """Certificates are welcome, and not needed."""
    with node(folder, TLS + 'client_ca_file = "authority.pem"\n') as munich:
        munich.run("apps", "add", "till", "--certificate", "till-7.shop.example")
        munich.run("apps", "add", "press", "--certificate", "spiffe://plant/press", "--models", "none-of-these")
        yield munich


def say(munich, client=None, key="none"):
    with munich.client(client) as http:
        speaks = openai.OpenAI(base_url=f"{munich.url}/v1", api_key=key, http_client=http, max_retries=0)
        messages = [{"role": "user", "content": f"hello {CANARY}"}]
        return speaks.chat.completions.with_raw_response.create(model="talker", messages=messages, max_tokens=3)


def app_of(munich, answer):
    return munich.json("explain", answer.headers["x-hither-request"])["request"]["app"]


def test_who_shows_a_certificate_is_its_app_and_who_shows_none_is_nobody(open_):
    assert app_of(open_, say(open_, "till")) == "till"
    assert app_of(open_, say(open_)) == "anonymous"
    with pytest.raises(openai.PermissionDeniedError, match="may not use model"):
        say(open_, "press")
    listed = {app["name"]: app.get("certificate") for app in open_.json("apps", "ls")}
    assert listed == {"till": "till-7.shop.example", "press": "spiffe://plant/press"}


def test_a_certificate_of_no_app_is_refused_and_a_key_comes_first(open_):
    with pytest.raises(openai.AuthenticationError) as refused:
        say(open_, "nobody")
    assert refused.value.body["hither_code"] == "E0118" and "nobody.example" in refused.value.body["message"]
    key = open_.json("apps", "add", "by-key")["key"]
    try:
        assert app_of(open_, say(open_, "nobody", key)) == "by-key"
    finally:
        open_.run("apps", "rm", "by-key")


def test_a_certificate_that_others_signed_and_plain_http_get_nothing(open_):
    with pytest.raises(openai.APIConnectionError):
        say(open_, "forged")
    host, port = open_.url.removeprefix("https://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as plain:
        plain.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            said = plain.recv(4096)
            assert b"HTTP/1.1 200" not in said
    assert say(open_).status_code == 200


def test_grpc_and_http_2_are_spoken_over_tls(open_, folder):
    address = open_.url.removeprefix("https://")
    with grpc.InferenceServerClient(
        address, ssl=True, root_certificates=str(folder / "authority.pem"),
        private_key=str(folder / "till.key"), certificate_chain=str(folder / "till.pem"),
    ) as client:
        assert client.is_server_live() and client.is_server_ready()
    context = open_.context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as plain, context.wrap_socket(plain, server_hostname=host) as shaken:
        assert shaken.selected_alpn_protocol() == "h2"


def test_a_name_is_one_app(open_):
    done = open_.run("apps", "add", "other", "--certificate", "till-7.shop.example", check=False)
    assert done.returncode != 0 and "E0166" in done.stderr, done.stderr


def test_where_certificates_are_required_a_public_address_is_allowed_and_nobody_comes_without(folder):
    required = TLS + 'client_ca_file = "authority.pem"\nclients = "required"\n'
    with node(folder, required) as munich:
        munich.run("apps", "add", "till", "--certificate", "till-7.shop.example")
        assert app_of(munich, say(munich, "till")) == "till"
        with pytest.raises((openai.APIConnectionError, httpx.HTTPError)):
            say(munich)
    with contextlib.closing(Secure(folder, '[api]\nlisten = "0.0.0.0:0"\n' + TLS)) as shut:
        shut.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        done = shut.run("up", check=False)
        assert done.returncode == 2 and "E0112" in done.stderr and "[api.tls]" in done.stderr, done.stderr


@pytest.mark.parametrize("wrong, says", [
    ('certificate_file = "node.key"\nkey_file = "node.key"\n', "certificate of the node"),
    ('certificate_file = "node.pem"\nkey_file = "absent.key"\n', "absent.key cannot be read"),
    ('certificate_file = "node.pem"\nkey_file = "node.key"\nclients = "required"\n', "client_ca_file"),
])
def test_files_that_cannot_be_used_are_named(folder, wrong, says):
    with contextlib.closing(Secure(folder, "[api.tls]\n" + wrong)) as munich:
        munich.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        done = munich.run("up", check=False)
        assert done.returncode == 2 and says in done.stderr, done.stderr
