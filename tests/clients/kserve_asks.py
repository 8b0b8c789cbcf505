"""KServe's clients ask a node that has the model `id_fp32`: kserve_asks.py URL. It fails loudly, or not at all."""

import asyncio
import sys

import kserve
import numpy
from kserve.inference_client import InferenceGRPCClient, InferenceRESTClient, RESTConfig

VALUES = numpy.array([0.5, -1.5, 2.0e10, 0.0, -0.0, 7.0], numpy.float32)


def request(binary):
    sent = kserve.InferInput("INPUT0", [len(VALUES)], "FP32")
    sent.set_data_from_numpy(VALUES, binary_data=binary)
    return kserve.InferRequest(model_name="id_fp32", infer_inputs=[sent])


def check(answer):
    came = answer.outputs[0].as_numpy()
    assert came.dtype == VALUES.dtype and came.tobytes() == VALUES.tobytes(), came


async def main(url):
    rest = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await rest.is_server_live(url) and await rest.is_server_ready(url)
    assert await rest.is_model_ready(url, "id_fp32")
    for binary in (False, True):
        check(await rest.infer(url, request(binary), model_name="id_fp32"))
    await rest.close()
    async with InferenceGRPCClient(url.removeprefix("http://")) as client:
        assert await client.is_server_live() and await client.is_server_ready()
        assert await client.is_model_ready("id_fp32")
        for binary in (False, True):
            check(await client.infer(request(binary)))


asyncio.run(main(sys.argv[1]))
