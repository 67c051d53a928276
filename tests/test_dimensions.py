"""Searches on signals (1-D) and volumes (3-D), from data to predictions: a study, a search by gradient, a fractal."""

import json

import numpy as np
import pytest

from nasdrop import cli
from nasdrop.prediction import Predictor
from nasdrop.run_folder import RunFolder

CLASSES = ("slow", "middle", "fast")
SHAPES = {1: (2, 32), 3: (1, 8, 8, 8)}
SIZES = ("threads=1", "network.channels=6", "network.num_cells=3", "train.batch_size=16", "train.learning_rate=0.2",
         "train.epochs=8", "final.seeds=1", "final.random_cells=0", "final.without_drop=false",
         "final.genotype=''", "drop.p=0.1")  # fmt: skip
SEARCHES = {
    "study": ("search.trials=2", "search.epochs=2", "search.min_epochs=1"),
    "gradient": ("search.kind=gradient", "search.strategy=darts", "search.epochs=2", "search.channels=4",
                 "search.num_cells=3", "search.batch_size=16"),
    "fractal": ("space=fractalnet", "network.num_cells=2", "search.trials=1", "search.epochs=2", "search.min_epochs=1",
                "drop.policy=fractal"),
}  # fmt: skip
SPACES = {1: "signal_1d", 3: "tiny"}


def waves(dice, labels, shape):
    """Noisy waves along the last axis whose frequency is the class, at random phases."""
    position = np.arange(shape[-1]) * 2 * np.pi / shape[-1]
    phase = dice.uniform(0, 2 * np.pi, (len(labels), *[1] * len(shape)))
    wave = np.sin((labels + 1).reshape(-1, *[1] * len(shape)) * position + phase)
    return (np.broadcast_to(wave, (len(labels), *shape)) + dice.normal(0, 0.3, (len(labels), *shape))).astype(
        np.float32
    )


@pytest.fixture(scope="module", params=SHAPES)
def data(request, tmp_path_factory):
    """The number of sides, and an archive with its own test split."""
    ndim, dice = request.param, np.random.default_rng(request.param)
    folder = tmp_path_factory.mktemp(f"{ndim}d")
    labels = {part: np.arange(count) % 3 for part, count in (("train", 240), ("test", 60))}
    arrays = {f"x_{part}": waves(dice, values, SHAPES[ndim]) for part, values in labels.items()}
    np.savez(folder / "own.npz", classes=CLASSES, **arrays, **{f"y_{part}": values for part, values in labels.items()})
    np.save(folder / "test.npy", arrays["x_test"])
    return ndim, folder


def searched(data, kind):
    """The folder of a finished run."""
    ndim, folder = data
    options = [f"space={SPACES[ndim]}", "data.name=npz", f"data.root={folder}", "data.file=own.npz"]
    run = folder / kind
    (folder / "own.toml").write_text('name = "own"\n')
    assert cli.run(["search", str(folder / "own.toml"), *options, *SIZES, *SEARCHES[kind], "--out", str(run)]) == 0
    return run


def check(run, folder):
    """The test accuracy is better than chance by five standard errors, and what predictions have."""
    (row,) = json.loads(RunFolder(run).result.read_text())["test"]
    assert row["mean"] > 1 / 3 + 5 * (2 / 9 / 60) ** 0.5
    answers = list(Predictor(run, "cpu")([folder / "test.npy"]))
    right = sum(answer.ranked()[0] == number % 3 for number, answer in enumerate(answers))
    assert right / len(answers) == pytest.approx(row["mean"], abs=1 / 60 + 1e-9)  # a tie may fall to either side


def test_a_study_with_export_and_prediction(data, capsys):
    _, folder = data
    run = searched(data, "study")
    check(run, folder)
    assert cli.run(["export", str(run), "--all"]) == 0
    written = {path.name for path in (run / "bundle").iterdir()}
    assert written >= {"network.onnx", "network.pt2", "network.py", "network.pt", "MODEL_CARD.md"}
    capsys.readouterr()
    assert cli.run(["predict", str(run / "bundle"), str(folder / "test.npy"), "--json"]) == 0
    answers = json.loads(capsys.readouterr().out)
    assert len(answers) == 60 and answers[0]["class"] in CLASSES
    assert cli.run(["predict", str(run / "bundle"), str(folder / "picture.png")]) == 2
    assert "was not trained on picture files" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gradient", "fractal"])
def test_other_searches(data, kind):
    check(searched(data, kind), data[1])
