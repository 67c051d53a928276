"""What `nasdrop init` proposes: budgets that fit, files that are valid, sizes that follow from the data."""

import tomllib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nasdrop import config
from nasdrop.errors import DataError
from nasdrop.proposal import _MOST_EPOCHS, Budget, fit_budget, look_at, propose
from nasdrop.settings import Experiment
from nasdrop.train import load

SPENT = st.tuples(
    st.floats(1e-5, 1), st.integers(4, 10**6), st.floats(60, 10**5), st.integers(1, 64), st.floats(0, 1)
)  # fmt: skip


@given(SPENT)
def test_a_budget_is_kept_unless_the_least_does_not_fit(case):
    image, train, seconds, workers, share = case
    everything = train + int(share * train)
    budget = fit_budget(image, train, everything, seconds, workers)
    assert 1 <= budget.images <= train and 1 <= budget.final_epochs <= _MOST_EPOCHS
    search = budget.trials * budget.epochs * budget.images * image / workers
    assert search <= seconds / 3 * (1 + 1e-9) or (budget.trials, budget.images) == (4, min(train, 200))
    final = budget.seconds(image, everything, workers) - search
    assert final <= 2 * seconds / 3 * (1 + 1e-6) or (budget.final_epochs, budget.seeds) == (1, 1)


def test_more_time_buys_more():
    budgets = [fit_budget(1e-3, 10_000, 12_000, seconds, 2) for seconds in (60, 600, 6000, 60_000)]
    assert [b.trials for b in budgets] == sorted(b.trials for b in budgets)
    assert budgets[-1] == Budget(40, 16, 10_000, 50, 3, True)
    assert budgets[0].seeds == 1 and not budgets[0].baselines


def write_folder(root, counts, size=(20, 12), mode="RGB"):
    dice = np.random.default_rng(0)
    for label, count in enumerate(counts):
        (root / f"class {label}").mkdir(parents=True)
        for number in range(count):
            pixels = dice.integers(0, 60, (size[1], size[0])) + 60 * label
            image = Image.fromarray(pixels.astype(np.uint8)).convert(mode)
            image.save(root / f"class {label}" / f"{number}.png")
    return root


def proposed(path, **options):
    settings, facts = look_at(path)
    proposal = propose(load(settings), settings, path, minutes=5, device="cpu", **options)
    return proposal, dict(facts)


def test_a_folder_of_uneven_classes(tmp_path):
    root = write_folder(tmp_path / 'Tom\'s "birds"', (30, 60, 30))
    (root / "class 0" / "notes.txt").write_text("")
    proposal, facts = proposed(root)
    assert facts == {"pictures": "120 of 20 x 12 pixels, RGB", "left out": "1 other files"}
    experiment = proposal.experiment
    assert experiment.name == "tom_s_birds"
    assert (experiment.data.name, experiment.data.root) == ("folder", str(root))
    assert (experiment.data.channels, experiment.data.size, experiment.data.valid_fraction) == (3, 0, 0.25)
    assert (experiment.train.class_weights, experiment.train.metric) == ("balanced", "balanced_accuracy")
    assert experiment.train.batch_size == 8 and experiment.train.crop_padding == 0 and experiment.train.flip
    assert 0 < proposal.step < 60 and proposal.seconds > 0
    (tmp_path / "x.toml").write_text(proposal.text)
    assert config.load(Experiment, tmp_path / "x.toml") == experiment
    assert "# prob" not in proposal.text and "drop path: probability" in proposal.text
    assert tomllib.loads(proposal.text)["final"]["genotype"] == ""


def test_large_pictures_are_proposed_smaller(tmp_path):
    settings, _ = look_at(write_folder(tmp_path / "x", (3, 3), size=(90, 50), mode="L"), device="cpu")
    assert (settings.size, settings.channels) == (32, 1)
    assert look_at(tmp_path / "x", size=48)[0].size == 48


@pytest.mark.parametrize("shape", [(2, 40), (1, 9, 9), (1, 8, 8, 8)])
def test_archives_of_every_dimension(tmp_path, shape):
    dice = np.random.default_rng(0)
    labels = np.arange(96) % 3
    x = dice.normal(size=(96, *shape)) + labels.reshape(-1, *[1] * len(shape))
    np.savez(tmp_path / "own.npz", x=x, y=labels)
    proposal, facts = proposed(tmp_path / "own.npz")
    assert facts == {"samples": "96"}
    assert (proposal.experiment.data.name, proposal.experiment.data.file) == ("npz", "own.npz")
    assert proposal.experiment.train.class_weights == "none"


def test_what_cannot_be_searched_on_is_refused(tmp_path):
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(DataError, match=r"must be a folder, a .csv or an .npz file, got '.txt'"):
        look_at(tmp_path / "x.txt")
    one = write_folder(tmp_path / "one", (20,))
    with pytest.raises(DataError, match="must have two classes or more"):
        proposed(one)
