"""Ageing: whoever is not among the youngest has no children, however good."""

from nasdrop.searchers.samplers import RegularisedEvolution
from nasdrop.searchers.samplers.cell_sampler import Tried
from nasdrop.space import SearchSpace

SPACE = SearchSpace.load("nas_bench_201")


def history(sampler, scores):
    cells = []
    while len(cells) < len(scores):
        genotype = SPACE.sample(sampler.rng)
        if SPACE.canonical(genotype) not in {SPACE.canonical(cell) for cell in cells}:
            cells.append(genotype)
    return cells, {
        SPACE.canonical(cell): Tried(cell, () if score is None else (score,))
        for cell, score in zip(cells, scores, strict=True)
    }


def test_random_until_there_is_a_population():
    sampler = RegularisedEvolution(SPACE, population=6, tournament=3, seed=0)
    _, known = history(sampler, [1.0] * 5 + [None])
    assert sampler.propose(known) is None


def test_the_parent_is_the_best_of_the_youngest():
    sampler = RegularisedEvolution(SPACE, population=6, tournament=6, seed=0)
    cells, known = history(sampler, [9.0, 1.0, 2.0, 8.0, 3.0, 1.0, 0.0])
    children = [sampler.propose(known) for _ in range(40)]
    assert all(SPACE.canonical(child) not in known for child in children)
    near = SPACE.neighbours(cells[3])
    assert sum(child in near for child in children) > 30  # the others are two steps away
    assert sum(child in SPACE.neighbours(cells[0]) for child in children) < 10


def test_a_small_tournament_leaves_the_others_a_chance():
    sampler = RegularisedEvolution(SPACE, population=6, tournament=1, seed=0)
    cells, known = history(sampler, [float(score) for score in range(6)])
    children = [sampler.propose(known) for _ in range(120)]
    for cell in cells:
        assert sum(child in SPACE.neighbours(cell) for child in children) >= 5
