"""Small supernets that the tests of this room share, and the comparison of a layout with the reference."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nasdrop.models.supernet import SuperNet
from nasdrop.space.space import SearchSpace

LIMIT = 1e-10


def _make(space="tiny", channels=4, num_cells=3, **options):
    return SuperNet(SearchSpace.load(space), channels, num_cells, num_classes=5, in_channels=2, **options)


def _images(rows=3, side=8, ndim=2, dtype=torch.float64):
    return torch.randn(rows, 2, *[side] * ndim, dtype=dtype)


def _pair(layout, space="darts", channels=4, num_cells=3, **options):
    """The reference layout and another with the same weights, and architecture weights that differ from each other."""
    reference = _make(space, channels, num_cells, layout="reference", **options).double()
    for alpha in reference.alpha_parameters():
        nn.init.normal_(alpha)
    reference.path_drop.set_rates(0.3)
    other = _make(space, channels, num_cells, layout=layout, **options).double()
    other.load_state_dict(reference.state_dict())
    return reference, other


def _draw_for(supernet, rows=3):
    return supernet.path_drop.draw(supernet.path_drop.rates, rows, seed=1, epoch=0, step=0)


def _run(supernet, x, paths, **options):
    """Logits, the gradients of all parameters, and all buffers, after one pass."""
    torch.manual_seed(5)
    logits = supernet(x, paths=paths, **options)
    loss = F.cross_entropy(logits, torch.arange(len(x)) % 5)
    gradients = torch.autograd.grad(loss, list(supernet.parameters()), allow_unused=True)
    return logits, gradients, list(supernet.buffers())


def _worst(found, expected):
    """The largest error relative to the largest number of the same tensor."""
    return max(
        ((one - other).abs().max() / other.abs().max().clamp_min(1e-3)).item()
        for one, other in zip(found, expected, strict=True)
        if one is not None and one.is_floating_point() and one.numel()
    )


def _check(reference, packed, x, paths, **options):
    logits, gradients, buffers = _run(reference, x, paths, **options)
    found = _run(packed, x, paths, **options)
    assert _worst([found[0]], [logits]) <= LIMIT
    for (name, _), one, other in zip(reference.named_parameters(), found[1], gradients, strict=True):
        assert (one is None or not one.any()) == (other is None or not other.any()), name
    assert (
        _worst(
            found[1],
            [torch.zeros_like(p) if g is None else g for p, g in zip(packed.parameters(), gradients, strict=True)],
        )
        <= LIMIT
    )
    kept = [index for index, (name, _) in enumerate(reference.named_buffers()) if not name.startswith("path_drop")]
    assert _worst([found[2][index] for index in kept], [buffers[index] for index in kept]) <= LIMIT
    counts = [name for name, _ in reference.named_buffers() if name.endswith("num_batches_tracked")]
    assert all(torch.equal(reference.get_buffer(name), packed.get_buffer(name)) for name in counts)


@pytest.fixture(params=["packed", "grouped"])
def pair(request):
    """`pair(space, ...)`: the reference layout and this one, with equal weights."""
    return lambda *arguments, **options: _pair(request.param, *arguments, **options)


@pytest.fixture(scope="session")
def make():
    return _make


@pytest.fixture(scope="session")
def images():
    return _images


@pytest.fixture(scope="session")
def draw_for():
    return _draw_for


@pytest.fixture(scope="session")
def run():
    return _run


@pytest.fixture(scope="session")
def worst():
    return _worst


@pytest.fixture(scope="session")
def check():
    return _check
