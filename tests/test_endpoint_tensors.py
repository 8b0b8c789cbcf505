"""Servers outside the mesh that speak the Open Inference Protocol: a second node that is no member, asked through the first
by clients that other people wrote."""

import contextlib
import json

import numpy
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from mesh import EEA, Node, wait_for
from tensor_models import DATATYPES, node_with_models
from test_endpoints import CLOUD_RULE, US, lives, warned
from test_oip import VALUES, same, tensor

LAW = EEA.replace('"internal"\n', '"public"\n', 1) + CLOUD_RULE
MAIL = "max.power@example.org"
MODELS = [f"id_{datatype.lower()}" for datatype in DATATYPES]


@pytest.fixture(scope="module")
def far():
    """The server: a node of a mesh of its own."""
    with node_with_models() as far:
        yield far


@contextlib.contextmanager
def near(far, name="lab", more="", policy=EEA):
    """A node that may ask it."""
    models = {model: model for model in [*MODELS, "rows"]} | {"sums": "simple/versions/1", "gone": "none"}
    pairs = ", ".join(f'{here} = "{there}"' for here, there in models.items())
    section = f'[endpoint.{name}]\nurl = "{far.url}/v2"\nprotocol = "oip"\nmodels = {{ {pairs} }}\n{more}'
    with contextlib.closing(Node("berlin", policy, f'[models]\npull = "manual"\n{section}')) as berlin:
        berlin.run("init", "--site", "berlin", "--jurisdiction", "DE-BE", "--operator", "acme")
        berlin.up()
        wait_for("the server is there", lambda: lives(berlin, name))
        yield berlin


@pytest.fixture(scope="module")
def berlin(far):
    with near(far) as berlin:
        wait_for("the server said what its models take", lambda: described(berlin, "sums"))
        yield berlin


def described(node, model):
    return json.loads(node.get(f"/v2/models/{model}")[1]).get("inputs")


@pytest.fixture(scope="module")
def over_http(berlin):
    with tritonclient.http.InferenceServerClient(berlin.url.removeprefix("http://")) as client:
        yield client


@pytest.fixture(scope="module")
def over_grpc(berlin):
    with tritonclient.grpc.InferenceServerClient(berlin.url.removeprefix("http://")) as client:
        yield client


def infer(node, model, inputs, headers=None):
    return node.post(f"/v2/models/{model}/infer", {"inputs": inputs}, headers)


def plain(datatype, shape, data, name="INPUT0"):
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_datatype_comes_back_bit_for_bit_through_another_node(over_http, over_grpc, datatype):
    values, model = VALUES[datatype], f"id_{datatype.lower()}"
    for sent in (values, values[:0]):
        answer = over_http.infer(model, [tensor(tritonclient.http, datatype, sent)])
        assert same(sent, answer.as_numpy("OUTPUT0")), "HTTP, binary"
        answer = over_grpc.infer(model, [tensor(tritonclient.grpc, datatype, sent)])
        assert same(sent, answer.as_numpy("OUTPUT0")), "gRPC"


def test_outputs_are_those_that_were_asked_for_and_the_answer_says_who_gave_it(berlin, over_http):
    ones = numpy.ones((1, 16), numpy.int32)
    inputs = [tensor(tritonclient.http, "INT32", ones * at, name) for at, name in ((5, "INPUT0"), (3, "INPUT1"))]
    wanted = [tritonclient.http.InferRequestedOutput("OUTPUT1")]
    answer = over_http.infer("sums", inputs, outputs=wanted)
    assert same(ones * 2, answer.as_numpy("OUTPUT1")) and answer.as_numpy("OUTPUT0") is None
    both = over_http.infer("sums", inputs)
    assert same(ones * 8, both.as_numpy("OUTPUT0")) and same(ones * 2, both.as_numpy("OUTPUT1"))
    status, headers, body = infer(berlin, "id_bytes", [plain("BYTES", [2], ["a", "ü"])])
    assert (status, body["model_name"], body["outputs"][0]["data"]) == (200, "id_bytes", ["a", "ü"])
    assert (headers["x-hither-served-by"], headers["x-hither-jurisdiction"]) == ("lab", "DE-BE")


@pytest.mark.parametrize("client", ["over_http", "over_grpc"])
def test_what_a_model_takes_is_what_the_server_says_of_it(client, request):
    client = request.getfixturevalue(client)
    as_json = {} if isinstance(client, tritonclient.http.InferenceServerClient) else {"as_json": True}
    model = client.get_model_metadata("sums", **as_json)
    assert (model["name"], model["platform"]) == ("sums", "hither_endpoint")
    assert [spec["name"] for spec in model["inputs"]] == ["INPUT0", "INPUT1"]
    assert [int(size) for size in model["outputs"][0]["shape"]] == [1, 16]
    assert [int(size) for size in client.get_model_metadata("rows", **as_json)["inputs"][0]["shape"]] == [-1, 4]
    assert client.is_model_ready("sums")


def test_what_is_wrong_is_said_in_the_protocols_own_form(berlin, over_http, over_grpc):
    with pytest.raises(InferenceServerException) as error:
        over_http.infer("nobody_has_it", [tensor(tritonclient.http, "FP32", VALUES["FP32"])])
    assert error.value.status() == "404" and "E0401" in error.value.message()
    short = [tensor(tritonclient.http, "INT32", numpy.ones((1, 15), numpy.int32), name) for name in ("INPUT0", "INPUT1")]
    with pytest.raises(InferenceServerException) as error:
        over_http.infer("sums", short)
    assert error.value.status() == "400" and "expects the shape [1, 16]" in error.value.message(), error.value
    with pytest.raises(InferenceServerException) as error:
        over_grpc.infer("sums", [tensor(tritonclient.grpc, "FP32", VALUES["FP32"])])
    assert error.value.status() == "StatusCode.INVALID_ARGUMENT" and "INPUT0" in error.value.message(), error.value
    status, _, body = infer(berlin, "sums", [plain("INT32", [1, 16], [1, 2])])
    assert status == 400 and "its shape says 16" in body["error"], body
    # The server has none of that name; the operator is told, and no other model suffers.
    status, headers, body = infer(berlin, "gone", [plain("FP32", [1], [1.0])])
    assert status == 503 and "no model of that name" in body["error"] and headers["x-hither-code"] == "E0512", body
    wait_for("the operator is told", lambda: warned(berlin, "endpoint lab is left alone with model gone"))
    assert infer(berlin, "id_fp32", [plain("FP32", [1], [1.0])])[0] == 200


def test_what_such_a_server_cannot_do_is_refused(berlin):
    chat = {"model": "id_bytes", "messages": [{"role": "user", "content": "hi"}]}
    status, _, body = berlin.post("/v1/chat/completions", chat)
    assert 400 <= status < 500 and "tensors" in json.dumps(body), body


def test_the_law_the_budget_and_the_record_are_those_of_every_server_outside(far):
    money = '[egress]\ncurrency = "EUR"\n'
    price = US + "price = { per_request = 0.4 }\nspend_per_day = 0.5\n"
    with near(far, "cloud", price + money, LAW) as berlin:
        ask = lambda label: infer(berlin, "id_int64", [plain("INT64", [2], [1, 2])], {"x-hither-class": label})
        assert ask("internal")[0] == 451
        status, headers, body = ask("public")
        assert (status, body["outputs"][0]["data"]) == (200, [1, 2])
        assert (headers["x-hither-served-by"], headers["x-hither-rule"]) == ("cloud", "cloud-for-public")
        assert int(headers["x-hither-egress-bytes"]) > 0
        status, headers, body = ask("public")
        assert (status, headers["x-hither-code"]) == (429, "E0511"), body
        kinds = lambda: [record["kind"] for record in berlin.json("ledger", "show", berlin.data / "ledger")["records"]]
        wait_for("it is on the record", lambda: "egress.settled" in kinds())
        assert [kind for kind in kinds() if kind.startswith("egress")] == ["egress.intent", "egress.settled"]
        assert berlin.json("budget", "egress")["egress"]["servers"][0]["spent"] == 400_000


def test_a_filter_reads_texts_and_keeps_numbers_that_nobody_can_read(far):
    public = {"x-hither-class": "public"}
    with near(far, "cloud", US + "[endpoint.cloud.filter]\n", LAW) as berlin:
        status, headers, body = infer(berlin, "id_bytes", [plain("BYTES", [2], [f"to {MAIL}", "fine"])], public)
        assert (status, headers["x-hither-masked"]) == (200, "email=1"), body
        assert body["outputs"][0]["data"] == ["to [EMAIL_1]", "fine"]
        status, headers, body = infer(berlin, "id_fp32", [plain("FP32", [1], [1.0])], public)
        assert (status, headers["x-hither-code"]) == (422, "E0306") and "tensors of numbers" in body["error"], body
    with near(far, "cloud", US + '[endpoint.cloud.filter]\nunreadable = "pass"\n', LAW) as berlin:
        assert infer(berlin, "id_fp32", [plain("FP32", [1], [1.0])], public)[0] == 200


def test_a_server_that_is_gone_is_said_so_in_the_protocols_own_form(far):
    with near(far) as berlin:
        far.kill()
        status, _, body = wait_for("it is gone", lambda: (
            answer := infer(berlin, "id_fp32", [plain("FP32", [1], [1.0])])
        )[0] != 200 and answer)
        assert status == 503 and body["error"], body
