"""Random genotypes of every shipped space train: finite numbers, and a gradient for every weight that can matter."""

import random

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nasdrop.models.network import Network
from nasdrop.resources import names
from nasdrop.space.fractal_space import FractalSpace, load_space
from nasdrop.space.space import SearchSpace

SPACES = [name for name in names("search_spaces") if not isinstance(load_space(name), FractalSpace)]
BLOCKS = {"none", "noise"}  # operations whose output does not depend on their input


def read_by(cell):
    """Edges that the cell's output depends on, and the inputs that they read."""
    wanted, edges = set(cell.concat), set()
    for index, edge in sorted(enumerate(cell.genotype.edges), key=lambda item: -item[1].target):
        if edge.target in wanted and edge.operation not in BLOCKS:
            edges.add(index)
            wanted.add(edge.source)
    return edges, wanted & set(range(len(cell.preprocess)))


def modules_that_matter(network):
    """From the last cell back: what the logits depend on."""
    matter = {network.classifier, network.tail}
    outputs = {len(network.cells) - 1}
    for index in reversed(range(len(network.cells))):
        if index not in outputs:
            continue
        cell = network.cells[index]
        edges, inputs = read_by(cell)
        matter |= {cell.edges[edge] for edge in edges} | {cell.preprocess[node] for node in inputs}
        # Inputs are the outputs of the latest cells, the last input being the latest; before the first is the stem.
        outputs |= {max(-1, index - len(cell.preprocess) + node) for node in inputs}
    return matter | ({network.stem} if -1 in outputs else set())


@pytest.mark.parametrize("space", SPACES)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**20), ndim=st.integers(1, 3), side=st.integers(4, 7), auxiliary=st.booleans())
def test_trains(space, seed, ndim, side, auxiliary):
    space = SearchSpace.load(space)
    genotype = space.sample(random.Random(seed))
    torch.manual_seed(seed)
    network = Network(space, genotype, 3, 3, 5, 2, auxiliary, ndim=ndim)
    network.path_drop.set_rates(0.3)
    out = network(torch.randn(4, 2, *[side] * ndim))
    logits = out if isinstance(out, torch.Tensor) else out[0] + out[1]
    assert logits.shape == (4, 5)
    F.cross_entropy(logits, torch.tensor([0, 1, 2, 3])).backward()
    matter = {id(p) for module in modules_that_matter(network) for p in module.parameters()}
    for name, parameter in network.named_parameters():
        if id(parameter) in matter or name.startswith("auxiliary"):
            assert parameter.grad is not None, name
        if parameter.grad is not None:
            assert parameter.grad.isfinite().all(), name
            assert id(parameter) in matter or auxiliary, name
