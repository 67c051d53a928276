"""A climb step by step: neighbours of the best until one is better; a summit ends it, and random starts follow."""

import random

from nasdrop.searchers.samplers import LocalSearch
from nasdrop.searchers.samplers.cell_sampler import Tried
from nasdrop.space import SearchSpace

SPACE = SearchSpace.load("nas_bench_201")


def entry(genotype, score):
    return {SPACE.canonical(genotype): Tried(genotype, () if score is None else (score,))}


def test_starts_then_neighbours_of_the_best_then_of_the_better_one():
    sampler, rng = LocalSearch(SPACE, starts=3, seed=0), random.Random(1)
    cells = [SPACE.sample(rng) for _ in range(3)]
    known = entry(cells[0], 1.0) | entry(cells[1], 3.0)
    assert sampler.propose(known) is None
    known |= entry(cells[2], 2.0)
    step = sampler.propose(known)
    assert step in SPACE.neighbours(cells[1])
    worse = known | entry(step, 0.5)
    assert sampler.propose(worse) in SPACE.neighbours(cells[1]) and sampler.propose(worse) != step
    failed = known | entry(step, None)
    assert sampler.propose(failed) in SPACE.neighbours(cells[1])
    assert sampler.propose(known | entry(step, 4.0)) in SPACE.neighbours(step)


def test_a_summit_ends_a_climb():
    sampler, rng = LocalSearch(SPACE, starts=1, seed=0), random.Random(2)
    summit = SPACE.sample(rng)
    known = entry(summit, 9.0)
    while (step := sampler.propose(known)) is not None:
        assert step in SPACE.neighbours(summit)
        known |= entry(step, 1.0)
    assert {SPACE.canonical(other) for other in SPACE.neighbours(summit)} <= known.keys()
    start = next(cell for cell in iter(lambda: SPACE.sample(rng), None) if SPACE.canonical(cell) not in known)
    assert sampler.propose(known | entry(start, 0.1)) in SPACE.neighbours(start)  # the summit no longer counts
