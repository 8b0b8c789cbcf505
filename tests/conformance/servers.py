"""The reference server, with the same models as the node."""

import contextlib
import os
import pathlib
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request

from mesh import CACHE, wait_for
from tensor_models import models

VENV = CACHE / "venv-triton"

IDENTITY = """
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        def answer(request):
            given = pb.get_input_tensor_by_name(request, "INPUT0")
            out = pb.Tensor.from_dlpack("OUTPUT0", given.to_dlpack()) if DLPACK else pb.Tensor("OUTPUT0", given.as_numpy())
            return pb.InferenceResponse([out])
        return [answer(request) for request in requests]
"""

SUM = """
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        def answer(request):
            one, other = [pb.get_input_tensor_by_name(request, name).as_numpy() for name in ("INPUT0", "INPUT1")]
            outputs = [pb.Tensor("OUTPUT0", one + other), pb.Tensor("OUTPUT1", one - other)]
            wanted = request.requested_output_names()
            return pb.InferenceResponse([output for output in outputs if output.name() in wanted])
        return [answer(request) for request in requests]
"""


def program(inputs):
    if len(inputs) == 2:
        return SUM
    return IDENTITY.replace("DLPACK", str(inputs[0][1] == "BF16"))


def config(name, rows, inputs, outputs):
    def tensors(word, values):
        each = [
            f'{{ name: "{tensor}" data_type: TYPE_{"STRING" if datatype == "BYTES" else datatype} dims: {shape} }}'
            for tensor, datatype, shape in values
        ]
        return f"{word} [{', '.join(each)}]"

    lines = [f'name: "{name}"', 'backend: "python"', f"max_batch_size: {rows}"]
    lines += [tensors("input", inputs), tensors("output", outputs)]
    lines.append("instance_group [{ kind: KIND_CPU count: 1 }]")
    return "\n".join(lines) + "\n"


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class Triton:
    """The reference server, for processors, with every model loaded."""

    def __init__(self):
        (site,) = VENV.glob("lib/python*/site-packages")
        server = site / "pytriton/tritonserver"
        self.folder = tempfile.TemporaryDirectory(prefix="triton-")
        repository = pathlib.Path(self.folder.name) / "models"
        for name, rows, inputs, outputs in models():
            place = repository / name
            (place / "1").mkdir(parents=True)
            (place / "config.pbtxt").write_text(config(name, rows, inputs, outputs))
            (place / "1/model.py").write_text(program(inputs))
        http, grpc = free_ports(2)
        self.url, self.grpc = f"http://127.0.0.1:{http}", f"127.0.0.1:{grpc}"
        self.log = open(pathlib.Path(self.folder.name) / "log", "w+")
        self.process = subprocess.Popen(
            [
                server / "bin/tritonserver", "--model-repository", repository,
                "--backend-directory", server / "backends", "--model-control-mode=explicit", "--load-model=*",
                "--http-address=127.0.0.1", f"--http-port={http}", "--grpc-address=127.0.0.1", f"--grpc-port={grpc}",
                "--allow-metrics=false", "--backend-config=python,shm-default-byte-size=1048576",
                "--cache-directory", server / "caches",
            ],
            stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL,
            env={
                "PATH": os.environ["PATH"], "HOME": self.folder.name, "PYTHONPATH": str(site),
                "LD_LIBRARY_PATH": str(site / "nvidia_pytriton.libs"),
            },
        )
        wait_for("the reference server is up", self.ready, 240)

    def ready(self):
        assert self.process.poll() is None, f"the reference server ended:\n{self.tail()}"
        try:
            with urllib.request.urlopen(f"{self.url}/v2/health/ready", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def tail(self):
        self.log.seek(0)
        return "".join(self.log.readlines()[-60:])

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        self.folder.cleanup()
