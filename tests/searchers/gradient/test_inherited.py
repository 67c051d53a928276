"""Cells scored with their supernet's weights: the score of the discovered network, and a search over such scores."""

import random

import pytest
import torch

import nasdrop
from nasdrop.searchers.gradient.inherited import InheritedScore, best_cells
from nasdrop.space import SearchSpace
from nasdrop.train import evaluate


@pytest.fixture(scope="module")
def score(make_data, make_experiment, tmp_path_factory, make_training):
    from nasdrop.searchers.gradient.loop import Loop
    from nasdrop.searchers.result import Silent

    experiment = make_experiment(strategy="one_shot", epochs=8, learning_rate=0.1, p=0.0, batch_size=16, channels=8)
    folder = tmp_path_factory.mktemp("one_shot")
    data = make_data(256)
    loop = Loop(
        make_training(folder, experiment, data), experiment.search, checkpoint=folder / "s.pt", observer=Silent()
    )
    loop.run()
    return InheritedScore(loop.part.supernet, data, experiment.search, batches=4)


def test_inherited_weights_beat_chance_without_any_training_of_the_cell(score):
    cells = [score.supernet.space.sample(random.Random(seed)) for seed in range(4)]
    mean = sum(score(cell).accuracy for cell in cells) / len(cells)
    assert mean > 0.25 + 4.5 * (0.25 * 0.75 / (4 * 32)) ** 0.5  # four classes, 32 images a cell


def test_a_score_is_repeatable_and_leaves_the_supernet_alone(score):
    before = {name: value.clone() for name, value in score.supernet.state_dict().items()}
    cell = score.supernet.space.sample(random.Random(1))
    state = torch.get_rng_state()
    assert score(cell) == score(cell)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in score.supernet.state_dict().items())


def test_statistics_are_estimated_anew(score):
    """With the supernet's own statistics, which are of all paths at once, the same network scores otherwise."""
    cell = score.supernet.space.sample(random.Random(2))
    stale = evaluate(score.supernet.inherit(cell), score.data.valid, score.data)
    assert stale.loss != pytest.approx(score(cell).loss, rel=1e-3)


def test_the_best_of_random_cells_and_of_their_mutants():
    space, told = SearchSpace.load("tiny"), []

    def value(genotype):  # a landscape that is known: skips are good
        return float(sum(edge.operation == "skip_connect" for cell in genotype.cells for edge in cell.edges))

    plain = best_cells(value, space, random.Random(0), cells=20)
    assert len(plain) <= 20 and [score for _, score in plain] == sorted((score for _, score in plain), reverse=True)
    evolved = best_cells(
        value, space, random.Random(0), cells=20, generations=15, population=5, scored=lambda *pair: told.append(pair)
    )
    assert evolved[0][1] > plain[0][1]
    assert len({space.canonical(genotype) for genotype, _ in evolved}) == len(evolved) == len(told)


def test_a_one_shot_search_ends_with_the_best_scored_cell(tmp_path):
    result = nasdrop.search(
        "robust_darts_digits", "space=tiny", "search.strategy=one_shot", "search.epochs=1", "search.num_cells=3",
        "search.channels=4", "search.cells=3", "search.generations=1", "search.population=1", "final.seeds=0",
        "network.num_cells=3", "search.validation_epochs=0", out=tmp_path / "run",
    )  # fmt: skip
    assert 3 <= len(result.history) <= 4 and result.note == "inherited weights"
    assert result.score == max(record.value for record in result.history)
    assert result.genotype == result.best(1)[0].genotype
