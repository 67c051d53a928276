"""The supernet: published sizes, candidates, what mixing means."""

import random

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nasdrop.drop import Draw
from nasdrop.errors import ConfigError, DataError, DropError, GenotypeError
from nasdrop.models.supernet import SuperNet, masked_softmax
from nasdrop.resources import names
from nasdrop.space.fractal_space import FractalSpace, load_space
from nasdrop.space.genotype import Genotype
from nasdrop.space.space import SearchSpace

SPACES = [name for name in names("search_spaces") if not isinstance(load_space(name), FractalSpace)]


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


def test_alphas_are_saved_and_are_no_weights(make):
    supernet = make("darts")
    assert {"alphas.normal", "alphas.reduction"} <= set(supernet.state_dict())
    weights = {id(weight) for weight in supernet.weight_parameters()}
    assert not any(id(alpha) in weights for alpha in supernet.alpha_parameters())
    assert len(weights) + 2 == len(list(supernet.parameters()))
    assert all(0 < alpha.std() < 3e-3 and alpha.dtype == torch.float32 for alpha in supernet.alpha_parameters())


def test_edges_have_lists_of_their_own(make):
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


@pytest.mark.parametrize("space", SPACES)
def test_every_space_trains(space, make, images):
    supernet = make(space)
    supernet.path_drop.set_rates(0.3)
    F.cross_entropy(supernet(images(dtype=torch.float32)), torch.tensor([0, 1, 2])).backward()
    for kind, alpha in supernet.alphas.items():
        assert alpha.grad.isfinite().all()
        assert (alpha.grad[~supernet.available[kind]] == 0).all()
        assert (alpha.grad != 0).any()
    for name, weight in supernet.named_parameters():
        assert weight.grad is not None and weight.grad.isfinite().all(), name


def test_a_mixture_is_linear_in_its_weights_at_the_last_node(make, images):
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


def test_a_table_for_each_cell(make, images):
    supernet = make().double()
    mixture = supernet.mixture()
    same = {kind: torch.stack([weights] * supernet.mixer.kinds.count(kind)) for kind, weights in mixture.items()}
    x = images()
    torch.testing.assert_close(supernet(x, same, Draw(None)), supernet(x, mixture, Draw(None)), rtol=0, atol=0)


def test_what_is_not_active_is_not_computed(make, images):
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
def test_a_mixture_of_none_is_zero(space, make, images):
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


@pytest.mark.parametrize("space", ["darts", "robust_s4"])
def test_checkpointing_changes_no_number(space, make, images):
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


def test_mistakes(make, images):
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


def test_frozen_weights_get_no_gradient_and_thaw(pair, images):
    _, packed = pair()
    packed.classifier.bias.requires_grad_(False)
    with packed.weights_frozen():
        assert not any(weight.requires_grad for weight in packed.weight_parameters())
        assert all(alpha.requires_grad for alpha in packed.alpha_parameters())
        F.cross_entropy(packed(images(), paths=Draw(None)), torch.tensor([0, 1, 2])).backward()
    assert all(weight.grad is None for weight in packed.weight_parameters())
    assert all(alpha.grad is not None for alpha in packed.alpha_parameters())
    assert [w.requires_grad for w in packed.weight_parameters()].count(False) == 1
