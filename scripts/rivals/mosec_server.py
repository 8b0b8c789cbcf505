"""The model behind mosec: an ONNX Runtime session of one thread, requests batched as they come.

MODEL=FILE WORKERS=N BATCH=N mosec_server.py --port PORT

The settings are variables since each worker is a process that reads this file again.
"""

import os

import msgspec
import numpy
import onnxruntime
from mosec import Server, Worker

MODEL = os.environ["MODEL"]
WORKERS = int(os.environ.get("WORKERS", "1"))
BATCH = int(os.environ.get("BATCH", "1"))


class Tensor(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    data: list[float]


class Request(msgspec.Struct):
    inputs: list[Tensor]


decode = msgspec.json.Decoder(Request).decode
encode = msgspec.json.Encoder().encode


class Model(Worker):
    def __init__(self):
        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(MODEL, options)
        self.input = self.session.get_inputs()[0].name

    def deserialize(self, data):
        return numpy.array(decode(data).inputs[0].data, dtype=numpy.float32)

    def run(self, rows):
        return self.session.run(None, {self.input: rows})

    def forward(self, data):
        if BATCH == 1:
            label, score = self.run(data[None, :])
            return {"label": int(label[0]), "probabilities": score[0].tolist()}
        labels, scores = self.run(numpy.stack(data))
        return [{"label": int(a), "probabilities": b.tolist()} for a, b in zip(labels, scores)]

    def serialize(self, data):
        return encode(data)


if __name__ == "__main__":
    server = Server()
    if BATCH == 1:
        server.append_worker(Model, num=WORKERS)
    else:
        server.append_worker(Model, num=WORKERS, max_batch_size=BATCH, max_wait_time=1)
    server.run()
