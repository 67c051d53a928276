"""Images a second that reach the training loop: from memory, and from disk with 0, 1 and 2 worker processes.

    python benchmarks/loading.py [count]

Smooth JPEGs of 500 x 375 pixels brought to 64 x 64, and PNGs of 28 x 28 as they are; all in the page cache.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from nasdrop.settings import DataSettings, TrainSettings
from nasdrop.train import Dataset, load, train_batches

ROUNDS = 3


def write(folder: Path, count: int, kind: str) -> None:
    dice = np.random.default_rng(0)
    for number in range(count):
        place = folder / f"class_{number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        if kind == "jpg":
            small = Image.fromarray(dice.integers(0, 255, (24, 32, 3), dtype=np.uint8))
            small.resize((500, 375), Image.Resampling.BICUBIC).save(place / f"{number}.jpg", quality=90)
        else:
            Image.fromarray(dice.integers(0, 255, (28, 28), dtype=np.uint8)).save(place / f"{number}.png")


def rate(data: Dataset, epoch: int) -> float:
    started, seen = time.perf_counter(), 0
    for images, _ in train_batches(data.train, data, TrainSettings(batch_size=64, crop_padding=2), seed=0, epoch=epoch):
        seen += len(images)
    return seen / (time.perf_counter() - started)


def main(count: int) -> None:
    torch.set_num_threads(1)
    print(f"| files | from | images/s, median of {ROUNDS} epochs |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        for kind, size in (("jpg", 64), ("png", 0)):
            root = Path(place) / kind
            write(root, count, kind)
            settings = DataSettings(name="folder", root=str(root), size=size, loader_workers=0)
            sets = {"memory": load(settings.model_copy(update={"streaming": False}))}
            for workers in (0, 1, 2):
                changed = {"streaming": True, "loader_workers": workers}
                sets[f"disk, {workers} workers"] = load(settings.model_copy(update=changed))
            found: dict[str, list[float]] = {name: [] for name in sets}
            for epoch in range(ROUNDS):
                for name, data in sets.items():  # interleaved: a slow moment meets all of them
                    found[name].append(rate(data, epoch))
            for name, rates in found.items():
                print(f"| {count} {kind} | {name} | {np.median(rates):,.0f} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1500)
