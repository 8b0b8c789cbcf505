"""Metrics: exact under traffic, in both forms, and read by a real Prometheus through every query of the dashboard."""

import contextlib
import http.client
import json
import math
import pathlib
import re
import subprocess
import threading
import urllib.parse
import urllib.request

import prometheus_client.openmetrics.parser
import prometheus_client.parser
import pytest

from mesh import CACHE, CANARY, LANGUAGE_MODEL, ROOT, chat, two_sites, wait_for

PROMETHEUS = CACHE / "prometheus/usr/bin/prometheus"
PROMTOOL = CACHE / "prometheus/usr/bin/promtool"
DASHBOARD = json.loads((ROOT / "docs/grafana/hither.json").read_text())
OPEN = "application/openmetrics-text;version=1.0.0"
ROW = json.loads((ROOT / "models/fraud.golden.json").read_text())["input"][0]


@pytest.fixture(scope="module")
def sites():
    """munich has the models; paris asks."""
    with two_sites() as (munich, paris):
        munich.run("models", "add", ROOT / "models/fraud.onnx", "--name", "fraud")
        munich.run("models", "add", LANGUAGE_MODEL, "--name", "smollm2-135m")
        for node in (munich, paris):
            for name in ("fraud", "smollm2-135m"):
                wait_for(f"{name} is ready for {node.name}", lambda: node.get(f"/v2/models/{name}/ready")[0] == 200)
            wait_for(f"{node.name} has an answer", lambda: chat(node)[0] == 200)
        yield munich, paris


def scrape(node, accept="text/plain"):
    request = urllib.request.Request(f"{node.url}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def by_name(families):
    """Every sample, by its name and labels."""
    # The parser gives each counter the end that Triton's have not.
    plain = lambda name: name.removesuffix("_total") if name.startswith("nv_") else name
    return {(plain(one.name), frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def samples(node):
    return by_name(prometheus_client.parser.text_string_to_metric_families(scrape(node)[1]))


def value(found, name, **labels):
    """The sum of the samples of a name that have these labels."""
    wanted = set(labels.items())
    return sum(number for (known, has), number in found.items() if known == name and wanted <= has)


def grown(before, after, name, **labels):
    return value(after, name, **labels) - value(before, name, **labels)


def infer(node, **more):
    tensor = {"name": "input", "shape": [1, 12], "datatype": "FP32", "data": ROW}
    return node.post("/v2/models/fraud/infer", {"id": CANARY, "inputs": [tensor], **more})


def leave_early(node):
    """Begins to read a stream and goes."""
    link = http.client.HTTPConnection(urllib.parse.urlsplit(node.url).netloc, timeout=60)
    body = {"model": "smollm2-135m", "messages": [{"role": "user", "content": f"Tell a tale. {CANARY}"}], "stream": True}
    link.request("POST", "/v1/chat/completions", json.dumps({**body, "ignore_eos": True, "max_tokens": 400}))
    assert link.getresponse().read(1)
    link.close()


def test_counters_equal_the_traffic(sites):
    munich, paris = sites
    before = samples(paris), samples(munich)
    egress = prompt = answer = 0
    for at in range(5):
        status, headers, said = infer(paris)
        assert (status, headers["x-hither-served-by"]) == (200, "munich"), said
        egress += int(headers["x-hither-egress-bytes"])
        assert float(headers["x-hither-joules"]) >= 0 and headers["Server-Timing"].startswith("queue;dur=")
    for at in range(3):
        status, headers, said = chat(paris, f"Name a colour. {CANARY}", {"x-request-id": f"mine-{at}"})
        assert (status, headers["x-request-id"]) == (200, f"mine-{at}"), said
        egress += int(headers["x-hither-egress-bytes"])
        prompt, answer = prompt + said["usage"]["prompt_tokens"], answer + said["usage"]["completion_tokens"]
    assert infer(paris, inputs=[])[0] == 400
    assert paris.get("/v2/models/none")[0] == 404
    leave_early(paris)
    gone = dict(name="gen_ai_server_request_duration_seconds_count", error_type="ClientGone")
    wait_for("the one who left is counted", lambda: grown(before[0], samples(paris), **gone) == 1)
    after = samples(paris), samples(munich)
    p = lambda name, **labels: grown(before[0], after[0], name, **labels)
    language = dict(gen_ai_operation_name="chat", gen_ai_request_model="smollm2-135m")
    assert p("nv_inference_request_success", model="fraud") == 5
    assert p("nv_inference_request_failure", model="fraud") == 1
    assert p("nv_inference_count", model="fraud") == p("nv_inference_exec_count", model="fraud") == 5
    assert p("nv_inference_compute_infer_duration_us", model="fraud") > 0
    assert p("nv_inference_exec_count", model="smollm2-135m") == 3
    assert p("hither_refusals_total", code="E0401") == 1
    assert p("hither_http_responses_total", route="/v1/chat/completions", status="200") == 4
    assert p("hither_http_responses_total", route="/v2/models/{model}/infer", status="400") == 1
    ended = "gen_ai_server_request_duration_seconds_count"
    answered = sum(n for (name, has), n in after[0].items() if name == ended and "error_type" not in dict(has))
    earlier = sum(n for (name, has), n in before[0].items() if name == ended and "error_type" not in dict(has))
    assert answered - earlier == 3 == p("gen_ai_server_time_to_first_token_seconds_count", **language)
    assert p("gen_ai_client_token_usage_sum", gen_ai_token_type="input", **language) == prompt
    assert p("gen_ai_client_token_usage_sum", gen_ai_token_type="output", **language) == answer
    assert p("hither_app_requests_total", app="anonymous") == 5 + 3 + 1 + 1
    assert grown(before[1], after[1], "hither_energy_joules_total") >= 0

    def counted():
        now = samples(paris)
        left = grown(before[0], now, "hither_link_egress_bytes_total", site="munich", kind="request")
        # With what left for the one who did not wait for its answer.
        return left > egress and left == grown(before[0], now, "hither_egress_request_bytes_total") and (
            grown(before[0], now, "hither_requests_total") == 9)

    wait_for("the egress of the link is that of the node, and has every request", counted)
    wait_for("munich counts what it gave", lambda: grown(
        before[1], samples(munich), "hither_link_egress_bytes_total", site="paris", kind="answer") > 0)


def test_both_forms_are_valid_and_say_the_same(sites):
    _, paris = sites
    infer(paris)
    chat(paris, f"Name a colour. {CANARY}")
    kind, plain = scrape(paris)
    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    kind, opened = scrape(paris, OPEN)
    assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    read = [
        prometheus_client.parser.text_string_to_metric_families(plain),
        # This parser refuses what the specification does not allow.
        prometheus_client.openmetrics.parser.text_string_to_metric_families(opened),
    ]
    names = [set(by_name(form)) for form in read]
    assert names[0] == names[1] and len(names[0]) > 200
    # Triton's names are as they are. Of OpenMetrics promtool does not know that the help of a counter stands under its name
    # without the end; that form is read whole by the strict parser above, and by Prometheus itself below.
    for form, allowed in ((plain, r"nv_inference_"), (opened, r"nv_inference_|hither_\w+_total no help text$")):
        done = subprocess.run([PROMTOOL, "check", "metrics"], input=form, capture_output=True, text=True, timeout=60)
        complaints = [line for line in (done.stdout + done.stderr).splitlines() if line]
        foreign = [line for line in complaints if not re.match(allowed, line)]
        assert not foreign and done.returncode in (0, 3), (done.returncode, complaints)


class Prometheus:
    """A Prometheus that scrapes two nodes every second."""

    def __init__(self, folder, nodes):
        config = folder / "prometheus.yml"
        targets = [urllib.parse.urlsplit(node.url).netloc for node in nodes]
        job = {"job_name": "hither", "static_configs": [{"targets": targets}]}
        config.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}))
        subprocess.run([PROMTOOL, "check", "config", config], check=True, capture_output=True, timeout=60)
        self.log = open(folder / "log", "w")
        self.process = subprocess.Popen(
            [PROMETHEUS, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
             "--web.listen-address=127.0.0.1:0", "--log.level=warn"],
            stdout=self.log, stderr=self.log, cwd=folder,
        )
        self.url = f"http://127.0.0.1:{wait_for('Prometheus listens', self.port)}"
        wait_for("Prometheus is ready", self.is_ready)

    def port(self):
        """The port that the system gave it: it does not say."""
        assert self.process.poll() is None, pathlib.Path(self.log.name).read_text()
        proc = pathlib.Path(f"/proc/{self.process.pid}")
        inodes = set()
        for file in (proc / "fd").iterdir():
            with contextlib.suppress(OSError):
                inodes.update(re.findall(r"socket:\[(\d+)\]", str(file.readlink())))
        for line in (proc / "net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                return int(fields[1].split(":")[1], 16)
        return None

    def is_ready(self):
        with contextlib.suppress(OSError):
            return urllib.request.urlopen(f"{self.url}/-/ready", timeout=5).status == 200
        return False

    def query(self, text):
        """The numbers of an instant query; what is wrong with it is an error of the test."""
        body = urllib.parse.urlencode({"query": text}).encode()
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/query", data=body, timeout=30) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{text}: {error.read().decode()}") from None
        assert found["status"] == "success", (text, found)
        return [float(row["value"][1]) for row in found["data"]["result"]]

    def close(self):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()


def queries():
    """Every query of every panel, as Grafana would send it with all nodes chosen."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            text = target["expr"].replace("$__rate_interval", "15s").replace("$job", ".*").replace("$instance", ".*")
            assert "$" not in text, target["expr"]
            yield panel["title"], text


@contextlib.contextmanager
def traffic(munich, paris):
    """Requests of every kind until the end."""
    stop, faults = threading.Event(), []

    def ask():
        try:
            while not stop.is_set():
                for node in (munich, paris):
                    assert infer(node)[0] == 200
                    # On a machine that has much else to do an engine may seem to hang, and that is an answer, too.
                    assert chat(node, f"Name a colour. {CANARY}")[0] in (200, 503)
                    assert infer(node, inputs=[])[0] == 400
                    assert node.get("/v2/models/none")[0] == 404
                leave_early(paris)
        except Exception as fault:  # It is raised where the test can see it.
            faults.append(fault)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert not faults, faults


def test_every_query_of_the_dashboard_has_data_in_a_real_prometheus(sites, tmp_path):
    found = list(queries())
    assert len(found) > 50
    with contextlib.closing(Prometheus(tmp_path, sites)) as prometheus, traffic(*sites):
        missing = dict.fromkeys(found)

        def asked():
            for title, text in list(missing):
                missing[title, text] = numbers = prometheus.query(text)
                if any(math.isfinite(number) for number in numbers):
                    del missing[title, text]
            return not missing

        try:
            wait_for("every query has data", asked, 120)
        except AssertionError:
            raise AssertionError(f"without data: {missing}") from None
        targets = json.load(urllib.request.urlopen(f"{prometheus.url}/api/v1/targets", timeout=30))
        active = targets["data"]["activeTargets"]
        assert [target["health"] for target in active] == ["up", "up"], active
        assert prometheus.query("count(nv_inference_count)")[0] >= 2


def test_the_dashboard_names_only_metrics_that_are_there(sites):
    """A query over a name that nobody gives would be empty, and `or` could hide it."""
    known = {name for site in sites for name, _ in samples(site)} | {"up"}
    for title, text in queries():
        plain = re.sub(r'"[^"]*"', '""', text)
        names = {name for name in re.findall(r"\b([a-z_]+)\{", plain)}
        assert names and names <= known, (title, names - known)
