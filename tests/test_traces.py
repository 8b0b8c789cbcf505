"""Spans: one trace from a client's own through two nodes to the engine, at a collector that the operator named."""

import concurrent.futures
import contextlib
import json
import threading

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

import canary
from mesh import CANARY, EEA, ROOT, Node, two_sites, wait_for

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CLIENT = "00f067aa0ba902b7"


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps every span that arrives, with the site that sent it."""

    def __init__(self):
        self.lock = threading.Lock()
        self.spans = []
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=2))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self.server)
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def Export(self, request, context):
        with self.lock:
            for of_node in request.resource_spans:
                for scope in of_node.scope_spans:
                    self.spans.extend((attributes(span)["hither.here"], span) for span in scope.spans)
        return trace_service_pb2.ExportTraceServiceResponse()

    def of(self, trace):
        with self.lock:
            return [(site, span) for site, span in self.spans if span.trace_id.hex() == trace]

    def close(self):
        self.server.stop(None).wait()
        canary.check_text("the spans", b"".join(span.SerializeToString() for _, span in self.spans))


@pytest.fixture(scope="module")
def collector():
    with contextlib.closing(Collector()) as collector:
        yield collector


@pytest.fixture(scope="module")
def sites(collector):
    """munich has the model; paris asks."""
    config = f'[models]\npull = "manual"\n[telemetry]\notlp = "http://127.0.0.1:{collector.port}"\n'
    with two_sites(config) as (munich, paris):
        munich.run("models", "add", ROOT / "models/fraud.onnx", "--name", "fraud")
        wait_for("paris knows of the model", lambda: paris.get("/v2/models/fraud/ready")[0] == 200)
        yield munich, paris


def row(node):
    """A row of numbers that the model takes."""
    spec = json.loads(node.get("/v2/models/fraud")[1])["inputs"][0]
    width = spec["shape"][-1]
    return {"name": spec["name"], "datatype": spec["datatype"], "shape": [1, width], "data": [0.5] * width}


def attributes(span):
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


def test_one_trace_goes_from_the_client_to_the_engine_of_a_peer(collector, sites):
    _, paris = sites
    body = {"id": CANARY, "parameters": {"note": CANARY}, "inputs": [row(paris)]}
    status, headers, answer = paris.post("/v2/models/fraud/infer", body, {"traceparent": f"00-{TRACE}-{CLIENT}-01"})
    assert (status, headers["x-hither-served-by"]) == (200, "munich"), answer
    wait_for("four spans", lambda: len(collector.of(TRACE)) >= 4)
    spans = {(site, span.name.split()[0]): span for site, span in collector.of(TRACE)}
    assert sorted(spans) == [("munich", "engine"), ("munich", "serve"), ("paris", "attempt"), ("paris", "infer")]
    asked, attempt = spans["paris", "infer"], spans["paris", "attempt"]
    served, engine = spans["munich", "serve"], spans["munich", "engine"]
    assert asked.parent_span_id.hex() == CLIENT
    assert attempt.parent_span_id == asked.span_id
    assert served.parent_span_id == attempt.span_id
    assert engine.parent_span_id == served.span_id
    assert asked.start_time_unix_nano <= served.start_time_unix_nano + 5_000_000 and asked.name == "infer fraud"
    said = attributes(asked)
    assert (said["gen_ai.request.model"], said["gen_ai.operation.name"]) == ("fraud", "infer")
    assert said["hither.request"] == headers["x-hither-request"]
    assert attributes(attempt)["hither.site"] == "munich"
    assert CANARY not in str(collector.of(TRACE))


def test_a_caller_that_does_not_record_leaves_no_span(collector, sites):
    munich, _ = sites
    quiet, loud = TRACE.replace("4bf9", "aaaa"), TRACE.replace("4bf9", "bbbb")
    for trace, flag in [(quiet, "00"), (loud, "01")]:
        status, _, answer = munich.post("/v2/models/fraud/infer", {"inputs": []}, {"traceparent": f"00-{trace}-{CLIENT}-{flag}"})
        assert status == 400, answer
        status, _, answer = munich.post("/v2/models/fraud/infer", {"inputs": [row(munich)]}, {"traceparent": f"00-{trace}-{CLIENT}-{flag}"})
        assert status == 200, answer
    wait_for("the recorded one", lambda: len(collector.of(loud)) == 3)
    assert collector.of(quiet) == []


def test_a_collector_that_is_gone_costs_spans_and_no_request(collector, sites):
    with contextlib.closing(Node("oslo", EEA, '[models]\npull = "manual"\n[telemetry]\notlp = "http://127.0.0.1:1"\n')) as oslo:
        oslo.up()
        oslo.run("models", "add", ROOT / "models/fraud.onnx", "--name", "fraud")
        wait_for("fraud is ready", lambda: oslo.get("/v2/models/fraud/ready")[0] == 200)
        for _ in range(20):
            assert oslo.post("/v2/models/fraud/infer", {"inputs": [row(oslo)]})[0] == 200
        wait_for("the log says so", lambda: "BatchSpanProcessor" in oslo.tail() or "export" in oslo.tail().lower())


def watched(version, classes):
    """A law under which metadata of these may be seen in the United States."""
    return EEA.replace("version = 1", f"version = {version}") + (
        f'[[permit]]\nid = "watched"\naction = ["observe"]\nclass = {json.dumps(classes)}\ntarget = ["US"]\n'
    )


def test_a_collector_elsewhere_gets_what_the_law_lets_it_see_and_what_is_kept_back_is_told(collector):
    place = f'otlp = "http://127.0.0.1:{collector.port}"\njurisdiction = "US"\noperator = "watcher"\n'
    config = f'[models]\npull = "manual"\n[telemetry]\n{place}'
    with contextlib.closing(Node("oslo", watched(1, ["internal"]), config)) as oslo:
        oslo.up()
        oslo.run("models", "add", ROOT / "models/fraud.onnx", "--name", "fraud")
        wait_for("fraud is ready", lambda: oslo.get("/v2/models/fraud/ready")[0] == 200)

        def ask(begins, label):
            trace = begins + TRACE[4:]
            headers = {"traceparent": f"00-{trace}-{CLIENT}-01", "x-hither-class": label}
            status, _, answer = oslo.post("/v2/models/fraud/infer", {"inputs": [row(oslo)]}, headers)
            assert status == 200, answer
            return trace

        def kept_back():
            return [text for text in oslo.view()["warnings"] if text.startswith("traces kept back")]

        special, internal = ask("0001", "special"), ask("0002", "internal")
        # Spans go in the order in which requests ended.
        wait_for("the internal one", lambda: len(collector.of(internal)) == 3)
        assert collector.of(special) == []
        wait_for("it is told", kept_back)
        told = kept_back()[0]
        assert "special data" in told and "in US" in told and "watched came closest, but class" in told, told
        assert "traces kept back" in oslo.run("status").stdout
        assert b"\nhither_traces_withheld_total 1\n" in oslo.get("/metrics")[1]

        wider = oslo.data / "wider.toml"
        wider.write_text(watched(2, ["internal", "special"]))
        oslo.run("policy", "apply", wider)
        again = ask("0003", "special")
        wait_for("the special one", lambda: len(collector.of(again)) == 3)
        assert collector.of(special) == []
        wait_for("nothing is told any more", lambda: not kept_back())


def test_a_collector_of_which_no_place_is_said_is_named_at_the_start():
    # No name of this kind exists (RFC 6761), so nothing is ever sent.
    config = '[models]\npull = "manual"\n[telemetry]\notlp = "http://collector.invalid:4317"\n'
    with contextlib.closing(Node("oslo", EEA, config)) as oslo:
        oslo.up()
        wait_for("it is told", lambda: any("its place is unknown" in text for text in oslo.view()["warnings"]))


def test_a_wrong_section_is_refused_with_what_would_be_right():
    with contextlib.closing(Node("oslo", EEA, '[telemetry]\notlp = "https://collector.example:4317"\n')) as oslo:
        done = oslo.run("up", "--api", "127.0.0.1:0", check=False)
        assert done.returncode != 0 and "must begin with http://" in done.stderr, done.stderr
