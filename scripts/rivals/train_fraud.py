"""One model of scikit-learn for every server: as scikit-learn keeps it, and as ONNX. Run by scripts/rivals/setup."""

import csv
import json
import pathlib
import sys

import joblib
import numpy
from skl2onnx import to_onnx
from sklearn.ensemble import GradientBoostingClassifier

root = pathlib.Path(__file__).resolve().parents[2]
to = pathlib.Path(sys.argv[1])
with open(root / "models/fraud.rows.csv", newline="") as file:
    rows = list(csv.reader(file))[1:]
data = numpy.array(rows, dtype=numpy.float32)
x, y = data[:, :-1], data[:, -1].astype(int)
model = GradientBoostingClassifier(n_estimators=100, max_depth=4, random_state=7).fit(x, y)

to.mkdir(parents=True, exist_ok=True)
joblib.dump(model, to / "model.joblib")
onnx = to_onnx(model, x[:1], options={id(model): {"zipmap": False}}, target_opset={"": 15, "ai.onnx.ml": 3})
(to / "fraud_sklearn.onnx").write_bytes(onnx.SerializeToString())
name = onnx.graph.input[0].name
body = {"inputs": [{"name": name, "datatype": "FP32", "shape": [1, x.shape[1]], "data": x[0].tolist()}]}
(to / "request.json").write_text(json.dumps(body))
(to / "model-settings.json").write_text(
    json.dumps(
        {
            "name": "model",
            "implementation": "mlserver_sklearn.SKLearnModel",
            "parameters": {"uri": "./model.joblib"},
        }
    )
)
