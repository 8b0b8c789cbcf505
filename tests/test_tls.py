"""HTTPS, and apps that show certificates instead of keys, with OpenAI's client, httpx and gRPC."""

import contextlib
import ipaddress
import socket
import ssl
import subprocess

import httpx
import openai
import pytest
import tritonclient.grpc as grpc
from cryptography import x509

from certificates import certificate
from mesh import CANARY, EEA, HITHER, Node, wait_for

TALKER = "hither-stub 1\nlength=5 slots=4\n"
TLS = '[models]\npull = "manual"\n[api.tls]\ncertificate_file = "node.pem"\nkey_file = "node.key"\n'


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
    told = httpx.get(f"http://{host}:{port}/v2/health/live", timeout=30)
    assert told.status_code == 400 and "https://" in told.text
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
    assert done.returncode != 0 and "E0167" in done.stderr, done.stderr


def test_a_name_can_be_given_to_another_app(open_):
    open_.run("apps", "limit", "till", "--unlink", "certificate")
    with pytest.raises(openai.AuthenticationError):
        say(open_, "till")
    open_.run("apps", "add", "new-till", "--certificate", "till-7.shop.example")
    assert app_of(open_, say(open_, "till")) == "new-till"
    open_.run("apps", "rm", "new-till")
    open_.run("apps", "limit", "till", "--certificate", "till-7.shop.example")
    assert app_of(open_, say(open_, "till")) == "till"


def shown(munich):
    """The serial number of the certificate that the node shows."""
    host, port = munich.url.removeprefix("https://").split(":")
    return x509.load_pem_x509_certificate(ssl.get_server_certificate((host, int(port))).encode()).serial_number


def test_renewed_files_are_taken_without_a_restart_and_broken_ones_are_told(tmp_path):
    authority = certificate(tmp_path, "authority", None)
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate(tmp_path, "node", names, authority)
    with node(tmp_path, TLS) as munich:
        first, good = shown(munich), (munich.data / "node.pem").read_bytes()
        warned = lambda: [text for text in munich.json("status")["warnings"] if "renewed files of HTTPS" in text]
        (munich.data / "node.pem").write_text("half a certificate\n")
        wait_for("it says so", warned)
        assert shown(munich) == first and say(munich).status_code == 200
        certificate(tmp_path, "node", names, authority)
        for name in ["node.pem", "node.key"]:
            (munich.data / name).write_bytes((tmp_path / name).read_bytes())
        wait_for("the new one is shown", lambda: shown(munich) != first)
        wait_for("nothing is wrong any more", lambda: not warned())
        assert say(munich).status_code == 200 and good != (munich.data / "node.pem").read_bytes()


def test_where_certificates_are_required_a_public_address_is_allowed_and_nobody_comes_without(folder):
    required = TLS + 'client_ca_file = "authority.pem"\nclients = "required"\n'
    with node(folder, required) as munich:
        munich.run("apps", "add", "till", "--certificate", "till-7.shop.example")
        assert app_of(munich, say(munich, "till")) == "till"
        with pytest.raises((openai.APIConnectionError, httpx.HTTPError)):
            say(munich)
    listen = '[api]\nlisten = "0.0.0.0:0"\n'
    with contextlib.closing(Secure(folder, listen + required)) as munich:
        munich.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        munich.process = subprocess.Popen(
            [HITHER, "--data", munich.data, "up", "--mesh", "127.0.0.1:0"],
            stdout=munich.log, stderr=munich.log, stdin=subprocess.DEVNULL,
        )
        wait_for("it is up", munich.ready)
        assert munich.json("status")["warnings"] == []
        munich.run("apps", "add", "till", "--certificate", "till-7.shop.example")
        with munich.client("till") as http:
            assert http.get(munich.url.replace("0.0.0.0", "127.0.0.1") + "/v1/models").status_code == 200
    with contextlib.closing(Secure(folder, listen + TLS)) as shut:
        shut.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        done = shut.run("up", check=False)
        assert done.returncode == 2 and "E0112" in done.stderr, done.stderr
        assert all(way in done.stderr for way in ['keys = "required"', "[api.tls]", "[api.oidc]", "127.0.0.1"]), done.stderr


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
