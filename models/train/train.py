"""Trains models/fraud.onnx and models/maintenance.onnx, and writes the rows and golden answers that go with them.

    "$(scripts/venv train)" models/train/train.py [folder]

The folder is models/ unless another is named. Everything is seeded and runs on one thread: on one machine, two runs give
the same bytes. models/train/check.py compares.
"""

import hashlib
import json
import pathlib
import sys

import lightgbm
import numpy as np
import onnx
import onnxmltools
import onnxruntime
import skl2onnx
from onnxmltools.convert.common.data_types import FloatTensorType as LightgbmFloats
from skl2onnx.common.data_types import FloatTensorType as SklearnFloats
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import accuracy_score, precision_score, recall_score, roc_auc_score

import data

MODELS = pathlib.Path(__file__).resolve().parents[1]
OPSET = 15
ML_OPSET = 3
ROWS = 2_000
GOLDEN_ROWS = 128
TRAINED_ON = {
    "fraud": "synthetic card payments, made by models/train/data.py; no real payment is among them",
    "maintenance": "Statlog (Shuttle), NASA sensor readings, as carried by river 0.26.1; the held-out part",
}


def train_fraud(part):
    """Gradient-boosted trees by LightGBM: what card issuers use for this."""
    model = lightgbm.LGBMClassifier(
        n_estimators=160, num_leaves=15, learning_rate=0.06, min_child_samples=30, subsample=0.8, subsample_freq=1,
        colsample_bytree=0.8, random_state=7, n_jobs=1, deterministic=True, force_row_wise=True, verbose=-1,
    )
    model.fit(part.train, part.train_labels)
    width = part.train.shape[1]
    return onnxmltools.convert_lightgbm(
        model, name="fraud", initial_types=[("input", LightgbmFloats([None, width]))], zipmap=False, target_opset=OPSET
    )


def train_maintenance(part):
    """Gradient-boosted trees by scikit-learn."""
    model = HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=15, learning_rate=0.1, random_state=7)
    model.fit(part.train, part.train_labels)
    width = part.train.shape[1]
    return skl2onnx.convert_sklearn(
        model, name="maintenance", initial_types=[("input", SklearnFloats([None, width]))],
        options={id(model): {"zipmap": False}}, target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
    )


def finish(name, graph, part):
    """Names what people read in the file, and checks that inputs and outputs are what the catalog promises."""
    graph.doc_string = f"Trained on {TRAINED_ON[name]}. Columns: {', '.join(part.columns)}."
    graph.producer_name = "hither models/train"
    del graph.metadata_props[:]
    assert [i.name for i in graph.graph.input] == ["input"], [i.name for i in graph.graph.input]
    assert [o.name for o in graph.graph.output] == ["label", "probabilities"], [o.name for o in graph.graph.output]
    # The exporters disagree on how to say "as many as rows came in"; LightGBM's even says 1.
    for port, shape in zip([*graph.graph.input, *graph.graph.output], [["rows", part.train.shape[1]], ["rows"], ["rows", 2]]):
        element = port.type.tensor_type.elem_type
        port.CopyFrom(onnx.helper.make_tensor_value_info(port.name, element, shape))
    onnx.checker.check_model(graph)
    return graph.SerializeToString(deterministic=True)


def answers(model, rows):
    """Labels and probabilities by ONNX Runtime, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    labels, probabilities = session.run(["label", "probabilities"], {"input": rows})
    return labels, probabilities


def write_rows(path, part):
    """Held-out rows as CSV, the true label last."""
    with path.open("w", newline="\n") as file:
        file.write(",".join(part.columns + ["label"]) + "\n")
        for row, label in zip(part.held_out[:ROWS], part.held_out_labels[:ROWS]):
            cells = [f"{value:.{decimals}f}" for value, decimals in zip(row, part.decimals)]
            file.write(",".join(cells + [str(label)]) + "\n")


def read_rows(path):
    """The CSV back as float32 rows and labels: what a client sends is what the model was measured on."""
    table = np.loadtxt(path, delimiter=",", skiprows=1)
    return table[:, :-1].astype(np.float32), table[:, -1].astype(np.int64)


def write_golden(path, name, model, rows, labels):
    """Rows with the answers that any engine must give: half of them, as far as there are, with label 1."""
    ones, zeros = np.flatnonzero(labels == 1)[: GOLDEN_ROWS // 2], np.flatnonzero(labels == 0)
    chosen = np.sort(np.concatenate([ones, zeros[: GOLDEN_ROWS - len(ones)]]))
    answer, probabilities = answers(model, rows[chosen])
    golden = {
        "model": f"{name}.onnx",
        "sha256": hashlib.sha256(model).hexdigest(),
        "engine": f"onnxruntime {onnxruntime.__version__} (Python)",
        "data": TRAINED_ON[name],
        "tolerance": {"relative": 1e-3, "absolute": 1e-4},
        "input": [[float(str(value)) for value in row] for row in rows[chosen]],
        "label": [int(value) for value in answer],
        "probabilities": [[float(str(value)) for value in row] for row in probabilities],
    }
    lines = [f'"{key}": {json.dumps(value)}' for key, value in golden.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def measures(model, rows, labels):
    """How good the model is on rows that it has not seen."""
    answer, probabilities = answers(model, rows)
    return {
        "rows": len(rows),
        "positive": int(labels.sum()),
        "accuracy": round(float(accuracy_score(labels, answer)), 4),
        "auc": round(float(roc_auc_score(labels, probabilities[:, 1])), 4),
        "precision": round(float(precision_score(labels, answer)), 4),
        "recall": round(float(recall_score(labels, answer)), 4),
    }


def make(name, part, train, folder):
    """One model with everything that belongs to it."""
    model = finish(name, train(part), part)
    (folder / f"{name}.onnx").write_bytes(model)
    write_rows(folder / f"{name}.rows.csv", part)
    rows, labels = read_rows(folder / f"{name}.rows.csv")
    assert np.array_equal(rows, part.held_out[:ROWS]), "the CSV does not give the rows back"
    write_golden(folder / f"{name}.golden.json", name, model, rows, labels)
    return {"all": measures(model, part.held_out, part.held_out_labels), "committed": measures(model, rows, labels)}


def main():
    """Trains both."""
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else MODELS
    folder.mkdir(parents=True, exist_ok=True)
    found = {
        "fraud": make("fraud", data.payments(), train_fraud, folder),
        "maintenance": make("maintenance", data.shuttle(), train_maintenance, folder),
    }
    (folder / "metrics.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
