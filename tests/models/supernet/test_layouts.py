"""The other layouts against the reference layout: the same sums, gradients, statistics and random numbers."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nasdrop.drop import Draw
from nasdrop.models.supernet import net
from nasdrop.resources import names
from nasdrop.space.fractal_space import FractalSpace, load_space

SPACES = [name for name in names("search_spaces") if not isinstance(load_space(name), FractalSpace)]


@pytest.mark.parametrize("space", SPACES)
def test_every_space(space, pair, check, images, draw_for):
    reference, packed = pair(space, channels=2)
    check(reference, packed, images(), draw_for(reference))


@pytest.mark.parametrize(("ndim", "side"), [(1, 8), (3, 5), (2, 9), (2, 16)])
def test_every_number_of_sides(ndim, side, pair, check, images, draw_for):
    reference, packed = pair(ndim=ndim, channels=3)
    check(reference, packed, images(side=side, ndim=ndim), draw_for(reference))


@pytest.mark.parametrize("policy", ["cell", "node", "skip"])
def test_policies(policy, pair, check, images, draw_for):
    reference, packed = pair(drop={"policy": policy})
    check(reference, packed, images(), draw_for(reference))


@pytest.mark.parametrize("space", ["darts", "nas_bench_201"])
def test_partial_channels(space, pair, check, images, draw_for):
    reference, packed = pair(space, channels=8, partial_channels=4)
    edge_weights = {kind: torch.rand(len(alpha), dtype=torch.float64) for kind, alpha in reference.alphas.items()}
    check(reference, packed, images(), draw_for(reference), edge_weights=edge_weights)


@pytest.mark.parametrize("space", ["darts", "robust_s1", "robust_s4"])
def test_one_active_operation_an_edge(space, pair, check, images, draw_for):
    reference, packed = pair(space)
    active, mixture = {}, {}
    for kind, available in reference.available.items():
        chosen = [int(row.nonzero()[(edge * 5) % int(row.sum())]) for edge, row in enumerate(available)]
        active[kind] = [[column] for column in chosen]
        mixture[kind] = F.one_hot(torch.tensor(chosen), available.shape[1]).double()
    check(reference, packed, images(), draw_for(reference), active=active, mixture=mixture)


def test_a_node_that_nothing_enters(pair, check, images, draw_for):
    reference, packed = pair()
    active = {kind: [[0] if edge in (0, 1) else [0, 4, 6] for edge in range(14)] for kind in reference.alphas}
    check(reference, packed, images(), draw_for(reference), active=active)


def test_no_sample_lives(pair, check, images):
    reference, packed = pair()
    check(reference, packed, images(), Draw(torch.zeros(len(reference.paths), 3)))


@pytest.mark.parametrize("options", [{"skip_dropout": True}, {"checkpoint": True}])
def test_options(options, pair, check, images, draw_for):
    reference, packed = pair(**options)
    for supernet in (reference, packed):
        for module in supernet.modules():
            if type(module).__name__ == "Dropout":
                module.p = 0.4
    check(reference, packed, images(), draw_for(reference))


def test_two_steps_of_statistics_without_a_momentum(pair, check, images):
    reference, packed = pair()
    for supernet in (reference, packed):
        for module in supernet.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
    for _ in range(2):
        check(reference, packed, images(), Draw(None))


def test_evaluation_is_the_reference_layouts(pair, images):
    reference, packed = pair()
    x = images()
    assert torch.equal(reference.eval()(x), packed.eval()(x))


def test_norms_in_evaluation_are_left_as_they_are(pair, check, images, draw_for):
    reference, packed = pair()
    for supernet in (reference, packed):
        for module in supernet.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
    check(reference, packed, images(), draw_for(reference))


def test_autocast_is_the_reference_layouts(pair, images):
    """The packed layout steps aside there; the grouped one computes the same numbers in the same format."""
    reference, other = pair()
    x = images().float()
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = (net.float()(x, paths=Draw(None)) for net in (other, reference))
    assert found.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected, rtol=2**-7, atol=2**-9)
    for (name, one), two in zip(reference.named_buffers(), other.buffers(), strict=True):
        if "running" in name:
            torch.testing.assert_close(two, one, rtol=2**-7, atol=2**-9, msg=name)


@pytest.mark.parametrize("channels_last", [False, True])
def test_both_memory_formats(channels_last, pair, check, images, draw_for):
    reference, other = pair("robust_s1")
    x = images().contiguous(memory_format=torch.channels_last) if channels_last else images()
    check(reference, other, x, draw_for(reference))


def test_where_each_layout_computes(make):
    x = torch.zeros(2, 4, 8, 8)
    forms = {layout: make(layout=layout).cells[0].form(x) for layout in ("auto", "packed", "grouped", "reference")}
    assert forms == {"auto": "packed", "packed": "packed", "grouped": "grouped", "reference": "reference"}
    assert make(layout="grouped").cells[0].form(x.half()) == "grouped"
    assert make(layout="packed").cells[0].form(x.half()) == "reference"


class Halved(nn.Module):
    """A user's own operation with weights and a norm, drawn numbers among them."""

    def __init__(self, channels, stride):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.norm = nn.BatchNorm2d(channels)
        self.stride = stride

    def forward(self, x):
        x = x[:, :, :: self.stride, :: self.stride]
        return self.norm(self.weight * x + torch.randn_like(x)) / 2


def test_a_users_own_operation(pair, check, images, draw_for, monkeypatch):
    def build(channels, stride, *, ndim, affine):
        return Halved(channels, stride)

    monkeypatch.setattr(net, "custom_operations", lambda space: {"skip_connect": build})
    reference, other = pair()
    assert any(isinstance(module, Halved) for module in other.cells[0].edges.modules())
    check(reference, other, images(), draw_for(reference))


def test_hessian_vector_products(pair, worst, images, draw_for):
    """Gradients of gradients: of the alphas' gradient, by weights and alphas, with the same masks."""
    products = []
    layouts, x = pair("tiny", channels=3), images()
    draw = draw_for(layouts[0])
    for supernet in layouts:
        with torch.random.fork_rng():
            torch.manual_seed(2)
            parameters = list(supernet.parameters())
            loss = F.cross_entropy(supernet(x, paths=draw), torch.tensor([0, 1, 2]))
            gradients = torch.autograd.grad(loss, parameters, create_graph=True)
            along = sum((gradient * torch.randn_like(gradient)).sum() for gradient in gradients)
            products.append(torch.autograd.grad(along, parameters))
    assert worst(products[1], products[0]) <= 1e-10


def test_a_finite_difference_with_the_same_masks_is_the_exact_product(pair, worst, images, draw_for):
    _, supernet = pair("tiny", channels=3)
    x, labels, draw = images(), torch.tensor([0, 1, 2]), draw_for(supernet)
    alphas, weights = supernet.alpha_parameters(), supernet.weight_parameters()
    vector = [torch.randn_like(weight) for weight in weights]

    def of_alphas(*, create_graph=False):
        loss = F.cross_entropy(supernet(x, paths=draw), labels)
        return loss, torch.autograd.grad(loss, alphas, create_graph=create_graph)

    loss = F.cross_entropy(supernet(x, paths=draw), labels)
    of_weights = torch.autograd.grad(loss, weights, create_graph=True)
    exact = torch.autograd.grad(sum((g * v).sum() for g, v in zip(of_weights, vector, strict=True)), alphas)
    step = 1e-6
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            for weight, along in zip(weights, vector, strict=True):
                weight.add_(along, alpha=sign * step)
        ends.append(of_alphas()[1])
        with torch.no_grad():
            for weight, along in zip(weights, vector, strict=True):
                weight.sub_(along, alpha=sign * step)
    found = [(plus - minus) / (2 * step) for plus, minus in zip(*ends, strict=True)]
    assert worst(found, exact) <= 1e-5
