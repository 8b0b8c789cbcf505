"""One round of ONNX Runtime in this process: the same request again and again. Prints one JSON object.

onnx_round.py MODEL REQUEST.json SECONDS THREADS
"""

import json
import sys
import time

import numpy
import onnxruntime

TYPES = {"FP32": numpy.float32, "INT64": numpy.int64, "INT32": numpy.int32}

model, request, seconds, threads = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = threads
options.inter_op_num_threads = 1
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
options.log_severity_level = 3
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
with open(request) as file:
    inputs = json.load(file)["inputs"]
feeds = {i["name"]: numpy.array(i["data"], dtype=TYPES[i["datatype"]]).reshape(i["shape"]) for i in inputs}

end = time.perf_counter() + 0.3
while time.perf_counter() < end:
    session.run(None, feeds)
latencies = []
cpu = time.process_time()
begun = time.perf_counter()
while time.perf_counter() - begun < seconds:
    before = time.perf_counter_ns()
    session.run(None, feeds)
    latencies.append((time.perf_counter_ns() - before) / 1e3)
took = time.perf_counter() - begun
cpu = (time.process_time() - cpu) * 1e6
with open("/proc/self/smaps_rollup") as file:
    memory = next(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
latencies.sort()


def quantile(share):
    return latencies[max(0, -(-len(latencies) * share // 100) - 1)]


round_ = {
    "streams": 1,
    "requests": len(latencies),
    "requests_per_s": len(latencies) / took,
    "latency_us": {"p50": quantile(50), "p90": quantile(90), "p99": quantile(99)},
    "cpu_us_per_request": cpu / len(latencies),
    "memory_bytes": memory,
}
print(json.dumps({"engine": f"onnxruntime {onnxruntime.__version__}", "rounds": [round_]}))
