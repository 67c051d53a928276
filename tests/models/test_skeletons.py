"""Stems, widths, reductions and heads."""

import random

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nasdrop.errors import ConfigError
from nasdrop.models.skeletons import SKELETONS, AuxiliaryHead, ResidualReduction, darts, nas_bench_201, outputs_of
from nasdrop.space.cell_table import SKELETONS as SKELETONS_OF_SPACES
from nasdrop.space.space import SearchSpace


def sample(space):
    return SearchSpace.load(space).sample(random.Random(0))


def test_spaces_and_models_know_the_same_skeletons():
    assert set(SKELETONS) == set(SKELETONS_OF_SPACES)


@pytest.mark.parametrize(
    ("cells", "reductions"), [(1, {0}), (2, {0, 1}), (3, {1, 2}), (6, {2, 4}), (8, {2, 5}), (20, {6, 13})]
)
def test_reductions_of_darts(cells, reductions):
    skeleton = darts(outputs_of(sample("darts")), 4, cells, in_channels=3, ndim=2)
    strided = {index for index, place in enumerate(skeleton.places) if place.stride == 2}
    assert strided == reductions
    assert skeleton.reductions == len(reductions)
    assert {index for index, place in enumerate(skeleton.places) if place.cell == "reduction"} == reductions


def test_widths_of_darts():
    skeleton = darts(outputs_of(sample("darts")), 4, 8, in_channels=3, ndim=2)
    assert skeleton.stem[0].weight.shape == (12, 3, 3, 3)
    assert [place.channels for place in skeleton.places] == [4, 4, 8, 8, 8, 16, 16, 16]
    assert skeleton.widths == (16, 16, 32, 32, 32, 64, 64, 64)


@pytest.mark.parametrize("space", ["darts", "nas_bench_201"])
def test_the_stem_for_large_images_halves_the_sides_three_times(space):
    build, plain = SKELETONS[space], SKELETONS[space](outputs_of(sample(space)), 4, 3, in_channels=3, ndim=2)
    skeleton = build(outputs_of(sample(space)), 4, 3, in_channels=3, ndim=2, stem="imagenet")
    first = skeleton.stem(torch.randn(2, 3, 64, 64))
    assert first.shape == (2, 4, 16, 16) and skeleton.second_stem(first).shape == (2, 4, 8, 8)
    assert skeleton.reductions == plain.reductions + 3
    assert isinstance(plain.second_stem, nn.Identity)


def test_widths_follow_a_concat_of_its_own():
    genotype = sample("nasnet")
    skeleton = darts(outputs_of(genotype), 4, 3, in_channels=3, ndim=2)
    expected = [
        width * len(genotype[place.cell].concat) for width, place in zip((4, 8, 16), skeleton.places, strict=True)
    ]
    assert list(skeleton.widths) == expected


def test_stages_of_nas_bench_201():
    skeleton = nas_bench_201(outputs_of(sample("nas_bench_201")), 16, 15, in_channels=3, ndim=2)
    blocks = [
        index for index, place in enumerate(skeleton.places) if isinstance(place.preprocess[0], ResidualReduction)
    ]
    assert blocks == [5, 10]
    assert skeleton.widths == (16,) * 5 + (32,) * 5 + (64,) * 5
    with pytest.raises(ConfigError, match=r"num_cells: must be divisible by the 3 stages of nas_bench_201, got 8"):
        nas_bench_201(outputs_of(sample("nas_bench_201")), 16, 8, in_channels=3, ndim=2)


@pytest.mark.parametrize("sides", [(8, 8), (7, 5), (9,), (5, 4, 3)])
def test_residual_reduction_halves_any_side(sides):
    block = ResidualReduction(3, 6, ndim=len(sides))
    assert block(torch.randn(2, 3, *sides)).shape == (2, 6, *(-(-side // 2) for side in sides))


def test_residual_reduction_by_its_definition():
    block = ResidualReduction(2, 4, ndim=2).eval()
    x = torch.randn(1, 2, 6, 6)
    (first, norm1), (second, norm2) = block.first[1:], block.second[1:]
    deep = norm1(F.conv2d(x.relu(), first.weight, stride=2, padding=1))
    deep = norm2(F.conv2d(deep.relu(), second.weight, padding=1))
    expected = deep + F.conv2d(F.avg_pool2d(x, 2), block.projection.weight)
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize(("side", "stride"), [(8, 3), (7, 2)])
def test_auxiliary_head_pools_as_the_field_does(side, stride):
    head = AuxiliaryHead(3, 10, ndim=2).eval()
    x = torch.randn(2, 3, side, side)
    pooled = F.avg_pool2d(x.relu(), 5, stride, count_include_pad=False)
    torch.testing.assert_close(head(x), head.classifier(head.features(pooled).flatten(1)))


@pytest.mark.parametrize("side", range(1, 12))
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_auxiliary_head_takes_every_side(ndim, side):
    head = AuxiliaryHead(2, 5, ndim=ndim).eval()
    assert head(torch.randn(1, 2, *[side] * ndim)).shape == (1, 5)


def test_auxiliary_head_leaves_its_input_alone():
    x = -torch.ones(2, 2, 8, 8)
    AuxiliaryHead(2, 5, ndim=2)(x)
    assert torch.equal(x, -torch.ones(2, 2, 8, 8))


def test_nas_bench_201_ends_in_norm_and_relu():
    tail = nas_bench_201(outputs_of(sample("nas_bench_201")), 4, 3, in_channels=3, ndim=1).tail
    assert [type(layer) for layer in tail] == [nn.BatchNorm1d, nn.ReLU]
