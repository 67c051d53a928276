"""The packed layout against the reference layout: the same sums, gradients, statistics and random numbers."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from nasdrop.drop import Draw
from nasdrop.models.ops import OPERATIONS, build_operation
from nasdrop.models.supernet import SuperNet
from nasdrop.models.supernet.packed.depthwise import Window, depthwise, input_gradient, weight_gradient
from nasdrop.models.supernet.packed.plan import Chain, Own, Pooled, recognise
from nasdrop.models.supernet.packed.products import hidden, weighted_products
from nasdrop.resources import names
from nasdrop.space.fractal_space import FractalSpace, load_space
from nasdrop.space.space import SearchSpace

SPACES = [name for name in names("search_spaces") if not isinstance(load_space(name), FractalSpace)]
LIMIT = 1e-10


def pair(space="darts", channels=4, num_cells=3, **options):
    """The two layouts with the same weights, and architecture weights that differ from each other."""
    space = SearchSpace.load(space)
    sizes = {"num_classes": 5, "in_channels": 2, **options}
    reference = SuperNet(space, channels, num_cells, layout="reference", **sizes).double()
    for alpha in reference.alpha_parameters():
        nn.init.normal_(alpha)
    reference.path_drop.set_rates(0.3)
    packed = SuperNet(space, channels, num_cells, layout="packed", **sizes).double()
    packed.load_state_dict(reference.state_dict())
    return reference, packed


def images(rows=3, side=8, ndim=2):
    return torch.randn(rows, 2, *[side] * ndim, dtype=torch.float64)


def draw_for(supernet, rows=3):
    return supernet.path_drop.draw(supernet.path_drop.rates, rows, seed=1, epoch=0, step=0)


def run(supernet, x, paths, **options):
    """Logits, the gradients of all parameters, and all buffers, after one pass."""
    torch.manual_seed(5)
    logits = supernet(x, paths=paths, **options)
    loss = F.cross_entropy(logits, torch.arange(len(x)) % 5)
    gradients = torch.autograd.grad(loss, list(supernet.parameters()), allow_unused=True)
    return logits, gradients, list(supernet.buffers())


def worst(found, expected):
    """The largest error relative to the largest number of the same tensor."""
    return max(
        ((one - other).abs().max() / other.abs().max().clamp_min(1e-3)).item()
        for one, other in zip(found, expected, strict=True)
        if one is not None and one.is_floating_point() and one.numel()
    )


def check(reference, packed, x, paths, **options):
    logits, gradients, buffers = run(reference, x, paths, **options)
    found = run(packed, x, paths, **options)
    assert worst([found[0]], [logits]) <= LIMIT
    for (name, _), one, other in zip(reference.named_parameters(), found[1], gradients, strict=True):
        assert (one is None or not one.any()) == (other is None or not other.any()), name
    assert (
        worst(
            found[1],
            [torch.zeros_like(p) if g is None else g for p, g in zip(packed.parameters(), gradients, strict=True)],
        )
        <= LIMIT
    )
    kept = [index for index, (name, _) in enumerate(reference.named_buffers()) if not name.startswith("path_drop")]
    assert worst([found[2][index] for index in kept], [buffers[index] for index in kept]) <= LIMIT
    counts = [name for name, _ in reference.named_buffers() if name.endswith("num_batches_tracked")]
    assert all(torch.equal(reference.get_buffer(name), packed.get_buffer(name)) for name in counts)


@pytest.mark.parametrize("space", SPACES)
def test_every_space(space):
    reference, packed = pair(space, channels=2)
    check(reference, packed, images(), draw_for(reference))


@pytest.mark.parametrize(("ndim", "side"), [(1, 8), (3, 5), (2, 9), (2, 16)])
def test_every_number_of_sides(ndim, side):
    reference, packed = pair(ndim=ndim, channels=3)
    check(reference, packed, images(side=side, ndim=ndim), draw_for(reference))


@pytest.mark.parametrize("policy", ["cell", "node", "skip"])
def test_policies(policy):
    reference, packed = pair(drop={"policy": policy})
    check(reference, packed, images(), draw_for(reference))


@pytest.mark.parametrize("space", ["darts", "nas_bench_201"])
def test_partial_channels(space):
    reference, packed = pair(space, channels=8, partial_channels=4)
    edge_weights = {kind: torch.rand(len(alpha), dtype=torch.float64) for kind, alpha in reference.alphas.items()}
    check(reference, packed, images(), draw_for(reference), edge_weights=edge_weights)


@pytest.mark.parametrize("space", ["darts", "robust_s1", "robust_s4"])
def test_one_active_operation_an_edge(space):
    reference, packed = pair(space)
    active, mixture = {}, {}
    for kind, available in reference.available.items():
        chosen = [int(row.nonzero()[(edge * 5) % int(row.sum())]) for edge, row in enumerate(available)]
        active[kind] = [[column] for column in chosen]
        mixture[kind] = F.one_hot(torch.tensor(chosen), available.shape[1]).double()
    check(reference, packed, images(), draw_for(reference), active=active, mixture=mixture)


def test_a_node_that_nothing_enters():
    reference, packed = pair()
    active = {kind: [[0] if edge in (0, 1) else [0, 4, 6] for edge in range(14)] for kind in reference.alphas}
    check(reference, packed, images(), draw_for(reference), active=active)


def test_no_sample_lives():
    reference, packed = pair()
    check(reference, packed, images(), Draw(torch.zeros(len(reference.paths), 3)))


@pytest.mark.parametrize("options", [{"skip_dropout": True}, {"checkpoint": True}])
def test_options(options):
    reference, packed = pair(**options)
    for supernet in (reference, packed):
        for module in supernet.modules():
            if type(module).__name__ == "Dropout":
                module.p = 0.4
    check(reference, packed, images(), draw_for(reference))


def test_two_steps_of_statistics_without_a_momentum():
    reference, packed = pair()
    for supernet in (reference, packed):
        for module in supernet.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
    for _ in range(2):
        check(reference, packed, images(), Draw(None))


def test_evaluation_is_the_reference_layouts():
    reference, packed = pair()
    x = images()
    assert torch.equal(reference.eval()(x), packed.eval()(x))


def test_norms_in_evaluation_are_left_as_they_are():
    reference, packed = pair()
    for supernet in (reference, packed):
        for module in supernet.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
    check(reference, packed, images(), draw_for(reference))


def test_autocast_takes_the_reference_layout():
    reference, packed = pair()
    x = images().float()
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = (net.float()(x, paths=Draw(None)) for net in (packed, reference))
    assert torch.equal(found, expected)


def test_errors_in_single_precision():
    """Against double precision, at most twice the reference layout's, in the mean over all gradients."""
    ratios = []
    for seed in range(3):
        torch.manual_seed(seed)
        reference, packed = pair("robust_s3", channels=6)
        x = images(8)
        draw = draw_for(reference, 8)
        _, exact, _ = run(reference, x, draw)
        errors = []
        for supernet in (reference, packed):
            _, found, _ = run(copy.deepcopy(supernet).float(), x.float(), draw)
            size = sum((one.double() - other).square().sum() for one, other in zip(found, exact, strict=True))
            errors.append(size.sqrt().item())
        ratios.append(errors[1] / errors[0])
    assert sorted(ratios)[len(ratios) // 2] <= 2, ratios


def test_hessian_vector_products():
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
    assert worst(products[1], products[0]) <= LIMIT


def test_a_finite_difference_with_the_same_masks_is_the_exact_product():
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


def test_a_cell_is_one_graph_for_the_compiler():
    _, packed = pair("tiny")
    cell = packed.cells[0]
    cell.preprocess = nn.ModuleList(nn.Identity() for _ in range(2))
    states = [torch.randn(2, 4, 8, 8, dtype=torch.float64) for _ in range(2)]
    coefficients = torch.rand(5, 4, 1, dtype=torch.float64)
    compiled = torch.compile(cell, backend="aot_eager", fullgraph=True)
    found = compiled(states, coefficients)
    torch.testing.assert_close(found, cell(states, coefficients), rtol=1e-9, atol=1e-9)


class Calls(TorchDispatchMode):
    """Counts the calls that compute: views and fresh memory aside."""

    FREE = (
        "view",
        "expand",
        "t",
        "transpose",
        "permute",
        "select",
        "slice",
        "unsqueeze",
        "squeeze",
        "split",
        "unbind",
        "as_strided",
        "alias",
        "detach",
        "empty",
        "empty_like",
        "new_empty",
        "reshape",
        "_unsafe_view",
        "_to_copy",
    )

    def __init__(self):
        super().__init__()
        self.computed = 0
        self.written = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.overloadpacket.__name__.split(".")[-1] not in self.FREE:
            self.computed += 1
        return function(*args, **(kwargs or {}))


def step(supernet, x, paths):
    """An architecture step and a weight step, without the optimisers."""
    alphas, weights = supernet.alpha_parameters(), supernet.weight_parameters()
    with supernet.weights_frozen():
        torch.autograd.grad(F.cross_entropy(supernet(x, paths=paths), torch.tensor([0, 1, 2])), alphas)
    mixture = {kind: values.detach() for kind, values in supernet.mixture().items()}
    torch.autograd.grad(F.cross_entropy(supernet(x, mixture, paths), torch.tensor([0, 1, 2])), weights)


def test_path_drop_adds_at_most_four_calls_a_step_and_no_activation():
    _, packed = pair()
    x, draw = images(), draw_for(packed)
    counts, kept = [], []
    for paths in (Draw(None), draw):
        with Calls() as calls:
            step(packed, x, paths)
        counts.append(calls.computed)
        saved = {}

        def note(tensor, saved=saved):
            saved[tensor.data_ptr()] = tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            packed(x, paths=paths)
        kept.append(sum(saved.values()))
    assert counts[1] - counts[0] <= 4, counts
    coefficients = 3 * 14 * 8 * 3 * 3  # of cells, edges, columns, samples: nothing of the size of a map
    assert kept[1] - kept[0] <= coefficients, kept


def test_frozen_weights_get_no_gradient_and_thaw():
    _, packed = pair()
    packed.classifier.bias.requires_grad_(False)
    with packed.weights_frozen():
        assert not any(weight.requires_grad for weight in packed.weight_parameters())
        assert all(alpha.requires_grad for alpha in packed.alpha_parameters())
        F.cross_entropy(packed(images(), paths=Draw(None)), torch.tensor([0, 1, 2])).backward()
    assert all(weight.grad is None for weight in packed.weight_parameters())
    assert all(alpha.grad is not None for alpha in packed.alpha_parameters())
    assert [w.requires_grad for w in packed.weight_parameters()].count(False) == 1


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("sides", [(8, 8), (16, 16), (6, 4), (7, 9), (5, 12), (9,), (16,), (4, 5, 6)])
def test_gradients_of_depthwise_convolutions(kernel, stride, dilation, sides):
    """torch's own gradients are the oracle."""
    ndim = len(sides)
    window = Window((kernel,) * ndim, (stride,) * ndim, (dilation,) * ndim)
    x = torch.randn(2, *sides, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 1, *window.kernel, dtype=torch.float64, requires_grad=True)
    convolve = (F.conv1d, F.conv2d, F.conv3d)[ndim - 1]
    expected = convolve(x.movedim(-1, 1), weight, None, stride, dilation * (kernel // 2), dilation, 3).movedim(1, -1)
    gradient = torch.randn_like(expected).contiguous()
    torch.testing.assert_close(depthwise(x, weight, window), expected, rtol=1e-12, atol=1e-12)
    of_x, of_weight = torch.autograd.grad(expected, (x, weight), gradient)
    torch.testing.assert_close(input_gradient(gradient, weight, window, sides), of_x, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(weight_gradient(gradient, x.detach(), window), of_weight, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("rows", [1, 3])
def test_products_are_differentiable_twice(rows):
    """Against numerical differences, of features whose means are taken first."""
    weights = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    coefficients = torch.rand(3, rows, dtype=torch.float64, requires_grad=True)
    features = [torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    made = torch.randn(3, 2, 3, dtype=torch.float64, requires_grad=True)

    def centred(values):
        return [value - value.mean((0, 1)) for value in values]

    def products(weights, coefficients, made, *features):
        return weighted_products(weights, coefficients, centred(features), [made])[0]

    def maps(weights, *features):
        return tuple(hidden(weights, centred(features))[0])

    for function, inputs in ((products, (weights, coefficients, made, *features)), (maps, (weights, *features))):
        assert torch.autograd.gradcheck(function, inputs)
        assert torch.autograd.gradgradcheck(function, inputs)


def test_what_is_recognised():
    roles = {name: type(recognise(build_operation(name, 4, 1, affine=False))) for name in OPERATIONS if name != "none"}
    chains = {"nor_conv_1x1", "conv_1x1", *(name for name in roles if name.startswith(("sep", "dil")))}
    assert {name for name, role in roles.items() if role is Chain} == chains
    assert {name for name, role in roles.items() if role is Pooled} == {name for name in roles if "pool" in name}
    affine = [build_operation(name, 4, 1, affine=True) for name in ("sep_conv_3x3", "nor_conv_1x1")]
    assert all(type(recognise(module)) is Own for module in affine)


class Scaled(nn.Conv2d):
    """A convolution of a user's own that looks like torch's."""

    def forward(self, x):
        return 2 * super().forward(x)


def test_what_only_looks_alike_is_called():
    alike = nn.Sequential(nn.ReLU(), Scaled(4, 4, 1, bias=False), nn.BatchNorm2d(4, affine=False))
    assert type(recognise(alike)) is Own
    for change in ({"eps": 1e-3}, {"track_running_stats": False}):
        module = nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4, affine=False, **change))
        assert type(recognise(module)) is Own
    for layer in (nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.Conv2d(4, 4, 1, 2, bias=False)):
        assert type(recognise(nn.Sequential(nn.ReLU(), layer, nn.BatchNorm2d(4, affine=False)))) is Own
    assert type(recognise(nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 1, bias=False)))) is Own
    assert type(recognise(nn.Sequential())) is Own
