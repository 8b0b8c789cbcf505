"""The Open Inference Protocol over HTTP and gRPC, as clients that other people wrote speak it: Triton's, KServe's, and the
tools of gRPC itself. One port serves them all."""

import asyncio
import concurrent.futures
import contextlib
import json
import queue
import struct
import subprocess
import sys

import grpc
import ml_dtypes
import numpy
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from mesh import CANARY, ROOT, wait_for
from tensor_models import DATATYPES, node_with_models

SERVICE = "inference.GRPCInferenceService"

VALUES = {
    "BOOL": numpy.array([True, False, True]),
    "UINT8": numpy.array([0, 1, 255], numpy.uint8),
    "UINT16": numpy.array([0, 1, 2**16 - 1], numpy.uint16),
    "UINT32": numpy.array([0, 1, 2**32 - 1], numpy.uint32),
    "UINT64": numpy.array([0, 1, 2**64 - 1], numpy.uint64),
    "INT8": numpy.array([-128, 0, 127], numpy.int8),
    "INT16": numpy.array([-(2**15), 0, 2**15 - 1], numpy.int16),
    "INT32": numpy.array([-(2**31), 0, 2**31 - 1], numpy.int32),
    "INT64": numpy.array([-(2**63), 0, 2**63 - 1], numpy.int64),
    "FP16": numpy.array([1.5, -0.0, numpy.inf], numpy.float16),
    "BF16": numpy.array([1.5, -0.0, 3e38], ml_dtypes.bfloat16),
    "FP32": numpy.array([0.1, -0.0, numpy.nan], numpy.float32),
    "FP64": numpy.array([0.1, -1e300, numpy.inf], numpy.float64),
    # ONNX Runtime takes texts that are UTF-8 and have no zero byte.
    "BYTES": numpy.array([b"", "日本".encode(), f"Grüße {CANARY}".encode()], object),
}


@pytest.fixture(scope="module")
def node():
    with node_with_models() as node:
        sleeper = node.data / "sleep.stub"
        sleeper.write_text("hither-stub 1\nkind=sleep slots=2\n")
        node.run("models", "add", sleeper, "--name", "sleep")
        wait_for("sleep is open", lambda: b"KIND_CPU" in node.get("/v2/models/sleep/config")[1])
        yield node


@pytest.fixture(scope="module")
def target(node):
    return node.url.removeprefix("http://")


@pytest.fixture(scope="module")
def over_http(target):
    with tritonclient.http.InferenceServerClient(target, concurrency=4) as client:
        yield client


@pytest.fixture(scope="module")
def over_grpc(target):
    with tritonclient.grpc.InferenceServerClient(target) as client:
        yield client


@pytest.fixture(scope="module")
def stub(target):
    with grpc.insecure_channel(target) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def tensor(kind, datatype, values, name="INPUT0", **how):
    made = kind.InferInput(name, list(values.shape), datatype)
    made.set_data_from_numpy(values, **how)
    return made


def same(one, other):
    return list(one) == list(other) if one.dtype == object else one.tobytes() == other.astype(one.dtype).tobytes()


@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_datatype_comes_back_bit_for_bit(over_http, over_grpc, datatype):
    values, model = VALUES[datatype], f"id_{datatype.lower()}"
    for sent in (values, values[:0]):
        answer = over_http.infer(model, [tensor(tritonclient.http, datatype, sent)], request_id=CANARY)
        assert same(sent, answer.as_numpy("OUTPUT0")), "HTTP, binary"
        answer = over_grpc.infer(model, [tensor(tritonclient.grpc, datatype, sent)], request_id="7")
        assert same(sent, answer.as_numpy("OUTPUT0")), "gRPC"
        assert (answer.get_response().id, answer.get_response().model_version) == ("7", "1")
    if datatype not in ("FP16", "BF16", "FP32", "FP64", "BYTES"):
        wanted = [tritonclient.http.InferRequestedOutput("OUTPUT0", binary_data=False)]
        plain = tensor(tritonclient.http, datatype, values, binary_data=False)
        assert same(values, over_http.infer(model, [plain], outputs=wanted).as_numpy("OUTPUT0")), "HTTP, JSON"


@pytest.mark.parametrize("client", ["over_http", "over_grpc"])
def test_the_server_says_what_it_is_and_what_it_has(client, request):
    client = request.getfixturevalue(client)
    assert client.is_server_live() and client.is_server_ready()
    as_json = {} if isinstance(client, tritonclient.http.InferenceServerClient) else {"as_json": True}
    server = client.get_server_metadata(**as_json)
    assert server["name"] == "hither"
    assert set(server["extensions"]) == {
        "binary_tensor_data", "classification", "model_configuration", "model_repository", "schedule_policy", "statistics"
    }
    assert client.is_model_ready("simple") and client.is_model_ready("simple", "1")
    assert not client.is_model_ready("simple", "2") and not client.is_model_ready("none")
    model = client.get_model_metadata("simple", **as_json)
    assert [spec["name"] for spec in model["inputs"]] == ["INPUT0", "INPUT1"]
    assert [int(size) for size in model["outputs"][0]["shape"]] == [1, 16]
    config = client.get_model_config("simple", **as_json)
    config = config.get("config", config)
    assert (config["name"], config["backend"], config["input"][0]["data_type"]) == ("simple", "onnxruntime", "TYPE_INT32")
    with pytest.raises(InferenceServerException) as error:
        client.get_model_metadata("none")
    assert error.value.status() in ("404", "StatusCode.NOT_FOUND") and "E0401" in error.value.message()
    assert client.get_trace_settings(**as_json) and client.get_log_settings(**as_json)
    with pytest.raises(InferenceServerException) as error:
        client.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"]})
    assert "cannot be changed" in error.value.message()


@pytest.mark.parametrize("client", ["over_http", "over_grpc"])
def test_a_model_is_closed_and_opened_by_hand_and_by_whoever_asks(node, client, request):
    kind = tritonclient.http if client == "over_http" else tritonclient.grpc
    client = request.getfixturevalue(client)

    def state():
        index = client.get_model_repository_index()
        models = index if isinstance(index, list) else [{"name": each.name, "state": each.state} for each in index.models]
        return {each["name"]: each["state"] for each in models}["id_int16"]

    def memory():
        held = next(held for held in node.view()["nodes"][0]["models"] if held["name"] == "id_int16")
        return held["memory"]

    client.load_model("id_int16")
    assert state() == "READY" and memory() > 0
    client.unload_model("id_int16")
    assert state() == "UNAVAILABLE" and memory() == 0
    # Whoever asks for it opens it.
    assert client.is_model_ready("id_int16")
    values = VALUES["INT16"]
    assert same(values, client.infer("id_int16", [tensor(kind, "INT16", values)]).as_numpy("OUTPUT0"))
    wait_for("it is open again", lambda: state() == "READY", 10)
    client.unload_model("id_int16")
    client.load_model("id_int16")
    assert state() == "READY"
    for refused in (
        lambda: client.load_model("none"),
        lambda: client.unload_model("none"),
        lambda: client.load_model("id_int16", config="{}"),
        lambda: client.load_model("id_int16", files={"file:../../../tmp/x": b"x"}, config="{}"),
    ):
        with pytest.raises(InferenceServerException):
            refused()
    assert state() == "READY"


def test_statistics_are_exact(node, over_http, over_grpc):
    """A thousand requests, from both sides and at once, are a thousand."""
    one = numpy.arange(4, dtype=numpy.float32).reshape(1, 4)
    three = numpy.repeat(one, 3, axis=0)

    def count():
        stats = over_http.get_inference_statistics("rows")["model_stats"][0]
        return stats, stats["inference_stats"]["success"]["count"]

    before, counted = count()

    def call(at):
        if at % 2:
            over_grpc.infer("rows", [tensor(tritonclient.grpc, "FP32", one)])
        else:
            request = urllib_infer(node, "rows", three)
            assert request == 200

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(call, range(1000)))
    after, now = count()
    assert now - counted == 1000
    assert after["inference_count"] - before["inference_count"] == 500 * 3 + 500
    sizes = {each["batch_size"]: each["compute_infer"]["count"] for each in after["batch_stats"]}
    past = {each["batch_size"]: each["compute_infer"]["count"] for each in before["batch_stats"]}
    assert (sizes[1] - past.get(1, 0), sizes[3] - past.get(3, 0)) == (500, 500)
    assert sum(sizes.values()) == now
    over = over_grpc.get_inference_statistics("rows").model_stats[0]
    assert (over.inference_stats.success.count, over.inference_count) == (now, after["inference_count"])
    assert over.inference_stats.compute_infer.ns > 0
    # What is wrong is never handed in, and not counted.
    with pytest.raises(InferenceServerException):
        over_grpc.infer("rows", [tensor(tritonclient.grpc, "FP32", one[0])])
    assert count()[1] == now


def urllib_infer(node, model, values):
    document = {"inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": values.shape, "data": values.ravel().tolist()}]}
    return node.post(f"/v2/models/{model}/infer", document)[0]


def test_large_tensors_go_through_both(over_http, over_grpc):
    values = numpy.arange(14_000_000, dtype=numpy.float32)
    assert same(values, over_http.infer("id_fp32", [tensor(tritonclient.http, "FP32", values)]).as_numpy("OUTPUT0"))
    assert same(values, over_grpc.infer("id_fp32", [tensor(tritonclient.grpc, "FP32", values)]).as_numpy("OUTPUT0"))
    too_large = numpy.zeros(17_000_000, numpy.float32)
    with pytest.raises(InferenceServerException) as error:
        over_http.infer("id_fp32", [tensor(tritonclient.http, "FP32", too_large)])
    assert error.value.status() == "413"
    with pytest.raises(InferenceServerException) as error:
        over_grpc.infer("id_fp32", [tensor(tritonclient.grpc, "FP32", too_large)])
    assert error.value.status() in ("StatusCode.RESOURCE_EXHAUSTED", "StatusCode.OUT_OF_RANGE"), error.value


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_both_directions_may_be_compressed(over_http, over_grpc, coding):
    values = numpy.zeros(10_000, numpy.int32)
    answer = over_http.infer(
        "id_int32", [tensor(tritonclient.http, "INT32", values)],
        request_compression_algorithm=coding, response_compression_algorithm=coding,
    )
    assert same(values, answer.as_numpy("OUTPUT0"))
    sent = tensor(tritonclient.grpc, "INT32", values)
    assert same(values, over_grpc.infer("id_int32", [sent], compression_algorithm=coding).as_numpy("OUTPUT0"))


def test_classes_and_priorities_are_taken(over_http, over_grpc):
    values = numpy.array([[0.1, 0.7, 0.2, 0.0], [4, 3, 2, 1]], numpy.float32)
    for kind, client in [(tritonclient.http, over_http), (tritonclient.grpc, over_grpc)]:
        wanted = [kind.InferRequestedOutput("OUTPUT0", class_count=2)]
        answer = client.infer("rows", [tensor(kind, "FP32", values)], outputs=wanted, priority=1, timeout=30_000_000)
        assert answer.as_numpy("OUTPUT0").tolist() == [[b"0.700000:1", b"0.200000:2"], [b"4.000000:0", b"3.000000:1"]]


def asleep(stub, seconds, **more):
    """A call that takes so long."""
    request = service_pb2.ModelInferRequest(model_name="sleep")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 1])
    request.raw_input_contents.append(struct.pack("<f", seconds * 1e6))
    return stub.ModelInfer.future(request, **more)


def test_who_leaves_or_has_no_time_frees_the_slot(node, stub):
    def busy():
        return next(held for held in node.view()["nodes"][0]["models"] if held["name"] == "sleep")["busy"]

    leaving = asleep(stub, 15)
    wait_for("it runs", lambda: busy() == 1)
    leaving.cancel()
    wait_for("its slot is free", lambda: busy() == 0, 10)
    late = asleep(stub, 15, timeout=0.3)
    with pytest.raises(grpc.RpcError) as error:
        late.result()
    assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    wait_for("its slot is free", lambda: busy() == 0, 10)
    # The same without a deadline that the client would keep itself.
    request = service_pb2.ModelInferRequest(model_name="sleep")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 1])
    request.raw_input_contents.append(struct.pack("<f", 15e6))
    request.parameters["timeout"].int64_param = 200_000
    with pytest.raises(grpc.RpcError) as error:
        stub.ModelInfer(request)
    assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED and "E0504" in error.value.details()
    wait_for("its slot is free", lambda: busy() == 0, 10)
    with pytest.raises(InferenceServerException) as error, contextlib.closing(
        tritonclient.http.InferenceServerClient(node.url.removeprefix("http://"))
    ) as client:
        client.infer("sleep", [tensor(tritonclient.http, "FP32", numpy.array([[15e6]], numpy.float32), name="x")], timeout=200_000)
    assert error.value.status() == "504"


def test_answers_say_where_they_came_from_and_labels_count(stub):
    request = service_pb2.ModelInferRequest(model_name="id_fp32")
    request.inputs.add(name="INPUT0", datatype="FP32", shape=[1])
    request.raw_input_contents.append(bytes(4))
    _, call = stub.ModelInfer.with_call(request, metadata=[("x-hither-class", "personal")])
    told = dict(call.initial_metadata())
    assert told["x-hither-served-by"] == "munich" and told["x-hither-jurisdiction"] == "DE-BY"
    with pytest.raises(grpc.RpcError) as error:
        stub.ModelInfer(request, metadata=[("x-hither-class", "public")])
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert ("x-hither-code", "E0303") in [tuple(each) for each in (*error.value.initial_metadata(), *error.value.trailing_metadata())]


def test_a_stream_answers_in_order_and_outlives_what_is_wrong(target):
    answers = queue.Queue()
    with tritonclient.grpc.InferenceServerClient(target) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        for at in range(40):
            values = numpy.full(3, at, numpy.int32)
            client.async_stream_infer("none" if at % 8 == 5 else "id_int32", [tensor(tritonclient.grpc, "INT32", values)], request_id=str(at))
        for at in range(40):
            result, error = answers.get(timeout=60)
            if at % 8 == 5:
                assert "E0401" in error.message()
            else:
                assert error is None and result.get_response().id == str(at)
                assert result.as_numpy("OUTPUT0").tolist() == [at] * 3
        client.stop_stream()


def test_many_calls_at_once_on_one_connection(over_grpc):
    def call(at):
        values = numpy.full(100, at, numpy.int64)
        return same(values, over_grpc.infer("id_int64", [tensor(tritonclient.grpc, "INT64", values)]).as_numpy("OUTPUT0"))

    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        assert all(pool.map(call, range(256)))


def test_the_clients_that_do_not_wait_work_too(target):
    async def both():
        values = numpy.arange(5000, dtype=numpy.float64)
        for kind in (tritonclient.http, tritonclient.grpc):
            async with kind.aio.InferenceServerClient(target) as client:
                assert await client.is_server_live() and await client.is_model_ready("id_fp64")
                answers = await asyncio.gather(*[client.infer("id_fp64", [tensor(kind, "FP64", values)]) for _ in range(8)])
                assert all(same(values, answer.as_numpy("OUTPUT0")) for answer in answers)
                await client.get_inference_statistics()
                await client.get_trace_settings()
                await client.get_log_settings()
                await client.get_system_shared_memory_status()
                index = await client.get_model_repository_index()
                assert len(index if isinstance(index, list) else index.models) == 17

    asyncio.run(both())


def test_tools_that_know_nothing_of_the_protocol_can_ask_for_it(target):
    with grpc.insecure_channel(target) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", SERVICE):
            assert health.Check(health_pb2.HealthCheckRequest(service=service)).status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as error:
            health.Check(health_pb2.HealthCheckRequest(service="none"))
        assert error.value.code() == grpc.StatusCode.NOT_FOUND
        reflected = ProtoReflectionDescriptorDatabase(channel)
        assert SERVICE in reflected.get_services()
        service = DescriptorPool(reflected).FindServiceByName(SERVICE)
        ours = {method.name: (method.input_type.full_name, method.output_type.full_name) for method in service.methods}
        theirs = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
        assert ours == {method.name: (method.input_type.full_name, method.output_type.full_name) for method in theirs.methods}
        # Every field that a client may send or read has the number that the client gives it.
        pool = service.file.pool
        for name, message in service_pb2.DESCRIPTOR.message_types_by_name.items():
            for field in pool.FindMessageTypeByName(f"inference.{name}").fields:
                known = message.fields_by_name.get(field.name)
                if (name, field.name) != ("ModelMetadataResponse", "properties"):
                    assert (known.number, known.type) == (field.number, field.type), f"{name}.{field.name}"


def test_both_protocols_share_the_port_and_each_hears_errors_in_its_own_form(node, target):
    with grpc.insecure_channel(target) as channel:
        for method, code in [(f"/{SERVICE}/NoSuchMethod", "UNIMPLEMENTED"), ("/no.Such/Service", "UNIMPLEMENTED")]:
            call = channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
            with pytest.raises(grpc.RpcError) as error:
                call(b"")
            assert error.value.code().name == code, method
    options = [("grpc.default_authority", "example.org")]
    with grpc.insecure_channel(target, options) as channel, pytest.raises(grpc.RpcError) as error:
        service_pb2_grpc.GRPCInferenceServiceStub(channel).ServerLive(service_pb2.ServerLiveRequest())
    assert error.value.code() == grpc.StatusCode.PERMISSION_DENIED and "E0113" in error.value.details()
    status, body = node.get("/no.Such/Service")
    assert status == 404 and json.loads(body)["code"] == "E0403"


def test_kserve_sees_the_server_and_gets_the_same_answers(node):
    # In a process of its own: its copy of the protocol and Triton's cannot be in one.
    script = ROOT / "tests/clients/kserve_asks.py"
    asked = subprocess.run([sys.executable, script, node.url], capture_output=True, text=True, timeout=120)
    assert asked.returncode == 0, asked.stdout + asked.stderr
