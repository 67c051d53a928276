"""Packs NAS-Bench-201's CIFAR-10 table: `python benchmarks/pack_table.py nas_bench_201_cifar10.csv.gz`.

What follows from the architecture is not stored: parameters and multiply-adds exactly, seconds an epoch by a sum over
the six edges, whose 30 terms are fitted here.
"""

import csv
import gzip
import sys
from pathlib import Path

import numpy as np

from nasdrop.resources import folder
from nasdrop.searchers.table import OPERATIONS, pack
from nasdrop.space import Genotype

STORED = (
    "index", "valid_accuracy_12", "valid_accuracy_200", "test_accuracy_200", "latency_ms_edgegpu", "latency_ms_pixel3",
    "latency_ms_raspi4", "latency_ms_1080ti", "latency_ms_xeon_6226",
)  # fmt: skip


def fitted_seconds(rows):
    """Seconds of each operation (5) on each edge (6): least squares of least norm, for a cell has one on each edge."""
    chosen = np.zeros((len(rows), 6, 5))
    for number, row in enumerate(rows):
        for edge, (*_, operation) in enumerate(Genotype.read(row["arch"]).cells[0].edges):
            chosen[number, edge, OPERATIONS.index(operation)] = 1
    seconds = np.array([float(row["train_seconds_per_epoch"]) for row in rows])
    terms, *_ = np.linalg.lstsq(chosen.reshape(len(rows), 30), seconds, rcond=None)
    error = np.abs(chosen.reshape(len(rows), 30) @ terms - seconds).max()
    print(f"seconds an epoch: largest error of the sum over edges {error:.4f} s")
    return terms.reshape(6, 5)


def main(source, target):
    with gzip.open(source, "rt") as file:
        rows = list(csv.DictReader(file))
    columns = {name: [row[name] for row in rows] for name in STORED}
    pack(target, [row["arch"] for row in rows], columns, fitted_seconds(rows))
    print(f"{target}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]), folder("tables") / "nas_bench_201_cifar10.npz")
