"""PathDrop: one contract for all policies, and what each policy promises."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from nasdrop.drop import OPERATION_GROUPS, POLICIES, Draw, Path, PathDrop
from nasdrop.errors import DropError

OPERATIONS = [name for group in OPERATION_GROUPS for name in group]


def edges(nodes: int = 6, inputs: int = 3, identity: Callable[[int], bool] = lambda i: i == 0) -> list[Path]:
    """Nodes of `inputs` edges, two nodes a cell."""
    cells = (nodes + 1) // 2
    return [
        Path(f"{node}/{i}", node, node // 2, (node // 2 + 1) / cells, identity=identity(i))
        for node in range(nodes)
        for i in range(inputs)
    ]


def joins() -> list[Path]:
    """A fractal network of three columns and two blocks: joins of 2 and 3 inputs."""
    sizes = [2, 3, 2, 3]
    return [
        Path(f"{join}/{column}", join, join // 2, (join // 2 + 1) / 2, column=column)
        for join, size in enumerate(sizes)
        for column in range(3 - size, 3)
    ]


def candidates(num_edges: int = 14) -> list[Path]:
    return [Path(f"{e}/{name}", e, 0, 1.0, operation=name, edge=e) for e in range(num_edges) for name in OPERATIONS]


@dataclass(frozen=True)
class Case:
    policy: str
    paths: list[Path] = field(default_factory=edges)
    options: dict[str, Any] = field(default_factory=dict)

    def make(self, mode: str = "row", rate: float = 0.3) -> PathDrop:
        path_drop = PathDrop(self.paths, self.policy, mode, **self.options)
        path_drop.set_rates(rate)
        return path_drop

    def __str__(self) -> str:
        return self.policy + "".join(f" {key}={value}" for key, value in self.options.items())


FACTORS = [
    Case("edge"),
    Case("edge", options={"exempt_identity": True}),
    Case("edge", options={"survivors": "revive"}),
    Case("edge", options={"survivors": "redraw", "exempt_identity": True}),
    Case("node", options={"at_least": 2}),
    Case("node", options={"at_least": 2, "survivors": "redraw"}),
    Case("fan-in"),
    Case("cell"),
    Case("skip"),
    Case("local", joins()),
    Case("global", joins()),
    Case("fractal", joins()),
    Case("fractal", joins(), {"global_share": 0.25, "survivors": "redraw"}),
]
SCALED = [case for case in FACTORS if POLICIES[case.policy].choice == ""]
GROUPS = Case("groups", candidates())

every = pytest.mark.parametrize("case", FACTORS, ids=str)
every_scaled = pytest.mark.parametrize("case", SCALED, ids=str)
both_modes = pytest.mark.parametrize("mode", ["row", "batch"])


def factors_of(draw: Draw) -> Tensor:
    assert draw.factors is not None
    return draw.factors


def test_every_policy_is_in_the_contract() -> None:
    assert {case.policy for case in FACTORS} | {"groups"} == set(POLICIES)


@every
@both_modes
def test_shape_dtype_and_replay(case: Case, mode: str) -> None:
    path_drop = case.make(mode)
    first = path_drop.draw(path_drop.rates, 32, 1, 2, 3)
    again = path_drop.draw(path_drop.rates, 32, 1, 2, 3)
    others = [path_drop.draw(path_drop.rates, 32, *key) for key in ((2, 2, 3), (1, 3, 3), (1, 2, 4), (1 + 2**32, 2, 3))]
    factors = factors_of(first)
    assert factors.shape == (len(case.paths), 32)
    assert factors.dtype == torch.float32
    assert torch.equal(factors, factors_of(again))
    assert first.choices is None or torch.equal(first.choices, again.choices)  # type: ignore[arg-type]
    assert mode == "batch" or not any(torch.equal(factors, factors_of(other)) for other in others)
    assert mode == "row" or torch.equal(factors, factors[:, :1].expand_as(factors))


@every
def test_neither_reads_nor_moves_the_default_rng_when_seeded(case: Case) -> None:
    path_drop = case.make()
    state = torch.get_rng_state()
    path_drop.draw(path_drop.rates, 8, 0, 0, 0)
    assert torch.equal(torch.get_rng_state(), state)
    before = path_drop.rates.clone()
    path_drop.sample(path_drop.rates, 8)
    assert not torch.equal(torch.get_rng_state(), state)
    assert torch.equal(path_drop.rates, before)


@every_scaled
def test_factors_are_0_or_1_over_p_live(case: Case) -> None:
    path_drop = case.make()
    scale = 1.0 / path_drop.live(path_drop.rates)
    for factors in (
        factors_of(path_drop.draw(path_drop.rates, 500, 0, 0, 0)),
        factors_of(path_drop.sample(path_drop.rates, 500)),
    ):
        assert torch.equal(factors[factors != 0], scale[:, None].expand_as(factors)[factors != 0])


@every
@pytest.mark.parametrize("how", ["draw", "sample", "batch"])
def test_live_share_and_expectation(case: Case, how: str) -> None:
    """Every path lives as often as promised and keeps its expectation, within 5 standard errors."""
    path_drop = case.make("batch" if how == "batch" else "row")
    torch.manual_seed(8)
    if how == "batch":
        rows = 1000
        draws = [path_drop.draw(path_drop.rates, 1, 0, 0, step) for step in range(rows)]
        factors = torch.cat([factors_of(draw) for draw in draws], 1)
    else:
        rows = 100_000
        draw = (
            path_drop.draw(path_drop.rates, rows, 5, 0, 0) if how == "draw" else path_drop.sample(path_drop.rates, rows)
        )
        factors = factors_of(draw)
    live = path_drop.live(path_drop.rates).double()
    share = (factors != 0).double().mean(1)
    assert bool(((share - live).abs() <= 5 * (live * (1 - live) / rows).sqrt() + 1e-6).all())
    values = factors.double()
    if case.policy not in ("global", "fractal"):  # a column that a join lacks contributes nothing there
        assert bool(((values.mean(1) - 1).abs() <= 5 * (values.var(1) / rows).sqrt() + 1e-5).all())


@every
def test_rate_0_drops_nothing_and_is_exact(case: Case) -> None:
    options = case.options | ({"global_share": 0.0} if POLICIES[case.policy].choice == "columns" else {})
    path_drop = Case(case.policy, case.paths, options).make(rate=0.0)
    assert torch.equal(factors_of(path_drop.draw(path_drop.rates, 64, 0, 0, 0)), torch.ones(len(case.paths), 64))


@every
def test_rate_1_is_finite(case: Case) -> None:
    path_drop = case.make(rate=1.0)
    x = torch.ones(len(case.paths), 64, requires_grad=True)
    y = x * factors_of(path_drop.draw(path_drop.rates, 64, 0, 0, 0))
    y.sum().backward()
    assert bool(torch.isfinite(y).all())
    assert x.grad is not None
    assert bool(torch.isfinite(x.grad).all())


@every
@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_take_rows_of_the_same_global_draw(case: Case, world_size: int) -> None:
    path_drop = case.make()
    whole = path_drop.draw(path_drop.rates, 12, 4, 0, 9)
    rows = 12 // world_size
    parts = [
        path_drop.draw(path_drop.rates, rows, 4, 0, 9, rank=rank, world_size=world_size) for rank in range(world_size)
    ]
    assert torch.equal(torch.cat([factors_of(part) for part in parts], 1), factors_of(whole))
    if whole.choices is not None:
        assert torch.equal(torch.cat([part.choices for part in parts if part.choices is not None]), whole.choices)


@every
def test_ranks_agree_on_what_is_decided_for_the_batch(case: Case) -> None:
    path_drop = case.make("batch")
    whole = path_drop.draw(path_drop.rates, 6, 4, 0, 9)
    for rank in range(2):
        part = path_drop.draw(path_drop.rates, 3, 4, 0, 9, rank=rank, world_size=2)
        assert torch.equal(factors_of(part), factors_of(whole)[:, :3])
        assert whole.choices is None or torch.equal(part.choices, whole.choices)  # type: ignore[arg-type]


@every
def test_rates_stay_fp32_and_tables_follow(case: Case) -> None:
    path_drop = case.make(rate=0.001)
    before = factors_of(path_drop.draw(path_drop.rates, 16, 0, 0, 0))
    for move in (lambda m: m.half(), lambda m: m.bfloat16(), lambda m: m.to(torch.float64), lambda m: m.float()):
        move(path_drop)
        assert path_drop.rates.dtype == torch.float32
        assert float(path_drop.rates.max()) == float(torch.tensor(0.001))
        assert torch.equal(factors_of(path_drop.draw(path_drop.rates, 16, 0, 0, 0)), before)
    assert not path_drop.state_dict()


def test_identity_paths_are_exempt() -> None:
    path_drop = Case("edge", options={"exempt_identity": True}).make()
    factors = factors_of(path_drop.draw(path_drop.rates, 400, 0, 0, 0))
    identity = torch.tensor([path.identity for path in path_drop.paths])
    assert torch.equal(factors[identity], torch.ones(6, 400))
    assert bool((factors[~identity] == 0).any(1).all())
    assert torch.equal(path_drop.rates, torch.where(identity, 0.0, 0.3))
    everywhere = path_drop.draw(torch.full((18,), 0.3), 400, 0, 0, 0)
    assert torch.equal(factors_of(everywhere), factors)


def test_fan_in_silences_a_node_with_probability_p() -> None:
    path_drop = PathDrop(edges(4, 3) + edges_of_two(4, 2), "fan-in")
    path_drop.set_rates(0.2)
    rows = 100_000
    dropped = factors_of(path_drop.draw(path_drop.rates, rows, 0, 0, 0)) == 0
    for node in range(6):
        members = [i for i, path in enumerate(path_drop.paths) if path.node == node]
        share = dropped[members].all(0).double().mean().item()
        assert abs(share - 0.2) < 5 * math.sqrt(0.16 / rows)
    assert path_drop.silent() == pytest.approx(6 * 0.2, rel=1e-6)


def edges_of_two(first: int, nodes: int) -> list[Path]:
    return [Path(f"{node}/{i}", node, 2, 1.0) for node in range(first, first + nodes) for i in range(2)]


def test_a_cell_drops_as_one() -> None:
    path_drop = Case("cell").make()
    factors = factors_of(path_drop.draw(path_drop.rates, 200, 0, 0, 0))
    cells = factors.reshape(3, 6, 200)
    assert torch.equal(cells, cells[:, :1].expand_as(cells))
    assert not torch.equal(cells[0], cells[1])
    assert path_drop.silent() == pytest.approx(6 * 0.3, rel=1e-6)


def test_skip_drops_nothing_but_identity_paths() -> None:
    path_drop = Case("skip").make()
    dropped = (factors_of(path_drop.draw(path_drop.rates, 400, 0, 0, 0)) == 0).any(1)
    assert dropped.tolist() == [path.identity for path in path_drop.paths]


@pytest.mark.parametrize("p", [0.2, 0.3, 0.6])
@pytest.mark.parametrize("inputs", [2, 3, 4, 5])
def test_silent_nodes_by_count(p: float, inputs: int) -> None:
    """p^n: 0.04, 0.008 ... at p = 0.2."""
    path_drop = PathDrop(edges(2, inputs, lambda _: False))
    path_drop.set_rates(p)
    assert path_drop.silent() == pytest.approx(2 * p**inputs, rel=1e-5)
    assert [probability for _, probability in path_drop.silent_nodes()] == pytest.approx([p**inputs] * 2, rel=1e-5)
    dropped = factors_of(path_drop.draw(path_drop.rates, 40_000, 0, 0, 0)) == 0
    silent = path_drop.count_silent(dropped).item() / 40_000
    assert abs(silent - 2 * p**inputs) < 5 * math.sqrt(2 * p**inputs / 40_000)


# Operations of each node's two inputs; s is a skip connection of stride 1 and never drops, whatever else does.
CELLS = {
    "DARTS_V1": ("cc sc sc cs", "cc sc cs sc"),
    "DARTS_V2": ("cc cc cs sc", "cc sc cs sc"),
    "PDARTS": ("sc sc cc cc", "cc cc cc cc"),
}


@pytest.mark.parametrize(
    ("genotype", "droppable", "nodes", "silent"),
    [("DARTS_V1", 100, 20, 0.80), ("DARTS_V2", 118, 38, 1.52), ("PDARTS", 124, 44, 1.76)],
)
def test_published_cells_of_20_layers(genotype: str, droppable: int, nodes: int, silent: float) -> None:
    paths = []
    for cell in range(20):
        for node, inputs in enumerate(CELLS[genotype][cell in (6, 13)].split()):
            paths += [
                Path(f"{cell}/{node}/{i}", 4 * cell + node, cell, (cell + 1) / 20, identity=kind == "s")
                for i, kind in enumerate(inputs)
            ]
    path_drop = PathDrop(paths, exempt_identity=True)
    path_drop.set_rates(0.2)
    assert sum(path_drop.droppable) == droppable
    assert len(path_drop.silent_nodes()) == nodes
    assert path_drop.silent() == pytest.approx(silent, rel=1e-6)


def test_groups_keep_one_operation_of_each() -> None:
    path_drop = PathDrop(candidates(), "groups", "batch")
    path_drop.set_rates(3e-5)
    dropped = 1 - path_drop.live(path_drop.rates)
    torch.testing.assert_close(dropped, torch.full((112,), 0.0739805), rtol=0, atol=2e-7)
    assert 8 * (1 - dropped.mean().item()) == pytest.approx(7.408, abs=5e-4)
    draws = [path_drop.draw(path_drop.rates, 5, 0, 0, step) for step in range(2000)]
    assert all(draw.factors is None for draw in draws)
    kept = torch.stack([draw.choices for draw in draws if draw.choices is not None])
    assert kept.dtype == torch.bool
    n = kept.numel()
    assert abs(kept.double().mean().item() - (1 - 0.0739805)) < 5 * math.sqrt(0.0739805 * 0.926 / n)
    assert path_drop.silent() == 0.0
    path_drop.set_rates(0.9)
    many = torch.stack([path_drop.sample(path_drop.rates, 5).choices for _ in range(100)])  # type: ignore[misc]
    assert int(many.reshape(100, 14, 2, 4).sum(3).min()) == 1


def test_groups_of_one_s_own() -> None:
    paths = [Path(f"{name}", 0, 0, 1.0, operation=name, edge=0) for name in ("mine", "yours", "ours")]
    path_drop = PathDrop(paths, "groups", "batch", groups=[("mine", "yours"), ("ours",)])
    path_drop.set_rates(0.25)
    assert path_drop.live(path_drop.rates).tolist() == pytest.approx([2 / 3, 2 / 3, 1.0])


def test_local_factors_make_the_plain_mean_the_mean_over_live_inputs() -> None:
    path_drop = PathDrop(joins(), "local")
    path_drop.set_rates(0.5)
    factors = factors_of(path_drop.draw(path_drop.rates, 500, 0, 0, 0))
    x = torch.randn(len(path_drop.paths), 500)
    for join in range(4):
        members = [i for i, path in enumerate(path_drop.paths) if path.node == join]
        live = factors[members] != 0
        assert bool(live.any(0).all())
        mean = (x[members] * live).sum(0) / live.sum(0)
        torch.testing.assert_close((factors[members] * x[members]).mean(0), mean)
        torch.testing.assert_close(factors[members].mean(0), torch.ones(500))


@pytest.mark.parametrize("p", [0.15, 0.5])
def test_local_weights_have_the_known_second_moment(p: float) -> None:
    """E[sum of squared weights] at p = 0.15: 0.6385, 0.4285 for 2 and 3 inputs."""
    path_drop = PathDrop(joins(), "local")
    path_drop.set_rates(p)
    factors = factors_of(path_drop.draw(path_drop.rates, 100_000, 0, 0, 0))
    for members, known in (([0, 1], 0.6385), ([2, 3, 4], 0.4285)):
        squares = ((factors[members] / len(members)) ** 2).sum(0).double()
        n = len(members)
        exact = p**n + sum(math.comb(n, k) * (1 - p) ** k * p ** (n - k) / k for k in range(1, n + 1))
        assert abs(squares.mean().item() - exact) < 5 * math.sqrt(squares.var().item() / 100_000)
        if p == 0.15:
            assert exact == pytest.approx(known, abs=5e-4)


def test_global_runs_one_column_through_the_whole_network() -> None:
    path_drop = PathDrop(joins(), "global", "batch")
    columns = []
    for step in range(600):
        draw = path_drop.draw(path_drop.rates, 4, 0, 0, step)
        assert draw.choices is not None
        assert draw.choices.shape == (1,)
        column = int(draw.choices)
        columns.append(column)
        for path, row in zip(path_drop.paths, factors_of(draw), strict=True):
            size = sum(other.node == path.node for other in path_drop.paths)
            assert row.tolist() == [float(size) if path.column == column else 0.0] * 4
    shares = torch.tensor(columns).bincount() / 600
    assert shares.tolist() == pytest.approx([1 / 3] * 3, abs=5 * math.sqrt(2 / 9 / 600))


def test_mixture_of_local_and_global_and_its_share_on_a_schedule() -> None:
    path_drop = PathDrop(joins(), "fractal")
    path_drop.set_rates(0.15)
    for share in (0.5, 0.2, 1.0, 0.0):
        path_drop.set_global_share(share)
        draw = path_drop.draw(path_drop.rates, 40_000, 0, 0, 0)
        assert draw.choices is not None
        assert abs((draw.choices >= 0).double().mean().item() - share) <= 5 * math.sqrt(share * (1 - share) / 40_000)
        local = factors_of(draw)[:, draw.choices < 0]
        assert local.numel() == 0 or bool((local[:2] != 0).any(0).all())
    with pytest.raises(DropError, match="between 0 and 1"):
        path_drop.set_global_share(1.5)


def test_a_finite_difference_with_one_draw_is_the_hessian_vector_product() -> None:
    """Second-order search needs the same masks in both forwards; fresh ones are off by orders of magnitude."""
    path_drop = PathDrop(edges(2, 3))
    path_drop.set_rates(0.2)
    torch.manual_seed(0)
    weight, alpha, x = (torch.randn(shape, dtype=torch.float64) for shape in ((6, 8), (6,), (8, 16)))
    alpha.requires_grad_()

    def loss(weights: Tensor, draw: Draw) -> Tensor:
        hidden = torch.sigmoid(weights @ x) * factors_of(draw).double() * alpha.softmax(0)[:, None]
        return hidden.sum(0).square().mean()

    def gradient(weights: Tensor, step: int) -> Tensor:
        draw = path_drop.draw(path_drop.rates, 16, 0, 0, step)
        return torch.autograd.grad(loss(weights, draw), alpha)[0]

    vector = torch.randn_like(weight)
    radius = 1e-2 / vector.norm()
    difference = (gradient(weight + radius * vector, 0) - gradient(weight - radius * vector, 0)) / (2 * radius)
    weight.requires_grad_()
    inner = torch.autograd.grad(loss(weight, path_drop.draw(path_drop.rates, 16, 0, 0, 0)), weight, create_graph=True)[
        0
    ]
    exact = torch.autograd.grad((inner * vector).sum(), alpha)[0]
    assert (difference - exact).abs().max() < 1e-5 * exact.abs().max().clamp_min(1)
    fresh = (gradient(weight.detach() + radius * vector, 1) - gradient(weight.detach() - radius * vector, 2)) / (
        2 * radius
    )
    assert (fresh - exact).abs().max() > 100 * (difference - exact).abs().max()


def test_set_rates_checks_range_and_number() -> None:
    path_drop = PathDrop(edges())
    path_drop.set_rates([0.1] * 18)
    path_drop.set_rates(torch.full((18,), 0.2))
    for rates in (1.1, -0.1, math.nan, [0.5] * 17 + [1.2]):
        with pytest.raises(DropError, match="between 0 and 1"):
            path_drop.set_rates(rates)
    with pytest.raises(DropError, match="one for each of 18 paths"):
        path_drop.set_rates([0.1, 0.2])
    assert torch.equal(path_drop.rates, torch.full((18,), 0.2))


@pytest.mark.parametrize(("rank", "world_size"), [(2, 2), (-1, 2)])
def test_a_rank_outside_the_world(rank: int, world_size: int) -> None:
    path_drop = PathDrop(edges())
    with pytest.raises(DropError, match="rank has to be between 0 and 1"):
        path_drop.draw(path_drop.rates, 4, 0, 0, 0, rank=rank, world_size=world_size)


def test_called_as_a_module_it_samples_and_shows_what_it_does() -> None:
    path_drop = PathDrop(edges(), "node", at_least=2, exempt_identity=True)
    assert factors_of(path_drop(5)).shape == (18, 5)
    options = "18 paths, policy=node, mode=row, exempt_identity=True, survivors=revive, at_least=2"
    assert path_drop.extra_repr() == options


def test_no_paths_at_all() -> None:
    path_drop = PathDrop([])
    assert factors_of(path_drop.draw(path_drop.rates, 3, 0, 0, 0)).shape == (0, 3)
    assert path_drop.silent() == 0.0


def test_rows_do_not_depend_on_the_number_of_paths_after_them() -> None:
    """Neighbouring steps are independent: the share of equal decisions is that of chance."""
    path_drop = PathDrop(edges(2, 2, lambda _: False))
    path_drop.set_rates(0.5)
    steps = [factors_of(path_drop.draw(path_drop.rates, 2000, 0, 0, step)) != 0 for step in range(6)]
    for one, next_one in pairwise(steps):
        assert abs((one == next_one).double().mean().item() - 0.5) < 5 * math.sqrt(0.25 / one.numel())


def test_a_network_made_without_memory_gets_its_tables_back() -> None:
    with torch.device("meta"):
        path_drop = PathDrop(joins(), "fractal", survivors="redraw")
    path_drop.to_empty(device="cpu")
    path_drop.set_rates(0.3)
    expected = Case("fractal", joins(), {"survivors": "redraw"}).make()
    assert torch.equal(
        factors_of(path_drop.draw(path_drop.rates, 40, 0, 0, 0)), factors_of(expected.draw(expected.rates, 40, 0, 0, 0))
    )
