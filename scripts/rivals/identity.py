"""What `cargo xtask rivals gateway` asks of tensor servers, for a node and for Triton alike: two inputs, INT32 [1,16], that
come back as they are. Writes the ONNX model of the node, the model repository of Triton, and the bodies of requests.

    identity.py DIRECTORY                    writes them
    identity.py DIRECTORY --ask HTTP GRPC    asks a server all three ways with Triton's client, and compares what comes back
"""

import argparse
import json
import pathlib

import numpy
import onnx
import tritonclient.grpc
import tritonclient.http
from onnx import TensorProto, helper
from tritonclient.grpc import service_pb2

NAME = "identity"
VALUES = [numpy.arange(16, dtype=numpy.int32).reshape(1, 16), numpy.arange(16, 32, dtype=numpy.int32).reshape(1, 16)]

PROGRAM = """
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        def answer(request):
            given = [pb.get_input_tensor_by_name(request, name).as_numpy() for name in ("INPUT0", "INPUT1")]
            return pb.InferenceResponse([pb.Tensor(f"OUTPUT{at}", each) for at, each in enumerate(given)])
        return [answer(request) for request in requests]
"""

# As many rows as go together at most, as the node is told, too; one process of Python for each processor.
CONFIG = """
name: "identity"
backend: "python"
max_batch_size: 16
input [{ name: "INPUT0" data_type: TYPE_INT32 dims: [16] }, { name: "INPUT1" data_type: TYPE_INT32 dims: [16] }]
output [{ name: "OUTPUT0" data_type: TYPE_INT32 dims: [16] }, { name: "OUTPUT1" data_type: TYPE_INT32 dims: [16] }]
instance_group [{ kind: KIND_CPU count: INSTANCES }]
"""


def model():
    def spec(name):
        return helper.make_tensor_value_info(name, TensorProto.INT32, ["rows", 16])

    nodes = [helper.make_node("Identity", [f"INPUT{at}"], [f"OUTPUT{at}"]) for at in (0, 1)]
    graph = helper.make_graph(
        nodes, NAME, [spec("INPUT0"), spec("INPUT1")], [spec("OUTPUT0"), spec("OUTPUT1")]
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="hither")
    onnx.checker.check_model(made)
    return made.SerializeToString()


def inputs(kind, **how):
    made = [kind.InferInput(f"INPUT{at}", [1, 16], "INT32") for at in (0, 1)]
    for each, values in zip(made, VALUES):
        each.set_data_from_numpy(values, **how)
    return made


def write(to, instances):
    place = to / "repository" / NAME
    (place / "1").mkdir(parents=True, exist_ok=True)
    (place / "config.pbtxt").write_text(CONFIG.replace("INSTANCES", str(instances)))
    (place / "1/model.py").write_text(PROGRAM)
    (to / "identity.onnx").write_bytes(model())
    tensors = [
        {"name": f"INPUT{at}", "datatype": "INT32", "shape": [1, 16], "data": values.ravel().tolist()}
        for at, values in enumerate(VALUES)
    ]
    (to / "infer.json").write_text(json.dumps({"inputs": tensors}))
    client = tritonclient.http.InferenceServerClient
    body, length = client.generate_request_body(inputs(tritonclient.http, binary_data=True))
    (to / "infer.binary").write_bytes(body)
    (to / "infer.binary.length").write_text(str(length))
    message = service_pb2.ModelInferRequest(model_name=NAME)
    for at, values in enumerate(VALUES):
        message.inputs.add(name=f"INPUT{at}", datatype="INT32", shape=[1, 16])
        message.raw_input_contents.append(values.tobytes())
    message = message.SerializeToString()
    # A frame of gRPC: not compressed, the length, the message.
    (to / "infer.grpc").write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)


def ask(over_http, over_grpc):
    def check(answer, how):
        for at, values in enumerate(VALUES):
            found = answer.as_numpy(f"OUTPUT{at}")
            assert (found == values).all(), f"{how}: OUTPUT{at} is {found}"

    with tritonclient.http.InferenceServerClient(over_http) as client:
        check(client.infer(NAME, inputs(tritonclient.http, binary_data=True)), "binary")
        plain = [tritonclient.http.InferRequestedOutput(f"OUTPUT{at}", binary_data=False) for at in (0, 1)]
        check(client.infer(NAME, inputs(tritonclient.http, binary_data=False), outputs=plain), "JSON")
    with tritonclient.grpc.InferenceServerClient(over_grpc) as client:
        check(client.infer(NAME, inputs(tritonclient.grpc)), "gRPC")


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("directory", type=pathlib.Path)
parser.add_argument("--instances", type=int, default=1)
parser.add_argument("--ask", nargs=2, metavar=("HTTP", "GRPC"))
words = parser.parse_args()
if words.ask:
    ask(*words.ask)
else:
    write(words.directory, words.instances)
