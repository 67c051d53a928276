"""The supernet: published sizes, what mixing means, path drop in the mixing weights, discovered networks from it."""

import random

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nasdrop.drop import Draw, Dropout
from nasdrop.errors import ConfigError, DataError, DropError, GenotypeError
from nasdrop.models.supernet import SuperNet, masked_softmax
from nasdrop.resources import names
from nasdrop.space.cells import CellGenotype
from nasdrop.space.fractal_space import FractalSpace, load_space
from nasdrop.space.genotype import Genotype
from nasdrop.space.space import SearchSpace

SPACES = [name for name in names("search_spaces") if not isinstance(load_space(name), FractalSpace)]


def make(space="tiny", channels=4, num_cells=3, **options):
    return SuperNet(SearchSpace.load(space), channels, num_cells, num_classes=5, in_channels=2, **options)


def images(rows=3, side=8, ndim=2, dtype=torch.float64):
    return torch.randn(rows, 2, *[side] * ndim, dtype=dtype)


def one_hot(supernet, genotype):
    """The mixture that computes a genotype: its edges' operations alone."""
    mixture = {kind: torch.zeros(alpha.shape, dtype=alpha.dtype) for kind, alpha in supernet.alphas.items()}
    for cell in genotype.cells:
        free = list(enumerate(supernet.space.cells[cell.name].graph.edges))
        for wanted in cell.edges:
            found = next(item for item in free if item[1][:2] == wanted[:2])
            free.remove(found)
            mixture[cell.name][found[0], supernet.operations[cell.name].index(wanted.operation)] = 1
    return mixture


def all_loose():
    """A NASNet cell of which every node is concatenated, as in a supernet."""

    def cell(name, operations):
        edges = tuple(
            (source, node, operations[source]) for node in range(2, 7) for source in (0, 0 if node == 4 else 1)
        )
        return CellGenotype(name, edges, tuple(range(2, 7)))

    cells = (cell("normal", ("sep_conv_5x5", "conv_3x1_1x3")), cell("reduction", ("skip_connect", "dil_conv_3x3")))
    return Genotype("nasnet", cells)


def sample_without_pools(space, seed=0):
    """Pools of DARTS differ: a supernet normalises them."""
    rng = random.Random(seed)
    while True:
        genotype = space.sample(rng)
        if not any("pool" in edge.operation for cell in genotype.cells for edge in cell.edges):
            return genotype


def test_published_size_of_darts():
    with torch.device("meta"):
        supernet = SuperNet(SearchSpace.load("darts"), 16, 8, 10, 3)
    assert sum(weight.numel() for weight in supernet.weight_parameters()) == 1_930_618
    assert [tuple(alpha.shape) for alpha in supernet.alpha_parameters()] == [(14, 8), (14, 8)]
    assert len(supernet.paths) == 14 * 8


def test_published_sizes_of_operations():
    supernet = SuperNet(SearchSpace.load("darts"), 16, 8, 10, 3)
    normal, reduction = supernet.cells[0], supernet.cells[2]
    expected = {
        "sep_conv_3x3": (800, 2624),
        "sep_conv_5x5": (1312, 3648),
        "dil_conv_3x3": (400, 1312),
        "dil_conv_5x5": (656, 1824),
        "skip_connect": (0, 1024),
        "none": (0, 0),
        "max_pool_3x3": (0, 0),
        "avg_pool_3x3": (0, 0),
    }
    for column, name in enumerate(supernet.operations["normal"]):
        sizes = tuple(sum(p.numel() for p in cell.edges[0][column].parameters()) for cell in (normal, reduction))
        assert sizes == expected[name], name


def test_alphas_are_saved_and_are_no_weights():
    supernet = make("darts")
    assert {"alphas.normal", "alphas.reduction"} <= set(supernet.state_dict())
    weights = {id(weight) for weight in supernet.weight_parameters()}
    assert not any(id(alpha) in weights for alpha in supernet.alpha_parameters())
    assert len(weights) + 2 == len(list(supernet.parameters()))
    assert all(0 < alpha.std() < 3e-3 and alpha.dtype == torch.float32 for alpha in supernet.alpha_parameters())


def test_edges_have_lists_of_their_own():
    supernet = make("robust_s1")
    listed = [edge.operations for edge in supernet.space.cells["normal"].graph.edges]
    assert list(supernet.candidates["normal"]) == listed
    available = supernet.available["normal"]
    for row, operations in zip(available.tolist(), listed, strict=True):
        columns = [name for name, there in zip(supernet.operations["normal"], row, strict=True) if there]
        assert sorted(columns) == sorted(operations)
    mixture = supernet.mixture()["normal"]
    assert mixture.shape == available.shape
    assert (mixture[~available] == 0).all()
    torch.testing.assert_close(mixture.sum(1), torch.ones(len(mixture)))


def test_masked_softmax_is_a_softmax_of_what_is_there():
    alphas = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[True, False, True, True], [False, True, False, False]])
    found = masked_softmax(alphas, mask)
    torch.testing.assert_close(found[0, [0, 2, 3]], alphas[0, [0, 2, 3]].softmax(0))
    assert found[1].tolist() == [0, 1, 0, 0]
    (gradient,) = torch.autograd.grad(found[0, 0], alphas)
    assert gradient.isfinite().all() and (gradient[~mask] == 0).all()


@pytest.mark.parametrize("space", ["nas_bench_201", "darts", "robust_s2", "nasnet"])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_a_one_hot_mixture_is_the_discovered_network(space, ndim):
    """The discovered network is an oracle with tests of its own."""
    supernet = make(space, ndim=ndim).double()
    if space == "nasnet":
        genotype = all_loose()
    else:
        sampled = supernet.space.sample(random.Random(1))
        genotype = sampled if space == "nas_bench_201" else sample_without_pools(supernet.space)
    network = supernet.inherit(genotype)
    x = images(ndim=ndim)
    found = supernet(x, one_hot(supernet, genotype), Draw(None))
    torch.testing.assert_close(found, network(x, Draw(None)), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("space", SPACES)
def test_every_space_trains(space):
    supernet = make(space)
    supernet.path_drop.set_rates(0.3)
    F.cross_entropy(supernet(images(dtype=torch.float32)), torch.tensor([0, 1, 2])).backward()
    for kind, alpha in supernet.alphas.items():
        assert alpha.grad.isfinite().all()
        assert (alpha.grad[~supernet.available[kind]] == 0).all()
        assert (alpha.grad != 0).any()
    for name, weight in supernet.named_parameters():
        assert weight.grad is not None and weight.grad.isfinite().all(), name


def test_a_mixture_is_linear_in_its_weights_at_the_last_node():
    """The logits are linear in what enters the last node of the last cell, where nothing normalises it."""
    supernet = make("nas_bench_201", num_cells=3).double()
    supernet.tail = nn.Identity()
    x = images()
    base = {"normal": torch.rand(3, 6, 5, dtype=torch.float64)}
    last = [edge for edge, (_, target, _) in enumerate(supernet.space.cells["normal"].graph.edges) if target == 3]

    def logits(weights):
        mixture = base["normal"].clone()
        mixture[2, last] = weights
        return supernet(x, {"normal": mixture}, Draw(None))

    one, two = torch.rand(2, len(last), 5, dtype=torch.float64)
    halfway = (logits(one) + logits(two)) / 2
    torch.testing.assert_close(logits((one + two) / 2), halfway, rtol=1e-10, atol=1e-10)


def test_a_table_for_each_cell():
    supernet = make().double()
    mixture = supernet.mixture()
    same = {kind: torch.stack([weights] * supernet.mixer.kinds.count(kind)) for kind, weights in mixture.items()}
    x = images()
    torch.testing.assert_close(supernet(x, same, Draw(None)), supernet(x, mixture, Draw(None)), rtol=0, atol=0)


def test_what_is_not_active_is_not_computed():
    supernet = make("darts", layout="reference").double()
    chosen = {kind: [[(edge + 3) % 8] for edge in range(14)] for kind in supernet.alphas}
    mixture = {kind: torch.zeros(14, 8, dtype=torch.float64) for kind in chosen}
    for kind, rows in chosen.items():
        for edge, (column,) in enumerate(rows):
            mixture[kind][edge, column] = 0.5 + edge / 10
    ran = []
    for cell in supernet.cells:
        for edge, operations in enumerate(cell.edges):
            for column, operation in enumerate(operations):
                operation.register_forward_hook(lambda *_, place=(edge, column): ran.append(place))
    x = images()
    found = supernet(x, mixture, Draw(None), active=chosen)
    assert set(ran) == {(edge, column) for edge, (column,) in enumerate(chosen["normal"]) if column != 0}
    torch.testing.assert_close(found, supernet(x, mixture, Draw(None)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("space", ["darts", "robust_s3", "nas_bench_201"])
def test_a_mixture_of_none_is_zero(space):
    supernet = make(space)
    nothing = {
        kind: F.one_hot(torch.zeros(len(rows), dtype=torch.long), rows.shape[1]).float()
        for kind, rows in supernet.alphas.items()
    }
    active = {kind: [[0]] * len(rows) for kind, rows in supernet.alphas.items()}
    x = images(dtype=torch.float32)
    for options in ({}, {"active": active}):
        logits = supernet(x, nothing, Draw(None), **options)
        if space == "nas_bench_201":  # the tail normalises zeros to its shift
            assert (logits == logits[:1]).all()
        else:
            torch.testing.assert_close(logits, supernet.classifier.bias.expand(3, -1), rtol=0, atol=0)


def test_factors_are_those_of_paths_by_name():
    """Each sample of a batch equals the sample in a supernet whose dropped edges have no weight."""
    supernet = freeze(make("darts").double())
    supernet.path_drop.set_rates(0.4)
    draw = supernet.path_drop.draw(supernet.path_drop.rates, 3, seed=1, epoch=0, step=0)
    x = images()
    together = supernet(x, paths=draw)
    base = {kind: weights.detach() for kind, weights in supernet.mixture().items()}
    for row in range(3):
        tables = {kind: torch.stack([weights] * supernet.mixer.kinds.count(kind)) for kind, weights in base.items()}
        seen = {kind: [i for i, name in enumerate(supernet.mixer.kinds) if name == kind] for kind in base}
        for path, factor in zip(supernet.paths, draw.factors[:, row], strict=True):
            kind, edge = supernet.mixer.kinds[path.cell], int(path.name.rsplit(".", 1)[1])
            assert supernet.get_submodule(path.name) is supernet.cells[path.cell].edges[edge]
            tables[kind][seen[kind].index(path.cell), edge] *= factor
        alone = supernet(x[row : row + 1], tables, Draw(None))
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-9, atol=1e-9)


def freeze(supernet):
    """Training, but for batch norm, which would mix the samples."""
    supernet.train()
    for module in supernet.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    return supernet


def test_evaluation_drops_nothing():
    supernet = make("darts").double()
    supernet.path_drop.set_rates(1.0)
    x = images()
    supernet.eval()
    torch.testing.assert_close(supernet(x), supernet(x, paths=Draw(None)), rtol=0, atol=0)
    supernet.train()
    torch.testing.assert_close(supernet(x), supernet.classifier.bias.expand(3, -1), rtol=0, atol=0)


@pytest.mark.parametrize("policy", ["edge", "node", "cell", "fan-in", "skip"])
def test_policies(policy):
    supernet = make("darts", drop={"policy": policy}).double()
    supernet.path_drop.set_rates(0.5)
    assert len({path.name for path in supernet.paths}) == len(supernet.paths)
    x = images()
    draw = supernet.path_drop.draw(supernet.path_drop.rates, 3, seed=0, epoch=0, step=0)
    ones = Draw(torch.ones_like(draw.factors))
    torch.testing.assert_close(supernet(x, paths=ones), supernet(x, paths=Draw(None)), rtol=1e-12, atol=1e-12)
    assert not torch.allclose(supernet(x, paths=draw), supernet(x, paths=Draw(None)))


def test_the_policy_skip_drops_identities_alone():
    supernet = freeze(make("darts", drop={"policy": "skip"}).double())
    for path in supernet.paths:
        assert isinstance(supernet.get_submodule(path.name), nn.Identity)
    expected = sum(module.__class__ is nn.Identity for cell in supernet.cells for module in cell.edges.modules())
    assert len(supernet.paths) == expected
    column = supernet.operations["normal"].index("skip_connect")
    silent = {kind: weights.detach().clone() for kind, weights in supernet.mixture().items()}
    silent["normal"][:, column] = 0
    for edge, (source, _, _) in enumerate(supernet.space.cells["reduction"].graph.edges):
        if source > 1:
            silent["reduction"][edge, column] = 0
    x = images()
    dropped = supernet(x, paths=Draw(torch.zeros(len(supernet.paths), 3)))
    torch.testing.assert_close(dropped, supernet(x, silent, Draw(None)), rtol=1e-12, atol=1e-12)


def test_groups_renormalise_the_softmax_over_the_kept_operations():
    supernet = make("darts", drop={"policy": "groups", "mode": "batch"}).double()
    for alpha in supernet.alpha_parameters():
        nn.init.normal_(alpha)
    supernet.path_drop.set_rates(0.3)
    draw = supernet.path_drop.draw(supernet.path_drop.rates, 3, seed=0, epoch=0, step=0)
    assert len(supernet.paths) == 2 * 14 * 8 and draw.factors is None
    kept = dict(zip(("normal", "reduction"), draw.choices.view(2, 14, 8), strict=True))
    assert [path.operation for path in supernet.paths[:8]] == list(supernet.operations["normal"])
    expected = {kind: masked_softmax(supernet.alphas[kind], mask) for kind, mask in kept.items()}
    x = images()
    torch.testing.assert_close(supernet(x, paths=draw), supernet(x, expected, Draw(None)), rtol=1e-10, atol=1e-10)


def test_path_drop_keeps_expectations_in_the_weights():
    supernet = make("darts")
    supernet.path_drop.set_rates(0.3)
    draw = supernet.path_drop.draw(supernet.path_drop.rates, 20_000, seed=0, epoch=0, step=0)
    found = supernet.mixer(supernet.mixture(), None, draw.factors).operations.mean(-1)
    plain = supernet.mixer(supernet.mixture(), None, None).operations[..., 0]
    # Standard error of the mean of 0 or 1 / 0.7: sqrt(0.3 / 0.7 / 20000); five of them over 336 paths.
    assert ((found - plain).abs() <= 5 * (3 / 7 / 20_000) ** 0.5 * plain + 1e-7).all()


@pytest.mark.parametrize("space", ["darts", "nas_bench_201"])
def test_partial_channels_by_hand(space):
    """PC-DARTS's rule on the last node, from the states that enter it."""
    supernet = make(space, channels=8, partial_channels=4).double()
    cell = supernet.cells[1]
    states = [torch.randn(2, cell.channels, 6, 6, dtype=torch.float64) for _ in range(cell.num_inputs)]
    cell.preprocess = nn.ModuleList(nn.Identity() for _ in states)
    weights = torch.rand(*cell.candidates.shape, 1, dtype=torch.float64)
    around = torch.rand(cell.candidates.shape[0], 1, dtype=torch.float64)
    inputs = list(states)
    part = cell.channels // 4
    for _, entering in cell.plan:
        total = 0
        for edge in entering:
            source = cell.candidates.edges[edge].source
            through, rest = states[source][:, :part], states[source][:, part:]
            mixed = sum(
                weights[edge, column] * cell.edges[edge][position](through)
                for position, column in enumerate(cell.candidates.columns[edge])
            )
            if mixed.shape[2:] != rest.shape[2:]:
                rest = F.max_pool2d(rest, 2, 2)
            total = total + torch.cat((mixed, around[edge] * rest), 1)
        grouped = total.view(2, 4, part, *total.shape[2:]).transpose(1, 2)
        states.append(grouped.reshape(total.shape))
    expected = torch.cat([states[node] for node in cell.concat], 1)
    torch.testing.assert_close(cell(inputs, weights, around), expected, rtol=1e-10, atol=1e-10)


def test_partial_channels_have_smaller_operations():
    whole, part = make("darts", channels=8), make("darts", channels=8, partial_channels=4)
    sizes = [sum(p.numel() for p in net.cells[0].edges[0][4].parameters()) for net in (whole, part)]
    assert sizes == [2 * (9 * 8 + 64), 2 * (9 * 2 + 4)]
    assert part(images(dtype=torch.float32, side=9)).shape == (3, 5)


def test_edge_weights_multiply_whole_edges():
    supernet = make("darts", channels=8, partial_channels=4).double()
    edge_weights = {kind: torch.rand(14, dtype=torch.float64) for kind in supernet.alphas}
    factors = torch.stack([edge_weights[kind] for kind in supernet.mixer.kinds]).flatten()[:, None].expand(-1, 3)
    x = images()
    expected = supernet(x, paths=Draw(factors))
    torch.testing.assert_close(supernet(x, paths=Draw(None), edge_weights=edge_weights), expected)
    whole = make("darts").double()
    scaled = {kind: whole.mixture()[kind] * weights[:, None] for kind, weights in edge_weights.items()}
    torch.testing.assert_close(whole(x, paths=Draw(None), edge_weights=edge_weights), whole(x, scaled, Draw(None)))


@pytest.mark.parametrize("space", ["darts", "robust_s4"])
def test_checkpointing_changes_no_number(space):
    plain, saving = make(space).double(), make(space, checkpoint=True).double()
    saving.load_state_dict(plain.state_dict())
    x = images()
    found = []
    for supernet in (plain, saving):
        torch.manual_seed(1)
        supernet.path_drop.set_rates(0.3)
        F.cross_entropy(supernet(x), torch.tensor([0, 1, 2])).backward()
        found.append([parameter.grad for parameter in supernet.parameters()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    for (name, one), other in zip(plain.named_buffers(), saving.buffers(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, msg=name)


def test_skip_dropout_is_a_module_that_a_schedule_finds():
    supernet = make("darts", skip_dropout=True, drop={"policy": "edge"})
    found = [module for module in supernet.modules() if isinstance(module, Dropout)]
    assert len(found) == 3 * 14 - 2 * 8  # the reductions' edges from their inputs are no identities
    x = images(dtype=torch.float32)
    before = supernet(x, paths=Draw(None))
    for module in found:
        module.p = 0.7
    assert not torch.allclose(supernet(x, paths=Draw(None)), before)


def test_inherited_statistics_are_the_mean_over_the_batches():
    supernet = make("darts")
    genotype = supernet.space.sample(random.Random(0))
    batches = [images(4, dtype=torch.float32) for _ in range(3)]
    network = supernet.inherit(genotype, batches).train()
    norm = network.stem[1]
    expected = torch.stack([network.stem[0](batch).mean((0, 2, 3)) for batch in batches]).mean(0)
    torch.testing.assert_close(norm.running_mean, expected)
    assert norm.momentum == 0.1
    assert network.cells[0].edges[0] is not None and network.training


def test_a_supernet_behind_the_stem_for_large_images_hands_it_on():
    space = SearchSpace.load("tiny")
    supernet = SuperNet(space, 4, 3, 5, in_channels=2, stem="imagenet")
    x = torch.randn(2, 2, 64, 64)
    assert supernet(x).shape == (2, 5)
    network = supernet.inherit(space.sample(random.Random(0)))
    assert torch.equal(network.second_stem[1].weight, supernet.second_stem[1].weight)
    assert network.smallest_side == supernet.smallest_side == 32
    assert network.eval()(x).shape == (2, 5)


def test_a_narrower_concatenation_takes_its_columns():
    supernet = make("nasnet")
    genotype = supernet.space.sample(random.Random(3))
    network = supernet.inherit(genotype)
    kept = network.cells[0].concat
    assert len(kept) < 5
    columns = [4 * supernet.cells[0].concat.index(node) for node in kept]
    whole, narrow = supernet.cells[2].preprocess[0], network.cells[2].preprocess[0]
    for (name, wide), part in zip(whole.named_parameters(), narrow.parameters(), strict=False):
        scale = 4 if wide.shape[1] == 20 else 8
        picked = [column * scale // 4 + channel for column in columns for channel in range(scale)]
        torch.testing.assert_close(part, wide[:, picked], rtol=0, atol=0, msg=name)


def test_mistakes():
    supernet = make("darts")
    x = images(dtype=torch.float32)
    with pytest.raises(DataError, match=r"mixture: must have weights for the cells 'reduction'"):
        supernet(x, {"normal": torch.ones(14, 8)})
    with pytest.raises(DataError, match=r"mixture.normal: must have the shape \(14, 8\).* got \(14, 7\)"):
        supernet(x, {"normal": torch.ones(14, 7), "reduction": torch.ones(14, 8)})
    with pytest.raises(DropError, match=r"paths: factors must have the shape \(paths, samples\) = \(42, 3\)"):
        supernet(x, paths=Draw(torch.ones(42, 2)))
    with pytest.raises(DataError, match="in_channels = 2"):
        supernet(x[:, :1])
    with pytest.raises(ConfigError, match=r"partial_channels: must divide the number of channels, 4, got 3"):
        make(partial_channels=3)
    with pytest.raises(ConfigError, match=r"partial_channels: must be a whole number"):
        make(partial_channels=0)
    with pytest.raises(DropError, match=r"drop.policy: a supernet has no columns to choose, got 'global'"):
        make(drop={"policy": "global"})
    with pytest.raises(DropError, match="no policy 'egde'"):
        make(drop={"policy": "egde"})
    with pytest.raises(ConfigError, match="partial_channels = 2"):
        make(partial_channels=2).inherit(supernet.space.sample(random.Random(0)))
    with pytest.raises(GenotypeError):
        make("tiny").inherit(Genotype.read("DARTS_V2"))
