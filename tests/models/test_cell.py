"""A cell against a straightforward walk over its genotype's edges."""

import random

import pytest
import torch
from torch import nn

from nasdrop.errors import GenotypeError
from nasdrop.models.cell import Cell, weighted_sum
from nasdrop.space.cells import CellGenotype
from nasdrop.space.space import SearchSpace


def make(edges, concat=(2, 3), *, stride=1, inputs=2, channels=4, **options):
    genotype = CellGenotype("reduction" if stride == 2 else "normal", tuple(edges), tuple(concat))
    preprocess = [nn.Identity() for _ in range(inputs)]
    return Cell(genotype, channels, stride, preprocess, ndim=2, **options).double().train()


def walk(cell, inputs, factors):
    """The cell's definition, edge by edge: sum into each node of factor times operation, then concatenate."""
    nodes = dict(enumerate(inputs))
    path = 0
    for edge, module in zip(cell.genotype.edges, cell.edges, strict=True):
        if edge.operation == "none":
            continue
        value = module(nodes[edge.source])
        exempt = edge.operation == "skip_connect" and isinstance(module, nn.Identity)
        if factors is not None and not exempt:
            value = torch.einsum("n,nchw->nchw", factors[path].double(), value)
        path += 1
        nodes[edge.target] = nodes[edge.target] + value if edge.target in nodes else value
    return torch.cat([nodes[node] for node in cell.concat], 1)


def columns(factors):
    return factors[:, :, None, None, None].unbind(0)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("space", ["darts", "nasnet", "tiny", "nas_bench_201"])
def test_equals_a_walk_over_its_edges(space, seed):
    cell_space = random.Random(seed).choice(SearchSpace.load(space).cell_spaces)
    genotype = cell_space.sample(random.Random(seed))
    inputs = cell_space.graph.num_inputs
    entered = {edge.target for edge in genotype.edges if edge.operation != "none"}
    if not entered.issuperset(range(inputs, inputs + len(cell_space.graph.nodes))):
        pytest.skip("a node that nothing enters has a test of its own")
    cell = make(genotype.edges, genotype.concat, stride=2 if cell_space.strided else 1, inputs=inputs)
    xs = [torch.randn(3, 4, 6, 6, dtype=torch.float64) for _ in range(inputs)]
    factors = torch.rand(len(cell.path_edges), 3)
    for given in (None, factors):
        result = cell(xs, None if given is None else columns(given))
        torch.testing.assert_close(result, walk(cell, xs, given), rtol=1e-12, atol=1e-12)


def test_a_factor_hits_the_edge_it_names_and_no_other():
    edges = [(0, 2, "sep_conv_3x3"), (1, 2, "none"), (0, 3, "max_pool_3x3"), (1, 3, "skip_connect"), (1, 3, "conv_1x1")]
    cell = make(edges, exempt_identity=False)
    assert [cell.genotype.edges[edge].operation for edge in cell.path_edges] == [
        "sep_conv_3x3",
        "max_pool_3x3",
        "conv_1x1",
        "skip_connect",
    ]
    xs = [torch.randn(2, 4, 5, 5, dtype=torch.float64) for _ in range(2)]
    full = cell(xs, columns(torch.ones(4, 2)))
    for path, edge in enumerate(cell.path_edges):
        factors = torch.ones(4, 2)
        factors[path, 1] = 0
        _, target, operation = cell.genotype.edges[edge]
        lost = torch.zeros_like(full)
        at = (target - 2) * 4
        lost[1, at : at + 4] = cell.edges[edge](xs[cell.genotype.edges[edge].source])[1]
        torch.testing.assert_close(full - cell(xs, columns(factors)), lost, msg=operation)


def test_an_exempt_identity_is_never_multiplied():
    edges = [(0, 2, "skip_connect"), (1, 2, "avg_pool_3x3")]
    xs = [torch.randn(2, 4, 5, 5, dtype=torch.float64) for _ in range(2)]
    factors = columns(torch.tensor([[torch.nan, torch.nan], [1.0, 1.0]]))
    assert make(edges, [2])(xs, factors).isfinite().all()
    assert make(edges, [2], exempt_identity=False)(xs, factors).isnan().all()


def test_a_strided_skip_is_no_identity():
    cell = make([(0, 2, "skip_connect"), (2, 3, "skip_connect")], stride=2)
    assert [cell.is_identity(edge) for edge in range(2)] == [False, True]


@pytest.mark.parametrize(("stride", "sides"), [(1, (5, 5)), (2, (3, 3))])
def test_a_node_that_only_none_enters_is_zero(stride, sides):
    cell = make([(0, 2, "none"), (1, 2, "none"), (2, 3, "skip_connect"), (1, 3, "none")], stride=stride)
    out = cell([torch.randn(2, 4, 5, 5, dtype=torch.float64) for _ in range(2)])
    assert torch.equal(out, torch.zeros(2, 8, *sides, dtype=torch.float64))
    assert [cell.genotype.edges[edge].operation for edge in cell.path_edges] == ["skip_connect"]


def test_nodes_without_edges_are_zero_too():
    cell = make([(0, 2, "avg_pool_3x3")])
    out = cell([torch.ones(1, 4, 3, 3, dtype=torch.float64)] * 2)
    assert torch.equal(out[:, 4:], torch.zeros(1, 4, 3, 3, dtype=torch.float64))


def test_a_repeated_edge_is_two_operations():
    cell = make([(0, 2, "conv_3x3"), (0, 2, "conv_3x3")], [2])
    assert len(cell.path_edges) == 2
    assert cell.edges[0] is not cell.edges[1]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kinds", [("f", "f"), ("1", "f"), ("1", "1"), ("f", "f", "f"), ("1", "f", "1"), ("1",) * 4])
def test_half_precision_is_rounded_once(dtype, kinds):
    values = [torch.randn(4, 3, 5, 5).to(dtype) for _ in kinds]
    factors = [1 / torch.rand(4, 1, 1, 1).clamp_min(0.3) if kind == "f" else None for kind in kinds]
    result = weighted_sum(values, factors)
    assert result.dtype == dtype
    parts = [v.double() if f is None else v.double() * f.double() for v, f in zip(values, factors, strict=True)]
    exact = sum(parts)
    half_unit = torch.finfo(dtype).eps / 2
    in_float32 = sum(part.abs() for part in parts) * 2.0**-22
    assert ((result.double() - exact).abs() <= half_unit * exact.abs() + in_float32).all()


def test_a_double_sum_stays_double():
    values = [torch.randn(2, 3, dtype=torch.float64) for _ in range(3)]
    factors = [None, torch.full((2, 1), 2.0), torch.full((2, 1), 0.5)]
    expected = values[0] + 2 * values[1] + values[2] / 2
    torch.testing.assert_close(weighted_sum(values, factors), expected, rtol=1e-15, atol=1e-15)


def test_the_sum_never_writes_into_a_state():
    values = [torch.ones(2, 2) for _ in range(3)]
    weighted_sum(values, [None, torch.full((2, 1), 3.0), None])
    assert weighted_sum(values[:1], [None]) is values[0]
    assert all(torch.equal(value, torch.ones(2, 2)) for value in values)


@pytest.mark.parametrize(
    ("edges", "concat", "message"),
    [
        ([(0, 2, "none")], (1, 2), r"reduction\.concat: a reduction cell cannot concatenate its inputs, got \(1, 2\)"),
        ([(3, 2, "none"), (0, 3, "none")], (2, 3), r"reduction\.edges\.0: must lead to a later node, got .*source=3"),
        ([(0, 1, "none")], (2,), r"reduction\.edges\.0: must lead to a later node"),
    ],
)
def test_a_genotype_that_cannot_be_built(edges, concat, message):
    with pytest.raises(GenotypeError, match=message):
        make(edges, concat, stride=2)


def test_a_normal_cell_may_concatenate_an_input():
    xs = [torch.randn(1, 4, 3, 3, dtype=torch.float64) for _ in range(2)]
    out = make([(0, 2, "skip_connect")], (1, 2))(xs)
    assert torch.equal(out, torch.cat((xs[1], xs[0]), 1))
