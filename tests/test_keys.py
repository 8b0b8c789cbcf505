"""Apps, keys and limits, with OpenAI's own client and with plain HTTP, over TCP and the Unix socket."""

import concurrent.futures
import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import textwrap

import openai
import pytest

from mesh import CANARY, EEA, HITHER, Node, parse, wait_for

# A stub speaks slowly enough to be met while it speaks: twenty seconds for an answer of a thousand tokens.
TALKER = "hither-stub 1\ntoken_us=20000 length=1000 slots=4\n"
ECHO = "hither-stub 1\nkind=infer\n"
REQUIRED = '[api]\nkeys = "required"\n[models]\npull = "manual"\n'


def start(config=""):
    node = Node("munich", EEA, config)
    node.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
    node.up()
    for name, text in [("talker", TALKER), ("echo", ECHO)]:
        path = node.data / f"{name}.stub"
        path.write_text(text)
        node.run("models", "add", path, "--name", name)
    for name in ["talker", "echo"]:
        wait_for(f"{name} is ready", lambda: held(node, name))
    return node


def held(node, name):
    here = node.json("status")["nodes"][0]["models"]
    return any(model["name"] == name and model["stage"] == "ready" for model in here)


@pytest.fixture(scope="module")
def node():
    """A node that takes callers without a key, but not for everything."""
    with contextlib.closing(start('[api.anonymous]\nmodels = ["echo"]\n[models]\npull = "manual"\n')) as munich:
        yield munich


@pytest.fixture(scope="module")
def shut():
    """A node that takes nobody without a key."""
    with contextlib.closing(start(REQUIRED)) as munich:
        yield munich


@contextlib.contextmanager
def app(node, name, *limits):
    """An app and its key."""
    made = node.json("apps", "add", name, *limits)
    assert made["app"]["name"] == name
    try:
        yield made["key"]
    finally:
        node.run("apps", "rm", name)


def client(node, key, retries=0):
    return openai.OpenAI(base_url=f"{node.url}/v1", api_key=key, max_retries=retries, timeout=60)


def say(client, tokens=3, **more):
    messages = [{"role": "user", "content": f"hello {CANARY}"}]
    return client.chat.completions.create(model="talker", messages=messages, max_tokens=tokens, **more)


def echo(node, headers=None):
    tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    return node.post("/v2/models/echo/infer", {"inputs": [tensor]}, headers)


def seen(node, name):
    return next(found for found in node.json("apps", "ls") if found["name"] == name)


def test_a_key_names_its_app_in_explain_ledger_and_metrics(node):
    with app(node, "chat") as key, client(node, key) as chat:
        answer = say(chat.with_raw_response)
        request = answer.headers["x-hither-request"]
        assert answer.parse().usage.completion_tokens == 3
        explained = node.json("explain", request)
        assert explained["request"]["app"] == "chat"
        assert node.run("explain", request).stdout.splitlines()[0].split(" · ")[0].endswith("chat")

        def recorded():
            records = node.json("ledger", "show", node.data / "ledger")["records"]
            return [record for record in records if record.get("req") == request]

        records = wait_for("the answer is in the ledger", recorded)
        assert {record["app"] for record in records if "app" in record} == {"chat"}, records
        listed = seen(node, "chat")
        assert (listed["requests"], listed["limited"], listed["running"]) == (1, 0, 0)
        assert listed["tokens"] == answer.parse().usage.total_tokens
        metrics = node.get("/metrics")[1].decode()
        assert 'hither_app_requests_total{app="chat"} 1\n' in metrics
        assert f'hither_app_tokens_total{{app="chat"}} {listed["tokens"]}\n' in metrics


def test_a_key_is_taken_by_every_usual_header(node):
    with app(node, "sensor") as key:
        for headers in [{"Authorization": f"Bearer {key}"}, {"x-api-key": key}, {"api-key": key}]:
            status, answered, _ = echo(node, headers)
            assert status == 200
            assert node.json("explain", answered["x-hither-request"])["request"]["app"] == "sensor"
    status, answered, _ = echo(node, {"Authorization": "Bearer sk-whatever"})
    assert status == 200
    assert node.json("explain", answered["x-hither-request"])["request"]["app"] == "anonymous"


def test_a_wrong_an_old_and_a_removed_key_open_nothing(node):
    made = node.json("apps", "add", "chat")
    first = made["key"]
    for wrong in [first[:-1] + ("0" if first[-1] != "0" else "1"), "hk_nonsense"]:
        with client(node, wrong) as chat, pytest.raises(openai.AuthenticationError) as error:
            say(chat)
        assert error.value.body["type"] == "authentication_error"
        assert error.value.body["code"] == "invalid_api_key"
        assert error.value.body["hither_code"] == "E0118"
        assert wrong not in str(error.value.body)
        assert error.value.response.headers["www-authenticate"] == "Bearer"
    status, headers, body = echo(node, {"x-api-key": "hk_nonsense"})
    assert (status, body["code"], headers["www-authenticate"]) == (401, "E0118", "Bearer")
    assert isinstance(body["error"], str)

    second = node.json("apps", "rotate", "chat")["key"]
    with client(node, first) as chat, pytest.raises(openai.AuthenticationError):
        say(chat)
    with client(node, second) as chat:
        say(chat)
        node.run("apps", "rm", "chat")
        with pytest.raises(openai.AuthenticationError):
            say(chat)
    gone = node.run("apps", "rm", "chat", check=False)
    assert gone.returncode == 1 and "error[E0161]" in gone.stderr and "help: hither apps ls" in gone.stderr


def test_the_key_alone_is_on_stdout_and_nowhere_on_the_disk(node):
    made = node.run("apps", "add", "piped")
    key = made.stdout.strip()
    assert made.stdout == f"{key}\n" and key.startswith("hk_") and len(key) == 52
    assert "shown this once" in made.stderr and key not in made.stderr
    twice = node.run("apps", "add", "piped", check=False)
    assert twice.returncode == 1 and "error[E0160]" in twice.stderr
    assert key not in node.run("apps", "ls").stdout
    secret = key.rsplit("_", 1)[1]
    for path in node.data.rglob("*"):
        # A node at work replaces its files: one may be gone since its name was read.
        with contextlib.suppress(FileNotFoundError):
            assert not path.is_file() or secret.encode() not in path.read_bytes(), path
    assert (node.data / "apps.toml").stat().st_mode & 0o777 == 0o600
    node.run("apps", "rm", "piped")


def test_an_app_has_its_own_models_classes_and_purposes(node):
    limits = ["--models", "talker", "--class", "personal", "--purposes", "triage,letters"]
    with app(node, "ward", *limits) as key, client(node, key) as ward:
        letters = {"x-hither-purpose": "letters"}
        say(ward, extra_headers={**letters, "x-hither-class": "personal"})
        for headers, help in [
            ({**letters, "x-hither-class": "special"}, "hither apps limit ward --class special"),
            ({"x-hither-purpose": "marketing"}, "hither apps limit ward --purposes letters,triage,marketing"),
            ({}, "send the header x-hither-purpose: letters"),
        ]:
            with pytest.raises(openai.PermissionDeniedError) as error:
                say(ward, extra_headers=headers)
            assert error.value.body["hither_code"] == "E0117" and error.value.body["help"] == [help]
        assert [model.id for model in ward.models.list()] == ["talker"]
        status, _, body = echo(node, {"x-api-key": key, **letters})
        assert (status, body["code"]) == (403, "E0117")
        assert body["error"].startswith("app ward may not use model echo; it may use talker")
        assert body["help"] == ["hither apps limit ward --models talker,echo"]

        # What is typed holds for the next request.
        node.run("apps", "limit", "ward", "--models", "talker,echo")
        assert echo(node, {"x-api-key": key, **letters})[0] == 200
        node.run("apps", "limit", "ward", "--purposes", "all")
        assert echo(node, {"x-api-key": key})[0] == 200
    nothing = node.run("apps", "limit", "ward", check=False)
    assert nothing.returncode == 2 and "error[E0166]" in nothing.stderr


def test_callers_without_a_key_have_limits_of_their_own(node):
    assert echo(node)[0] == 200
    with client(node, "none") as nobody, pytest.raises(openai.PermissionDeniedError) as error:
        say(nobody)
    assert error.value.body["help"] == [
        "send the key of an app, or change models under [api.anonymous] in hither.toml"
    ]
    # The operator, over the socket, is not one of them.
    assert node.run("run", "talker", "hello", "--max-tokens", "2").returncode == 0


def test_requests_a_second_are_told_when_to_come_back_and_clients_do(node):
    with app(node, "hasty", "--requests-per-s", "1") as key:
        # At once, so that a slow machine cannot spread them over as many seconds.
        with client(node, key) as once, concurrent.futures.ThreadPoolExecutor(16) as pool:
            errors = [call.exception() for call in [pool.submit(say, once, 1) for _ in range(16)]]
        refused = [error for error in errors if error]
        assert 1 <= len(refused) < 16
        for error in refused:
            assert isinstance(error, openai.RateLimitError), error
            assert error.body["type"] == "rate_limit_error" and error.body["code"] == "rate_limit_exceeded"
            assert error.response.headers["retry-after"] == "1"
        # OpenAI's client waits as it is told, and is let in.
        before = seen(node, "hasty")
        assert (before["requests"], before["limited"]) == (16 - len(refused), len(refused))
        with client(node, key, retries=5) as patient:
            assert say(patient, tokens=1).usage.completion_tokens == 1
        assert seen(node, "hasty")["requests"] == before["requests"] + 1


def test_tokens_a_minute_are_charged_with_prompt_and_answer(node):
    with app(node, "wordy", "--tokens-per-min", "600") as key, client(node, key) as wordy:
        used = sum(say(wordy, tokens=100, stream=False).usage.total_tokens for _ in range(2))
        stream = say(wordy, tokens=50, stream=True, stream_options={"include_usage": True})
        used += [chunk for chunk in stream if chunk.usage][0].usage.total_tokens
        assert seen(node, "wordy")["tokens"] == used
        node.run("apps", "limit", "wordy", "--tokens-per-min", "10")
        say(wordy, tokens=40)
        with pytest.raises(openai.RateLimitError) as error:
            say(wordy)
        # More than forty of ten a minute are used: three minutes and some seconds.
        assert 180 <= int(error.value.response.headers["retry-after"]) < 600
        assert "may use 10 tokens a minute" in error.value.body["message"]


def test_requests_at_once_end_with_their_streams(node):
    with app(node, "single", "--concurrent", "1") as key, client(node, key) as single:
        stream = say(single, tokens=1000, stream=True)
        next(iter(stream))
        with pytest.raises(openai.RateLimitError) as error:
            say(single)
        assert "may have 1 requests under way at once" in error.value.body["message"]
        assert echo(node, {"x-api-key": key})[0] == 429, "whatever the protocol"
        assert seen(node, "single")["running"] == 1
        stream.close()
        wait_for("there is room again", lambda: seen(node, "single")["running"] == 0, 10)
        say(single, tokens=1)


def test_with_keys_required_only_health_is_for_everyone(shut):
    for path in ["/health", "/v2/health/live", "/v2/health/ready"]:
        assert shut.get(path)[0] == 200, path
    for path in ["/", "/app.js", "/metrics", "/hither/v1/view", "/v1/models", "/v2", "/v2/models/echo"]:
        assert shut.get(path)[0] == 401, path
    status, headers, body = echo(shut)
    assert (status, body["code"], headers["www-authenticate"]) == (401, "E0116", "Bearer")
    with client(shut, "sk-of-somebody-else") as stranger, pytest.raises(openai.AuthenticationError) as error:
        say(stranger)
    assert error.value.body["code"] == "invalid_api_key" and error.value.body["hither_code"] == "E0116"
    with app(shut, "watcher") as key, client(shut, key) as watcher:
        assert [model.id for model in watcher.models.list()] == ["talker"]
        assert echo(shut, {"x-api-key": key})[0] == 200
        plain = http.client.HTTPConnection(shut.url.removeprefix("http://"))
        for path in ["/", "/metrics", "/hither/v1/view"]:
            plain.request("GET", path, headers={"Authorization": f"Bearer {key}"})
            answer = plain.getresponse()
            assert answer.status == 200 and answer.read(), path
        plain.close()
    # Commands, and questions over the socket, go on without one.
    assert shut.json("status")["me"]["site"] == "munich"
    assert over_socket(shut, "GET", "/metrics")[0] == 200


def test_apps_outlive_a_restart(shut):
    with app(shut, "steady", "--concurrent", "2") as key:
        shut.process.terminate()
        assert shut.process.wait(60) == 0, shut.tail()
        shut.up()
        wait_for("echo is ready", lambda: held(shut, "echo"))
        assert echo(shut, {"x-api-key": key})[0] == 200
        assert seen(shut, "steady")["concurrent"] == 2


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(str(self.path))


def over_socket(node, method, path, body=None):
    connection = UnixConnection(node.data / "api.sock")
    with contextlib.closing(connection):
        connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.headers, parse(answer.read())


def ask_echo(node):
    tensor = {"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1]}
    return over_socket(node, "POST", "/v2/models/echo/infer", {"inputs": [tensor]})


def test_a_user_of_the_socket_is_its_app_without_a_key(shut):
    asked = lambda: shut.json("explain", ask_echo(shut)[1]["x-hither-request"])["request"]["app"]
    assert asked() == "anonymous"
    with app(shut, "batch", "--uid", os.getuid()):
        assert asked() == "batch"
        taken = shut.run("apps", "add", "other", "--uid", os.getuid(), check=False)
        assert taken.returncode == 1 and "error[E0164]" in taken.stderr
    assert asked() == "anonymous"


# As another user: asks a model, then tries to lift its own limits.
OTHER_USER = """
    import http.client, json, os, socket, sys
    os.setgroups([])
    os.setgid(54321)
    os.setuid(54321)
    class Connection(http.client.HTTPConnection):
        def connect(self):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(sys.argv[1])
    def ask(path, body):
        connection = Connection("localhost")
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return [answer.status, answer.headers["x-hither-request"], json.loads(answer.read())]
    tensor = {"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1]}
    asked = ask("/v2/models/echo/infer", {"inputs": [tensor]})
    print(json.dumps([asked, ask("/hither/v1/apps/nightly/limits", {"concurrent": 0})]))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_of_the_socket_is_its_app_and_gives_no_commands(shut):
    # The folder and the socket as an operator opens them to a group.
    shut.data.chmod(0o711)
    (shut.data / "api.sock").chmod(0o666)
    with app(shut, "nightly", "--uid", 54321, "--concurrent", "1"):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(OTHER_USER), shut.data / "api.sock"],
            capture_output=True, text=True, timeout=60,
        )
        assert done.returncode == 0, done.stderr
        (status, request, _), (refused, _, body) = json.loads(done.stdout)
        assert status == 200 and shut.json("explain", request)["request"]["app"] == "nightly"
        assert (refused, body["code"]) == (403, "E0117")
        assert seen(shut, "nightly")["concurrent"] == 1


def test_an_address_that_others_reach_needs_keys():
    with contextlib.closing(Node("berlin", EEA)) as berlin:
        berlin.run("init", "--site", "berlin", "--jurisdiction", "DE-BE", "--operator", "acme")
        for up in [["up", "--api", "0.0.0.0:0"], ["up", "--api", "[::]:0"]]:
            refused = berlin.run(*up, "--mesh", "127.0.0.1:0", check=False)
            assert refused.returncode == 2, refused.stderr
            assert "error[E0112]" in refused.stderr and 'keys = "required"' in refused.stderr
        (berlin.data / "hither.toml").write_text('[api]\nlisten = "0.0.0.0:0"\n')
        assert "error[E0112]" in berlin.run("up", check=False).stderr

        (berlin.data / "hither.toml").write_text(
            '[api]\nkeys = "required"\nlisten = "0.0.0.0:0"\nhosts = ["ai.acme.example"]\n'
        )
        berlin.process = subprocess.Popen(
            [HITHER, "--data", berlin.data, "up", "--mesh", "127.0.0.1:0"],
            stdout=berlin.log, stderr=berlin.log, stdin=subprocess.DEVNULL,
        )
        wait_for("berlin is up", berlin.ready)
        assert any("without TLS" in text for text in berlin.json("status")["warnings"])
        key = berlin.json("apps", "add", "far")["key"]
        _, port = berlin.url.rsplit(":", 1)
        for host, origin, sent, wanted in [
            (f"127.0.0.1:{port}", None, key, 200),
            (f"127.0.0.1:{port}", None, None, 401),
            ("ai.acme.example", None, key, 200),
            (f"192.0.2.7:{port}", None, key, 200),
            ("evil.example", None, key, 403),
            ("ai.acme.example", "https://ai.acme.example", key, 200),
            ("ai.acme.example", "https://evil.example", key, 403),
        ]:
            connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=30)
            headers = {"Host": host, **({"Origin": origin} if origin else {}), **({"x-api-key": sent} if sent else {})}
            connection.request("GET", "/v1/models", headers=headers)
            answer = connection.getresponse()
            assert answer.status == wanted, (host, origin, answer.read())
            assert answer.headers["access-control-allow-origin"] is None
            connection.close()
