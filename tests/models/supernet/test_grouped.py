"""The parts of the grouped layout: which candidates are one, and the weighted sum of all edges."""

import pytest
import torch
from torch import nn

from nasdrop.models.supernet.grouped.mix import Share, mix
from nasdrop.models.supernet.grouped.plan import plan_groups
from nasdrop.models.supernet.packed.plan import plan_cell

SHARES = (Share(0, (0, 1, 2), shared=False), Share(1, (0, 2), shared=False), Share(3, (1, 2), shared=True))


def by_hand(coefficients, maps, shares, axis):
    """Edge by edge, sample by sample."""
    edges = [0.0] * len(coefficients)
    for made, share in zip(maps, shares, strict=True):
        for number, place in enumerate(share.places):
            part = made.select(axis, 0 if share.shared else number)
            factor = coefficients[place, share.column].reshape(-1, *(1 for _ in part.shape[1:]))
            edges[place] = edges[place] + part * factor
    return torch.stack(edges, axis)


def inputs(axis, rows):
    shapes = [(2, count, 3, 4) if axis == 1 else (2, 4, count, 3) for count in (3, 2, 1)]
    maps = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    return torch.rand(3, 4, rows, dtype=torch.float64, requires_grad=True), maps


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("axis", [1, -2])
@pytest.mark.parametrize("shares", [SHARES, SHARES[1:]])
def test_a_mix_is_the_weighted_sum_of_each_edge(shares, axis, rows):
    coefficients, maps = inputs(axis, rows)
    maps = maps[-len(shares) :]
    found, expected = (function(coefficients, maps, shares, axis) for function in (mix, by_hand))
    torch.testing.assert_close(found, expected)
    gradient = torch.randn_like(expected)
    for one, other in zip(
        *(torch.autograd.grad(y, [coefficients, *maps], gradient) for y in (found, expected)), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_a_mix_is_differentiable_twice():
    coefficients, maps = inputs(1, 2)

    def mixed(coefficients, *maps):
        return mix(coefficients, maps, SHARES, 1)

    assert torch.autograd.gradcheck(mixed, (coefficients, *maps))
    assert torch.autograd.gradgradcheck(mixed, (coefficients, *maps))


def test_half_precision_is_summed_in_single():
    coefficients, maps = inputs(1, 1)
    halves = [made.detach().bfloat16() for made in maps]
    found = mix(coefficients.detach().float(), halves, SHARES, 1)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, by_hand(coefficients.detach().float(), [h.float() for h in halves], SHARES, 1))


def names_of(supernet, node=0, wanted=None):
    cell = supernet.cells[0]
    groups = cell._leaving[node].groups(wanted)
    return {supernet.operations["normal"][group[0].column]: [c.edge for c in group] for group in groups}


def test_the_edges_that_leave_a_node_are_one_group_an_operation(make):
    supernet = make("darts")
    expected = {name: [0, 2, 5, 9] for name in supernet.operations["normal"] if name != "none"}
    assert names_of(supernet) == expected
    assert names_of(supernet, 4) == {name: [13] for name in expected}
    wanted = [{1, 3} if edge == 2 else {1} for edge in range(14)]
    assert names_of(supernet, 0, wanted) == {"max_pool_3x3": [0, 2, 5, 9], "skip_connect": [2]}


def test_dense_convolutions_are_groups_too_and_noise_is_called(make):
    assert {"nor_conv_3x3", "nor_conv_1x1"} <= set(names_of(make("nas_bench_201")))
    supernet = make("robust_s4")
    leaving = supernet.cells[0]._leaving[0]
    noise = supernet.operations["normal"].index("noise")
    assert {candidate.column for candidate in leaving.alone(None)} == {noise}


def test_what_is_built_otherwise_is_a_group_of_its_own(make):
    supernet = make("darts")
    cell = supernet.cells[0]
    cell.edges[2][4][1] = nn.Conv2d(4, 4, 5, padding=2, groups=4, bias=False)
    groups = plan_groups(plan_cell(cell.candidates, cell.operation), cell.candidates, cell.operation)[0].groups(None)
    column = supernet.operations["normal"].index("sep_conv_3x3")
    assert sorted(len(group) for group in groups if group[0].column == column) == [1, 3]
