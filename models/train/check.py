"""Checks that the committed models, rows, golden answers and training scripts still belong together.

    "$(scripts/venv train)" models/train/check.py

1. The committed ONNX files give the committed golden answers.
2. Training again gives models with the same answers on every committed row, the same rows and the same golden inputs.
3. The figures in models/metrics.json are those of the committed files.
Says what differs and ends with 1, or says that all is well and ends with 0.
"""

import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

import train

FAULTS = []


def expect(what, holds):
    """Notes one check."""
    print(("ok      " if holds else "DIFFERS ") + what)
    if not holds:
        FAULTS.append(what)


def close(left, right):
    """Probabilities agree as closely as the golden files ask."""
    return np.allclose(left, right, rtol=1e-3, atol=1e-4)


def check_committed(name):
    """The committed files, among themselves."""
    model = (train.MODELS / f"{name}.onnx").read_bytes()
    golden = json.loads((train.MODELS / f"{name}.golden.json").read_text())
    expect(f"{name}: the golden answers are of this very file", golden["sha256"] == hashlib.sha256(model).hexdigest())
    labels, probabilities = train.answers(model, np.array(golden["input"], np.float32))
    expect(f"{name}: {len(labels)} golden labels", labels.tolist() == golden["label"])
    expect(f"{name}: {len(labels)} golden probabilities", close(probabilities, golden["probabilities"]))
    rows, truth = train.read_rows(train.MODELS / f"{name}.rows.csv")
    figures = json.loads((train.MODELS / "metrics.json").read_text())[name]["committed"]
    expect(f"{name}: metrics.json on {len(rows)} rows", figures == train.measures(model, rows, truth))


def check_again(name, folder):
    """The committed files against those trained now."""
    old, new = (train.MODELS / f"{name}.onnx").read_bytes(), (folder / f"{name}.onnx").read_bytes()
    print(f"        {name}: trained again, " + ("the same bytes" if old == new else "other bytes"))
    same = (train.MODELS / f"{name}.rows.csv").read_bytes() == (folder / f"{name}.rows.csv").read_bytes()
    expect(f"{name}: the scripts make the committed rows", same)
    rows, _ = train.read_rows(train.MODELS / f"{name}.rows.csv")
    (old_labels, old_chances), (new_labels, new_chances) = train.answers(old, rows), train.answers(new, rows)
    expect(f"{name}: trained again, {len(rows)} labels", np.array_equal(old_labels, new_labels))
    expect(f"{name}: trained again, {len(rows)} probabilities", close(old_chances, new_chances))


def main():
    """Checks both."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        subprocess.run([sys.executable, train.__file__, scratch], check=True, stdout=subprocess.DEVNULL)
        for name in ("fraud", "maintenance"):
            check_committed(name)
            check_again(name, folder)
    sys.exit(f"check: {len(FAULTS)} differ" if FAULTS else 0)


if __name__ == "__main__":
    main()
