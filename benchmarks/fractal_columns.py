"""What the columns of a fractal network are worth, all joined and each alone, under each kind of path drop.

Trains small networks of three columns (three blocks, 12 layers) on digits and on 3,000 images of Fashion-MNIST, three
seeds each, and scores the whole and each column on the test split: with the batch-norm statistics that training left,
and with statistics estimated anew from the training images. `python benchmarks/fractal_columns.py` takes about half
an hour on one core; run again it goes on where it was. `--table` prints what is there.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from nasdrop import FractalNet
from nasdrop.drop import Schedule
from nasdrop.settings import DataSettings, TrainSettings
from nasdrop.train import Dataset, evaluate, fit, load, reestimate, set_threads

P = 0.15
VARIANTS: dict[str, dict[str, Any]] = {
    "no drop": {"drop": {"policy": "local"}, "p": 0.0},
    "local": {"drop": {"policy": "local"}},
    "global": {"drop": {"policy": "global"}},
    "mixed": {},
    "mixed, shared statistics": {"statistics": "shared"},
    "mixed, a decision a sample": {"drop": {"mode": "row"}},
    "column networks": {"column_networks": True},
}
MAIN = tuple(VARIANTS)[:5]
SIZES: dict[str, dict[str, Any]] = {
    "digits": {"widths": (16, 32, 32), "epochs": 40, "limit": 0},
    "fashion_mnist": {"widths": (8, 16, 32), "epochs": 12, "limit": 3000},
}
SETTINGS = TrainSettings(batch_size=50, learning_rate=0.05)
SEEDS = (0, 1, 2)


def jobs() -> Iterator[tuple[str, str, int]]:
    """Data set, variant and seed: rounds of the first five variants, then the others."""
    for variants in (MAIN, [name for name in VARIANTS if name not in MAIN]):
        for seed in SEEDS:
            for data in SIZES:
                for variant in variants:
                    if (data, variant) != ("fashion_mnist", "column networks"):  # costs as much as the rest together
                        yield data, variant, seed


def load_data(name: str) -> Dataset:
    """All digits outside the test split, or a part of the larger set; nothing is held out for validation."""
    data = load(DataSettings(name=name))
    limit = SIZES[name]["limit"]
    return replace(data.limited(limit), valid=data.valid[:0]) if limit else data.merged()


def train(data: Dataset, variant: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Train one network; its test accuracies."""
    size, options = SIZES[data.name], dict(variant)
    schedule = Schedule(options.get("p", P), "constant")
    torch.manual_seed(seed)
    network = FractalNet(3, 3, size["widths"], data.num_classes, data.shape[0], **options)
    started = time.process_time()
    (*_, last) = fit(network, data, SETTINGS, schedule=schedule, seed=seed, epochs=size["epochs"]).history
    seconds = time.process_time() - started
    parts = {"whole": network, **{name: network.only(c) for c, name in enumerate(network.parts())}}
    fresh = {"whole": deepcopy(network), **{name: network.column(c) for c, name in enumerate(network.parts())}}
    for part in fresh.values():
        reestimate(part, data.train, data)
    return {
        "trained": {name: evaluate(part, data.test, data).accuracy for name, part in parts.items()},
        "reestimated": {name: evaluate(part, data.test, data).accuracy for name, part in fresh.items()},
        "train_loss": last.train_loss,
        "seconds": round(seconds, 1),
    }


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Mean and standard deviation over seeds, in percent."""
    names = ("whole", "column_0", "column_1", "column_2")
    for data in SIZES:
        yield f"\n## {data}\n"
        yield "| drop | statistics | all joined | column 0 (3 layers) | column 1 (6) | column 2 (12) | CPU s | n |"
        yield "| - | - | - | - | - | - | - | - |"
        for variant in VARIANTS:
            found = [row for row in rows if (row["data"], row["variant"]) == (data, variant)]
            for kind in ("trained", "reestimated") if found else ():
                cells = [spread([100 * row[kind][name] for row in found]) for name in names]
                seconds = f"{statistics.fmean(row['seconds'] for row in found):.0f}" if kind == "trained" else ""
                yield f"| {variant} | {kind} | {' | '.join(cells)} | {seconds} | {len(found)} |"


def spread(values: list[float]) -> str:
    deviation = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.2f}{deviation}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/fractal_columns.jsonl"))
    parser.add_argument("--most", type=int, default=1000, help="end after so many trainings")
    parser.add_argument("--table", action="store_true", help="only print what is there")
    options = parser.parse_args()
    set_threads(1)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    done = {(row["data"], row["variant"], row["seed"]) for row in rows}
    left = [job for job in jobs() if job not in done]
    for data, variant, seed in left[: 0 if options.table else options.most]:
        row = {"data": data, "variant": variant, "seed": seed, **train(load_data(data), VARIANTS[variant], seed)}
        rows.append(row)
        with options.out.open("a") as file:
            file.write(f"{json.dumps(row)}\n")
        print(json.dumps(row), flush=True)
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
