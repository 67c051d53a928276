"""What is found in a model, how deep it lies, and what is left alone; foreign modules are written out here."""

import pytest
import torch
from torch import Tensor, nn

from nasdrop import drop
from nasdrop.drop import Path, PathDrop, Schedule
from nasdrop.drop.targets import find_targets
from nasdrop.errors import DropError


class TimmDropPath(nn.Module):
    """As timm's: attributes drop_prob and scale_by_keep."""

    def __init__(self, drop_prob: float | None = 0.0) -> None:
        super().__init__()
        self.drop_prob = drop_prob
        self.scale_by_keep = True


class StochasticDepth(nn.Module):
    """As torchvision's: attributes p and mode."""

    def __init__(self, p: float, mode: str) -> None:
        super().__init__()
        self.p = p
        self.mode = mode


class TensorDropPath(nn.Module):
    """A foreign module that already holds its rate as a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("drop_prob", torch.zeros(()))


class Block(nn.Module):
    """A transformer block: two drop paths at one depth, and a dropout of elements."""

    def __init__(self) -> None:
        super().__init__()
        self.drop_path1 = TimmDropPath(0.0)
        self.drop_path2 = TimmDropPath(None)
        self.drop = nn.Dropout(0.1)


class Transformer(nn.Module):
    def __init__(self, depth: int = 4) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*[Block() for _ in range(depth)])


def names(model: nn.Module, select: object = "auto") -> list[str]:
    found = find_targets(model, select)  # type: ignore[arg-type]
    return [target.name for target in (*found.paths, *found.modules)]


def test_blocks_share_a_depth() -> None:
    targets = find_targets(Transformer()).modules
    assert [(target.name, target.depth) for target in targets][:3] == [
        ("blocks.0.drop_path1", 0.25), ("blocks.0.drop_path2", 0.25), ("blocks.1.drop_path1", 0.5),
    ]  # fmt: skip
    assert {target.depths for target in targets} == {4}


def test_entries_of_a_sequence_or_of_the_model_have_depths_of_their_own() -> None:
    in_sequence = nn.Sequential(drop.DropPath(), nn.ReLU(), drop.DropPath())
    assert [target.depth for target in find_targets(in_sequence).modules] == [0.5, 1.0]
    model = nn.Module()
    model.one, model.two = StochasticDepth(0.1, "row"), StochasticDepth(0.1, "batch")
    assert [target.depth for target in find_targets(model).modules] == [0.5, 1.0]


def test_auto_takes_paths_and_leaves_the_classifier_s_dropout_alone() -> None:
    model = nn.ModuleDict({"body": Transformer(1), "drop": nn.Dropout(0.5), "ours": drop.Dropout2d(0.5)})
    assert names(model) == ["body.blocks.0.drop_path1", "body.blocks.0.drop_path2"]
    assert find_targets(model).left_alone == ("body.blocks.0.drop", "drop", "ours")
    assert names(model, "elements") == ["body.blocks.0.drop", "drop", "ours"]
    assert len(names(model, "all")) == 5
    assert names(model, lambda name, module: isinstance(module, nn.Dropout)) == ["body.blocks.0.drop", "drop"]


@pytest.mark.parametrize(
    "module",
    [
        nn.Dropout(),
        nn.Dropout1d(),
        nn.Dropout2d(),
        nn.Dropout3d(),
        nn.AlphaDropout(),
        nn.FeatureAlphaDropout(),
        drop.Dropout(),
    ],
    ids=lambda module: type(module).__name__,
)
def test_a_model_of_dropouts_is_driven(module: nn.Module) -> None:
    model = nn.Sequential(nn.Linear(2, 2), module)
    (target,) = find_targets(model).modules
    target.set(Schedule(0.25, "constant"), 0.0)
    assert float(module.p) == 0.25


@pytest.mark.parametrize(
    "module",
    [
        TimmDropPath(None),
        TimmDropPath(0.3),
        TensorDropPath(),
        StochasticDepth(0.1, "row"),
        drop.DropPath(),
        drop.StochasticDepth(nn.Identity()),
    ],
    ids=lambda module: type(module).__name__,
)
def test_every_form_of_drop_path_is_driven(module: nn.Module) -> None:
    model = nn.Sequential(nn.Dropout(0.5), module)
    (target,) = find_targets(model).modules
    held = getattr(module, target.attribute)
    target.set(Schedule(0.25, "constant"), 0.0)
    assert float(getattr(module, target.attribute)) == 0.25
    if isinstance(held, Tensor):
        assert getattr(module, target.attribute) is held
    assert model[0].p == 0.5


def test_other_modules_with_a_p_are_none_of_ours() -> None:
    model = nn.Sequential(nn.PairwiseDistance(1.0), nn.TripletMarginLoss(p=1), nn.LPPool1d(1.0, 2))
    model[0].p = 1.0
    assert names(model, "all") == []


def test_path_drops_are_found_by_name() -> None:
    model = nn.ModuleDict({"a": PathDrop([Path("x", 0, 0, 1.0)])})
    (target,) = find_targets(model).paths
    assert target.name == "a"
    assert target.labels(qualified=True) == ["a.x"]
    assert target.labels(qualified=False) == ["x"]


def test_an_unknown_selection() -> None:
    with pytest.raises(DropError, match="no selection 'path'; did you mean 'paths'"):
        find_targets(nn.Module(), "path")  # type: ignore[arg-type]
