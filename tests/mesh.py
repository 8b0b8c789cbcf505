"""Nodes started by hand, as a user would: the program, its command line, and nothing else."""

import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import canary
from canary import WORD as CANARY

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = pathlib.Path(os.environ.get("HITHER_CACHE", pathlib.Path.home() / ".cache/hither"))
HITHER = os.environ.get("HITHER", str(CACHE / "target/release/hither"))
LANGUAGE_MODEL = CACHE / "models/SmolLM2-135M-Instruct.Q4_1.gguf"

# What the sites of one company in the European Economic Area agree on.
EEA = """
version = 1
[default]
unlabelled = "internal"
[[permit]]
id = "eea-personal"
action = ["infer"]
class = ["internal", "personal"]
origin = ["EEA"]
target = ["EEA"]
same_operator = true
[[permit]]
id = "weights-travel"
action = ["replicate"]
"""


def wait_for(what, check, seconds=60):
    """Asks again until the answer is true; the bound is for a machine that hangs, not for the product."""
    end = time.monotonic() + seconds
    pause = 0.02
    while True:
        answer = check()
        if answer:
            return answer
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(pause)
        pause = min(pause * 1.5, 0.5)


def size_of(path):
    """Bytes of a file in the directory of a node at work, which may have moved or removed it since its name was read."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


class Node:
    """One node: its data directory and its process."""

    def __init__(self, name, policy=None, config="", workers=None):
        self.name = name
        # A short path: the name of a Unix socket has at most 107 bytes.
        self.folder = tempfile.TemporaryDirectory(prefix=f"hither-{name}-")
        self.data = pathlib.Path(self.folder.name)
        if policy:
            (self.data / "policy.toml").write_text(policy)
        (self.data / "hither.toml").write_text(config or '[models]\npull = "manual"\n')
        self.process = None
        self.log = open(self.data / "log", "a+")

    def run(self, *args, check=True, timeout=180):
        """Types a command."""
        done = subprocess.run(
            [HITHER, "--data", self.data, *map(str, args)], capture_output=True, text=True, timeout=timeout
        )
        assert not check or done.returncode == 0, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *args):
        """Types a command and reads its JSON."""
        return json.loads(self.run("--json", *args).stdout)

    def up(self, prefix=(), mesh="127.0.0.1:0", words=None):
        """Starts the process, behind a prefix of the command if there is one, and waits until it answers."""
        (self.data / "api.addr").unlink(missing_ok=True)
        words = words or ["up", "--api", "127.0.0.1:0", "--mesh", mesh]
        self.process = subprocess.Popen(
            [*prefix, HITHER, "--data", self.data, *words],
            stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL,
            # A core dump would be written here, and be searched.
            cwd=self.data,
        )
        wait_for(f"{self.name} is up", self.ready)
        return self

    def up_with_small_disk(self, folder, megabytes):
        """Starts the process with a folder of its data on a disk of a few megabytes, which only it sees."""
        place = self.data / folder
        place.mkdir()
        mount = f'mount -t tmpfs -o size={megabytes}m tmpfs "{place}" && exec "$@"'
        return self.up(prefix=["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"])

    def ready(self):
        assert self.process.poll() is None, f"{self.name} ended:\n{self.tail()}"
        try:
            return self.get("/v2/health/ready")[0] == 200
        except (FileNotFoundError, urllib.error.URLError, ConnectionError, ValueError):
            return False

    @property
    def url(self):
        return "http://" + (self.data / "api.addr").read_text().strip()

    def get(self, path):
        """Status and body."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def post(self, path, body, headers=None, timeout=120):
        """Status, headers and JSON (or text) of the answer."""
        data = body if isinstance(body, bytes) else json.dumps(marked(path, body)).encode()
        request = urllib.request.Request(self.url + path, data=data, method="POST")
        for key, value in {"Content-Type": "application/json", **(headers or {})}.items():
            request.add_header(key, value)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.headers, parse(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, error.headers, parse(error.read())

    def view(self):
        return json.loads(self.get("/hither/v1/view")[1])

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()

    def tail(self):
        self.log.seek(0)
        return "".join(self.log.readlines()[-40:])

    def close(self):
        """Ends it, and searches what it told and left for what it was sent."""
        told = self.told()
        self.kill()
        self.log.close()
        try:
            canary.check_text(f"the metrics and the picture of {self.name}", told)
            canary.check(self.data)
        finally:
            self.folder.cleanup()

    def told(self):
        """What the node tells whoever watches it; nothing, if it runs no more or is frozen."""
        if not self.process or self.process.poll() is not None or state(self.process.pid) == "T":
            return b""
        said = b""
        for path in ("/metrics", "/hither/v1/view"):
            link = http.client.HTTPConnection("localhost", timeout=30)
            link.sock = socket.socket(socket.AF_UNIX)
            with contextlib.suppress(OSError, http.client.HTTPException):
                link.sock.connect(str(self.data / "api.sock"))
                link.request("GET", path)
                said += link.getresponse().read()
            link.close()
        return said


@contextlib.contextmanager
def two_sites(config=""):
    """munich, which began, and paris, which joined it. They have no models yet."""
    with contextlib.ExitStack() as stack:
        munich, paris = (stack.enter_context(contextlib.closing(Node(name, EEA, config))) for name in ("munich", "paris"))
        munich.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        munich.up()
        ticket = munich.json("invite", "--site", "paris", "--jurisdiction", "FR")["ticket"]
        paris.up()
        paris.run("join", ticket)
        yield munich, paris


def clock(ahead):
    """A prefix that starts a program whose clock is ahead (`+15d`), or behind. Not by the command of that name: what it starts
    does not end with it."""
    library = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    steady = ("DONT_FAKE_MONOTONIC=1", "FAKETIME_DONT_FAKE_MONOTONIC=1")
    return ("env", f"LD_PRELOAD={library}", f"FAKETIME={ahead}", *steady)


def state(pid):
    """The letter of a process, as the system has it; a program may be called anything."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def marked(path, body):
    """A request with the secret word of this run, where it does not change what is answered."""
    if not isinstance(body, dict) or not path.startswith(("/v1/", "/v2/", "/api/")):
        return body
    if "messages" in body or "prompt" in body:
        if path.startswith("/api/emb"):
            return body
        if path.startswith("/api/"):
            options = body.get("options") or {}
            return {**body, "options": {"stop": [CANARY], **options}}
        return {"stop": [CANARY], **body}
    if "inputs" in body:
        return {"id": CANARY, **body}
    if "input" in body and path.startswith("/v1/"):
        return {"user": CANARY, **body}
    return body


def parse(body):
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")


def chat(node, text="Name a colour.", headers=None, **fields):
    """One chat completion, not streamed."""
    body = {
        "model": "smollm2-135m", "messages": [{"role": "user", "content": text}], "max_tokens": 8, "temperature": 0,
        **fields,
    }
    return node.post("/v1/chat/completions", body, headers)
