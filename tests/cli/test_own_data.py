"""From a folder of pictures to predictions, by what a user types: init, search, export --all, predict."""

import csv
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from nasdrop import cli

QUICK = (
    "space=tiny", "workers=1", "threads=1", "network.channels=4", "search.trials=1", "search.epochs=1",
    "search.min_epochs=1",
    "train.epochs=4", "train.batch_size=8", "final.seeds=1", "final.random_cells=0", "final.without_drop=false",
    "data.loader_workers=0",
)  # fmt: skip


@pytest.fixture
def nasdrop(capsys):
    def run(*arguments):
        code = cli.run(list(map(str, arguments)))
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Pictures of two classes that differ in brightness, a run on them, and its bundle."""
    root, dice = tmp_path_factory.mktemp("own"), np.random.default_rng(0)
    for label, name in enumerate(("dark", "light")):
        (root / "pictures" / name).mkdir(parents=True)
        for number in range(40):
            pixels = dice.integers(0, 80, (9, 9, 3)) + 150 * label
            Image.fromarray(pixels.astype(np.uint8)).save(root / "pictures" / name / f"{number}.png")
    assert cli.run(["init", str(root / "pictures"), "--out", str(root / "x.toml"), "--minutes", "1"]) == 0
    assert cli.run(["search", str(root / "x.toml"), *QUICK, "--out", str(root / "run")]) == 0
    assert cli.run(["export", str(root / "run"), "--all", "--out", str(root / "bundle")]) == 0
    return root


def test_init_tells_what_it_found_and_what_to_type(nasdrop, place, tmp_path):
    code, out, err = nasdrop("init", place / "pictures", "--out", tmp_path / "y.toml", "--minutes", "1")
    assert code == 0, err
    for said in ("80 of 9 x 9 pixels, RGB", "dark", "light", "validation", "at most about"):
        assert said in out
    assert err.endswith(f"next   nasdrop search {tmp_path / 'y.toml'}\n")
    code, _, err = nasdrop("init", place / "pictures", "--out", tmp_path / "y.toml")
    assert code == 2 and "is there already" in err
    code, _, _ = nasdrop("init", place / "pictures", "--out", tmp_path / "y.toml", "--minutes", "1", "--force")
    assert code == 0


def test_init_names_damaged_pictures(nasdrop, place, tmp_path):
    shutil.copytree(place / "pictures", tmp_path / "pictures")
    for number in (3, 5):
        (tmp_path / "pictures" / "dark" / f"{number}.png").write_bytes(b"no picture")
    code, _, err = nasdrop("init", tmp_path / "pictures", "--out", tmp_path / "x.toml")
    assert code == 2 and not (tmp_path / "x.toml").exists()
    assert [line.split("dark/")[1][:5] for line in err.splitlines()] == ["3.png", "5.png"]
    code, _, err = nasdrop("init", tmp_path / "nothing")
    assert code == 2 and "does not exist" in err


def test_a_bundle_is_another_folder_than_its_run(nasdrop, place):
    code, _, err = nasdrop("export", place / "run", "--all", "--out", place / "run")
    assert code == 2 and "must be written into another folder" in err


@pytest.mark.parametrize("folder", ["run", "bundle"])
def test_predict_tells_class_and_probability(nasdrop, place, folder):
    files = [place / "pictures" / "dark" / "0.png", place / "pictures" / "light" / "1.png"]
    code, out, err = nasdrop("predict", place / folder, *files, "--json")
    assert code == 0, err
    dark, light = json.loads(out)
    assert (dark["file"], light["file"]) == tuple(map(str, files))
    assert (dark["class"], light["class"]) == ("dark", "light")
    assert dark["probability"] == max(dark["probabilities"].values())
    assert sum(light["probabilities"].values()) == pytest.approx(1)
    code, out, _ = nasdrop("predict", place / folder, *files, "--csv", "--top", "2")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["class"] for row in rows] == ["dark", "light", "light", "dark"]
    assert float(rows[0]["probability"]) == pytest.approx(dark["probability"], abs=1e-6)
    code, out, _ = nasdrop("predict", place / folder, place / "pictures")
    assert code == 0 and out.count("dark/") == 40


def test_the_preprocessing_is_that_of_the_training(place):
    """Predicted shares of the very pictures of the test split against logits of the stored, normalised pixels."""
    import torch

    from nasdrop import config
    from nasdrop.prediction import Predictor
    from nasdrop.run_folder import RunFolder
    from nasdrop.settings import Experiment
    from nasdrop.train import load, load_weights

    experiment = config.load(Experiment, place / "run" / "experiment.toml")
    data = load(experiment.data).merged()
    predictor = Predictor(place / "bundle", "cpu")
    assert predictor.shape == data.shape and predictor.classes == data.classes
    _, metadata = load_weights(RunFolder(place / "run").weights)
    assert json.loads(metadata["mean"]) == list(data.mean)
    answers = list(predictor([place / "pictures"]))
    assert len(answers) == 80
    expected = {image.numpy().tobytes(): shares for image, shares in zip(
        data.test.pixels, predictor.probabilities(data.test.pixels), strict=True)}  # fmt: skip
    matched = 0
    for answer in answers:
        pixels = np.asarray(Image.open(answer.name)).transpose(2, 0, 1).tobytes()
        if pixels in expected:
            matched += 1
            torch.testing.assert_close(torch.tensor(answer.probabilities), expected[pixels], rtol=0, atol=1e-5)
    assert matched == len(data.test) == 16


def test_what_cannot_be_predicted_is_told_and_the_rest_is_answered(nasdrop, place, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"nothing")
    good = place / "pictures" / "dark" / "0.png"
    code, out, err = nasdrop("predict", place / "run", tmp_path / "bad.png", good, tmp_path / "gone.jpg", "--csv")
    assert code == 2
    assert len(out.splitlines()) == 2 and str(good) in out
    assert [line.startswith("Error: ") for line in err.splitlines()] == [True, True]
    assert "bad.png: is damaged" in err and "gone.jpg: cannot be read" in err
    for folder, line in (("nowhere", "holds no trained network"), ("pictures", "holds no trained network")):
        code, _, err = nasdrop("predict", place / folder, good)
        assert code == 2 and line in err
    (tmp_path / "empty").mkdir()
    code, _, err = nasdrop("predict", place / "run", tmp_path / "empty")
    assert code == 2 and "must name something to predict" in err
    code, _, err = nasdrop("predict", place / "run", good, "--json", "--csv")
    assert code == 2 and "excludes" in err
    np.save(tmp_path / "x.npy", np.zeros((3, 4, 4)))
    code, _, err = nasdrop("predict", place / "run", tmp_path / "x.npy")
    assert code == 2 and "must hold samples of shape (3, 9, 9), got an array of shape (3, 4, 4)" in err


def test_arrays_are_predicted_as_they_are(nasdrop, place, tmp_path):
    images = np.stack([np.full((3, 9, 9), 40), np.full((3, 9, 9), 190)])
    np.save(tmp_path / "one.npy", images[0].astype(np.uint8))
    np.savez(tmp_path / "both.npz", x=images.astype(np.float64))
    code, out, err = nasdrop("predict", place / "bundle", tmp_path / "one.npy", tmp_path / "both.npz", "--json")
    assert code == 0, err
    one, first, second = json.loads(out)
    assert (first["file"], second["file"]) == (f"{tmp_path / 'both.npz'}[0]", f"{tmp_path / 'both.npz'}[1]")
    assert one["probability"] == pytest.approx(first["probability"], abs=1e-6)
    assert (first["class"], second["class"]) == ("dark", "light")
    for wrong, line in (({"y": images}, "must hold an array x"), ({"x": images * np.nan}, "must hold finite numbers")):
        np.savez(tmp_path / "wrong.npz", **wrong)
        code, _, err = nasdrop("predict", place / "bundle", tmp_path / "wrong.npz")
        assert code == 2 and line in err


def test_a_search_by_gradient_from_disk_finds_what_one_from_memory_finds(place, tmp_path):
    (tmp_path / "x.toml").write_text(
        f'name = "x"\nspace = "tiny"\nthreads = 1\n[data]\nname = "folder"\nroot = "{place / "pictures"}"\n'
        '[search]\nkind = "gradient"\nstrategy = "darts"\nepochs = 1\nbatch_size = 8\nchannels = 4\nnum_cells = 3\n'
        "crop_padding = 1\n[final]\nseeds = 0\n"
    )
    found = []
    for number, options in enumerate((("data.streaming=false",), ("data.streaming=true", "data.loader_workers=1"))):
        run = tmp_path / f"run{number}"
        assert cli.run(["search", str(tmp_path / "x.toml"), *options, "--out", str(run)]) == 0
        found.append(json.loads((run / "result.json").read_text()))
    assert found[0] == found[1]
