"""Servers outside the mesh: models of others through a node, within the law, and what happens when they fail."""

import contextlib
import http.server
import json
import signal
import socket
import subprocess
import sys
import threading
import time

import openai
import pytest

from mesh import EEA, Node, wait_for

WORDS = ["Blue", ", ", "like ", "the ", "sea."]


class Stub(http.server.BaseHTTPRequestHandler):
    """A small server of OpenAI's API: five words, or whatever `mode` says."""

    protocol_version = "HTTP/1.1"
    timeout = 30

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.answer(200, {"object": "list", "data": [{"id": "big-1"}]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        mode = self.server.mode
        self.server.asked.append((self.path, dict(self.headers), body))
        if mode == "drop":
            self.close_connection = True
            return None
        if mode == "full":
            return self.answer(429, {"error": {"message": "slow down"}}, {"Retry-After": "7"})
        if mode == "wrong":
            return self.answer(400, {"error": {"message": "this model takes 10 tokens"}})
        if mode == "key" and self.headers["Authorization"] != "Bearer right":
            return self.answer(401, {"error": {"message": "no"}})
        if mode == "absent":
            return self.answer(404, {"error": {"message": "no such model"}})
        if mode == "broken":
            return self.answer(500, {"error": {"message": "out of memory"}})
        if not body["stream"]:
            return self.whole(mode)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for at, word in enumerate(WORDS):
            if mode == "half" and at == 2:
                self.close_connection = True
                return
            if mode == "hold" and at == 2:
                self.server.held.set()
                self.server.go_on.wait(60)
            self.event({"choices": [{"index": 0, "delta": {"content": word}}]})
        self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        self.event({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 5}})
        self.wfile.write(b"data: [DONE]\n\n")

    def whole(self, mode):
        if mode == "hold":
            self.server.held.set()
            self.server.go_on.wait(60)
        message = {"role": "assistant", "content": "".join(WORDS)}
        self.answer(200, {
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 11, "completion_tokens": 5},
        }, cut=mode == "half")

    def event(self, value):
        self.wfile.write(f"data: {json.dumps(value)}\n\n".encode())
        self.wfile.flush()

    def answer(self, status, value, headers=(), cut=False):
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in dict(headers).items():
            self.send_header(name, text)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:len(body) // 2] if cut else body)
        self.close_connection |= cut


class Once(Stub):
    """One answer a connection, so that each one is shaken hands for."""

    protocol_version = "HTTP/1.0"


class Quiet(http.server.ThreadingHTTPServer):
    """Clients that leave are expected here."""

    def handle_error(self, *_):
        pass


class Server:
    """The stub in this process."""

    def __init__(self, port=0, tls=None):
        self.http = Quiet(("127.0.0.1", port), Once if tls else Stub)
        if tls:
            self.http.socket = tls.wrap_socket(self.http.socket, server_side=True)
        self.http.mode, self.http.asked = "well", []
        self.http.held, self.http.go_on = threading.Event(), threading.Event()
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.http.go_on.set()
        self.http.shutdown()
        self.http.server_close()


class Process:
    """The stub in a process of its own, so that it can be frozen and killed."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.port = int(self.process.stdout.readline())

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def section(name, port, more=""):
    return f'[endpoint.{name}]\nurl = "http://127.0.0.1:{port}/v1"\nmodels = {{ assistant = "big-1" }}\n{more}'


US = 'jurisdiction = "US"\noperator = "example"\n'
CLOUD_RULE = """
[[permit]]
id = "cloud-for-public"
action = ["infer"]
class = ["public"]
target = ["US"]
"""


@contextlib.contextmanager
def node(*sections, policy=EEA):
    with contextlib.closing(Node("munich", policy, '[models]\npull = "manual"\n' + "".join(sections))) as munich:
        munich.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        munich.up()
        yield munich


@pytest.fixture
def server():
    with contextlib.closing(Server()) as server:
        yield server


def ask(munich, headers=None, **fields):
    body = {"model": "assistant", "messages": [{"role": "user", "content": "A colour?"}], **fields}
    return munich.post("/v1/chat/completions", body, headers)


def command(munich, path):
    """What an operator's program asks over the node's socket: the status of the answer."""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as line:
        line.connect(str(munich.data / "api.sock"))
        line.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        return int(line.makefile("rb").readline().split()[1])


def lives(munich, site="lab"):
    nodes = {node["member"]["site"]: node for node in munich.view()["nodes"]}
    return site in nodes and nodes[site]["presence"] == "present"


def test_a_server_on_this_machine_answers_through_the_node_and_nothing_leaves(server):
    with node(section("lab", server.port)) as munich:
        wait_for("the server is there", lambda: lives(munich))
        client = openai.OpenAI(base_url=munich.url + "/v1", api_key="none")
        assert "assistant" in [model.id for model in client.models.list()]
        whole = client.chat.completions.create(model="assistant", messages=[{"role": "user", "content": "A colour?"}])
        assert whole.choices[0].message.content == "".join(WORDS)
        assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (11, 5)
        assert server.http.asked[-1][2]["stream"] is False
        stream = client.chat.completions.create(
            model="assistant", messages=[{"role": "user", "content": "A colour?"}], stream=True, temperature=0.5
        )
        assert [chunk.choices[0].delta.content for chunk in stream][: len(WORDS)] == WORDS
        path, _, body = server.http.asked[-1]
        assert (path, body["model"], body["temperature"], body["stream"]) == ("/v1/chat/completions", "big-1", 0.5, True)
        status, headers, _ = ask(munich)
        assert (status, headers["x-hither-served-by"], headers["x-hither-jurisdiction"]) == (200, "lab", "DE-BY")
        # It came whole, so that nothing says how long the prompt was read.
        spent = dict(part.split(";dur=") for part in headers["server-timing"].split(", "))
        assert float(spent["prefill"]) == 0 < float(spent["decode"]), spent
        assert headers["x-hither-rule"] == "local" and headers["x-hither-egress-bytes"] == "0"
        assert munich.view()["totals"]["egress_requests"] == 0


def test_the_law_decides_about_a_cloud_and_its_bytes_are_on_the_record(server):
    with node(section("cloud", server.port, US), policy=EEA.replace('"internal"\n', '"public"\n', 1) + CLOUD_RULE) as munich:
        wait_for("the server is there", lambda: lives(munich, "cloud"))
        status, _, refused = ask(munich, {"x-hither-class": "internal"})
        assert status == 451, refused
        assert not [path for path, *_ in server.http.asked if path.endswith("completions")]
        status, headers, _ = ask(munich, {"x-hither-class": "public"})
        assert (status, headers["x-hither-served-by"], headers["x-hither-rule"]) == (200, "cloud", "cloud-for-public")
        assert int(headers["x-hither-egress-bytes"]) > 0
        records = munich.run("ledger", "show", munich.data / "ledger").stdout
        assert "cloud" in records and "cloud-for-public" in records, records


def test_an_answer_that_the_law_stops_there_does_not_begin_again_here(server):
    open_law = EEA.replace('"internal"\n', '"public"\n', 1)
    with node(section("cloud", server.port, US), policy=open_law + CLOUD_RULE) as munich:
        wait_for("the server is there", lambda: lives(munich, "cloud"))
        server.http.mode = "hold"
        client = openai.OpenAI(base_url=munich.url + "/v1", api_key="none", max_retries=0)
        stream = iter(client.chat.completions.create(
            model="assistant", messages=[{"role": "user", "content": "A colour?"}], stream=True,
            extra_headers={"x-hither-class": "public"},
        ))
        heard = [next(stream).choices[0].delta.content, next(stream).choices[0].delta.content]
        assert server.http.held.wait(60)
        stub = munich.data / "assistant.stub"
        stub.write_text("hither-stub 1\nprefill_us=0 token_us=0 length=3\n")
        munich.run("models", "add", stub, "--name", "assistant")
        wait_for("munich has it, too", lambda: ask(munich)[1]["x-hither-served-by"] == "munich")
        (munich.data / "policy.toml").write_text(open_law)
        assert command(munich, "/hither/v1/policy/reload") == 200
        with pytest.raises(openai.APIError, match="no lawful place|no other place can go on"):
            heard.extend(chunk.choices[0].delta.content for chunk in stream)
        assert heard == WORDS[:2], heard


def test_a_node_that_has_the_model_goes_before_it(server):
    config = '[models]\npull = "manual"\n' + section("lab", server.port)
    with contextlib.closing(Node("munich", EEA, config)) as munich:
        munich.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        munich.up()
        wait_for("the server is there", lambda: lives(munich))
        stub = munich.data / "assistant.stub"
        stub.write_text("hither-stub 1\nprefill_us=0 token_us=0 length=3\n")
        added = munich.run("models", "add", stub, "--name", "assistant", check=False)
        if added.returncode != 0:
            pytest.fail(added.stderr)
        wait_for("munich serves it itself", lambda: ask(munich)[1]["x-hither-served-by"] == "munich")


def test_what_the_server_says_reaches_the_client_in_the_protocols_own_form(server):
    with node(section("lab", server.port)) as munich:
        wait_for("the server is there", lambda: lives(munich))
        for mode, expected, words in [
            ("full", 429, "too much is asked for"),
            ("wrong", 400, "this model takes 10 tokens"),
            ("broken", 500, "out of memory"),
        ]:
            server.http.mode = mode
            # One that has no room is left alone for a moment.
            status, headers, body = wait_for(mode, lambda: (answer := ask(munich))[0] != 503 and answer)
            assert status == expected, (mode, status, body)
            assert words in json.dumps(body), body
            assert set(body["error"]) >= {"message", "type", "code"}
            if mode == "full":
                assert int(headers["Retry-After"]) >= 1
        server.http.mode = "half"
        client = openai.OpenAI(base_url=munich.url + "/v1", api_key="none", max_retries=0)
        stream = client.chat.completions.create(
            model="assistant", messages=[{"role": "user", "content": "A colour?"}], stream=True
        )
        heard = []
        with pytest.raises(openai.APIError, match="broke off"):
            heard.extend(chunk.choices[0].delta.content for chunk in stream)
        server.http.mode = "well"


def completions(server):
    return len([path for path, *_ in server.http.asked if path.endswith("completions")])


def warned(munich, words):
    return [text for text in munich.view()["warnings"] if words in text]


def test_a_server_that_fails_time_after_time_is_left_alone_and_asked_again_after_a_pause(server):
    with node(section("lab", server.port)) as munich:
        wait_for("the server is there", lambda: lives(munich))
        server.http.mode = "broken"
        begun = time.monotonic()
        answers = [ask(munich) for _ in range(12)]
        told = [(status, body["error"]["hither_code"]) for status, _, body in answers]
        assert told[:4] == [(500, "E0508")] * 3 + [(503, "E0512")], told
        # Pauses of a second and more: a machine that is held up meanwhile lets through one more.
        assert completions(server) == told.count((500, "E0508")) <= 5, told
        status, headers, body = answers[3]
        assert int(headers["Retry-After"]) >= 1 and "failed several times in a row" in body["error"]["message"], body
        assert lives(munich), "that it shows life is no reason to ask it"
        wait_for("the operator is told", lambda: warned(munich, "endpoint lab is left alone"))
        server.http.mode = "well"
        wait_for("it is asked again", lambda: ask(munich)[0] == 200)
        assert time.monotonic() - begun > 0.9
        wait_for("the warning is gone", lambda: not warned(munich, "endpoint lab"))
        assert [ask(munich)[0] for _ in range(3)] == [200] * 3


def test_a_key_that_is_refused_is_not_sent_again_before_its_file_changes(server):
    text = '[models]\npull = "manual"\n' + section("lab", server.port, 'key_file = "lab.key"\n')
    with contextlib.closing(Node("munich", EEA, text)) as munich:
        key = munich.data / "lab.key"
        key.write_text("wrong\n")
        munich.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        munich.up()
        wait_for("the server is there", lambda: lives(munich))
        server.http.mode = "key"
        answers = [ask(munich) for _ in range(4)]
        assert {(status, body["error"]["hither_code"]) for status, _, body in answers} == {(503, "E0512")}, answers
        assert all("refuses the key" in body["error"]["message"] for _, _, body in answers), answers
        assert int(answers[-1][1]["Retry-After"]) > 5
        assert completions(server) == 1
        wait_for("the operator is told", lambda: warned(munich, "key_file"))
        assert "endpoint lab is left alone" in munich.run("status").stdout
        assert "endpoint lab is left alone" in munich.run("doctor", check=False).stdout
        assert "look at its key_file" in munich.tail()
        key.write_text("right\n")
        wait_for("the new key is tried", lambda: ask(munich)[0] == 200)
        wait_for("the warning is gone", lambda: not warned(munich, "endpoint lab"))


def test_a_model_that_the_server_does_not_have_is_said_so_and_not_asked_for_again_and_again(server):
    with node(section("lab", server.port)) as munich:
        wait_for("the server is there", lambda: lives(munich))
        server.http.mode = "absent"
        answers = [ask(munich) for _ in range(12)]
        assert {(status, body["error"]["hither_code"]) for status, _, body in answers} == {(503, "E0512")}, answers
        assert "no model of that name" in answers[0][2]["error"]["message"]
        assert completions(server) <= 5
        wait_for("the operator is told", lambda: warned(munich, "endpoint lab is left alone with model assistant"))
        server.http.mode = "well"
        wait_for("it is asked again", lambda: ask(munich)[0] == 200)


def test_a_frozen_server_is_left_for_another_and_a_dead_mesh_says_so_at_once():
    with contextlib.ExitStack() as stack:
        first, second = (stack.enter_context(contextlib.closing(Process())) for _ in range(2))
        munich = stack.enter_context(node(section("first", first.port), section("second", second.port)))
        wait_for("both are there", lambda: lives(munich, "first") and lives(munich, "second"))
        first.process.send_signal(signal.SIGSTOP)
        answers = [ask(munich) for _ in range(12)]
        assert [status for status, *_ in answers] == [200] * 12
        assert {headers["x-hither-served-by"] for _, headers, _ in answers} == {"second"}
        second.process.kill()
        second.process.wait()
        wait_for("nobody is there", lambda: ask(munich)[0] == 503)
        status, headers, body = ask(munich)
        assert status == 503 and int(headers["Retry-After"]) >= 1, body
        assert body["error"]["type"]
        first.process.send_signal(signal.SIGCONT)
        wait_for("the first is back", lambda: ask(munich)[0] == 200)


def test_who_leaves_is_gone_there_too(server):
    with node(section("lab", server.port, "at_once = 1\n")) as munich:
        wait_for("the server is there", lambda: lives(munich))
        for _ in range(5):
            client = openai.OpenAI(base_url=munich.url + "/v1", api_key="none")
            stream = client.chat.completions.create(
                model="assistant", messages=[{"role": "user", "content": "A colour?"}], stream=True
            )
            next(iter(stream))
            stream.close()
            wait_for("its place is free again", lambda: ask(munich)[0] == 200)


def test_a_configuration_that_cannot_be_is_refused_with_what_to_write():
    config = '[endpoint.cloud]\nurl = "https://models.example"\nmodels = ["assistant"]\n'
    with contextlib.closing(Node("munich", EEA, config)) as munich:
        munich.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme", check=False)
        failed = munich.run("up", check=False)
        assert failed.returncode != 0 and "jurisdiction" in failed.stderr and "operator" in failed.stderr, failed.stderr


if __name__ == "__main__":
    server = Server()
    print(server.port, flush=True)
    # It ends with whoever started it, and with them the other end of this.
    sys.stdin.read()
