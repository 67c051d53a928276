"""The discovered network: published sizes, path drop from one draw, one graph, bad input."""

import math

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend

from nasdrop.drop import Draw
from nasdrop.errors import ConfigError, DataError, DropError, GenotypeError
from nasdrop.models.network import Network
from nasdrop.space.space import SearchSpace

# drop.md section 5: C = 36, 20 cells, without auxiliary head.
PUBLISHED = [
    ("DARTS_V1", 10, 3_169_414),
    ("DARTS_V2", 10, 3_349_342),
    ("DARTS_V1", 100, 3_221_344),
    ("DARTS_V2", 100, 3_401_272),
]
PDARTS = (
    "Genotype(normal=[('skip_connect', 0), ('dil_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 3), ('sep_conv_3x3', 0), ('dil_conv_5x5', 4)], normal_concat=range(2, 6), "
    "reduce=[('avg_pool_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_3x3', 0), ('dil_conv_5x5', 2), ('max_pool_3x3', 0), "
    "('dil_conv_3x3', 1), ('dil_conv_3x3', 1), ('dil_conv_5x5', 3)], reduce_concat=range(2, 6))"
)


def freeze_norms(network):
    """Training, but for batch norm, whose statistics would differ from evaluation's."""
    network.train()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    return network


def spread_norms(network):
    """Statistics and affine parts unlike those of a new network, so that a norm left out would show."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for tensor in (module.running_mean, module.weight.data, module.bias.data):
                nn.init.normal_(tensor, 0.5, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network


def size(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("genotype", "classes", "expected"), PUBLISHED)
def test_published_sizes(build, genotype, classes, expected):
    with torch.device("meta"):
        network = build(genotype=genotype, channels=36, num_cells=20, num_classes=classes, in_channels=3)
    assert size(network) == expected


def test_another_published_cell_and_the_auxiliary_head(build):
    network = build(genotype=PDARTS, channels=36, num_cells=20, in_channels=3, auxiliary=True)
    assert size(network.auxiliary) == 476_426
    assert size(network) == 3_910_224


@pytest.mark.parametrize(
    ("genotype", "droppable", "identity", "silent"),
    [("DARTS_V1", 100, 60, 20), ("DARTS_V2", 118, 42, 38), (PDARTS, 124, 36, 44)],
)
def test_published_paths(build, genotype, droppable, identity, silent):
    network = build(genotype=genotype, num_cells=20)
    assert sum(network.path_drop.droppable) == droppable
    assert sum(path.identity for path in network.paths) == identity
    network.path_drop.set_rates(0.2)
    assert network.path_drop.silent() == pytest.approx(silent * 0.2**2)
    assert len(network.path_drop.silent_nodes()) == silent


def test_paths_name_their_operations(build):
    network = build("nas_bench_201", seed=3, num_cells=6)
    per_cell = [edge for edge in network.genotype["normal"].edges if edge.operation != "none"]
    assert [path.operation for path in network.paths] == [edge.operation for edge in per_cell] * 6
    assert [path.depth for path in network.paths] == [(path.cell + 1) / 6 for path in network.paths]
    assert {path.node for path in network.paths if path.cell == 2} <= {6, 7, 8}
    for path in network.paths:
        module = network.get_submodule(path.name)
        assert isinstance(module, nn.Identity) == path.identity == (path.operation == "skip_connect")


def test_nodes_are_numbered_through_the_network(build):
    network = build("darts", genotype="DARTS_V2")
    edges = [edge for cell in ("normal", "reduction", "reduction") for edge in network.genotype[cell].edges]
    expected = [4 * (index // 8) + edge.target - 2 for index, edge in enumerate(edges)]
    assert [path.node for path in network.paths] == expected


@pytest.mark.parametrize("space", ["darts", "nas_bench_201", "nasnet"])
def test_evaluation_is_training_with_all_factors_one(build, space):
    network = freeze_norms(spread_norms(build(space, seed=1, dropout=0.0)).double())
    x = torch.randn(3, 2, 9, 8, dtype=torch.float64)
    ones = network(x, Draw(torch.ones(len(network.paths), 3)))
    nothing = network(x, Draw(None))
    torch.testing.assert_close(ones, nothing, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ones, network.eval()(x), rtol=1e-10, atol=1e-10)


def test_a_draw_drops_whole_rows_of_the_edges_it_names(build):
    """Each sample of a batch equals the sample alone in a network whose dropped operations are set to zero."""
    network = freeze_norms(spread_norms(build(genotype="DARTS_V2")).double())
    network.path_drop.set_rates(0.4)
    x = torch.randn(4, 2, 8, 8, dtype=torch.float64)
    draw = network.path_drop.draw(network.path_drop.rates, 4, seed=1, epoch=0, step=0)
    together = network(x, draw)
    for row in range(4):
        hooks = [
            network.get_submodule(path.name).register_forward_hook(
                lambda _module, _inputs, out, index=index, row=row: out * draw.factors[index, row].double()
            )
            for index, path in enumerate(network.paths)
        ]
        torch.testing.assert_close(network(x[row : row + 1], Draw(None)), together[row : row + 1])
        for hook in hooks:
            hook.remove()


def test_the_gradient_of_a_dropped_row_is_zero(build):
    network = freeze_norms(build(genotype="DARTS_V2"))
    factors = torch.zeros(len(network.paths), 2)
    factors[:, 0] = 1
    x = torch.randn(2, 2, 8, 8, requires_grad=True)
    network(x, Draw(factors)).sum().backward()
    assert x.grad[0].abs().sum() > 0
    # DARTS_V2's exempt identities lead through normal cells only, and every path of its reductions is dropped here.
    assert torch.equal(x.grad[1], torch.zeros(2, 8, 8))


def test_draws_for_itself_in_training(build):
    network = freeze_norms(build(genotype="DARTS_V2"))
    x = torch.randn(2, 2, 8, 8)
    assert torch.equal(network(x), network(x))
    network.path_drop.set_rates(0.5)
    torch.manual_seed(1)
    first, second = network(x), network(x)
    torch.manual_seed(1)
    assert torch.equal(network(x), first)
    assert not torch.equal(first, second)
    torch.manual_seed(1)
    drawn = network.path_drop.sample(network.path_drop.rates, 2)
    assert torch.equal(network(x, drawn), first)
    network.eval()
    assert torch.equal(network(x), network(x))
    assert torch.equal(network(x, drawn), network(x))


def test_batch_mode_and_survivors_reach_path_drop(build):
    options = {"mode": "batch", "survivors": "revive", "exempt_identity": False, "policy": "edge"}
    network = build(drop=options)
    network.path_drop.set_rates(0.5)
    assert "mode=batch, survivors=revive" in repr(network.path_drop)
    assert all(network.path_drop.droppable)
    assert torch.isfinite(network(torch.randn(4, 2, 8, 8))).all()
    assert build().path_drop.exempt_identity


def test_dropout_before_the_classifier(build):
    network = freeze_norms(build(dropout=1.0))
    bias = network.classifier.bias.expand(2, -1)
    assert torch.equal(network(torch.randn(2, 2, 8, 8)), bias)
    assert not torch.equal(network.eval()(torch.randn(2, 2, 8, 8)), bias)


def test_alpha_dropout_saturates_the_features_of_the_classifier(build):
    """With p = 0.5 a dropped feature is -A a k and a kept x is a x + A a p (1706.02515); evaluation drops nothing."""
    network = freeze_norms(build(dropout=0.5, dropout_kind="alpha_dropout"))
    seen, x = [], torch.randn(16, 2, 8, 8)
    network.classifier.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(x, paths=Draw(None))
    network.eval()(x)
    noisy, plain = seen
    saturation, k, p = 1.7580993408473766, 0.5, 0.5
    a = ((saturation**2 * p + 1) * k) ** -0.5
    dropped = (noisy + saturation * a * k).abs() < 1e-5
    assert torch.allclose(noisy[~dropped], (a * plain + saturation * a * p)[~dropped], atol=1e-5)
    assert abs(dropped.double().mean() - 0.5) < 4 * (0.25 / dropped.numel()) ** 0.5


@pytest.mark.parametrize("cells", [1, 3, 8])
def test_auxiliary_logits_in_training_only(build, cells):
    network = build(auxiliary=True, num_cells=cells, num_classes=7)
    logits, auxiliary = network(torch.randn(2, 2, 12, 10))
    assert logits.shape == auxiliary.shape == (2, 7)
    assert network.auxiliary_after == 2 * cells // 3
    assert network.eval()(torch.randn(2, 2, 12, 10)).shape == (2, 7)


def test_auxiliary_head_does_not_change_the_logits(build):
    """The head comes after the last of 3 cells, where one that overwrote its input would change the logits."""
    network = freeze_norms(build(auxiliary=True)).double()
    x = torch.randn(2, 2, 8, 8, dtype=torch.float64)
    logits, _ = network(x, Draw(None))
    torch.testing.assert_close(logits, network.eval()(x))


@pytest.mark.parametrize("space", ["darts", "nas_bench_201", "nasnet"])
def test_channels_last_computes_the_same(build, space):
    network = build(space, in_channels=1).double()
    x = torch.randn(3, 1, 9, 8, dtype=torch.float64)
    draw = Draw(torch.rand(len(network.paths), 3))
    results = []
    for layout in (torch.contiguous_format, torch.channels_last):
        network.to(memory_format=layout).zero_grad()
        out = network(x.contiguous(memory_format=layout), draw)
        out.square().sum().backward()
        gradients = [p.grad.clone() for p in network.parameters() if p.grad is not None]
        results.append([out, *gradients])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("space", ["darts", "nas_bench_201"])
def test_bfloat16_autocast(build, space):
    network = freeze_norms(build(space, seed=2, channels=8))
    x = torch.randn(4, 2, 8, 8)
    draw = Draw(torch.rand(len(network.paths), 4) * 2)
    seen = []
    for cell in network.cells:
        cell.register_forward_hook(lambda _module, _inputs, out: seen.append(out.dtype))
    full = network(x, draw)
    seen.clear()
    with torch.autocast("cpu", torch.bfloat16):
        half = network(x, draw)
    assert set(seen) == {torch.bfloat16}
    assert (half.float() - full).abs().max() < 0.1 * full.abs().max()
    half.float().sum().backward()
    assert all(p.grad is None or p.grad.dtype == torch.float32 for p in network.parameters())


def test_one_graph_over_changing_rates(build):
    """Of the draw as an input, and of a network that draws for itself."""
    counter = CompileCounterWithBackend("aot_eager")
    torch.compiler.reset()
    network = build("tiny", seed=2, num_cells=2)
    compiled = torch.compile(network, backend=counter, fullgraph=True)
    x = torch.randn(2, 2, 4, 4)
    freeze_norms(network)
    for step, rate in enumerate((0.0, 0.1, 0.2, 0.5)):
        network.path_drop.set_rates(rate)
        draw = network.path_drop.draw(network.path_drop.rates, 2, seed=0, epoch=0, step=step)
        out = compiled(x, draw)
        torch.testing.assert_close(out, network(x, draw))
        out.sum().backward()
    assert counter.frame_count == 1
    for rate in (0.0, 0.3, 0.6):
        network.path_drop.set_rates(rate)
        compiled(x)
    assert counter.frame_count == 2
    torch.compiler.reset()


@pytest.mark.parametrize("space", ["darts", "nas_bench_201"])
def test_an_exported_network_drops_nothing(build, space):
    network = spread_norms(build(space, seed=1)).eval()
    network.path_drop.set_rates(0.5)
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(network, (torch.randn(3, 2, 8, 8),), dynamic_shapes=({0: batch},))
    targets = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert not [target for target in targets if "rand" in target or "drop" in target or "bernoulli" in target]
    x = torch.randn(5, 2, 8, 8)
    torch.testing.assert_close(program.module()(x), network(x))


def test_state_survives_a_round_trip(build):
    network, other = spread_norms(build(seed=1)), build(seed=1)
    other.load_state_dict({name: tensor.clone() for name, tensor in network.state_dict().items()})
    x = torch.randn(2, 2, 8, 8)
    assert torch.equal(network.eval()(x), other.eval()(x))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 8, 8), r"must have 4 axes: samples, channels and 2 spatial, got shape \(2, 8, 8\)"),
        ((2, 3, 8, 8), r"must have in_channels = 2 channels, got 3"),
        ((2, 2, 3, 8), r"each side must be at least 4, as it is halved at each reduction, got shape \(2, 2, 3, 8\)"),
    ],
)
def test_images_that_do_not_fit(build, shape, message):
    with pytest.raises(DataError, match=f"network input: {message}") as caught:
        build()(torch.randn(shape))
    assert "\n" not in str(caught.value)


def test_the_smallest_images_pass(build):
    assert build()(torch.randn(2, 2, 4, 4)).isfinite().all()
    assert build("nas_bench_201", ndim=1)(torch.randn(2, 2, 4)).isfinite().all()
    assert build(num_cells=1)(torch.randn(2, 2, 2, 2)).isfinite().all()


def test_a_draw_that_does_not_fit(build):
    network = build(genotype="DARTS_V2")
    with pytest.raises(DropError, match=r"\(paths, samples\) = \(24, 2\), got \(24, 3\)"):
        network(torch.randn(2, 2, 8, 8), Draw(torch.ones(24, 3)))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"channels": 0}, ConfigError, "channels: must be a whole number of at least 1, got 0"),
        ({"num_cells": 2.5}, ConfigError, r"num_cells: must be a whole number of at least 1, got 2\.5"),
        ({"ndim": 4}, ConfigError, "ndim: must be 1, 2 or 3, got 4"),
        ({"dropout": 1.5}, DropError, r"dropout: must be a probability from 0 to 1, got 1\.5"),
        ({"dropout": math.nan}, DropError, "dropout: must be a probability"),
        ({"dropout_kind": "alpha"}, DropError, "dropout_kind: must be dropout or alpha_dropout, got 'alpha'"),
        ({"space": "nas_bench_201", "num_cells": 4}, ConfigError, "must be divisible by the 3 stages"),
        ({"genotype": "DARTS_V2", "space": "tiny"}, GenotypeError, "genotype: "),
        ({"drop": {"policy": "edgy"}}, DropError, "did you mean 'edge'"),
        ({"drop": {"policy": "groups", "mode": "batch"}}, DropError, "has no operations to choose, got 'groups'"),
        ({"drop": {"policy": "global"}}, DropError, "has no columns to choose, got 'global'"),
    ],
)
def test_arguments_that_break_a_rule(build, options, error, message):
    with pytest.raises(error, match=message):
        build(**options)


def test_several_sizes_are_reported_at_once(build):
    with pytest.raises(ConfigError) as caught:
        build(channels=0, num_classes=0)
    assert len(caught.value.lines) == 2


def test_a_users_operation_in_a_network(tmp_path):
    (tmp_path / "own.py").write_text(
        "from torch import nn\n\n"
        "def shift(channels, stride, *, ndim, affine):\n    return nn.Conv2d(channels, channels, 3, stride, 1)\n"
    )
    cell = 'inputs = 2\nnodes = 1\noperations = ["shift", "skip_connect"]\n'
    text = f'name = "own"\nskeleton = "darts"\noperations.shift = "own:shift"\n\n[cells.normal]\n{cell}\n'
    (tmp_path / "own.toml").write_text(f"{text}[cells.reduction]\n{cell}")
    space = SearchSpace.load(tmp_path / "own.toml")
    genotype = next(iter(space.enumerate()))
    network = Network(space, genotype, channels=4, num_cells=3)
    assert any(type(network.get_submodule(path.name)) is nn.Conv2d for path in network.paths)
    assert network(torch.randn(2, 3, 8, 8)).shape == (2, 10)
