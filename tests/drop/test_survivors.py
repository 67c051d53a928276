"""Survivor rules against an enumeration of every outcome, with unequal rates and any number of inputs to keep."""

import math
from itertools import combinations, product

import pytest
import torch

from nasdrop.drop.survivors import Nodes

NODES = [[0.3, 0.7], [0.5, 0.2, 0.9], [0.0, 0.6], [0.4], [1.0, 0.3, 0.8, 0.1]]
RATES = torch.tensor([rate for node in NODES for rate in node])


def members() -> list[list[int]]:
    found, start = [], 0
    for node in NODES:
        found.append(list(range(start, start + len(node))))
        start += len(node)
    return found


def outcomes(rates: list[float]) -> dict[tuple[bool, ...], float]:
    return {
        live: math.prod(1 - q if alive else q for q, alive in zip(rates, live, strict=True))
        for live in product([False, True], repeat=len(rates))
    }


def enumerated(rates: list[float], rule: str, at_least: int) -> list[float]:
    """P(live) of each input of one node by the rule's definition."""
    need = min(at_least, len(rates))
    live_share = [0.0] * len(rates)
    whole = sum(p for live, p in outcomes(rates).items() if sum(live) >= need)
    for live, probability in outcomes(rates).items():
        dropped = [i for i, alive in enumerate(live) if not alive]
        missing = max(0, need - sum(live))
        if rule == "none" or missing == 0:
            results = [(live, probability / whole if rule == "redraw" else probability)]
        elif rule == "redraw":
            continue
        else:
            choices = list(combinations(dropped, missing))
            results = [
                (tuple(alive or i in back for i, alive in enumerate(live)), probability / len(choices))
                for back in choices
            ]
        for result, share in results:
            for i, alive in enumerate(result):
                live_share[i] += share * alive
    return live_share


@pytest.mark.parametrize("at_least", [1, 2, 3])
@pytest.mark.parametrize("rule", ["none", "revive", "redraw"])
def test_probabilities_and_draws_equal_the_enumeration(rule: str, at_least: int) -> None:
    nodes = Nodes(members(), rule, at_least)
    expected = torch.tensor([p for node in NODES for p in enumerated(node, rule, at_least)])
    torch.testing.assert_close(nodes.live_probability(RATES), expected, rtol=2e-5, atol=2e-5)
    torch.manual_seed(5)
    rows = 200_000
    live = nodes.draw_live(torch.rand(len(RATES), rows), RATES)
    error = (live.double().mean(1) - expected).abs()
    assert bool((error <= 5 * (expected * (1 - expected) / rows).clamp_min(0).sqrt() + 2e-5).all())
    for node, paths in zip(NODES, members(), strict=True):
        if rule != "none":
            assert int(live[paths].sum(0).min()) >= min(at_least, len(node))


@pytest.mark.parametrize(
    ("n", "p", "live"),
    [(2, 0.15, 0.86125), (3, 0.15, 0.851125), (4, 0.15, 0.8501266), (2, 0.2, 0.82), (1, 0.15, 1.0)],
)
def test_fractalnet_s_revival(n: int, p: float, live: float) -> None:
    """1 - p + p^n / n."""
    nodes = Nodes([list(range(n))], "revive")
    torch.testing.assert_close(nodes.live_probability(torch.full((n,), p)), torch.full((n,), live), rtol=0, atol=2e-7)


@pytest.mark.parametrize("rule", ["revive", "redraw"])
def test_one_of_n_lives_when_every_input_drops(rule: str) -> None:
    nodes = Nodes([[0, 1, 2]], rule)
    rates = torch.ones(3)
    torch.testing.assert_close(nodes.live_probability(rates), torch.full((3,), 1 / 3), rtol=2e-6, atol=0)
    torch.manual_seed(0)
    live = nodes.draw_live(torch.rand(3, 30_000), rates)
    alone = live.sum(0)
    assert int(alone.min()) == 1
    assert alone.double().mean() < 1.001
    assert bool(((live.double().mean(1) - 1 / 3).abs() < 5 * math.sqrt(2 / 9 / 30_000)).all())


@pytest.mark.parametrize("rule", ["none", "revive", "redraw"])
def test_nothing_drops_at_rate_0(rule: str) -> None:
    nodes = Nodes([[0, 1], [2]], rule)
    rates = torch.zeros(3)
    assert torch.equal(nodes.live_probability(rates), torch.ones(3))
    assert bool(nodes.draw_live(torch.rand(3, 1000), rates).all())


def test_no_paths_at_all() -> None:
    nodes = Nodes([], "none")
    assert nodes.draw_live(torch.rand(0, 4), torch.rand(0)).shape == (0, 4)
