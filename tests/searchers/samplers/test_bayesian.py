"""What the model buys, where it looks, and what it does with more cells than it holds."""

import numpy as np
import optuna
import pytest

from nasdrop.searchers.samplers import GraphBayesian, RegularisedEvolution, bayesian, distributions
from nasdrop.searchers.samplers.cell_sampler import Tried
from nasdrop.searchers.table import Table
from nasdrop.space import SearchSpace

SPACE = SearchSpace.load("nas_bench_201")


def history(sampler, count, value):
    known = {}
    while len(known) < count:
        genotype = SPACE.sample(sampler.rng)
        known[SPACE.canonical(genotype)] = Tried(genotype, (value(genotype, len(known)),))
    return known


def test_the_best_of_4930_cells_within_fifty():
    """Fifty random cells hold it with probability 0.01, so that two runs of three find it with 3e-4."""
    table = Table.load("nas_bench_201_cifar10", SPACE)
    values = table.column("valid_accuracy_200")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    found = 0
    for seed in range(3):
        study = optuna.create_study(direction="maximize", sampler=GraphBayesian(SPACE, seed=seed))
        while len(study.trials) < 50:
            trial = study.ask(distributions(SPACE))
            value = values[table.row(SPACE.decode(trial.params))]
            study.tell(trial, value)
            if value == 91.6067:
                found += 1
                break
    assert found >= 2


def test_starts_lie_far_apart():
    """The nearest of five starts is farther away than the nearest of five random cells, on average over seeds."""
    gaps = {"starts": [], "random": []}
    for seed in range(12):
        sampler = GraphBayesian(SPACE, seed=seed)
        chosen = {}
        for _ in range(5):
            genotype = sampler.propose(chosen)
            chosen[SPACE.canonical(genotype)] = Tried(genotype, (1.0,))
        for name, cells in (("starts", chosen), ("random", history(sampler, 5, lambda *_: 1.0))):
            rows = sampler._rows(cells, list(cells))
            total = np.sum(sampler._distances(rows, 5), axis=0)
            gaps[name].append(total[np.triu_indices(5, 1)].min())
    assert np.mean(gaps["starts"]) > 1.5 * np.mean(gaps["random"])


def test_more_cells_than_it_holds(monkeypatch):
    monkeypatch.setattr(bayesian, "_MOST", 12)
    sampler = GraphBayesian(SPACE, seed=0)
    known = history(sampler, 40, lambda genotype, number: float(number % 7))
    assert SPACE.canonical(sampler.propose(known)) not in known
    scores = np.arange(40.0) % 7
    kept = bayesian._limited(scores)
    assert len(kept) == 12 and set(kept) >= {6, 13, 20, 27, 34} and set(kept) >= set(range(36, 40))
    flat = {form: Tried(tried.genotype, (0.5,)) for form, tried in known.items()}
    assert SPACE.canonical(sampler.propose(flat)) not in flat


def test_what_is_remembered_may_be_forgotten(monkeypatch):
    monkeypatch.setattr(bayesian, "_REMEMBERED", 10)
    sampler = GraphBayesian(SPACE, seed=0)
    known = history(sampler, 30, lambda genotype, number: float(number))
    for _ in range(3):
        assert SPACE.canonical(sampler.propose(known)) not in known
    assert len(sampler._features) < 1_000


@pytest.mark.parametrize("kind", [GraphBayesian, RegularisedEvolution])
def test_canonical_forms_are_remembered_within_limits(monkeypatch, kind):
    monkeypatch.setattr("nasdrop.searchers.samplers.cell_sampler._REMEMBERED", 5)
    sampler = kind(SPACE, seed=0)
    cells = [SPACE.sample(sampler.rng) for _ in range(20)]
    assert [sampler.canonical(cell) for cell in cells] == [SPACE.canonical(cell) for cell in cells]
    assert len(sampler._canonical) <= 5
