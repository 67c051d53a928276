"""The best cell of a search trained for good, three seeds, beside a ResNet of its parameters trained the same way.

`... run FOLDER` searches and trains on scikit-learn's digits and on a part of Fashion-MNIST (6,000 stratified training
images, all 10,000 test images), going on where it was stopped; `... report FOLDER` writes results/retrain.md.
"""

import argparse
import json
import platform
from pathlib import Path

import numpy as np
import torch

import nasdrop
from nasdrop.files import write_text
from nasdrop.settings import DataSettings
from nasdrop.train import load

RESULT = Path(__file__).parent / "results" / "retrain.md"
NUM_IMAGES = 6_000
SEARCH = {
    "digits": ("search.trials=16", "final.seeds=0", "threads=1"),
    "fashion_mnist": ("search.trials=3", "search.epochs=2", "final.seeds=0", "threads=1", "data.train_limit=2000"),
}
TRAIN = {
    "digits": ("train.epochs=20", "final.without_drop=true"),
    "fashion_mnist": ("train.epochs=2",),
}
FINAL = ("final.seeds=3", "final.resnet=true", "threads=1")


def data_of(name, folder):
    """Overrides that name the data: a file of fewer images where a training on all would take hours."""
    if name == "digits":
        return ()
    path = folder / "fashion_mnist.npz"
    if not path.exists():
        data = load(DataSettings(name=name)).merged().limited(NUM_IMAGES)
        parts = {"train": data.train, "test": data.test}
        arrays = {f"x_{part}": images.pixels.numpy() for part, images in parts.items()}
        arrays |= {f"y_{part}": images.labels.numpy() for part, images in parts.items()}
        np.savez(path, classes=np.array(data.classes), **arrays)
    return ("data.name=npz", f"data.file={path.name}", f"data.root={path.parent.resolve()}", "data.valid_fraction=0.15")


def run(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name in SEARCH:
        found = folder / f"{name}-search"
        nasdrop.search(name, *SEARCH[name], *data_of(name, folder), out=found)
        nasdrop.train_cell(found, "", *FINAL, *TRAIN[name], out=folder / f"{name}-train")


def report(folder):
    lines = ["# The best cell beside a ResNet of as many parameters", "", __doc__.partition("\n\n")[0].strip(), ""]
    lines += [
        "Test accuracy, mean ± standard deviation over three seeds; all rows of a table have the same data, epochs, "
        "optimiser, augmentation and, but for the rows without, drop path on the residual branches as on the edges. "
        "The ResNet is ResNet-20's three stages, its widths chosen to match the parameters.",
        "",
        f"`python benchmarks/retrain.py run FOLDER`, then `report FOLDER`; one core, with others "
        f"at work so that times tell little, Python "
        f"{platform.python_version()}, torch {torch.__version__}, no GPU.",
    ]
    for name in SEARCH:
        path = folder / f"{name}-train" / "result.json"
        if not path.exists():
            lines += ["", f"## {name}", "", "Not measured yet."]
            continue
        result = json.loads(path.read_text())
        images = result["test"][0]["images"]
        lines += ["", f"## {name}: {', '.join((*SEARCH[name], *TRAIN[name]))}", ""]
        lines += ["| | test accuracy | parameters | multiply-adds | a training |", "|---|---|---|---|---|"]
        for row in result["test"]:
            accuracy = f"{100 * row['mean']:.2f} % ± {100 * row['spread']:.2f}"
            cost = f"{row['parameters']:,.0f} | {row['multiply_adds']:,.0f} | {row['seconds']:.0f} s"
            lines.append(f"| {row['label']} | {accuracy} | {cost} |")
        error = 100 * max(row["standard_error"] for row in result["test"])
        lines += ["", f"{images} test images allow a standard error of up to {error:.2f} % by themselves."]
    write_text(RESULT, "\n".join(lines) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["run", "report"])
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    {"run": run, "report": report}[arguments.what](arguments.folder)
