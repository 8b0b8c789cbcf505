"""Models that come from elsewhere: a web server, and a hub, that break off, say wrong things, or keep several files; and models
in several files, which become one."""

import contextlib
import hashlib
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import threading
import urllib.parse

import pytest

import several_files
from mesh import EEA, HITHER, LANGUAGE_MODEL, ROOT, Node, size_of, wait_for

FRAUD = (ROOT / "models/fraud.onnx").read_bytes()
SHA256 = hashlib.sha256(FRAUD).hexdigest()
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Answer(http.server.BaseHTTPRequestHandler):
    """Files with ranges, for a web server and for a hub. It stops after so many bytes of the first answer if it is told to."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        server = self.server
        asked = self.headers.get("range", "")
        server.asked.append((self.command, self.path, asked, self.headers.get("authorization")))
        name = urllib.parse.unquote(self.path.rsplit("/", 1)[-1])
        content = server.files.get(name)
        if content is None:
            self.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("etag", '"one"')
        self.send_header("accept-ranges", "bytes")
        self.send_header("content-length", str(len(content) - start))
        if asked:
            self.send_header("content-range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if "/resolve/" in self.path:
            self.send_header("x-repo-commit", COMMIT)
        self.end_headers()
        if not body:
            return
        if server.stop_after and server.stop_after > start:
            self.wfile.write(content[start : server.stop_after])
            self.wfile.flush()
            server.stopped.set()
            server.go_on.wait(60)
            self.close_connection = True
            return
        self.wfile.write(content[start:])

    def log_message(self, *_):
        pass


@pytest.fixture
def web():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.files, server.asked, server.stop_after = {"fraud.onnx": FRAUD}, [], 0
    server.stopped, server.go_on = threading.Event(), threading.Event()
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.go_on.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def node():
    with contextlib.closing(Node("munich", EEA)) as node:
        node.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        yield node.up()


def incoming(node):
    return [path for path in (node.data / "incoming").rglob("*") if path.is_file()]


def test_a_download_that_was_killed_goes_on_where_it_was(node, web):
    half = len(FRAUD) // 2
    web.stop_after = half
    words = [HITHER, "--data", node.data, "models", "add", f"{web.url}/m/fraud.onnx", "--sha256", SHA256]
    first = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert web.stopped.wait(30)
    wait_for("half of it is on the disk", lambda: any(size_of(path) >= half for path in incoming(node)))
    first.kill()
    first.communicate()
    web.stop_after = 0
    added = node.json("models", "add", f"{web.url}/m/fraud.onnx", "--sha256", SHA256)
    assert added["name"] == "fraud"
    assert [asked[2] for asked in web.asked] == ["", f"bytes={half}-"]
    assert incoming(node) == []
    # It is a model like any other.
    wait_for("it is open", lambda: node.view()["nodes"][0]["models"][0]["stage"] == "ready")


def test_bytes_that_are_not_those_that_were_asked_for_are_not_kept(node, web):
    web.files["fraud.onnx"] = FRAUD[:-1] + bytes([FRAUD[-1] ^ 1])
    done = node.run("models", "add", f"{web.url}/fraud.onnx", "--sha256", SHA256, check=False)
    assert (done.returncode, "error[E0144]" in done.stderr, SHA256 in done.stderr) == (1, True, True), done.stderr
    assert incoming(node) == [] and node.view()["models"] == []


def test_a_file_of_a_hub_that_the_environment_names(node, web):
    words = [HITHER, "--data", node.data, "models", "add", "hf:org/repo/fraud.onnx@v1", "--name", "fraud"]
    known = dict(os.environ, HF_ENDPOINT=web.url, HF_TOKEN="hf_hush")
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, env=known)
    assert done.returncode == 0 and COMMIT in done.stdout, done.stderr
    assert {asked[3] for asked in web.asked} == {"Bearer hf_hush"}
    assert "hf_hush" not in done.stdout + done.stderr


def test_what_cannot_be_added_is_refused_before_it_is_fetched(node, web):
    cases = [
        (["ftp://models.example/chat.gguf"], 2, "E0140", "not known"),
        (["http://models.example/chat.gguf"], 2, "E0140", "type https://models.example/chat.gguf"),
        (["https://anna:secret@models.example/chat.gguf"], 2, "E0140", "leave out what stands before the @"),
        ([f"{web.url}/nothing.onnx"], 1, "E0144", "there is no such file"),
        (["nowhere.onnx"], 2, "E0140", "cannot be read"),
    ]
    for words, code, error, help in cases:
        done = node.run("models", "add", *words, check=False)
        assert (done.returncode, f"error[{error}]" in done.stderr, help in done.stderr) == (code, True, True), done.stderr
        assert "secret" not in done.stderr.replace("secret@models.example", "") or "anna" not in done.stderr
    # Nobody fetches for a node that is not there.
    web.asked.clear()
    elsewhere = pathlib.Path(node.data) / "none"
    words = [HITHER, "--data", elsewhere, "models", "add", f"{web.url}/fraud.onnx"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "error[E0701]" in done.stderr, web.asked) == (4, True, []), done.stderr


def put(folder, files):
    """Writes files into a new folder, and says what is in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def everything(folder):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def refused(node, source, code, text, exit=1, words=()):
    done = node.run("models", "add", source, *words, check=False)
    assert (done.returncode, f"error[{code}]" in done.stderr, text in done.stderr) == (exit, True, True), done.stderr
    assert incoming(node) == [] and node.view()["models"] == []


def test_a_split_model_is_joined_and_answers(node, web, tmp_path):
    whole = LANGUAGE_MODEL.read_bytes()
    parts = several_files.named("Chat", several_files.split(whole, [0, 100]))
    folder = put(tmp_path / "model", {**parts, "README.md": b"read me"})
    before = everything(folder)
    added = node.json("models", "add", folder, "--name", "chat")
    assert (added["name"], added["joined"], added["size"]) == ("chat", sorted(parts), len(whole))
    assert everything(folder) == before and incoming(node) == []
    shown = node.json("models", "show", "chat")
    assert shown["sha256"] == hashlib.sha256(whole).hexdigest()
    wait_for("it is open", lambda: node.get("/v2/models/chat/ready")[0] == 200)
    question = {"messages": [{"role": "user", "content": "2 + 2?"}], "max_tokens": 8, "temperature": 0}
    status, _, body = node.post("/v1/chat/completions", {"model": "chat", **question})
    assert (status, bool(body["choices"][0]["message"]["content"])) == (200, True), body
    # Any part stands for all of them, from wherever they come.
    web.files.update(parts)
    done = node.run("models", "add", f"{web.url}/m/Chat-00002-of-00003.gguf")
    assert "joined 3 files to one: Chat-00001-of-00003.gguf and 2 more" in done.stdout, done.stdout
    assert node.json("models", "show", "chat")["sha256"] == shown["sha256"] and incoming(node) == []


def asked_for_sums(node, name, expected):
    wait_for(f"{name} is open", lambda: node.get(f"/v2/models/{name}/ready")[0] == 200)
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1.0] * 4}
    status, _, body = node.post(f"/v2/models/{name}/infer", {"inputs": [tensor]})
    assert (status, body["outputs"][0]["data"]) == (200, expected), body


def test_an_onnx_model_with_its_data_beside_it_is_one_file(node, web, tmp_path):
    folder = put(tmp_path / "model", {})
    for seed, location in enumerate(["weights.bin", "sums.onnx_data", "w #1"]):
        content, expected = several_files.sums(seed)
        put(folder, {"beside": b"of no use"})
        several_files.loose(content, folder / "sums.onnx", location)
        before = everything(folder)
        assert set(before) == {"sums.onnx", location, "beside"}
        name = f"sums-{seed}"
        if seed == 0:
            added = node.json("models", "add", folder, "--name", name)
            assert everything(folder) == before
        else:
            web.files = {file: content for file, (content, _) in before.items()}
            source = [f"{web.url}/m/sums.onnx", "hf:org/repo/m/sums.onnx@v1"][seed - 1]
            words = [HITHER, "--json", "--data", node.data, "models", "add", source, "--name", name]
            known = dict(os.environ, HF_ENDPOINT=web.url)
            done = subprocess.run(words, capture_output=True, text=True, timeout=120, env=known)
            assert done.returncode == 0, done.stderr
            added = json.loads(done.stdout)
        assert (added["joined"], incoming(node)) == (["sums.onnx", location], [])
        asked_for_sums(node, name, expected)
        # It is the model that it would be if its data had been inside from the start.
        assert node.json("models", "show", name)["sha256"] == hashlib.sha256(content).hexdigest()


def test_what_cannot_be_joined_is_refused_and_leaves_nothing(node, web, tmp_path):
    parts = several_files.named("chat", several_files.split(LANGUAGE_MODEL.read_bytes(), [100, 200]))
    first, second, third = sorted(parts)
    folder = tmp_path / "model"
    put(folder, {name: parts[name] for name in [first, third]})
    refused(node, folder, "E0140", f'the part "{second}" of the split model is missing', exit=2)
    put(folder, {**parts, second: parts[first]})
    refused(node, folder, "E0145", "part 2 cannot be used: it says that it is part 1")
    put(folder, {**parts, third: parts[third][:-100_000]})
    refused(node, folder, "E0145", "part 3 cannot be used: the file is cut short")
    other = several_files.named("chat", several_files.split(LANGUAGE_MODEL.read_bytes(), [100]))
    put(folder, {"chat-00001-of-00002.gguf": other["chat-00001-of-00002.gguf"], "chat-00002-of-00002.gguf": parts[third]})
    refused(node, folder, "E0145", "it says that the model has 3 parts")
    put(folder, {first: b"GGUF", second: b"GGUF", third: b"GGUF"})
    refused(node, folder, "E0145", "part 1 cannot be used: the file is cut short")
    digits = hashlib.sha256(parts[first]).hexdigest()
    refused(node, folder, "E0140", "a checksum is of one file, and this model has 3", exit=2, words=["--sha256", digits])
    web.files = dict(parts, **{second: parts[first]})
    refused(node, f"{web.url}/{first}", "E0145", "part 2 cannot be used")
    # What does not fit on the disk is not begun with. It is mostly a hole.
    room = shutil.disk_usage(tmp_path).free // 32 * 32 + (1 << 30)
    parts = [several_files.part_of_one(at, 2, [(f"t{at}", size)]) for at, size in enumerate([32, room])]
    put(folder, several_files.named("huge", parts))
    for path, size in zip(sorted(folder.iterdir()), [32, room]):
        os.truncate(path, path.stat().st_size + size)
    refused(node, folder, "E0156", "do not fit on the disk of")


def test_a_model_that_names_what_is_not_beside_it_is_refused(node, web, tmp_path):
    content, _ = several_files.sums()
    (tmp_path / "secret").write_bytes(bytes(10_000))
    folder = put(tmp_path / "model", {})
    several_files.loose(content, folder / "sums.onnx", "w.bin")
    data = (folder / "w.bin").read_bytes()

    def named(location):
        several_files.renamed(folder / "sums.onnx", location)
        web.files = {"sums.onnx": (folder / "sums.onnx").read_bytes(), "secret": bytes(10_000), "w.bin": data}
        return folder / "sums.onnx"

    for location in ["../secret", str(tmp_path / "secret"), "..", "a/w.bin", ".w.bin"]:
        for source in [named(location), f"{web.url}/m/sums.onnx"]:
            refused(node, source, "E0145", "only the plain name of a file beside the model is followed")
        assert {asked[1] for asked in web.asked} == {"/m/sums.onnx"}
    (folder / "link").symlink_to("../secret")
    refused(node, named("link"), "E0140", "that is a link; put the file itself there", exit=2)
    refused(node, named("absent"), "E0140", "there is no such file beside it", exit=2)
    # What came from elsewhere is kept, for the other file may come to be there.
    done = node.run("models", "add", f"{web.url}/m/sums.onnx", check=False)
    assert (done.returncode, "there is no such file as absent" in done.stderr) == (1, True), done.stderr
    assert {"sums.onnx", "w.bin"} <= {path.name for path in incoming(node)}
    shutil.rmtree(node.data / "incoming")
    refused(node, named("sums.onnx"), "E0140", "that is the model itself", exit=2)
    source = named("w.bin")
    (folder / "w.bin").write_bytes(data[:-1])
    refused(node, source, "E0145", "and the model says that its data are")
    (folder / "w.bin").write_bytes(data)
    digits = hashlib.sha256(source.read_bytes()).hexdigest()
    refused(node, source, "E0140", "a checksum is of one file, and this model has 2", exit=2, words=["--sha256", digits])
    node.run("models", "add", source)
    assert incoming(node) == []


def test_a_file_is_given_back_but_not_the_last_one_unless_asked(node, web):
    def stage(site):
        models = [model for of in node.view()["nodes"] if of["member"]["site"] == site for model in of["models"]]
        return models[0]["stage"] if models else "absent"

    def stored():
        return sum(size_of(path) for path in (node.data / "models").rglob("*") if path.is_file())

    node.run("models", "add", f"{web.url}/fraud.onnx")
    wait_for("it is open", lambda: stage("munich") == "ready")
    shown = node.json("models", "show", "fraud")
    assert (shown["sha256"], shown["known_answers"] > 0) == (SHA256, True)
    done = node.run("models", "rm", "fraud", check=False)
    assert (done.returncode, "error[E0441]" in done.stderr) == (1, True), done.stderr
    with contextlib.closing(Node("paris", EEA)) as paris:
        ticket = node.json("invite", "--site", "paris", "--jurisdiction", "FR")["ticket"]
        paris.up().run("join", ticket)
        wait_for("paris hears of it", lambda: any(model["name"] == "fraud" for model in paris.view()["models"]))
        paris.run("models", "pull", "fraud")
        wait_for("it is open in paris", lambda: stage("paris") == "ready")
        before = stored()
        assert "one member that is present has it" in node.run("models", "rm", "fraud").stdout
        assert stored() <= before - len(FRAUD)
        done = node.run("models", "rm", "fraud", check=False)
        assert "error[E0439]" in done.stderr, done.stderr
        # Who asks here is answered there.
        tensor = shown["io"]["inputs"][0]
        width = tensor["shape"][-1]
        data = {"name": tensor["name"], "datatype": tensor["datatype"], "shape": [1, width], "data": [0.0] * width}
        status, headers, body = node.post("/v2/models/fraud/infer", {"inputs": [data]})
        assert (status, headers.get("x-hither-served-by")) == (200, "paris"), body
    # What is on the disk at the next start is what was left.
    node.process.terminate()
    assert node.process.wait(60) == 0
    node.up()
    assert stage("munich") == "absent"


def test_the_last_copy_goes_if_it_is_said(node, web):
    node.run("models", "add", f"{web.url}/fraud.onnx")
    wait_for("it is open", lambda: node.view()["nodes"][0]["models"][0]["stage"] == "ready")
    assert "nobody who is present has another" in node.run("models", "rm", "fraud", "--last").stdout
