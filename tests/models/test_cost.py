"""Parameters and multiply-adds: by hand, and all 15,625 cells of NAS-Bench-201's table."""

import csv
import gzip
import os
import random
from itertools import product
from pathlib import Path

import pytest
import torch
from torch import nn

from nasdrop.models.cost import Cost, count, latency
from nasdrop.models.ops import build_operation

REPOSITORY = Path(__file__).parents[2]
TABLE = Path(
    os.environ.get("NASDROP_NB201_CSV") or REPOSITORY.parent / "shared" / "data" / "nas_bench_201_cifar10.csv.gz"
)
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
CLASSIFIER_BIAS = 10  # the table counts these additions, which are no multiply-adds


@pytest.mark.parametrize(
    ("name", "multiply_adds"),
    [
        ("conv_3x3", 36 * 9 * 16),
        ("sep_conv_3x3", 2 * (36 * 9 * 4 + 36 * 16)),
        ("dil_conv_5x5", 36 * 25 * 4 + 36 * 16),
        ("conv_7x1_1x7", 2 * 36 * 7 * 16),
        ("max_pool_3x3", 0),
        ("skip_connect", 0),
    ],
)
def test_operations_by_hand(name, multiply_adds):
    assert count(build_operation(name, 4, 1), (4, 6, 6)).multiply_adds == multiply_adds


def test_strided_and_linear_by_hand():
    network = nn.Sequential(build_operation("skip_connect", 4, 2, ndim=1), nn.Flatten(), nn.Linear(4 * 3, 5))
    # Two halves of 2 channels from 4 at 3 positions, and the classifier.
    assert count(network, (4, 6)) == Cost(2 * 4 * 2 + 2 * 4 + 12 * 5 + 5, 3 * 4 * 4 + 12 * 5)


def test_leaves_the_network_as_it_was(build):
    network = build(dropout=0.5, auxiliary=True)
    network.cells[1].eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = torch.get_rng_state()
    cost = count(network, (2, 16, 16))
    assert [cell.training for cell in network.cells] == [True, False, True]
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    plain = build(auxiliary=False)
    assert count(plain, (2, 16, 16)) == cost
    assert cost.parameters == sum(parameter.numel() for parameter in plain.parameters())


def test_training_mode_comes_back_after_an_error(build):
    network = build()
    with pytest.raises(ValueError, match="network input"):
        count(network, (3, 16, 16))
    assert network.training


def test_needs_no_memory(build):
    """A network of 80 million parameters whose weights were never allocated, and an image of a terabyte."""
    with torch.device("meta"):
        network = build(channels=2048)
    assert count(network, (2, 2**19, 2**19)).parameters > 80_000_000


@pytest.fixture(scope="module")
def table():
    if not TABLE.is_file():
        pytest.skip(f"{TABLE} is absent; name it in NASDROP_NB201_CSV")
    with gzip.open(TABLE, "rt") as file:
        return {
            row["arch"]: Cost(
                round(float(row["params_m"]) * 1e6), round(float(row["mult_adds_m"]) * 1e6) - CLASSIFIER_BIAS
            )
            for row in csv.DictReader(file)
        }


@pytest.fixture
def cost_of(build):
    """Cost of a cell, a text or the operations of its six edges, in the benchmark's network."""

    def measure(cell):
        text = cell if isinstance(cell, str) else arch(cell)
        network = build("nas_bench_201", channels=16, num_cells=15, in_channels=3, genotype=text)
        return count(network, (3, 32, 32))

    return measure


def arch(operations):
    a, b, c, d, e, f = operations
    return f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"


def test_all_cells_of_nas_bench_201(cost_of, table):
    """A cell's cost is a sum over its edges: measured one edge at a time on built networks, and added up for all."""
    empty = cost_of(["none"] * 6)
    added = {}
    for edge, operation in product(range(6), OPERATIONS):
        cell = ["none"] * 6
        cell[edge] = operation
        cost = empty if operation == "none" else cost_of(cell)
        added[edge, operation] = (cost.parameters - empty.parameters, cost.multiply_adds - empty.multiply_adds)
    assert len(table) == 5**6
    for operations in product(OPERATIONS, repeat=6):
        parts = [added[edge, operation] for edge, operation in enumerate(operations)]
        total = Cost(
            empty.parameters + sum(parameters for parameters, _ in parts),
            empty.multiply_adds + sum(multiply_adds for _, multiply_adds in parts),
        )
        assert total == table[arch(operations)], operations


def test_a_sample_of_nas_bench_201_built_in_full(cost_of, table):
    for text in random.Random(0).sample(sorted(table), 24):
        assert cost_of(text) == table[text], text


@pytest.mark.slow
def test_every_cell_of_nas_bench_201_built_in_full(cost_of, table):
    wrong = [text for text, expected in table.items() if cost_of(text) != expected]
    assert not wrong


def test_latency_evaluates_and_leaves_the_mode(build):
    class Seen(nn.Linear):
        def forward(self, x):
            seen.append((self.training, torch.is_grad_enabled(), tuple(x.shape)))
            return super().forward(x)

    seen = []
    network = Seen(3, 2)
    assert latency(network, (3,), batch=5, least=0.001) > 0
    assert set(seen) == {(False, False, (5, 3))} and network.training
